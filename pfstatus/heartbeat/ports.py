"""The ports of several PFs: a socket and a listener for each, and one descriptor for all."""

from __future__ import annotations

import errno
import math
import os
import select
import time
from functools import partial
from typing import TYPE_CHECKING

from pfstatus._fork import close_in_child
from pfstatus._port import Port
from pfstatus._timer import Timer
from pfstatus.errors import Error, MalformedError, NotPermittedError
from pfstatus.heartbeat.listener import Listener
from pfstatus.values import BondMode, LacpReason, LacpStatus, OperState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pfstatus.heartbeat.values import Beat, HeartbeatMode, Partner
    from pfstatus.values import LinkStatus

NOT_PERMITTED = "LACPDUs are seen and sent with CAP_NET_RAW alone, which is missing"

_AT_ONCE = 64  # LACPDUs of a port, so that a storm on one cannot keep us from the others
_TRIES = 3  # what waits when we want to speak is read first; so often
_PAUSE = 0.1  # seconds before another try, where what was wanted could not be sent
_LOOK = 0.02  # seconds between looks at a PF that heard a LACPDU and is not up yet
_LOOKS = 0.3  # seconds that it may take the kernel: a few of its ticks


class _Pf:
    """One PF."""

    __slots__ = ("bond", "ifindex", "listener", "look_at", "look_until", "port", "up")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.ifindex: int | None = None
        self.bond: int | None = None
        self.port: Port | None = None
        self.up = False
        self.look_at = math.inf
        self.look_until = 0.0


class Ports:
    """Listens on PFs as the monitor tells of them; ``turn()`` does what is due.

    Used by one thread at a time.

    Args:
        names: the PFs, as the monitor names them.
        mode: when to ask.
        slow: also conclude where the partner sends at the slow rate.
        revive: while a port is DEFAULTED, say twice a second what our kernel said last.
        ask: False asks nobody, and concludes nothing: for ``revive`` alone.
        known: what was learned of partners before.
        open_port: makes a port by a PF's ifindex.
    """

    def __init__(
        self,
        names: Iterable[str],
        mode: HeartbeatMode,
        *,
        slow: bool = False,
        revive: bool = False,
        ask: bool = True,
        known: Iterable[Partner] = (),
        open_port: Callable[[int], Port] = Port,
    ) -> None:
        self._listener = partial(
            Listener, mode=mode, slow=slow, revive=revive, ask=ask, known=tuple(known)
        )
        self._pfs = {name: _Pf(self._listener(name)) for name in names}
        self._open_port = open_port
        self._epoll = select.epoll()
        self._timer = Timer()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        close_in_child(self)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._epoll.closed

    def close(self) -> None:
        """Close all descriptors. May be called again."""
        if self.closed:
            return
        for pf in self._pfs.values():
            self._close_port(pf)
        self._epoll.close()
        os.close(self._timer.fd)

    def listener(self, name: str) -> Listener:
        """A PF's listener.

        Raises:
            KeyError: there is no such PF.
        """
        return self._pfs[name].listener

    def add(self, name: str) -> None:
        """Listen on one more PF, from the next ``update()`` of it on."""
        self._pfs[name] = _Pf(self._listener(name))

    def remove(self, name: str) -> None:
        """Listen on a PF no more.

        Raises:
            KeyError: there is no such PF.
        """
        self._close_port(self._pfs.pop(name))

    def fileno(self) -> int:
        """A descriptor that is readable when ``turn()`` has something to do."""
        return self._epoll.fileno()

    def update(self, status: LinkStatus) -> None:
        """What the monitor says of a PF; others are passed over."""
        pf = self._pfs.get(status.name)
        if pf is None:
            return
        bond = status.bond
        wanted = bond is not None and bond.mode == BondMode.IEEE_802_3AD
        if pf.ifindex != status.ifindex or not wanted:
            self._close_port(pf)
        elif bond is not None and pf.bond != bond.ifindex and pf.port:
            self._read(pf)  # what waits was said for the old bond
        if pf.port and bond is not None and pf.bond != bond.ifindex:
            pf.port.forget()
            pf.listener.forget()
        pf.ifindex, pf.bond = status.ifindex, bond.ifindex if bond else None
        if wanted and pf.port is None and status.ifindex:
            self._open(pf, status.ifindex)
        pf.up = status.lacp.status is LacpStatus.UP
        pf.listener.link(
            time.monotonic(),
            up=pf.up,
            revivable=status.lacp.reason is LacpReason.DEFAULTED
            and status.operstate is OperState.UP,
        )

    def turn(self) -> list[Beat]:
        """Read what passed, conclude, ask. Returns what is news, in the order of the PFs."""
        told: list[Beat] = []
        for pf in self._pfs.values():
            self._turn(pf)
            told += pf.listener.told
            pf.listener.told.clear()
        self._timer.set(max(0.0, min(self.due, time.monotonic() + 3600) - time.monotonic()))
        return told

    @property
    def due(self) -> float:
        """When turn() has something to do, by the monotonic clock, unless something passes."""
        return min(min(pf.listener.due, pf.look_at) for pf in self._pfs.values())

    def looks(self) -> list[str]:
        """PFs that are not up, and heard a LACPDU: the kernel may be about to call them up."""
        now = time.monotonic()
        found = []
        for name, pf in self._pfs.items():
            if pf.look_at <= now:
                found.append(name)
                pf.look_at = now + _LOOK if now < pf.look_until else math.inf
        return found

    def _open(self, pf: _Pf, ifindex: int) -> None:
        try:
            pf.port = self._open_port(ifindex)
        except NotPermittedError:
            pf.listener.failed(NOT_PERMITTED)
            return
        except Error as exc:
            pf.listener.failed(exc.strerror or str(exc))
            return
        pf.listener.failed("")
        self._epoll.register(pf.port.fileno(), select.EPOLLIN)

    def _close_port(self, pf: _Pf) -> None:
        if pf.port:
            if not self._epoll.closed:
                self._epoll.unregister(pf.port.fileno())
            pf.port.close()
            pf.port = None
        pf.listener.forget()

    def _turn(self, pf: _Pf) -> None:
        for _ in range(_TRIES):
            self._read(pf)
            now = time.monotonic()
            what = pf.listener.turn(now, pf.port.free_at() if pf.port else math.inf)
            if what is None or pf.port is None:
                return
            try:
                at = pf.port.send(what)
            except Error as exc:
                if exc.errno == errno.ENOBUFS:
                    break
                if exc.errno in (errno.ENODATA, errno.ENODEV, errno.ENETDOWN):
                    pf.listener.forget()  # and wait for what our kernel says next
                else:
                    pf.listener.failed(f"no question can be sent: {exc.strerror}")
                continue
            if at is not None:
                pf.listener.said(at, what)
        pf.listener.postpone(time.monotonic() + _PAUSE)

    def _read(self, pf: _Pf) -> None:
        for _ in range(_AT_ONCE):
            if pf.port is None:
                return
            try:
                passed = pf.port.next()
            except MalformedError:
                continue
            except Error as exc:
                pf.listener.forget()
                if exc.errno != errno.ENETDOWN:
                    self._close_port(pf)
                    pf.listener.failed(f"the socket failed: {exc.strerror}")
                continue
            if passed is None:
                return
            if not passed.sent:
                pf.listener.received(passed.at, passed.lacpdu)
                if not pf.up:
                    pf.look_at = min(pf.look_at, time.monotonic())
                    pf.look_until = time.monotonic() + _LOOKS
            elif not passed.lacpdu.mark:
                pf.listener.sent(passed.at, passed.lacpdu)
