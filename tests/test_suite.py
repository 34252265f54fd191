"""The tests themselves: they end wherever they are started, and one that hangs has a name."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def pytest_run(*args: str, cwd: Path = TESTS, ignore: int | None = None) -> tuple[int, str]:
    """Run pytest in a process of its own, which may have been started with a signal ignored."""
    start = f"import signal, pytest; signal.signal({ignore}, signal.SIG_IGN);" if ignore else ""
    code = f"import os, sys; {start} os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    argv = [sys.executable, "-c", code, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    ran = subprocess.run(
        argv,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_programs_under_test_heed_ctrl_c_where_a_shell_had_it_ignored():
    """As with ``make test &``: these tests failed, and those that send it to themselves hung."""
    test = "test_monitor.py::test_ctrl_c_ends_a_program_and_closes_all"
    status, said = pytest_run("--timeout=240", test, ignore=signal.SIGINT)
    assert status == 0, said
    assert "1 passed" in said


def test_relay_under_test_heeds_sighup_where_nohup_had_it_ignored():
    """As with ``nohup make test``: a relay goes on then, by design, and its test never ended."""
    test = f"cli/test_relay.py::test_relay_relays_until_a_signal[{signal.SIGHUP:d}]"
    status, said = pytest_run("--timeout=60", test, ignore=signal.SIGHUP)
    assert status == 0, said
    assert "1 passed" in said


def test_test_that_hangs_fails_and_is_named(tmp_path):
    (tmp_path / "test_hang.py").write_text(
        "import threading\ndef test_waits():\n    threading.Event().wait()\n"
    )
    status, said = pytest_run(
        "-c", str(TESTS.parent / "pyproject.toml"), "--timeout=1", str(tmp_path)
    )
    assert status == 1, said
    assert "FAILED" in said
    assert "test_hang.py::test_waits" in said


def test_every_test_has_a_limit(pytestconfig):
    assert float(pytestconfig.getini("timeout")) > 0
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
