"""PFs over time.

An event is a shortcut, asking is the truth: the usual LACP recovery raises no event at all
(docs/kernel.md). So events are acted upon at once, and each PF is asked besides: every
``interval`` while LACP is up on it, ten times a second while it is not.
"""

from __future__ import annotations

import _thread
import errno
import math
import os
import time
import warnings
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Self, cast

from pfstatus._fork import close_in_child
from pfstatus._readiness import Readiness
from pfstatus._wire import WATCH_MAX, absent
from pfstatus.errors import Error, EventsLostError, LinkNotFoundError
from pfstatus.session import Session, name_of
from pfstatus.values import BondMode, Cause, Change, LacpStatus, LinkStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pfstatus._wire import Event
    from pfstatus.values import Pf

NOT_UP_INTERVAL = 0.1
"""Seconds between questions while LACP is not up: the kernel's own LACP tick."""

PFS_MAX = WATCH_MAX // 2
"""Most PFs: each may have an alternative name, and is watched by its own too."""
_EVENTS_AT_ONCE = 256  # so that an event storm cannot keep us from asking
_ASKS_AT_ONCE = 3  # a PF whose events arrive while it is asked is asked again, so often


_change: Callable[[tuple[LinkStatus | None, LinkStatus, Cause]], Change] = partial(
    tuple.__new__, Change
)
# An enum's attribute costs as much as a call.
_UP = LacpStatus.UP
_EVENT, _ASKED = Cause.EVENT, Cause.ASKED


class _Pf:
    """One watched name."""

    __slots__ = ("cause", "due", "name", "silent", "status", "touched")

    def __init__(self, name: str) -> None:
        self.name = name
        self.status: LinkStatus | None = None
        self.due = 0.0  # when to ask, on the monotonic clock; 0: a question is owed
        self.cause = Cause.START  # of the next question
        self.touched = False  # an event came since the last report
        self.silent = False  # it is told of by another of its names

    @property
    def ifindex(self) -> int | None:
        return self.status.ifindex if self.status else None

    def ask_soon(self, cause: Cause) -> None:
        self.due = 0.0
        if self.cause is _ASKED:
            self.cause = cause

    def is_told_by(self, event: Event) -> bool:
        """Whether an event's own word is the whole story."""
        status = self.status
        return (
            status is not None
            and self.due > 0.0  # what is owed a question may know more than an event that waited
            and not event.gone
            and (event.ifindex, event.ifname) == (status.ifindex, status.ifname)
            and event.master == (status.master or 0)
            and (status.bond is not None) == (status.master_kind == "bond")
        )


