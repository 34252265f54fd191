"""PFs over time.

An event is a shortcut, asking is the truth: the usual LACP recovery raises no event at all
(docs/kernel.md). So events are acted upon at once, and each PF is asked besides: every
``interval`` while LACP is up on it, ten times a second while it is not.
"""

from __future__ import annotations

import os
import select
import time
import warnings
from typing import TYPE_CHECKING, Self

from pfstatus._fork import close_in_child
from pfstatus._timer import Timer
from pfstatus._wire import WATCH_MAX, absent
from pfstatus.errors import EventsLostError, LinkNotFoundError
from pfstatus.session import Session, check_name
from pfstatus.values import Cause, Change, LacpStatus, LinkStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfstatus._wire import Event
    from pfstatus.values import Bond

NOT_UP_INTERVAL = 0.1
"""Seconds between questions while LACP is not up: the kernel's own LACP tick."""

_EVENTS_AT_ONCE = 256  # so that an event storm cannot keep us from asking
_ASKS_AT_ONCE = 3  # a PF whose events arrive while it is asked is asked again, so often


class _Pf:
    """One watched name."""

    __slots__ = ("bond_due", "cause", "due", "name", "status", "touched")

    def __init__(self, name: str) -> None:
        self.name = name
        self.status: LinkStatus | None = None
        self.due = 0.0  # when to ask, on the monotonic clock
        self.cause = Cause.START  # of the next question
        self.bond_due = 0.0  # when to ask for the bond too
        self.touched = False  # an event came since the last report

    def bond(self) -> Bond | None:
        return self.status.bond if self.status else None

    def hears(self, event: Event) -> bool:
        """Whether the event is about this PF, or about one that took its name."""
        return event.ifname == self.name or (
            self.status is not None and event.ifindex == self.status.ifindex
        )

    def ask_soon(self, cause: Cause) -> None:
        self.due = 0.0
        if self.cause is Cause.ASKED:
            self.cause = cause


