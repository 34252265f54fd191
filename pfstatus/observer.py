"""PFs over time, for programs that want to be called: a thread and listeners."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Self

from pfstatus.errors import Error
from pfstatus.monitor import Monitor, monitor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pfstatus.values import Change, LinkStatus, Pf

    Listener = Callable[[Change], object]
    OnError = Callable[[Exception], object]

log = logging.getLogger("pfstatus")

_EXIT_PATIENCE = 1.0  # seconds that listeners under way are given when the interpreter ends


class Observer:
    """Calls listeners with each change of PFs, in a thread of its own.

    ::

        with Observer(["ens5f0", "ens5f1"], print):
            ...

    Listeners are called one after another, in the order given, with the ``Change`` that a
    ``Monitor`` would tell: first the present of each PF, then what changes. What one raises is
    logged, given to ``on_error``, and keeps nobody else from being called. A listener that is
    slow delays the others and the next change, but loses none.

    Once ``stop()`` has returned, nothing is called any more. The thread is a daemon: it does not
    keep a program alive. A child of ``fork()`` has none.

    Args:
        pfs: as for Monitor, whose other arguments are as they are without; or one Monitor, made as
            you like it. That one is the observer's thread's until the end, when it is stopped, and
            stays yours to close.
        listeners: any callables.
        on_error: is given, in the same thread, what a listener raised and what kept a PF from
            being asked (an Error; the observer goes on).

    Raises:
        TypeError: a listener cannot be called; ``pfs`` is one string; or as for Monitor.
        ValueError: no listener; or as for Monitor.
        Error: a socket could not be opened.
    """

    def __init__(
        self, pfs: Iterable[Pf] | Monitor, *listeners: Listener, on_error: OnError | None = None
    ) -> None:
        if isinstance(pfs, str):
            msg = f"pfs is a list of interface names, not {pfs!r}"
            raise TypeError(msg)
        if not listeners:
            msg = "a listener is needed: nobody would be told"
            raise ValueError(msg)
        for each in (*listeners, *([] if on_error is None else [on_error])):
            if not callable(each):
                msg = f"{each!r} cannot be called"
                raise TypeError(msg)
        monitor, opened = monitor_of((pfs,) if isinstance(pfs, Monitor) else tuple(pfs))
        # The thread must not hold the observer, or a forgotten one would never be collected.
        self._loop = _Loop(monitor, opened, listeners, on_error)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self.stopped else "running" if self._loop.started else "not started"
        return f"<pfstatus.Observer {' '.join(self.monitor.pfs)} {state}>"

    @property
    def monitor(self) -> Monitor:
        """What listens: to add and remove PFs. All else of it is the thread's alone."""
        return self._loop.monitor

    @property
    def lost_events(self) -> int:
        """How often the kernel said that it had to drop events."""
        return self._loop.monitor.lost_events

    @property
    def stopped(self) -> bool:
        """Whether it calls nobody any more: by stop(), or since its sockets failed."""
        return self._loop.over

    def status(self, pf: Pf) -> LinkStatus | None:
        """The last snapshot of a PF; None before the first. From any thread.

        Raises:
            KeyError: the observer does not watch this name.
        """
        return self._loop.monitor.status(pf)

    def start(self) -> None:
        """Begin to call. An observer starts once; ``with`` does it.

        Raises:
            RuntimeError: it was started, or stopped, before.
        """
        self._loop.start()

    def stop(self) -> None:
        """End it. When this returns, no listener runs and none will be called. May be repeated.

        From any thread, also a listener's own: then that call is the last one. Otherwise it
        waits for the listener that runs, so do not hold a lock that this one wants.
        """
        self._loop.stop()
        self._loop.join()

    def __del__(self) -> None:
        # Half-made objects have no loop.
        if hasattr(self, "_loop") and not self.stopped:
            warnings.warn(f"unstopped {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._loop.stop()


class _Loop:
    """What an observer's thread does, and holds."""

    def __init__(
        self,
        monitor: Monitor,
        opened: bool,
        listeners: Sequence[Listener],
        on_error: OnError | None,
    ) -> None:
        self.monitor = monitor
        self._opened = opened
        self.started = False
        self._listeners = listeners
        self._on_error = on_error
        name = f"pfstatus.Observer {' '.join(monitor.pfs)}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def over(self) -> bool:
        return self.monitor.stopped or self.monitor.closed

    def start(self) -> None:
        if self.started or self.over:
            msg = "an observer starts once: make another"
            raise RuntimeError(msg)
        self.started = True
        _running.add(self)
        self._thread.start()

    def stop(self) -> None:
        # Without a lock: a signal handler may stop what its thread is stopping.
        self.monitor.stop()
        if not self.started:
            self._close()

    def join(self, timeout: float | None = None) -> None:
        # One that is about to start finds itself stopped, and calls nobody.
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self.over:
                self._turn()
        finally:
            self._close()

    def _close(self) -> None:
        if self._opened:
            self.monitor.close()

    def _turn(self) -> None:
        try:
            for change in self.monitor:
                self._tell(change)
        except Error as exc:
            log.warning("%s: %s", self._thread.name, exc)
            self._report(exc)
            if exc.filename is None:  # not about one PF: the sockets themselves
                self.monitor.stop()

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            if self.monitor.stopped:
                return
            try:
                listener(change)
            except Exception as exc:
                log.exception("listener %r failed on %s", listener, change)
                self._report(exc)

    def _report(self, exc: Exception) -> None:
        if self._on_error is None or self.monitor.stopped:
            return
        try:
            self._on_error(exc)
        except Exception:
            log.exception("on_error %r failed", self._on_error)


_running: weakref.WeakSet[_Loop] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """End all threads while they can be: one that prints later may hang or crash the exit."""
    loops = list(_running)
    for loop in loops:
        loop.stop()
    deadline = time.monotonic() + _EXIT_PATIENCE
    for loop in loops:
        loop.join(max(0.0, deadline - time.monotonic()))
