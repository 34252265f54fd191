"""What a program that only watches pays for. tests/bench/footprint.py has the figures."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pfstatus

DEAR = {"argparse", "asyncio", "importlib.metadata", "json", "logging", "pathlib", "threading"}
WATCHING = """
import sys
before = set(sys.modules)  # an editable install's hook is not ours
import pfstatus
with pfstatus.Monitor("lo") as monitor:
    monitor.poll()
    print(*sys.modules.keys() - before)
    print(open("/proc/self/status").read())
"""


@pytest.fixture(scope="module")
def watching() -> str:
    """What a process that watches one link says of itself: its modules, then its status."""
    run = [sys.executable, "-Pc", WATCHING]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_watching_imports_nothing_dear_and_no_relay(watching):
    modules = set(watching.splitlines()[0].split())
    assert "pfstatus.monitor" in modules
    assert not modules & DEAR
    assert not modules & {"pfstatus.relay", "pfstatus.relay.loop"}


def test_watching_takes_no_more_than_16_mb(watching):
    (resident,) = (line.split()[1] for line in watching.splitlines() if line.startswith("VmRSS:"))
    assert int(resident) * 1024 <= 16e6


def test_version_is_told_without_looking_for_metadata():
    code = "import pfstatus, sys; print(pfstatus.__version__, 'importlib.metadata' in sys.modules)"
    ran = subprocess.run([sys.executable, "-Pc", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [pfstatus.__version__, "False"]


def test_whatever_is_imported_late_is_what_it_says():
    for name, module in pfstatus._LATER.items():
        assert getattr(pfstatus, name) is getattr(sys.modules[f"pfstatus.{module}"], name)
    assert set(pfstatus.__all__) <= set(dir(pfstatus))
    with pytest.raises(AttributeError, match="no attribute 'Realy'"):
        _ = pfstatus.Realy