class _Wakeup:
    """An eventfd that is closed when nobody holds it any more."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self.fd)


class Monitor:
    """Tells of changes of PFs, each followed by its name.

    The first thing told of each PF is its present; equal snapshots are not told. A PF that is
    absent, renamed, deleted and made again is followed by name, and told as absent meanwhile.
    ::

        with Monitor("ens5f0", "ens5f1") as monitor:
            for change in monitor:
                print(change)

    Used by one thread at a time, but for ``stop()``, which any thread and any signal handler
    may call; and by one process: a child of ``fork()`` finds it closed. Needs no privilege.

    Args:
        names: the PFs, by name or alternative name.
        interval: seconds between questions while LACP is up.
        vfs: also read the VFs, which makes the kernel call the driver for each of them under
            the RTNL lock each time. Without, a status has no ``vfs``.
        every_event: also tell of events that left the snapshot equal. This is how a change of
            a VF shows, which the kernel announces but does not describe.
        session: one opened with ``events=True``; it becomes the monitor's, which closes it.
            Without, the monitor opens its own.
        netns: as for Session; not together with ``session``.

    Raises:
        ValueError: no name, a name twice, more than 64, or an interval that is not positive.
        Error: a socket could not be opened.
    """

    def __init__(
        self,
        *names: str,
        interval: float = 1.0,
        vfs: bool = False,
        every_event: bool = False,
        session: Session | None = None,
        netns: str | os.PathLike[str] | int | None = None,
    ) -> None:
        if not names or len(set(names)) != len(names) or len(names) > WATCH_MAX // 2:
            msg = f"1 to {WATCH_MAX // 2} different interface names are needed, not {names!r}"
            raise ValueError(msg)
        if not interval > 0:
            msg = f"interval must be positive, not {interval!r}"
            raise ValueError(msg)
        if session is not None and netns is not None:
            msg = "netns goes with the session: open that one there"
            raise ValueError(msg)
        self._pfs = {name: _Pf(check_name(name)) for name in names}
        self._interval = interval
        self._vfs = vfs
        self._every_event = every_event
        self._told: list[Change] = []
        self._stopped = False
        self._timer: Timer | None = None
        self.lost_events = 0
        """How often the kernel said that it had to drop events."""

        self.session = session or Session(netns=netns, events=True)
        """For other questions and settings in the same namespace, by the same thread."""
        self._wire = self.session._wire
        self._wakeup: _Wakeup | None = _Wakeup()
        self._epoll = select.epoll()
        close_in_child(self)
        try:
            self._epoll.register(self._wire.fileno(), select.EPOLLIN)
            self._epoll.register(self._wakeup.fd, select.EPOLLIN)
            self._watch()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "stopped" if self._stopped else "open"
        return f"<pfstatus.Monitor {' '.join(self._pfs)} {state}>"

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._epoll.closed

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    def stop(self) -> None:
        """End a wait that is under way, and all later ones. From any thread or signal handler."""
        self._stopped = True
        wakeup = self._wakeup  # close() in another thread, or in a signal handler, leaves it open
        if wakeup:
            os.eventfd_write(wakeup.fd, 1)

    def close(self) -> None:
        """Close the descriptors and the session. May be called again."""
        if self.closed:
            return
        self._epoll.close()
        self._wakeup = None
        if self._timer:
            os.close(self._timer.fd)
        self.session.close()

    def status(self, name: str) -> LinkStatus | None:
        """The last snapshot of a PF; None before the first poll().

        Raises:
            KeyError: the monitor does not watch this name.
        """
        return self._pfs[name].status

    def fileno(self) -> int:
        """A descriptor that is readable when ``poll(0)`` has something to do.

        For select, poll, epoll and event loops. Call ``poll(0)`` whenever it is readable.
        """
        if self._timer is None:
            self._timer = Timer()
            self._epoll.register(self._timer.fd, select.EPOLLIN)
            self._arm()
        return self._epoll.fileno()

    def __iter__(self) -> Iterator[Change]:
        """Each change as it comes, until stop().

        Raises:
            Error: a PF could not be asked; a new iteration goes on.
        """
        try:
            while not self._stopped:
                self._told = self.poll()
                while self._told and not self._stopped:
                    yield self._told.pop(0)
        finally:
            self._arm()  # the loop was left: what it did not take still waits

    def poll(self, timeout: float | None = None) -> list[Change]:
        """Wait for changes.

        Args:
            timeout: seconds to wait; 0 not at all, None for ever.

        Returns:
            The changes, in order; none when the time is over or after stop().

        Raises:
            Error: a PF could not be asked. The monitor stays usable, and asks again at its
                next turn; what it had found of the others is told then.
            ValueError: the monitor is closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped:
            try:
                self._take_events()
                self._ask_due()
                told, self._told = self._told, []
            finally:
                self._arm()
            if told:
                return told
            now = time.monotonic()
            wake = min(pf.due for pf in self._pfs.values())
            if deadline is not None:
                if now >= deadline:
                    break
                wake = min(wake, deadline)
            self._epoll.poll(max(0.0, wake - now))
        return []

    def _arm(self) -> None:
        """Have fileno() become readable at the next question."""
        if self._timer and not self.closed:
            wake = min(pf.due for pf in self._pfs.values())
            self._timer.set(0.0 if self._told else wake - time.monotonic())

    def _watch(self) -> None:
        """Tell the kernel whose events we want."""
        known = [pf.status.ifindex for pf in self._pfs.values() if pf.status]
        # A longer name is an alternative one: no event starts with it.
        names = [name for name in self._pfs if len(os.fsencode(name)) < 16]
        self._wire.watch([index for index in known if index is not None], names)

    def _events(self) -> Iterator[Event]:
        """What waits on the event socket. Lost events make every PF due."""
        for _ in range(_EVENTS_AT_ONCE):
            try:
                event = self._wire.next_event()
            except EventsLostError:
                self.lost_events += 1
                for pf in self._pfs.values():
                    pf.touched = True
                    pf.bond_due = 0.0
                    pf.ask_soon(Cause.RESYNC)
                continue
            if event is None:
                return
            yield event

    def _take_events(self) -> None:
        for event in self._events():
            for pf in self._pfs.values():
                if pf.hears(event):
                    pf.touched = True
                    self._on_event(pf, event)

    def _on_event(self, pf: _Pf, event: Event) -> None:
        """Take the event's own word where it is the whole story, else ask."""
        status = pf.status
        if (
            status is not None
            and not self._vfs
            and not event.gone
            and (event.ifindex, event.ifname) == (status.ifindex, status.ifname)
            and event.master == (status.master or 0)
            and (status.bond is not None) == (status.master_kind == "bond")
        ):
            self._tell(pf, self._wire.event_status(status), Cause.EVENT)
        else:
            pf.ask_soon(Cause.EVENT)

    def _ask_due(self) -> None:
        for pf in self._pfs.values():
            for _ in range(_ASKS_AT_ONCE):
                if pf.due > time.monotonic():
                    break
                self._ask(pf)

    def _ask(self, pf: _Pf) -> None:
        """Ask for a PF, then drain the event socket.

        An event that waited while we asked may be older than the answer: it is no news, but a
        reason to ask again. So events are taken at their word only when they come alone.
        """
        now = time.monotonic()
        pf.due = now + self._interval  # also where the question fails
        bond = None if pf.bond_due <= now else pf.bond()
        try:
            status = self.session.get(pf.name, vfs=self._vfs, bond=bond)
        except LinkNotFoundError:
            status = absent(pf.name)
        if bond is None:
            pf.bond_due = now + self._interval
        cause, pf.cause = pf.cause, Cause.ASKED
        moved = status.ifindex != (pf.status.ifindex if pf.status else None)
        self._tell(pf, status, cause)
        if moved:
            self._watch()
            if status.ifname not in (None, pf.name):
                pf.ask_soon(Cause.EVENT)  # by an alternative name it was unheard until now
        for event in self._events():
            for other in self._pfs.values():
                if other.hears(event):
                    other.touched = True
                    other.ask_soon(Cause.EVENT)

    def _tell(self, pf: _Pf, status: LinkStatus, cause: Cause) -> None:
        """Keep a snapshot, and queue it if it is news."""
        old, pf.status = pf.status, status
        up = status.lacp.status is LacpStatus.UP
        pf.due = time.monotonic() + (self._interval if up else min(self._interval, NOT_UP_INTERVAL))
        touched, pf.touched = pf.touched, False
        if status != old or (touched and self._every_event):
            self._told.append(Change(old, status, cause))

    def __del__(self) -> None:
        # Half-made objects have no epoll.
        if hasattr(self, "_epoll") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()
