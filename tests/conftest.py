from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import TYPE_CHECKING

import hypothesis
import pytest

from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parent))  # what tests share, such as heartbeat_world

# Bounded and the same each time, so that a change is to blame for a failure; "long" searches:
# pytest --hypothesis-profile=long
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None)
hypothesis.settings.load_profile("ci")


def pytest_configure() -> None:
    """Give SIGINT its meaning back, for the tests and for the programs that they start.

    Who was started in the background by a shell (``make test &``) or by many a CI system ignores
    it, and children inherit that: a program that a test ends by SIGINT would never end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def kernel() -> Iterator[FakeKernel]:
    with FakeKernel() as kernel:
        yield kernel


@pytest.fixture
def script():
    """Run a program in development mode, with a signal once it has said something."""

    def run(code, *, send=None) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                said = process.stdout.readline() if send else ""
                if send:
                    process.send_signal(send)
                out, err = process.communicate(timeout=30.0)
            finally:
                process.kill()
        return subprocess.CompletedProcess([], process.returncode, said + out, err)

    return run


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Monitor, relay and the fake kernel's drivers live in its time: hours pass in no time."""
    return virtual(monkeypatch)


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


@pytest.fixture
def rig(kernel, clock, tmp_path):
    from relay_rig import Rig

    rig = Rig(kernel, clock, tmp_path)
    yield rig
    for relay in rig.relays:
        relay.close()
    for report in rig.reports:
        assert [*report.fields] == [*report.kind.fields], report.kind
        for name, value in report.fields.items():
            assert isinstance(value, (report.kind.fields[name], NoneType)), (report.kind, name)
