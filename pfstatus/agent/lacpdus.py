"""How many LACPDUs a bond's port has received and sent: the kernel's own count.

By RTM_GETSTATS, which needs no privilege. It waits for the RTNL lock, whatever the socket's
timeout: the kernel answers while the question is being sent.

Sources: uapi/linux/if_link.h (struct if_stats_msg, IFLA_STATS_LINK_XSTATS_SLAVE,
LINK_XSTATS_TYPE_BOND), uapi/linux/if_bonding.h (BOND_XSTATS_3AD, BOND_3AD_STAT_LACPDU_*).
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.recording.netlink import NLMSG_ERROR, messages, nlas, nlmsg

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_RTM_NEWSTATS, _RTM_GETSTATS, _NLM_F_REQUEST = 92, 94, 0x1
_IF_STATS_MSG = struct.Struct("=BxHII")
_XSTATS_SLAVE, _TYPE_BOND, _XSTATS_3AD = 3, 2, 1
_FILTER = 1 << (_XSTATS_SLAVE - 1)
_LACPDU_RX, _LACPDU_TX = 0, 1
_U64 = struct.Struct("=Q")
_TIMEOUT = 1.0


class Lacpdus(NamedTuple):
    """Of one port, since it is in its bond."""

    received: int
    sent: int


def request(ifindex: int, seq: int) -> bytes:
    """The question."""
    return nlmsg(
        _RTM_GETSTATS, _IF_STATS_MSG.pack(0, 0, ifindex, _FILTER), flags=_NLM_F_REQUEST, seq=seq
    )


def counts(datagram: bytes, seq: int) -> dict[int, int]:
    """What an answer says, by BOND_3AD_STAT_; nothing where it is no port of an 802.3ad bond.

    Raises:
        ValueError: it is no answer to this question.
    """
    for message in messages(datagram):
        if message.seq != seq:
            continue
        if message.kind == NLMSG_ERROR:
            return {}
        if message.kind != _RTM_NEWSTATS:
            break
        nest = message.body[_IF_STATS_MSG.size :]
        for kind in (_XSTATS_SLAVE, _TYPE_BOND, _XSTATS_3AD):
            nest = dict(nlas(nest)).get(kind, b"")
        return {kind: _U64.unpack(body)[0] for kind, body in nlas(nest) if len(body) == _U64.size}
    msg = "no answer to what was asked"
    raise ValueError(msg)


def parse(datagram: bytes, seq: int) -> Lacpdus | None:
    """As counts(), of LACPDUs."""
    found = counts(datagram, seq)
    if _LACPDU_RX not in found or _LACPDU_TX not in found:
        return None
    return Lacpdus(found[_LACPDU_RX], found[_LACPDU_TX])


def ask(ifindex: int, seq: int) -> bytes:
    """The kernel's answer, in the network namespace of this thread.

    Raises:
        OSError: there is none, or it is another's.
    """
    family = (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    with socket.socket(*family) as asking:
        asking.settimeout(_TIMEOUT)
        asking.bind((0, 0))
        asking.sendto(request(ifindex, seq), (0, 0))
        answer, sender = asking.recvfrom(1 << 16)
    if sender[0] != 0:
        raise OSError(errno.EPROTO, "not the kernel's answer")
    return answer


def read(ifindex: int) -> Lacpdus | None:
    """Ask the kernel and parse; None where it tells nothing."""
    try:
        return parse(ask(ifindex, 1), 1)
    except (OSError, ValueError):
        return None


class Reader:
    """Asks in a thread of its own: while a driver holds the lock, what was known before is given.

    Args:
        ask: gives the counts of an ifindex.
        patience: seconds to wait for them.
    """

    def __init__(self, ask: Callable[[int], Lacpdus | None] = read, patience: float = 0.5) -> None:
        self._ask = ask
        self._patience = patience
        self._begins = threading.Lock()
        self._asking: threading.Thread | None = None
        self._known: dict[int, Lacpdus] = {}

    def __call__(self, ifindexes: Collection[int]) -> dict[int, Lacpdus]:
        """The counts of those that have some. From any thread."""
        with self._begins:
            if self._asking is None or not self._asking.is_alive():
                asking = threading.Thread(
                    target=self._read, args=(tuple(ifindexes),), name="lacpdus", daemon=True
                )
                try:
                    asking.start()
                except RuntimeError:  # no thread is to be had
                    return {}
                self._asking = asking
            asking = self._asking
        asking.join(self._patience)
        known = self._known
        return {ifindex: known[ifindex] for ifindex in ifindexes if ifindex in known}

    def _read(self, ifindexes: tuple[int, ...]) -> None:
        self._known = {
            ifindex: counts for ifindex in ifindexes if (counts := self._ask(ifindex)) is not None
        }
