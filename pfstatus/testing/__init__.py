"""A kernel to test against: rtnetlink on socketpairs, without root and without a network card.

``FakeKernel`` answers as Linux does, faults included: a VF list's length wraps, a failing VF
stops a batch without a word which one it was, and the usual LACP recovery is announced by
nothing. An agent that embeds pfstatus is tested with it like this::

    from pfstatus import VfLinkState, Policy, Relay
    from pfstatus.testing import FakeKernel

    def test_vfs_fail_over():
        with FakeKernel() as kernel:
            pf = kernel.add_pf("ens5f0", vfs=2)
            kernel.add_bond("bond0", pf)
            with Relay("ens5f0", session=kernel.session()) as relay:
                relay.turn(timeout=0)               # it sees the present
                pf.lacp_expire()                    # the switch dies
                relay.turn(timeout=1)
                assert set(pf.vfs.values()) == {VfLinkState.DISABLE}

With pytest the fixture ``pfstatus_kernel`` is there wherever pfstatus is installed, and closes the
kernel after the test::

    def test_pf_without_bond(pfstatus_kernel):
        pfstatus_kernel.add_pf("ens5f0")
        with pfstatus_kernel.session() as session:
            assert session.get("ens5f0").bond is None

``replay(path)`` is another such kernel: a recording that ``pfstatus capture`` made elsewhere.

It shares no code with the C core: what the two understand of the format, they understand
independently. Nor does it judge whether LACP is up.

Methods may be called from any thread. They return when every session has the event waiting, or
queued behind others: a socketpair takes about ten.

Sources: net/core/rtnetlink.c (rtnl_fill_ifinfo, rtnl_fill_vfinfo, do_setlink),
drivers/net/bonding/bond_netlink.c and bond_3ad.c; docs/kernel.md for what raises an event.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from pfstatus.recording.replay import replay as replay
from pfstatus.session import Session
from pfstatus.values import BondMode, LacpRate, OperState, PortState, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pfstatus._wire import Tap

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_ACK, NLM_F_MULTI, NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_DUMP = 0x04, 0x02, 0x100, 0x200, 0x300
NLMSGERR_ATTR_MSG = 1

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_OPERSTATE = 1, 3, 4, 10, 16
IFLA_LINKINFO, IFLA_NUM_VF, IFLA_VFINFO_LIST, IFLA_EXT_MASK, IFLA_CARRIER = 18, 21, 22, 29, 33
IFLA_PROP_LIST, IFLA_ALT_IFNAME, IFLA_PARENT_DEV_NAME = 52, 53, 56
RTEXT_FILTER_VF, RTEXT_FILTER_SKIP_STATS = 0x1, 0x8

IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BOND_MODE, IFLA_BOND_MIIMON, IFLA_BOND_MIN_LINKS = 1, 3, 18
IFLA_BOND_AD_LACP_RATE, IFLA_BOND_AD_INFO = 21, 23

IFLA_VF_INFO = 1
IFLA_VF_MAC, IFLA_VF_VLAN, IFLA_VF_TX_RATE, IFLA_VF_SPOOFCHK, IFLA_VF_LINK_STATE = 1, 2, 3, 4, 5
IFLA_VF_RATE, IFLA_VF_RSS_QUERY_EN, IFLA_VF_STATS, IFLA_VF_TRUST = 6, 7, 8, 9
IFLA_VF_VLAN_LIST, IFLA_VF_BROADCAST = 12, 13

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_NO_CARRIER = (OperState.NOTPRESENT, OperState.DOWN, OperState.LOWERLAYERDOWN)
_LOOPBACK = 1
_U8, _U16, _U32 = struct.Struct("=B").pack, struct.Struct("=H").pack, struct.Struct("=I").pack
_2U32, _3U32 = struct.Struct("=2I").pack, struct.Struct("=3I").pack
_NLMSGHDR = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")

_PORT = PortState.ACTIVITY | PortState.TIMEOUT | PortState.AGGREGATION
_PORT_SYNC = _PORT | PortState.SYNCHRONIZATION
_PORT_UP = _PORT_SYNC | PortState.COLLECTING | PortState.DISTRIBUTING


# ---- Bytes -----------------------------------------------------------------------------------


def nla(kind: int, *payload: bytes) -> bytes:
    """One attribute, padded. Its 16-bit length wraps and nobody notices, as in the kernel."""
    body = b"".join(payload)
    return struct.pack("=HH", (4 + len(body)) & 0xFFFF, kind) + body + bytes(-len(body) % 4)


def nlas(data: bytes) -> list[tuple[int, bytes]]:
    """The attributes in a payload, in order, without the flags of their types.

    Raises:
        ValueError: a length cannot be right.
    """
    found = []
    while data:
        length, kind = struct.unpack_from("=HH", data) if len(data) >= 4 else (0, 0)
        if not 4 <= length <= len(data):
            msg = f"attribute of {length} bytes in {len(data)}"
            raise ValueError(msg)
        found.append((kind & _NLA_TYPE_MASK, data[4:length]))
        data = data[length + -length % 4 :]
    return found


def nlmsg(kind: int, payload: bytes, *, flags: int = 0, seq: int = 0) -> bytes:
    """One message."""
    return _NLMSGHDR.pack(_NLMSGHDR.size + len(payload), kind, flags, seq, 0) + payload


def ifinfomsg(ifindex: int, *, flags: int = 0, family: int = 0) -> bytes:
    """The fixed part of a link message."""
    return _IFINFOMSG.pack(family, 0, ifindex, flags, 0)


def _string(text: str) -> bytes:
    return os.fsencode(text) + b"\0"


def _vf_info(vf: int, state: VfLinkState, *, stats: bool) -> bytes:
    """IFLA_VF_INFO as rtnl_fill_vfinfo() writes it: 196 bytes, 296 with statistics."""
    mac = bytes([2, 0, 0, 0, vf >> 8 & 0xFF, vf & 0xFF])
    attributes = [
        nla(IFLA_VF_MAC, _U32(vf), mac.ljust(32, b"\0")),
        nla(IFLA_VF_BROADCAST, b"\xff" * 6 + bytes(26)),
        nla(IFLA_VF_VLAN, _3U32(vf, 0, 0)),
        nla(IFLA_VF_RATE, _3U32(vf, 0, 0)),
        nla(IFLA_VF_TX_RATE, _2U32(vf, 0)),
        nla(IFLA_VF_SPOOFCHK, _2U32(vf, 1)),
        nla(IFLA_VF_LINK_STATE, _2U32(vf, state)),
        nla(IFLA_VF_RSS_QUERY_EN, _2U32(vf, 0)),
        nla(IFLA_VF_TRUST, _2U32(vf, 0)),
        nla(IFLA_VF_VLAN_LIST, nla(1, _3U32(vf, 0, 0), b"\x81\x00")),
    ]
    if stats:
        attributes.append(nla(IFLA_VF_STATS, *(nla(kind, bytes(8)) for kind in range(8))))
    return nla(IFLA_VF_INFO, *attributes)


# ---- Links -----------------------------------------------------------------------------------


class FakeLink:
    """A link: PF, bond or bridge. Made by ``FakeKernel.add_...``."""

    kind = ""
    """``IFLA_INFO_KIND``; empty for a NIC."""

    def __init__(
        self, kernel: FakeKernel, ifindex: int, name: str, altnames: Iterable[str]
    ) -> None:
        self.kernel = kernel
        self.ifindex = ifindex
        self.name = name
        self.altnames = tuple(altnames)
        self.up = True
        """IFF_UP: ``ip link set ... up``. The kernel announces no VF change of a PF without."""
        self.operstate = OperState.UP
        self.parent: str | None = None
        """The device it belongs to, by its PCI address."""
        self.master: FakeLink | None = None

    def message(
        self, mask: int = 0, *, kind: int = RTM_NEWLINK, flags: int = 0, seq: int = 0
    ) -> bytes:
        """The link as rtnl_fill_ifinfo() tells it.

        Args:
            mask: RTEXT_FILTER_*. Without RTEXT_FILTER_VF there is nothing of VFs.
            kind: RTM_NEWLINK or RTM_DELLINK.
            flags: NLM_F_*.
            seq: nlmsg_seq.
        """
        carrier = self.operstate not in _NO_CARRIER
        said = (_IFF_UP | (_IFF_LOWER_UP if carrier else 0)) if self.up else 0
        attributes = [
            nla(IFLA_IFNAME, _string(self.name)),
            nla(IFLA_MTU, _U32(1500)),
            nla(IFLA_OPERSTATE, _U8(self.operstate)),
            nla(IFLA_MASTER, _U32(self.master.ifindex)) if self.master else b"",
            nla(IFLA_CARRIER, _U8(carrier)),
            nla(IFLA_ADDRESS, b"\x02\0\0\0" + struct.pack(">H", self.ifindex & 0xFFFF)),
            self._vf_attributes(mask),
            self._linkinfo(),
        ]
        if self.altnames:
            names = [nla(IFLA_ALT_IFNAME, _string(name)) for name in self.altnames]
            attributes.append(nla(IFLA_PROP_LIST | NLA_F_NESTED, *names))
        if self.parent:
            attributes.append(nla(IFLA_PARENT_DEV_NAME, _string(self.parent)))
        body = ifinfomsg(self.ifindex, flags=said) + b"".join(attributes)
        return nlmsg(kind, body, flags=flags, seq=seq)

    def _vf_attributes(self, mask: int) -> bytes:  # noqa: ARG002 - a PF minds it
        return b""

    def _linkinfo(self) -> bytes:
        info = []
        if self.kind:
            info += [nla(IFLA_INFO_KIND, _string(self.kind)), nla(IFLA_INFO_DATA, self._data())]
        if self.master:
            info.append(nla(IFLA_INFO_SLAVE_KIND, _string(self.master.kind)))
            info.append(nla(IFLA_INFO_SLAVE_DATA, self._slave_data()))
        return nla(IFLA_LINKINFO, *info) if info else b""

    def _data(self) -> bytes:
        return b""

    def _slave_data(self) -> bytes:
        return b""


class FakeBridge(FakeLink):
    """A master that is no bond."""

    kind = "bridge"


class FakeBond(FakeLink):
    """A bond."""

    kind = "bond"
    mode: BondMode | int = BondMode.IEEE_802_3AD
    lacp_rate = LacpRate.FAST
    aggregator_id: int | None = 1
    """The active aggregator; None for none, which leaves out IFLA_BOND_AD_INFO."""

    def _data(self) -> bytes:
        links = [link for link in self.kernel.links if link.master is self]
        ports = [
            link
            for link in links
            if isinstance(link, FakePf) and link.aggregator_id == self.aggregator_id
        ]
        data = [
            nla(IFLA_BOND_MODE, _U8(self.mode)),
            nla(IFLA_BOND_MIIMON, _U32(100)),
            nla(IFLA_BOND_MIN_LINKS, _U32(0)),
            nla(IFLA_BOND_AD_LACP_RATE, _U8(self.lacp_rate)),
        ]
        if self.mode == BondMode.IEEE_802_3AD and self.aggregator_id is not None:
            words = [self.aggregator_id, len(ports), 15, 32768]
            info = [nla(kind, _U16(word)) for kind, word in enumerate(words, 1)]
            info.append(nla(5, bytes.fromhex("02005e000001")))
            data.append(nla(IFLA_BOND_AD_INFO, *info))
        return b"".join(data)


class FakePf(FakeLink):
    """A PF: a NIC with VFs that can be a bond's port."""

    def __init__(
        self, kernel: FakeKernel, ifindex: int, name: str, altnames: Iterable[str], vfs: int
    ) -> None:
        super().__init__(kernel, ifindex, name, altnames)
        self.vfs: dict[int, VfLinkState] = dict.fromkeys(range(vfs), VfLinkState.AUTO)
        """Link state by VF, in the order of the list."""
        self.hidden: set[int] = set()
        """VFs that the driver could not read just now: the list leaves them out."""
        self.supported = True
        """False: the driver has no setter, EOPNOTSUPP."""
        self.vf_errors: dict[int, tuple[int, float]] = {}
        """(errno, how often) by VF: what the driver's setter answers; math.inf for always."""
        self.ignores: set[VfLinkState] = set()
        """States for which the driver answers 0 and does nothing."""
        self.delay = 0.0
        """Seconds that the driver needs to set a VF, under the kernel's lock."""
        self.read_delay = 0.0
        """Seconds that it needs to read one."""
        self.active = True
        """``IFLA_BOND_SLAVE_STATE``."""
        self.aggregator_id: int | None = 1
        """None leaves out the port's AD attributes; 0 is what a port has that has none yet."""
        self.actor = _PORT_UP
        self.partner = _PORT_UP

    # What a bond's port goes through. ``announce`` says whether an event tells of it; None is
    # what the kernel does.

    def lacp_set(self, actor: int, partner: int, *, announce: bool = False) -> None:
        """Any pair of port states."""
        with self.kernel.change(self, announce=announce):
            self.actor, self.partner = PortState(actor), PortState(partner)

    def lacp_up(self, *, announce: bool | None = None) -> None:
        """LACPDUs flow. Announced only if they had stopped for less than three seconds."""
        expired = bool(self.actor & PortState.EXPIRED)
        self.lacp_set(_PORT_UP, _PORT_UP, announce=expired if announce is None else announce)

    def lacp_expire(self, *, announce: bool = True) -> None:
        """LACPDUs have stopped."""
        partner = _PORT_UP & ~PortState.SYNCHRONIZATION
        self.lacp_set(_PORT_SYNC | PortState.EXPIRED, partner, announce=announce)

    def lacp_default(self, *, announce: bool = True) -> None:
        """They have stopped for three seconds more."""
        self.lacp_set(_PORT_SYNC | PortState.DEFAULTED, PortState.ACTIVITY, announce=announce)

    def set_carrier(self, up: bool) -> None:
        """Plug the cable, or pull it."""
        with self.kernel.change(self):
            self.operstate = OperState.UP if up else OperState.DOWN

    def set_vf(self, vf: int, state: VfLinkState) -> int:
        """What the driver does of one VF's setting. Returns 0 or an errno."""
        time.sleep(self.delay)
        code, times = self.vf_errors.get(vf, (0, 0))
        if not self.supported:
            return errno.EOPNOTSUPP
        if vf not in self.vfs:
            return errno.EINVAL
        if times > 0:
            self.vf_errors[vf] = (code, times - 1)
            return code
        if state not in self.ignores:
            self.vfs[vf] = state
        return 0

    def _vf_attributes(self, mask: int) -> bytes:
        if not mask & RTEXT_FILTER_VF:
            return b""
        time.sleep(self.read_delay * len(self.vfs))
        stats = not mask & RTEXT_FILTER_SKIP_STATS
        listed = [(vf, state) for vf, state in self.vfs.items() if vf not in self.hidden]
        return nla(IFLA_NUM_VF, _U32(len(self.vfs))) + nla(
            IFLA_VFINFO_LIST, *(_vf_info(vf, state, stats=stats) for vf, state in listed)
        )

    def _slave_data(self) -> bytes:
        if not isinstance(self.master, FakeBond):
            return b""
        data = nla(1, _U8(not self.active)) + nla(2, _U8(0)) + nla(3, _U32(0))
        if self.master.mode == BondMode.IEEE_802_3AD and self.aggregator_id is not None:
            # The partner's octet travels in 16 bits.
            data += nla(6, _U16(self.aggregator_id)) + nla(7, _U8(self.actor))
            data += nla(8, _U16(self.partner))
        return data


