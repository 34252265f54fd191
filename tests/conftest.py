from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

import hypothesis
import pytest

from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtual_time import Clock

sys.path.insert(0, str(Path(__file__).parent))  # what tests share, such as virtual_time

# Bounded and the same each time, so that a change is to blame for a failure; "long" searches:
# pytest --hypothesis-profile=long
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None)
hypothesis.settings.load_profile("ci")


def pytest_configure() -> None:
    """Give SIGINT and SIGHUP their meaning back, for the tests and the programs that they start.

    Who was started in the background by a shell (``make test &``) or by many a CI system ignores
    the one, who was started by nohup the other, and children inherit that: a program that a test
    ends by it would never end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Monitor, relay and the fake kernel's drivers live in its time: hours pass in no time."""
    from virtual_time import virtual

    return virtual(monkeypatch)


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
