"""What `make bench-relay` makes of the kernel's tracing and of a relay's processes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TRACE = """\
# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
           relay-812     [000] .....   100.000010: want: (mutex_lock+0x0/0x30) lock=0xffff01
           relay-812     [000] .....   100.000035: gave: (mutex_unlock+0x0/0x30) lock=0xffff01
     some-thread-813     [000] .....   100.100000: want: (mutex_lock+0x0/0x30) lock=0xffff01
           relay-812     [000] .....   100.100010: want: (mutex_lock+0x0/0x30) lock=0xffff01
     some-thread-813     [000] .....   100.100015: gave: (mutex_unlock+0x0/0x30) lock=0xffff01
           relay-812     [000] d....   100.100020: contention_end: 00000000ba5eba11 (ret=0)
           relay-812     [000] .....   100.103020: gave: (mutex_unlock+0x0/0x30) lock=0xffff01
           relay-812     [000] .....   100.200000: gave: (mutex_unlock+0x0/0x30) lock=0xffff01
"""
HISTOGRAM = """\
# event histogram
{ common_pid:        812 } hitcount:         41
{ common_pid:       1813 } hitcount:          7

Totals:
    Hits: 48
"""


@pytest.fixture
def bench(monkeypatch):
    """The folder's modules, which are programs and no package."""
    monkeypatch.syspath_prepend(str(TESTS / "lab"))
    monkeypatch.syspath_prepend(str(TESTS / "bench"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in sys.modules.keys() - before:
        del sys.modules[name]


def test_holds_of_the_lock_are_added_up(bench):
    tracing = bench("tracing")
    traced = tracing.Traced()
    tracing._read(traced, TRACE)
    assert traced.rtnl_holds == 3, "what was taken before the trace began does not count"
    assert traced.rtnl_seconds == pytest.approx(25e-6 + 15e-6 + 3e-3)


def test_system_calls_are_known_by_their_task(bench, monkeypatch, tmp_path):
    tracing = bench("tracing")
    monkeypatch.setattr(tracing, "_ROOT", tmp_path)
    folder = tmp_path / tracing._CALLS
    folder.mkdir(parents=True)
    (folder / "hist").write_text(HISTOGRAM)
    assert tracing._histogram() == {812: 41, 1813: 7}


def test_a_program_is_all_of_its_processes(bench):
    relay = bench("relay")
    child = f"{sys.executable} -c 'import time; time.sleep(60)'"
    program = relay.Program(f'sh -c "{child} & {child} & wait"', ["ens5f0", "ens5f1"], 100)
    try:
        deadline = time.monotonic() + 20
        while len([*program.pids()]) < 3 or program.resident_mb() < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(program.tasks()) >= 3
        assert program.cpu_seconds() > 0
        environ = Path(f"/proc/{program.process.pid}/environ").read_bytes().split(b"\0")
        assert b"PF_STATUS_RELAY_INTERFACES=ens5f0,ens5f1" in environ
        assert b"PF_STATUS_RELAY_POLLING_INTERVAL=100" in environ
        pids = [*program.pids()]
    finally:
        program.end()
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "all of them are killed"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_program_that_ends_by_itself_is_an_error(bench):
    relay = bench("relay")
    program = relay.Program("false", ["ens5f0"], 1000)
    program.process.wait(20)
    with pytest.raises(RuntimeError, match="it ended with 1"):
        program.check()
    program.end()


def test_what_never_came_about_is_said_so(bench):
    relay = bench("relay")
    case = relay.Case(2, 64, 1.5)
    assert relay.row(case, "theirs", None).count("never") == 10
    found = relay.Figures(None, None, None, None, None, None, 0.0123, 4.0, 2.5, 17.3)
    row = relay.row(case, "theirs", found)
    assert row.startswith("| 2 x 64 VFs, 1.5 ms | theirs | never |")
    assert row.endswith("| 0.012 % | 4.0 /s | 2.5 us | 17.3 MB |")


def test_straw_takes_its_pfs_from_the_environment():
    """What stands in for a program that is not ours."""
    ran = subprocess.run(
        [sys.executable, TESTS / "bench" / "straw.py"],
        env={**os.environ, "PF_STATUS_RELAY_INTERFACES": "no-such-pf"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "no interface with this name" in ran.stderr
