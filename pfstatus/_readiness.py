"""One descriptor for many: what a monitor waits on, and shows to other people's loops.

epoll comes by way of the compiled core: gevent and eventlet take it out of the module ``select``,
eventlet poll too. We wait with the best of what they leave there, which lets their other greenlets
run meanwhile.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

from pfstatus._core import ffi, lib
from pfstatus._timer import Timer
from pfstatus.errors import error

_LONGEST = 86400.0
"""Seconds of the longest wait: poll(2) counts milliseconds in an int, and who waits looks again."""


class _Wakeup:
    """An eventfd that is closed when nobody holds it any more."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self.fd)


class Readiness:
    """Readable when a descriptor is, when woken, or at a time: epoll, eventfd and timerfd."""

    def __init__(self) -> None:
        self._timer: Timer | None = None
        self._woken = False
        self._wakeup: _Wakeup | None = _Wakeup()
        self._fd = _checked(lib.epoll_create1(lib.EPOLL_CLOEXEC))
        # What was added is waited for by itself: to be woken through epoll costs the kernel twice.
        self._poller = select.poll() if hasattr(select, "poll") else None
        try:
            self.add(self._wakeup.fd)
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._wakeup is None

    def close(self) -> None:
        """Close what it opened. May be called again."""
        if self.closed:
            return
        self._wakeup = None
        os.close(self._fd)
        if self._timer:
            os.close(self._timer.fd)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def add(self, fd: int) -> None:
        """Be readable when this one is."""
        event = ffi.new("struct epoll_event *", {"events": lib.EPOLLIN})
        _checked(lib.epoll_ctl(self._fd, lib.EPOLL_CTL_ADD, fd, event))
        if self._poller:
            self._poller.register(fd, select.POLLIN)

    def remove(self, fd: int) -> None:
        """Do not mind this one any more; it need not have been minded."""
        lib.epoll_ctl(self._fd, lib.EPOLL_CTL_DEL, fd, ffi.NULL)
        if self._poller:
            with suppress(KeyError):
                self._poller.unregister(fd)

    def wake(self) -> None:
        """Be readable until the end of a wait(). From any thread or signal handler."""
        wakeup = self._wakeup  # close() in another thread, or in a signal handler, leaves it open
        if wakeup:
            os.eventfd_write(wakeup.fd, 1)
            # Afterwards: whoever sees it finds something to read. Until then a wait just ends.
            self._woken = True

    def wait(self, seconds: float) -> None:
        """Wait until readable, at most so long."""
        seconds = min(max(0.0, seconds), _LONGEST)
        if self._poller:
            self._poller.poll(seconds * 1000)
        else:
            select.select([self._fd], [], [], seconds)
        if self._woken:
            self.settle()

    def settle(self) -> None:
        """Forget that it was woken."""
        if self._woken and self._wakeup:
            self._woken = False
            with suppress(BlockingIOError):
                os.eventfd_read(self._wakeup.fd)

    def set_timer(self, seconds: float | None) -> None:
        """Be readable in so many seconds, and not before; None for never."""
        if self._timer is None:
            self._timer = Timer()
            self.add(self._timer.fd)
        self._timer.set(seconds)


def _checked(result: int) -> int:
    if result < 0:
        raise error(ffi.errno)
    return result
