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

from pfstatus.recording.netlink import (
    IFLA_IFNAME,
    IFLA_VF_INFO,
    IFLA_VF_LINK_STATE,
    IFLA_VFINFO_LIST,
    NLM_F_MULTI,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_NEWLINK,
    ifinfomsg,
    nla,
    nlmsg,
    string,
)
from pfstatus.relay.loop import Relay
from pfstatus.session import Session
from pfstatus.values import BondMode, OperState, PortState, VfLinkState

if TYPE_CHECKING:
    from pfstatus.relay.report import Report

TIMES = 16
VFS = 4
_NAME, _PF, _BOND = "rehearsal", 1, 2
_IFLA_MASTER, _IFLA_OPERSTATE, _IFLA_LINKINFO, _IFLA_NUM_VF = 10, 16, 18, 21
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
    port = (nla(1, _u8(0)), nla(6, _u16(1)), nla(7, _u8(actor)), nla(8, _u16(partner)))
    body = ifinfomsg(_PF, flags=0x10001)
    body += nla(IFLA_IFNAME, string(_NAME)) + nla(_IFLA_MASTER, _u32(_BOND))
    body += nla(_IFLA_OPERSTATE, _u8(OperState.UP))
    body += nla(_IFLA_LINKINFO, nla(4, string("bond")), nla(5, *port))
    if vfs is not None:
        infos = [
            nla(IFLA_VF_INFO, nla(IFLA_VF_LINK_STATE, _u32(vf), _u32(vfs))) for vf in range(VFS)
        ]
        body += nla(_IFLA_NUM_VF, _u32(VFS)) + nla(IFLA_VFINFO_LIST, *infos)
    return body


def _bond() -> bytes:
    data = nla(1, _u8(BondMode.IEEE_802_3AD)) + nla(21, _u8(1))
    body = ifinfomsg(_BOND, flags=0x10001) + nla(IFLA_IFNAME, string("bond"))
    return body + nla(_IFLA_LINKINFO, nla(1, string("bond")), nla(2, data))


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
        self._events.send(nlmsg(RTM_NEWLINK, link))

    def answer(self, *links: bytes) -> None:
        """What the next questions are answered."""
        self._count_questions()
        for link in links:
            self._answer(RTM_NEWLINK, link)

    def agree(self, kind: int = NLMSG_ERROR) -> None:
        """The next request is carried out."""
        self._answer(kind, bytes(20), NLM_F_MULTI if kind == NLMSG_DONE else 0)

    def _count_questions(self) -> None:
        """Questions are numbered. On a busy machine there may have been more than were expected."""
        self._seq = self._asked
        with suppress(BlockingIOError):
            while self._answers.recv(4096, socket.MSG_DONTWAIT):
                self._asked += 1
                self._seq = self._asked

    def _answer(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._seq += 1
        self._answers.send(nlmsg(kind, body, flags=flags, seq=self._seq))


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
        kernel.agree(NLMSG_DONE)  # of all links, to count the bond's ports
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
