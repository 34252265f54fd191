"""Time that only waiting moves: hours pass in no time."""

from __future__ import annotations

import select
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Clock:
    """Stands in for the module ``time``: only waiting makes it go on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.strftime = time.strftime
        self.gmtime = time.gmtime

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def poll(self) -> VirtualPoll:
        return VirtualPoll(self)


class VirtualPoll:
    """A select.poll that waits on a Clock, unless something is readable now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._poll = select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        ready = self._poll.poll(0)
        if not ready:
            assert milliseconds < 1000 * 86400, "a wait that has no end"
            self._clock.sleep(milliseconds / 1000)
        return ready


def virtual(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have them live in the time of a new clock."""
    clock = Clock()
    for module in (
        "_wire",
        "monitor",
        "relay.checks",
        "relay.groups",
        "relay.loop",
        "relay.narrator",
        "relay.setter",
        "relay.worker",
        "testing.links",
    ):
        monkeypatch.setattr(f"pfstatus.{module}.time", clock)
    poll = SimpleNamespace(poll=clock.poll, POLLIN=select.POLLIN)
    monkeypatch.setattr("pfstatus._readiness.select", poll)
    return clock
