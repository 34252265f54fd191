"""timerfd_create(2), which Python has only since 3.13."""

from __future__ import annotations

from pfstatus._core import ffi, lib
from pfstatus.errors import error

_LONGEST = 86400.0


class Timer:
    """A descriptor that becomes readable at a time."""

    __slots__ = ("_spec", "fd")

    def __init__(self) -> None:
        self._spec = ffi.new("struct itimerspec *")
        self.fd: int = lib.timerfd_create(lib.CLOCK_MONOTONIC, lib.TFD_CLOEXEC | lib.TFD_NONBLOCK)
        if self.fd < 0:
            raise error(ffi.errno)

    def set(self, seconds: float | None) -> None:
        """Become readable in so many seconds, a day at most, and not before; None: never."""
        nanoseconds = 0
        if seconds is not None:  # and not 0, which is never to timerfd_settime(2)
            nanoseconds = max(1, int(min(seconds, _LONGEST) * 1e9))
        self._spec.it_value.tv_sec, self._spec.it_value.tv_nsec = divmod(nanoseconds, 10**9)
        lib.timerfd_settime(self.fd, 0, self._spec, ffi.NULL)