class Monitor:
    """Tells of changes of PFs, each followed by its name.

    The first thing told of each PF is its present; equal snapshots are not told. A PF that is
    absent, renamed, deleted and made again is followed by name, and told as absent meanwhile. One
    that is watched by two of its names is told of by that which was first: see ``same_as()``.
    ::

        with Monitor("ens5f0", "ens5f1") as monitor:
            for change in monitor:
                print(change)

    Used by one thread at a time, but for ``add()`` and ``remove()``, which any thread may call, and
    ``stop()``, which any signal handler may, too; and by one process: a child of ``fork()`` finds
    it closed. Needs no privilege.

    What a signal handler raises comes out of ``poll()`` and of the iteration, and nothing is lost:
    what was found is told next time, and every PF is asked again.

    Args:
        pfs: by name, alternative name or PCI address; a LinkStatus stands for its name.
        all_ports: watch all that are ports of 802.3ad bonds now, besides those that are named.
        interval: seconds between questions while LACP is up.
        vfs: also read the VFs, which makes the kernel call the driver for each of them under
            the RTNL lock each time. Without, a status has no ``vfs``.
        every_event: also tell of events that left the snapshot equal. This is how a change of
            a VF shows, which the kernel announces but does not describe.
        session: one opened with ``events=True``, on which no other monitor listens. It stays the
            caller's to close. Without, the monitor opens its own, and closes it.
        netns: as for Session; not together with ``session``.

    Raises:
        TypeError: a PF is neither a string nor a LinkStatus.
        ValueError: no PF, more than 64, what can be no name, an interval that is not positive, or
            a session that has no events to hear or another listener.
        Error: a socket could not be opened.
        OSError: ENODEV, there are no such ports as ``all_ports`` asks for.
    """

    def __init__(
        self,
        *pfs: Pf,
        all_ports: bool = False,
        interval: float = 1.0,
        vfs: bool = False,
        every_event: bool = False,
        session: Session | None = None,
        netns: str | os.PathLike[str] | int | None = None,
    ) -> None:
        if not interval > 0:
            msg = f"interval must be positive, not {interval!r}"
            raise ValueError(msg)
        if session is not None and netns is not None:
            msg = "netns goes with the session: open that one there"
            raise ValueError(msg)
        if not pfs and not all_ports:
            msg = "a PF is needed: an interface name"
            raise ValueError(msg)
        self._pfs = _watched({}, pfs)
        self._by_index: dict[int, list[_Pf]] = {}
        self._renewed = True  # who is watched changed since the kernel was told
        self._lock = _thread.allocate_lock()  # of add() and remove(); threading is dear to import
        self._told: list[Change] = []
        self._stopped = False
        self._shown = False  # fileno() was asked for
        self._pid = os.getpid()
        self.interval = interval
        """Seconds between questions while LACP is up."""
        self.vfs = vfs
        """Whether the VFs are read, too."""
        self.every_event = every_event
        """Whether events are told that left the snapshot equal."""
        self.lost_events = 0
        """How often the kernel said that it had to drop events."""
        with ExitStack() as opened:
            self._ready = Readiness()
            opened.callback(self._ready.close)
            if session is None:
                session = opened.enter_context(Session(netns=netns, events=True))
            self.session = session
            """For other questions and settings in the same namespace, by the same thread."""
            self._events = session.listen()
            opened.callback(self._events.close)
            self._ready.add(self._events.fileno())
            if all_ports:
                self._pfs = _watched(self._pfs, _lacp_ports(session))
            self._watch()
            self._opened = opened.pop_all()
        close_in_child(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "stopped" if self._stopped else "open"
        return f"<pfstatus.Monitor {' '.join(self._pfs)} {state}>"

    @property
    def pfs(self) -> tuple[str, ...]:
        """The names that are watched, in the order in which they were given."""
        return tuple(self._pfs)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._ready.closed

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    def add(self, *pfs: Pf) -> None:
        """Watch more PFs; their present is told next. What is watched already stays as it is.

        From any thread, but from no signal handler.

        Raises:
            TypeError: as for Monitor.
            ValueError: as for Monitor.
        """
        with self._lock:
            # Another dictionary: the thread that polls may be in the midst of this one.
            self._pfs = _watched(self._pfs, pfs)
            self._renewed = True
        self._ready.wake()

    def remove(self, *pfs: Pf) -> None:
        """Watch PFs no more. What was found of them may still be told once.

        From any thread, but from no signal handler. The last one may go, too.

        Raises:
            KeyError: the monitor does not watch this name.
        """
        with self._lock:
            gone = {self._pfs[name_of(pf)].name for pf in pfs}
            self._pfs = {name: pf for name, pf in self._pfs.items() if name not in gone}
            self._renewed = True
        self._ready.wake()

    def stop(self) -> None:
        """End a wait that is under way, and all later ones. From any thread or signal handler."""
        self._stopped = True
        self._ready.wake()

    def close(self) -> None:
        """Close the descriptors, and the session if the monitor opened it. May be called again."""
        self._opened.close()

    def status(self, pf: Pf) -> LinkStatus | None:
        """The last snapshot of a PF; None before the first poll().

        Raises:
            KeyError: the monitor does not watch this name.
        """
        return self._pfs[name_of(pf)].status

    def same_as(self, pf: Pf) -> str | None:
        """The name by which a PF is told of, where that is another of its names; else None.

        Raises:
            KeyError: the monitor does not watch this name.
        """
        this = self._pfs[name_of(pf)]
        if not this.silent:
            return None
        others = self._by_index.get(this.ifindex or 0, [])
        return next((other.name for other in others if not other.silent), None)

    def look(self, name: str) -> None:
        """Ask for a PF at the next ``poll()``, which is due at once: something else told of it.

        Raises:
            KeyError: the monitor does not watch this name.
        """
        self._pfs[name].ask_soon(_ASKED)
        self._arm()

    def fileno(self) -> int:
        """A descriptor that is readable when ``poll(0)`` has something to do.

        For select, poll, epoll and event loops. Call ``poll(0)`` whenever it is readable. After
        stop() it is readable until poll() was called, and then no more.
        """
        self._check_open()
        if not self._shown:
            self._shown = True
            self._arm()
        return self._ready.fileno()

    def __iter__(self) -> Iterator[Change]:
        """Each change as it comes, until stop().

        Raises:
            Error: a PF could not be asked; a new iteration goes on.
        """
        while changes := self.poll(limit=1):
            yield changes[0]

    def poll(self, timeout: float | None = None, *, limit: int | None = None) -> list[Change]:
        """Wait for changes.

        Args:
            timeout: seconds to wait; 0 not at all, None for ever.
            limit: the most that are returned, at least 1; the rest waits for the next call.

        Returns:
            The changes, in order; none when the time is over or after stop().

        Raises:
            Error: a PF could not be asked. The monitor stays usable, and asks again at its
                next turn; what it had found of the others is told then.
            ValueError: the monitor is closed, or ``limit`` is not positive.
        """
        self._check_open()
        if limit is not None and limit < 1:
            msg = f"limit must be positive, not {limit!r}"
            raise ValueError(msg)
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped:
            if not self._told:
                self._look(limit)
            if self._told:
                rest = self._told[limit:] if limit else []
                if self._shown:
                    self._arm(waiting=bool(rest))
                # The very last: a signal handler's exception until here loses nothing.
                told, self._told = self._told[:limit], rest
                return told
            now = time.monotonic()
            wake = self._next_question()
            if deadline is not None:
                if not now < deadline:
                    return []
                wake = min(wake, deadline)
            self._ready.wait(wake - now)
            if self.closed:
                return []
        self._fall_silent()
        return []

    def _check_open(self) -> None:
        if self.closed:
            msg = "the monitor is closed"
            if self._pid != os.getpid():
                msg += ": it is its process's own, and a child of fork() opens another"
            raise ValueError(msg)

    def _look(self, limit: int | None) -> None:
        """See whether there is something to tell."""
        try:
            if self._renewed:
                self._renewed = False  # before: another thread may set it again meanwhile
                self._reindex()
            now = time.monotonic()
            self._hear(now, believe=True, limit=limit)
            self._ask_due(now)
        except BaseException as exc:
            self._renewed = True
            if not isinstance(exc, Error):
                self._doubt()  # a signal handler's: what was in our hands just then may be gone
            raise
        finally:
            if self._shown:
                self._arm()

    def _doubt(self) -> None:
        """Owe every PF a question: something was not heard."""
        for change in self._told:  # what is to be told is known, also where that was interrupted
            if change.name in self._pfs:
                self._pfs[change.name].status = change.new
        for pf in self._pfs.values():
            pf.touched = True
            pf.ask_soon(Cause.RESYNC)

    def _next_question(self) -> float:
        return min([pf.due for pf in self._pfs.values()], default=math.inf)

    def _arm(self, *, waiting: bool | None = None) -> None:
        """Have fileno() become readable at the next question; now if something waits to be told."""
        if self._shown and not self.closed:
            waiting = bool(self._told) if waiting is None else waiting
            self._ready.set_timer(0.0 if waiting else self._next_question() - time.monotonic())

    def _fall_silent(self) -> None:
        """Nothing is told any more: a loop that watches fileno() must not spin."""
        if not self.closed:
            self._ready.settle()
            self._ready.remove(self._events.fileno())
            if self._shown:
                self._ready.set_timer(None)

    def _watch(self) -> None:
        """Tell the kernel whose events we want."""
        self._events.watch(self._by_index, self._pfs)

    def _reindex(self) -> None:
        """Who is watched, or which link that is, has changed."""
        by_index: dict[int, list[_Pf]] = {}
        for pf in self._pfs.values():
            if pf.ifindex is not None:
                by_index.setdefault(pf.ifindex, []).append(pf)
        for first, *others in by_index.values():
            if first.silent and all(pf.silent for pf in others):
                # The name that it was told by stands for another now, or for none.
                first.silent = False
                first.status = None
                first.cause = Cause.START
                first.due = 0.0
        self._by_index = by_index
        self._watch()

    def _heard_by(self, event: Event) -> list[_Pf]:
        """Whom an event is about: a link that is watched, or one that took a name."""
        pfs = self._by_index.get(event.ifindex, [])
        named = self._pfs.get(event.ifname)
        return pfs if named is None or named in pfs else [*pfs, named]

    def _hear(self, now: float, *, believe: bool, limit: int | None = None) -> None:
        """Take what waits on the event socket.

        Args:
            now: the time.
            believe: take the word of an event that says it all. Otherwise it is a reason to ask.
            limit: of changes that are to be told; the rest waits there.
        """
        for _ in range(_EVENTS_AT_ONCE):
            try:
                event = self._events.next()
            except EventsLostError:
                self.lost_events += 1
                self._doubt()
                continue
            if event is None:
                return
            for pf in self._heard_by(event):
                pf.touched = True
                if believe and not self.vfs and pf.is_told_by(event):
                    assert pf.status is not None
                    self._tell(pf, self._events.status(event, pf.status), _EVENT, now)
                else:
                    pf.ask_soon(_EVENT)
            if limit is not None and len(self._told) >= limit:
                return

    def _ask_due(self, now: float) -> None:
        for pf in self._pfs.values():
            if pf.due <= now:
                self._ask(pf)
                for _ in range(_ASKS_AT_ONCE - 1):
                    if pf.due > time.monotonic():
                        break
                    self._ask(pf)

    def _ask(self, pf: _Pf) -> None:
        """Ask for a PF and its bond, then drain the event socket.

        An event that waited while we asked may be older than the answer: it is no news, but a
        reason to ask again. So events are taken at their word only when they come alone.
        """
        pf.due = time.monotonic() + self.interval  # also where the question fails
        try:
            status = self.session.get(pf.name, vfs=self.vfs)
        except LinkNotFoundError:
            status = absent(pf.name)
        cause, pf.cause = pf.cause, _ASKED
        moved = status.ifindex != pf.ifindex
        if moved:
            self._place(pf, status, cause)
        self._tell(pf, status, cause, time.monotonic())
        if moved:
            self._reindex()
            if status.ifname not in {None, pf.name}:
                pf.ask_soon(_EVENT)  # by an alternative name it was unheard until now
        self._hear(0.0, believe=False)

    def _place(self, pf: _Pf, status: LinkStatus, cause: Cause) -> None:
        """See whether another name stands for the link that this one stands for now."""
        others = self._by_index.get(status.ifindex or 0, [])
        first = next((other for other in others if other is not pf and not other.silent), None)
        if first and not pf.silent:
            import logging  # noqa: PLC0415 - few programs have need of it here

            logging.getLogger("pfstatus").warning(
                "%s and %s are one PF: it is told of as %s", first.name, pf.name, first.name
            )
            if pf.status and pf.ifindex is not None:  # it stood for another until now
                self._told.append(Change(pf.status, absent(pf.name), cause))
        elif pf.silent and not first:
            pf.status = None  # nothing was told of it by this name
        pf.silent = first is not None

    def _tell(self, pf: _Pf, status: LinkStatus, cause: Cause, now: float) -> None:
        """Keep a snapshot, and queue it if it is news."""
        old = pf.status
        news = (pf.touched and self.every_event) or (status is not old and status != old)
        if news and not pf.silent:
            self._told.append(_change((old, status, cause)))
        pf.status = status
        pf.touched = False
        interval = self.interval
        if status.lacp.status is not _UP and interval > NOT_UP_INTERVAL:
            interval = NOT_UP_INTERVAL
        pf.due = now + interval

    def __del__(self) -> None:
        # Half-made objects have nothing to close.
        if hasattr(self, "_opened") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()


def monitor_of(pfs: Sequence[Pf | Monitor]) -> tuple[Monitor, bool]:
    """The monitor that is meant by one, or by PFs; and whether it was opened here, to be closed.

    Raises:
        TypeError: it is a monitor and more.
        Exception: as for Monitor.
    """
    if len(pfs) == 1 and isinstance(pfs[0], Monitor):
        return pfs[0], False
    for pf in pfs:
        if isinstance(pf, Monitor):
            msg = "give PFs, or one Monitor that watches them all"
            raise TypeError(msg)
    return Monitor(*cast("Sequence[Pf]", pfs)), True


def _watched(known: dict[str, _Pf], pfs: Iterable[Pf]) -> dict[str, _Pf]:
    """Those that are known, and more.

    Raises:
        ValueError: they are too many.
    """
    names = [name_of(pf) for pf in pfs]
    watched = known | {name: _Pf(name) for name in names if name not in known}
    if len(watched) > PFS_MAX:
        msg = f"a monitor watches {PFS_MAX} PFs at most, not {len(watched)}: make another"
        raise ValueError(msg)
    return watched


def _lacp_ports(session: Session) -> list[LinkStatus]:
    """All ports of 802.3ad bonds.

    Raises:
        OSError: there are none.
    """
    ports = session.ports(BondMode.IEEE_802_3AD)
    if not ports:
        msg = "no interface here is a port of an 802.3ad bond: name one"
        raise OSError(errno.ENODEV, msg)
    return ports
