"""What a child of fork() closes."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Closable(Protocol):
    """What has a close()."""

    def close(self) -> None:
        """Close it; may be called again."""


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_in_child(owner: Closable) -> None:
    """Have fork() close this in the child.

    The child shares sockets, epoll and timers with us: what it read would be lost to us, what it
    set would wake us. Closing its copies leaves ours as they are.
    """
    _open.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_open):
        owner.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
