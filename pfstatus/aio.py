"""PFs over time, for asyncio: the words of ``Monitor``, and no thread.

The event loop watches the monitor's descriptor (``loop.add_reader``). What is readable is read by
the task itself: two system calls a question, which return as soon as the kernel gets to them.
While the kernel's RTNL lock is held, by a slow NIC for instance, they wait, and the loop with
them: a program that cannot bear this uses ``Observer``.

Also works under anyio on its asyncio backend. In trio, wait for ``Monitor.fileno()``:
examples/own_loop.py.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Self

from pfstatus._waiter import Waiter
from pfstatus.monitor import Monitor, monitor_of
from pfstatus.wait import check_timeout, reached

if TYPE_CHECKING:
    import os

    from pfstatus.session import Session
    from pfstatus.values import Change, LinkStatus, Pf


class AsyncMonitor:
    """Tells of changes of PFs as ``Monitor`` does, to one asyncio task at a time.

    ::

        async with AsyncMonitor("ens5f0", "ens5f1") as monitor:
            async for change in monitor:
                print(change)

    A task that is cancelled while it waits loses nothing: what it would have been told, the next
    one is. Used by one thread and one process, but for ``stop()``.

    Args:
        pfs: as for Monitor, whose other arguments are as they are without; or one Monitor, made as
            you like it, which stays yours to close.

    Raises:
        TypeError: as for Monitor.
        ValueError: as for Monitor.
        Error: a socket could not be opened.
    """

    monitor: Monitor
    """What listens: to add and remove PFs, and for its session."""

    def __init__(self, *pfs: Pf | Monitor) -> None:
        self._closed = False
        self.monitor, self._opened = monitor_of(pfs)
        self._waiter = Waiter("monitor", self.monitor)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.monitor).replace("Monitor", "AsyncMonitor", 1)

    @property
    def closed(self) -> bool:
        """Whether close() was called, here or of the monitor."""
        return self._closed or self.monitor.closed

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self.monitor.stopped

    def status(self, pf: Pf) -> LinkStatus | None:
        """The last snapshot of a PF; None before the first poll().

        Raises:
            KeyError: the monitor does not watch this name.
        """
        return self.monitor.status(pf)

    def stop(self) -> None:
        """End a wait that is under way, and all later ones. From any thread or signal handler."""
        self.monitor.stop()

    def close(self) -> None:
        """Tell nothing more, also a task that waits; close the monitor, unless it is the caller's.

        In the loop's thread. May be called again.
        """
        if not self.closed:
            self._waiter.release()
        self._closed = True
        if self._opened:
            self.monitor.close()

    def __del__(self) -> None:
        # Half-made objects have no monitor.
        if hasattr(self, "monitor") and self._opened and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.monitor.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """The next change, until stop().

        Raises:
            Error: a PF could not be asked; a new iteration goes on.
        """
        changes = await self.poll(limit=1)
        if not changes:
            raise StopAsyncIteration
        return changes[0]

    async def poll(self, timeout: float | None = None, *, limit: int | None = None) -> list[Change]:
        """Wait for changes. Other tasks run first, also where some wait to be told.

        Args:
            timeout: seconds to wait; 0 not at all, None for ever.
            limit: as for Monitor.poll().

        Returns:
            The changes, in order; none when the time is over or after stop().

        Raises:
            Error: a PF could not be asked. The monitor stays usable.
            RuntimeError: another task waits on this monitor.
            ValueError: the monitor is closed.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        await asyncio.sleep(0)  # an event storm must not starve the others, nor a cancellation
        while True:
            if self._closed:
                msg = "the monitor is closed"
                raise ValueError(msg)
            changes = self.monitor.poll(0, limit=limit)
            late = deadline is not None and loop.time() >= deadline
            if changes or late or self.stopped:
                return changes
            await self._waiter.readable(deadline)
            if self.closed:
                return []


async def wait_for(
    pf: Pf,
    up: bool = True,
    timeout: float | None = None,
    *,
    interval: float = 1.0,
    session: Session | None = None,
    netns: str | os.PathLike[str] | int | None = None,
) -> LinkStatus:
    """Wait until LACP is up on a PF, or down: ``pfstatus.wait_for()`` for asyncio.

    Args:
        pf: by name or alternative name; a LinkStatus stands for its name.
        up: False waits for down. Unknown is neither: a PF in no bond never becomes down.
        timeout: seconds to wait; 0 looks once, None waits for ever.
        interval: as for Monitor.
        session: as for Monitor; it stays the caller's to close.
        netns: as for Session.

    Returns:
        The PF as it is then.

    Raises:
        LacpTimeoutError: the time is over. It carries the PF's last status.
        Error: the PF could not be asked.
        TypeError: as for Monitor.
        ValueError: ``timeout`` is not a number; or as for Monitor.
    """
    check_timeout(timeout)
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    with Monitor(pf, interval=interval, session=session, netns=netns) as monitor:
        changes = AsyncMonitor(monitor)
        while True:
            told = await changes.poll(None if deadline is None else deadline - loop.time())
            status = reached(monitor.status(pf), up, late=not told)
            if status:
                return status