# ---- The kernel ------------------------------------------------------------------------------


_Link = TypeVar("_Link", bound=FakeLink)


class Write(NamedTuple):
    """A VF setting that the driver accepted."""

    ifname: str
    vf: int
    link_state: VfLinkState


class _Peer:
    """Our ends of one session's socketpairs."""

    def __init__(self, request: socket.socket, event: socket.socket | None) -> None:
        self.request = request
        self.event = event
        self.backlog: deque[bytes] = deque()

    def flush(self) -> None:
        """Send what the socketpair has room for."""
        while self.backlog and self.event:
            try:
                self.event.send(self.backlog[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # the session was closed
                self.backlog.clear()
                return
            self.backlog.popleft()

    def hang_up(self) -> None:
        for end in (self.request, self.event):
            if end:
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.request.close()
        if self.event:
            self.event.close()


class FakeKernel:
    """Plays rtnetlink for any number of sessions. A context manager; ``close()`` ends it."""

    def __init__(self) -> None:
        self.links: list[FakeLink] = []
        """All links but ``lo``."""
        self.permitted = True
        """Whether the sessions hold CAP_NET_ADMIN."""
        self.writes: list[Write] = []
        """VF settings that a driver accepted from a session, in order."""
        self.requests: Counter[str] = Counter()
        """How often a session sent "get", "get-vfs", "dump", "set", "probe"."""
        self.on_request: Callable[[str], None] | None = None
        """Called with such a word before a request is served: a place for what happens just
        then. It may call all methods but ``close()``."""
        self._lock = threading.RLock()  # RTNL
        self._peers: list[_Peer] = []
        self._sessions: list[Session] = []
        self._ifindexes = count(_LOOPBACK + 1)
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._serve, name="FakeKernel", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and close its sessions. May be called again."""
        if self._closed:
            return
        self.hang_up()
        self._closed = True
        for session in self._sessions:
            if not session.closed:
                session.close()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for peer in self._peers:
            peer.close()
        os.close(self._wake)

    def session(
        self, *, events: bool = True, timeout: float = 5.0, tap: Tap | None = None
    ) -> Session:
        """A session with this kernel, which closes it at its end if nobody did before."""
        session = Session.from_fds(*self.descriptors(events=events), timeout=timeout, tap=tap)
        self._sessions = [*(old for old in self._sessions if not old.closed), session]
        return session

    def descriptors(self, *, events: bool = True) -> tuple[int, int]:
        """What a session is made of, for a program of its own, in any language.

        It inherits them and hands them to ``pfs_open_fds()`` or ``Session.from_fds()``.

        Returns:
            The request and the event descriptor, -1 for none. They are the caller's to close.
        """
        ours, request = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours_event, event = (
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if events else (None, None)
        )
        with self._lock:
            self._peers.append(_Peer(ours, ours_event))
        os.eventfd_write(self._wake, 1)
        return request.detach(), event.detach() if event else -1

    def hang_up(self) -> None:
        """Have the sockets of all sessions fail, as no kernel does."""
        with self._lock:
            for peer in self._peers:
                peer.hang_up()

    # What exists

    def add_pf(
        self, name: str, *, vfs: int = 0, altnames: Iterable[str] = (), announce: bool = True
    ) -> FakePf:
        """A PF with so many VFs in ``auto``."""
        pf = FakePf(self, self._new_ifindex(), name, altnames, vfs)
        return self._add(pf, announce=announce)

    def add_bond(
        self,
        name: str,
        *ports: FakePf,
        mode: BondMode | int = BondMode.IEEE_802_3AD,
        lacp_rate: LacpRate = LacpRate.FAST,
    ) -> FakeBond:
        """A bond and its ports. LACP on them is as it was, which is up at first."""
        bond = FakeBond(self, self._new_ifindex(), name, ())
        bond.mode, bond.lacp_rate = mode, lacp_rate
        self._add(bond)
        for port in ports:
            self.enslave(port, bond)
        return bond

    def add_bridge(self, name: str, *ports: FakePf) -> FakeBridge:
        """A bridge and its ports."""
        bridge = self._add(FakeBridge(self, self._new_ifindex(), name, ()))
        for port in ports:
            self.enslave(port, bridge)
        return bridge

    def enslave(self, link: FakeLink, master: FakeLink | None) -> None:
        """Give a link a master, or none."""
        with self.change(link):
            link.master = master

    def rename(self, link: FakeLink, name: str) -> None:
        """Another name, the same link."""
        with self.change(link):
            link.name = name

    def remove(self, link: FakeLink, *, announce: bool = True) -> None:
        """A link goes; where it was a master, its ports lose it first."""
        with self._lock:
            for port in self.links:
                if port.master is link:
                    self.enslave(port, None)
            self.links.remove(link)
            if announce:
                self._announce(link.message(kind=RTM_DELLINK))

    def create_vfs(self, pf: FakePf, vfs: int) -> None:
        """Write sriov_numvfs: all VFs are new. No event tells of it."""
        with self._lock:
            pf.vfs = dict.fromkeys(range(vfs), VfLinkState.AUTO)

    def set_vf(self, pf: FakePf, vf: int, state: VfLinkState, *, announce: bool = True) -> None:
        """Another program sets a VF, which no record or driver's fault minds."""
        with self.change(pf, announce=announce and pf.up):
            pf.vfs[vf] = state

    def lose_events(self) -> None:
        """Events were lost. A socketpair cannot say ENOBUFS, so what arrives is unreadable."""
        with self._lock:
            self._announce(b"lost")

    @contextmanager
    def change(self, link: FakeLink, *, announce: bool = True) -> Iterator[None]:
        """Change a link's attributes under the kernel's lock, then announce it."""
        with self._lock:
            yield
            if announce:
                self._announce(link.message())

    def _add(self, link: _Link, *, announce: bool = True) -> _Link:
        with self.change(link, announce=announce):
            self.links.append(link)
        return link

    def _new_ifindex(self) -> int:
        with self._lock:
            return next(self._ifindexes)

    # What the thread does

    def _announce(self, event: bytes) -> None:
        for peer in self._peers:
            if peer.event:
                peer.backlog.append(event)
            peer.flush()
            if peer.backlog:
                os.eventfd_write(self._wake, 1)

    def _serve(self) -> None:
        while not self._closed:
            with self._lock:
                requests = {peer.request: peer for peer in self._peers}
                backlogs = {peer.event: peer for peer in self._peers if peer.event and peer.backlog}
            wanted: list[int | socket.socket] = [self._wake, *requests]
            readable, writable, _ = select.select(wanted, [*backlogs], [])
            if self._wake in readable:
                os.eventfd_read(self._wake)
            with self._lock:
                for event in writable:
                    backlogs[event].flush()
                for request in requests.keys() & set(readable):
                    self._receive(requests[request])

    def _receive(self, peer: _Peer) -> None:
        try:
            data = peer.request.recv(1 << 18)
            for answer in self._answers(data):
                peer.request.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            data = b""
        if not data and not self._closed:  # the session was closed
            self._peers.remove(peer)
            peer.close()

    def _answers(self, data: bytes) -> Iterator[bytes]:
        """The answers to each request of a datagram: a failing one does not stop the next."""
        while data:
            length, kind, flags, seq, _ = _NLMSGHDR.unpack_from(data)
            header, body, data = data[:16], data[16:length], data[length + -length % 4 :]
            _, _, ifindex, _, _ = _IFINFOMSG.unpack_from(body)
            attributes = dict(nlas(body[16:]))
            mask = int.from_bytes(attributes.get(IFLA_EXT_MASK, b""), sys.byteorder)
            code, text = 0, ""
            if kind == RTM_GETLINK and flags & NLM_F_DUMP == NLM_F_DUMP:
                self._count("dump")
                for link in self.links:
                    yield link.message(mask, flags=NLM_F_MULTI, seq=seq)
                yield nlmsg(NLMSG_DONE, bytes(4), flags=NLM_F_MULTI, seq=seq)
                continue
            if kind == RTM_GETLINK:
                self._count("get-vfs" if mask & RTEXT_FILTER_VF else "get")
                found = self._find(ifindex, attributes)
                if found:
                    yield found.message(mask, seq=seq)
                    continue
                code, text = errno.ENODEV, "no such link"
            elif kind == RTM_SETLINK:
                self._count("set" if IFLA_VFINFO_LIST in attributes else "probe")
                code = self._set_link(ifindex, attributes)
            else:
                code = errno.EOPNOTSUPP
            if code or flags & NLM_F_ACK:
                yield _ack(header, code, text, seq)

    def _count(self, request: str) -> None:
        self.requests[request] += 1
        if self.on_request:
            self.on_request(request)

    def _find(self, ifindex: int, attributes: dict[int, bytes]) -> FakeLink | None:
        name = attributes.get(IFLA_IFNAME) or attributes.get(IFLA_ALT_IFNAME) or b""
        text = os.fsdecode(name.rstrip(b"\0"))
        for link in self.links:
            if link.ifindex == ifindex or (not ifindex and text in {link.name, *link.altnames}):
                return link
        return None

    def _set_link(self, ifindex: int, attributes: dict[int, bytes]) -> int:
        """do_setlink(): in order, up to the first that fails. Returns 0 or an errno."""
        if not self.permitted:
            return errno.EPERM
        if ifindex == _LOOPBACK and IFLA_VFINFO_LIST not in attributes:
            return 0
        pf = self._find(ifindex, attributes)
        if not isinstance(pf, FakePf):
            return errno.EOPNOTSUPP if pf else errno.ENODEV
        code = 0
        changed = False
        for kind, info in nlas(attributes.get(IFLA_VFINFO_LIST, b"")):
            setting = dict(nlas(info)).get(IFLA_VF_LINK_STATE, b"")
            if kind != IFLA_VF_INFO or len(setting) != 8:
                code = errno.EINVAL
                break
            vf, state = struct.unpack("=2I", setting)
            code = pf.set_vf(vf, VfLinkState(state))
            if code:
                break
            changed = True
            self.writes.append(Write(pf.name, vf, VfLinkState(state)))
        if changed and pf.up:
            self._announce(pf.message())
        return code


def _ack(request: bytes, code: int, text: str, seq: int) -> bytes:
    """NLMSG_ERROR: with code 0 an acknowledgement."""
    flags = NLM_F_CAPPED
    body = struct.pack("=i", -code) + request
    if text:
        flags |= NLM_F_ACK_TLVS
        body += nla(NLMSGERR_ATTR_MSG, _string(text))
    return nlmsg(NLMSG_ERROR, body, flags=flags, seq=seq)
