"""Heartbeats for asyncio: the words of ``Heartbeat``, and no thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from pfstatus._waiter import Waiter
from pfstatus.heartbeat.watch import Heartbeat

if TYPE_CHECKING:
    from pfstatus.heartbeat.values import Beat


class AsyncHeartbeat:
    """Tells when the partner of a PF falls silent, to one asyncio task at a time.

    ::

        async with AsyncHeartbeat("ens5f0", "ens5f1", mode="late") as heartbeat:
            async for beat in heartbeat:
                print(beat)

    The partners are asked while a task waits in ``poll()`` or in the iteration, and at no other
    time. Its questions to the kernel are asked in the loop's own thread, as ``AsyncMonitor``'s.

    Args:
        pfs: their names or alternative names.
        options: as for Heartbeat.

    Raises:
        ValueError: as for Heartbeat.
        Error: a socket could not be opened.
    """

    def __init__(self, *pfs: str, **options: Any) -> None:
        self.heartbeat = Heartbeat(*pfs, **options)
        """For what does not wait: ``state()``, ``partner()``, ``counts()``, ``status()``."""
        self._waiter = Waiter("heartbeat", self.heartbeat)
        self._told: list[Beat] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.heartbeat).replace("Heartbeat", "AsyncHeartbeat", 1)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.heartbeat.closed

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self.heartbeat.stopped

    def stop(self) -> None:
        """End a wait that is under way, and all later ones. From any thread or signal handler."""
        self.heartbeat.stop()

    def close(self) -> None:
        """Close all descriptors; a task that waits is told nothing more. In the loop's thread."""
        if not self.closed:
            self._waiter.release()
        self.heartbeat.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Beat:
        """The next beat, until stop()."""
        if not self._told:
            self._told = await self.poll()
        if not self._told or self.stopped:
            raise StopAsyncIteration
        return self._told.pop(0)

    async def poll(self, timeout: float | None = None) -> list[Beat]:
        """Wait for news. Other tasks run first.

        Args:
            timeout: seconds to wait; 0 not at all, None for ever.

        Returns:
            The beats, in order; none when the time is over or after stop().

        Raises:
            Error: a PF could not be asked for. The heartbeat stays usable.
            RuntimeError: another task waits on this heartbeat.
            ValueError: it is closed.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        await asyncio.sleep(0)
        while True:
            beats = self.heartbeat.poll(0)
            if beats or self.stopped or (deadline is not None and loop.time() >= deadline):
                return beats
            await self._waiter.readable(deadline)
            if self.closed:
                return []
