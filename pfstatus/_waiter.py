"""One asyncio task that waits until something has a descriptor to read."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Source(Protocol):
    """What is waited for."""

    @property
    def closed(self) -> bool:
        """Whether its descriptor is closed."""

    def fileno(self) -> int:
        """Its descriptor."""


class Waiter:
    """Lets one task at a time wait.

    Args:
        what: is waited on, for the error of a second task: "monitor".
        source: the same.
    """

    __slots__ = ("_future", "_source", "_what")

    def __init__(self, what: str, source: Source) -> None:
        self._what = what
        self._source = source
        self._future: asyncio.Future[None] | None = None

    async def readable(self, deadline: float | None) -> None:
        """Wait until there is something to read, until a time of the loop's, or for release().

        Raises:
            RuntimeError: another task waits.
        """
        if self._future:
            msg = f"another task waits on this {self._what} already"
            raise RuntimeError(msg)
        loop = asyncio.get_running_loop()
        self._future = future = loop.create_future()
        fd = self._source.fileno()
        loop.add_reader(fd, _wake, future)
        timer = None if deadline is None else loop.call_at(deadline, _wake, future)
        try:
            await future
        finally:
            if timer:
                timer.cancel()
            if self._future is future:
                self._future = None
                if not self._source.closed:  # else its number may be another's by now
                    loop.remove_reader(fd)

    def release(self) -> None:
        """Wake the task, before the descriptor is closed. In the loop's thread."""
        future, self._future = self._future, None
        if future:
            future.get_loop().remove_reader(self._source.fileno())
            _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
