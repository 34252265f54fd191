"""An outage that is played before there is one.

Python's interpreter makes quick what it has run a dozen times (PEP 659): without this, the first
outages of a relay's life are acted upon in twice the time of later ones. The kernel is played by a
few messages, on sockets of our own.
"""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

from pfstatus.recording import netlink
from pfstatus.recording.netlink import nla
from pfstatus.relay.loop import Relay
from pfstatus.session import Session
from pfstatus.values import BondMode, OperState, PortState, VfLinkState

if TYPE_CHECKING:
    from pfstatus.relay.report import Report

TIMES = 16
VFS = 4
_NAME, _PF, _BOND = "rehearsal", 1, 2
# IFLA_BOND_SLAVE_STATE, and IFLA_BOND_SLAVE_AD_... of the others.
_STATE, _AGGREGATOR_ID, _ACTOR, _PARTNER = 1, 6, 7, 8
# Actor and partner, as bonding has them: a port state costs Python 50 us the first time.
_UP = PortState(0x3F), PortState(0x3F)
_LOST = PortState(0x8F), PortState(0x37)


def _u8(value: int) -> bytes:
    return bytes([value])


def _u16(value: int) -> bytes:
    return value.to_bytes(2, sys.byteorder)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _pf(ends: tuple[PortState, PortState], vfs: VfLinkState | None = None) -> bytes:
    """A PF with these states; ``vfs`` is that of its VFs, where they were asked for."""
    actor, partner = ends
    port = (
        nla(_STATE, _u8(0)),
        nla(_AGGREGATOR_ID, _u16(1)),
        nla(_ACTOR, _u8(actor)),
        nla(_PARTNER, _u16(partner)),
    )
    body = netlink.ifinfomsg(_PF, flags=0x10001)
    body += nla(netlink.IFLA_IFNAME, netlink.string(_NAME)) + nla(netlink.IFLA_MASTER, _u32(_BOND))
    body += nla(netlink.IFLA_OPERSTATE, _u8(OperState.UP))
    body += nla(
        netlink.IFLA_LINKINFO,
        nla(netlink.IFLA_INFO_SLAVE_KIND, netlink.string("bond")),
        nla(netlink.IFLA_INFO_SLAVE_DATA, *port),
    )
    if vfs is not None:
        infos = [
            nla(netlink.IFLA_VF_INFO, nla(netlink.IFLA_VF_LINK_STATE, _u32(vf), _u32(vfs)))
            for vf in range(VFS)
        ]
        body += nla(netlink.IFLA_NUM_VF, _u32(VFS)) + nla(netlink.IFLA_VFINFO_LIST, *infos)
    return body


def _bond() -> bytes:
    data = nla(netlink.IFLA_BOND_MODE, _u8(BondMode.IEEE_802_3AD))
    data += nla(netlink.IFLA_BOND_AD_LACP_RATE, _u8(1))
    body = netlink.ifinfomsg(_BOND, flags=0x10001) + nla(
        netlink.IFLA_IFNAME, netlink.string("bond")
    )
    return body + nla(
        netlink.IFLA_LINKINFO,
        nla(netlink.IFLA_INFO_KIND, netlink.string("bond")),
        nla(netlink.IFLA_INFO_DATA, data),
    )


class _Kernel:
    """The other ends of a session's sockets."""

    def __init__(self, opened: ExitStack) -> None:
        ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        ours, theirs = zip(*ends, strict=True)
        self._answers, self._events = [opened.enter_context(closing(end)) for end in theirs]
        self.session = Session.from_fds(*[end.detach() for end in ours], timeout=0.1)
        opened.enter_context(self.session)
        self._asked = self._seq = 0

    def event(self, link: bytes) -> None:
        """What is told unasked."""
        self._events.send(netlink.nlmsg(netlink.RTM_NEWLINK, link))

    def answer(self, *links: bytes) -> None:
        """What the next questions are answered."""
        self._count_questions()
        for link in links:
            self._answer(netlink.RTM_NEWLINK, link)

    def agree(self, kind: int = netlink.NLMSG_ERROR) -> None:
        """The next request is carried out."""
        self._answer(kind, bytes(20), netlink.NLM_F_MULTI if kind == netlink.NLMSG_DONE else 0)

    def _count_questions(self) -> None:
        """Questions are numbered. On a busy machine there may have been more than were expected."""
        self._seq = self._asked
        with suppress(BlockingIOError):
            while self._answers.recv(4096, socket.MSG_DONTWAIT):
                self._asked += 1
                self._seq = self._asked

    def _answer(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._seq += 1
        self._answers.send(netlink.nlmsg(kind, body, flags=flags, seq=self._seq))


def _discard(reports: list[Report]) -> None:
    for report in reports:
        report.to_json()


def rehearse() -> None:
    """Play outages, and have a relay of its own act upon them. Takes some 20 ms.

    Raises:
        OSError: a socket could not be opened.
    """
    with ExitStack() as opened:
        kernel = _Kernel(opened)
        relay = opened.enter_context(Relay(_NAME, session=kernel.session, report=_discard))
        kernel.answer(_pf(_UP), _bond(), _pf(_UP, VfLinkState.AUTO))
        kernel.agree(netlink.NLMSG_DONE)  # of all links, to count the bond's ports
        relay.turn(0.0)
        for _ in range(TIMES):
            kernel.event(_pf(_LOST))
            kernel.answer(_pf(_LOST, VfLinkState.AUTO))
            kernel.agree()
            relay.turn(0.0)
            kernel.event(_pf(_UP))
            kernel.answer(_pf(_UP, VfLinkState.DISABLE))
            kernel.agree()
            relay.turn(0.0)
