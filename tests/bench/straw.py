#!/usr/bin/env python3
"""A relay as one writes it in an afternoon, to be compared with: no library, nothing but the point.

At an event of a PF that tells of LACP lost its VFs in ``auto`` are disabled, at one that tells of
LACP up the disabled ones are given back; each PF is asked every 100 ms too, since a recovery is
announced by nobody. Errors end it; nothing is tried again, paced, remembered or said.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time

GETLINK, SETLINK, NEWLINK, ERROR = 18, 19, 16, 2
REQUEST, ACK = 1, 4
VFINFO_LIST, EXT_MASK, LINKINFO, SLAVE_DATA = 22, 29, 18, 5
VF_INFO, VF_LINK_STATE, ACTOR, PARTNER = 1, 5, 7, 8
AUTO, DISABLE = 0, 2
UP, MASK = 0x38, 0xF8


def attributes(data, at, end):
    """Yield type, first byte and end of each attribute."""
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, at + 4, at + length
        at += (length + 3) & ~3


def inside(data, path, at, end):
    """First byte and end of what lies at a path of attributes."""
    for wanted in path:
        for kind, start, stop in attributes(data, at, end):
            if kind == wanted:
                at, end = start, stop
                break
        else:
            raise KeyError(wanted)
    return at, end


def lacp_up(data, end):
    """Whether LACP is up by a link message; None where it does not say."""
    try:
        port = {
            k: at for k, at, _ in attributes(data, *inside(data, (LINKINFO, SLAVE_DATA), 32, end))
        }
        return all(data[port[octet]] & MASK == UP for octet in (ACTOR, PARTNER))
    except KeyError:
        return None


def vfs(data, end):
    """Yield VF and link state."""
    first, _ = inside(data, (VFINFO_LIST,), 32, end)
    for kind, at, stop in attributes(data, first, end):  # above 334 its own length wraps
        if kind != VF_INFO:
            return
        yield struct.unpack_from("=II", data, inside(data, (VF_LINK_STATE,), at, stop)[0])


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data


class Straw:
    def __init__(self, names):
        self.questions = self.open(0)
        self.events = self.open(1)
        self.pfs = {socket.if_nametoindex(name): None for name in names}
        self.buffer = bytearray(256 * 1024)

    @staticmethod
    def open(groups):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 20)  # SO_RCVBUFFORCE
        opened.bind((0, groups))
        return opened

    def ask(self, kind, flags, ifindex, attrs):
        header = struct.pack("=IHHII", 32 + len(attrs), kind, REQUEST | flags, 1, 0)
        self.questions.send(header + struct.pack("=BxHiII", 0, 0, ifindex, 0, 0) + attrs)
        got = self.questions.recv_into(self.buffer)
        kind, error = struct.unpack_from("=H", self.buffer, 4)[0], self.buffer[16:20]
        if kind == ERROR and any(error):
            raise OSError(-struct.unpack("=i", error)[0], "rtnetlink")
        return got

    def follow(self, ifindex, up):
        if up is None or up == self.pfs[ifindex]:
            return
        self.pfs[ifindex] = up
        end = self.ask(GETLINK, 0, ifindex, attribute(EXT_MASK, struct.pack("=I", 9)))
        have, want = (DISABLE, AUTO) if up else (AUTO, DISABLE)
        todo = [vf for vf, state in vfs(self.buffer, end) if state == have]
        if todo:
            infos = [
                attribute(VF_INFO, attribute(VF_LINK_STATE, struct.pack("=II", vf, want)))
                for vf in todo
            ]
            self.ask(SETLINK, ACK, ifindex, attribute(VFINFO_LIST, b"".join(infos)))

    def run(self):
        due = 0.0
        while True:
            wait = max(0.0, due - time.monotonic())
            if select.select([self.events], [], [], wait)[0]:
                end = self.events.recv_into(self.buffer)
                kind, ifindex = struct.unpack_from("=4xH14xi", self.buffer)
                if kind == NEWLINK and ifindex in self.pfs:
                    self.follow(ifindex, lacp_up(self.buffer, end))
            else:
                due = time.monotonic() + 0.1
                for ifindex in self.pfs:
                    end = self.ask(GETLINK, 0, ifindex, b"")
                    self.follow(ifindex, lacp_up(self.buffer, end))


if __name__ == "__main__":
    Straw(sys.argv[1:] or os.environ["PF_STATUS_RELAY_INTERFACES"].split(",")).run()
