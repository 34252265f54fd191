"""What wakes the loop. A watch that is lost, cut or expired costs time and never truth."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

LONGEST_WAIT = 30.0
"""Seconds between two tries of a watch that fails."""


def backoff(failures: int, longest: float) -> float:
    """Return seconds to wait: from 1, doubling, a quarter more or less so that many do not meet."""
    return float(min(longest, 2.0 ** min(failures - 1, 10)) * random.uniform(0.75, 1.25))


class Watcher(threading.Thread):
    """A thread that calls ``wake`` when something has changed, or may have while it was blind."""

    def __init__(
        self,
        plural: str,
        watch: Callable[[str], Iterator[bytes]],
        wake: Callable[[], None],
        stop: threading.Event,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        """Make it; ``start()`` begins."""
        super().__init__(name=f"watch {plural}", daemon=True)
        self._plural = plural
        self._watch = watch
        self._wake = wake
        self._stopping = stop
        self._longest_wait = longest_wait

    def run(self) -> None:
        """Watch until stopped, whatever happens on the way."""
        failures = 0
        while not self._stopping.is_set():
            begun = False
            try:
                for _ in self._watch(self._plural):
                    begun = True
                    self._wake()
                    if self._stopping.is_set():
                        return
            except Exception as error:  # whatever it was, looking again is the cure
                if self._stopping.is_set():
                    return
                log.warning("watch failed", extra={"resource": self._plural, "error": str(error)})
                failures = 1 if begun else failures + 1
            else:
                # A server that ends each watch at once is not to be asked without a pause.
                failures = 0
            self._stopping.wait(backoff(max(failures, 1), self._longest_wait))
