"""A C object that may be closed while a call uses it.

A signal handler runs between any two steps of Python's, a tap in the midst of C's: freed there, the
object would be used after its end. So a call marks the object busy, and what is closed meanwhile is
closed when the call is over.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeVar

from pfstatus._fork import close_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

Method = TypeVar("Method", bound="Callable[..., Any]")


class Owner:
    """What owns one C object."""

    __slots__ = ("__weakref__", "_busy", "_c", "_closing", "_free", "_pid", "_unsettled", "_what")

    def __init__(self, what: str, c: Any, free: Callable[[Any], None]) -> None:
        self._what = what  # for people
        self._c: Any = c  # None: closed
        self._free = free
        self._busy = 0  # calls that are under way
        self._closing = False
        self._unsettled = False  # something is to be done at the end of a call
        self._pid = os.getpid()
        close_in_child(self)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._c is None or self._closing

    def close(self) -> None:
        """Free it, once a call that is under way is over. May be called again."""
        self._closing = self._unsettled = self._c is not None
        if not self._busy:
            self._settle()

    def _settle(self) -> None:
        """What had to wait for the end of a call."""
        if self._closing and not self._busy:
            c, self._c, self._closing = self._c, None, False
            if c is not None:
                self._free(c)

    def _refuse(self) -> None:
        msg = f"the {self._what} is closed"
        if self._pid != os.getpid():
            msg += ": it is its process's own, and a child of fork() opens another"
        raise ValueError(msg)


def call(method: Method) -> Method:
    """A method that calls into C."""

    @functools.wraps(method)
    def marked(self: Owner, *args: Any, **kwargs: Any) -> Any:
        self._busy += 1
        try:
            if self._c is None or self._closing:
                self._refuse()
            return method(self, *args, **kwargs)
        finally:
            self._busy -= 1
            if self._unsettled:
                self._settle()

    return marked  # type: ignore[return-value]
