"""The fake kernel: what answers, and tells of changes."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import threading
from collections import Counter, deque
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from pfstatus.recording.netlink import (
    IFLA_ALT_IFNAME,
    IFLA_EXT_MASK,
    IFLA_IFNAME,
    IFLA_VF_INFO,
    IFLA_VF_LINK_STATE,
    IFLA_VFINFO_LIST,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_MULTI,
    NLMSG_DONE,
    RTEXT_FILTER_VF,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_SETLINK,
    ack,
    messages,
    nlas,
    nlmsg,
)
from pfstatus.session import Session
from pfstatus.testing.links import FakeBond, FakeBridge, FakeLink, FakePf
from pfstatus.values import BondMode, LacpRate, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pfstatus._wire import Tap

_LOOPBACK = 1

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
        for request in messages(data):
            ifindex, attributes = request.link()
            mask = int.from_bytes(attributes.get(IFLA_EXT_MASK, b""), sys.byteorder)
            code, text = 0, ""
            if request.kind == RTM_GETLINK and request.flags & NLM_F_DUMP == NLM_F_DUMP:
                self._count("dump")
                for link in self.links:
                    yield link.message(mask, flags=NLM_F_MULTI, seq=request.seq)
                yield nlmsg(NLMSG_DONE, bytes(4), flags=NLM_F_MULTI, seq=request.seq)
                continue
            if request.kind == RTM_GETLINK:
                self._count("get-vfs" if mask & RTEXT_FILTER_VF else "get")
                found = self._find(ifindex, attributes)
                if found:
                    yield found.message(mask, seq=request.seq)
                    continue
                code, text = errno.ENODEV, "no such link"
            elif request.kind == RTM_SETLINK:
                self._count("set" if IFLA_VFINFO_LIST in attributes else "probe")
                code = self._set_link(ifindex, attributes)
            else:
                code = errno.EOPNOTSUPP
            if code or request.flags & NLM_F_ACK:
                yield ack(request, code, text).packed()

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
