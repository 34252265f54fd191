"""Netlink messages as bytes, in plain Python: what recordings hold and the fake kernel speaks.

It shares no code with the C core: what the two understand of the format, they understand
independently.

Sources: uapi/linux/netlink.h, rtnetlink.h and if_link.h.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
NLM_F_ACK, NLM_F_MULTI, NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_DUMP = 0x04, 0x02, 0x100, 0x200, 0x300
NLMSGERR_ATTR_MSG = 1

IFLA_IFNAME, IFLA_VFINFO_LIST, IFLA_EXT_MASK, IFLA_ALT_IFNAME = 3, 22, 29, 53
IFLA_MASTER, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_NUM_VF = 10, 16, 18, 21
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BOND_MODE, IFLA_BOND_AD_LACP_RATE = 1, 21
IFLA_VF_INFO, IFLA_VF_LINK_STATE = 1, 5
RTEXT_FILTER_VF = 0x1

_NLA_TYPE_MASK = 0x3FFF
_NLMSGHDR = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")


class Message(NamedTuple):
    """One netlink message."""

    kind: int
    flags: int
    seq: int
    body: bytes

    def packed(self) -> bytes:
        """As the kernel would send it to a socketpair, whose port is 0."""
        return nlmsg(self.kind, self.body, flags=self.flags, seq=self.seq)

    def link(self) -> tuple[int, dict[int, bytes]]:
        """Index and attributes of a link message, as far as they can be read.

        Where a VF list's length has wrapped, that is up to the list.

        Raises:
            ValueError: it is none.
        """
        if len(self.body) < _IFINFOMSG.size:
            msg = f"a link message of {len(self.body)} bytes"
            raise ValueError(msg)
        _, _, ifindex, _, _ = _IFINFOMSG.unpack_from(self.body)
        found, _ = _attributes(self.body[_IFINFOMSG.size :])
        return ifindex, dict(reversed(found))  # the first of a kind: what follows may be none


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of a datagram, up to the first that cannot be one."""
    while len(datagram) >= _NLMSGHDR.size:
        length, kind, flags, seq, _ = _NLMSGHDR.unpack_from(datagram)
        if not _NLMSGHDR.size <= length <= len(datagram):
            return
        yield Message(kind, flags, seq, datagram[_NLMSGHDR.size : length])
        datagram = datagram[length + -length % 4 :]


def nlmsg(kind: int, payload: bytes, *, flags: int = 0, seq: int = 0) -> bytes:
    """One message."""
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(payload), kind, flags, seq, 0) + payload


def ifinfomsg(ifindex: int, *, flags: int = 0, family: int = 0) -> bytes:
    """The fixed part of a link message."""
    return _IFINFOMSG.pack(family, 0, ifindex, flags, 0)


def nla(kind: int, *payload: bytes) -> bytes:
    """One attribute, padded. Its 16-bit length wraps and nobody notices, as in the kernel."""
    body = b"".join(payload)
    return struct.pack("=HH", (4 + len(body)) & 0xFFFF, kind) + body + bytes(-len(body) % 4)


def _attributes(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The attributes in a payload, and what follows the last that can be read."""
    found = []
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            break
        found.append((kind & _NLA_TYPE_MASK, data[4:length]))
        data = data[length + -length % 4 :]
    return found, data


def nlas(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes in a payload, in order, without the flags of their types.

    Raises:
        ValueError: a length cannot be right.
    """
    found, rest = _attributes(data)
    if rest:
        msg = f"no attribute: {rest[:4].hex(' ')}... in the last {len(rest)} bytes"
        raise ValueError(msg)
    return found


def string(text: str) -> bytes:
    """The payload of a NLA_NUL_STRING."""
    return os.fsencode(text) + b"\0"


def ack(request: Message, code: int = 0, text: str = "") -> Message:
    """NLMSG_ERROR: with code 0 an acknowledgement.

    Args:
        request: what it answers.
        code: a positive errno.
        text: the extended ack's words.
    """
    header = _NLMSGHDR.pack(
        _NLMSGHDR.size + len(request.body), request.kind, request.flags, request.seq, 0
    )
    body = struct.pack("=i", -code) + header
    flags = NLM_F_CAPPED
    if text:
        flags |= NLM_F_ACK_TLVS
        body += nla(NLMSGERR_ATTR_MSG, string(text))
    return Message(NLMSG_ERROR, flags, request.seq, body)
