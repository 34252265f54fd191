"""The command against a fake kernel, in this process or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pfstatus.cli import base, main
from pfstatus.explain import Facts

LIMIT = 20.0  # seconds for anything that is waited for


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [*os.environ]:
        if name.startswith("PF_STATUS_RELAY_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def signals():
    """Handlers as a shell's command has them, whatever the tests were started with."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pf(kernel, monkeypatch):
    """Two PFs in bonds, and a command that talks to their kernel."""

    def session(*, netns, events, tap):
        assert netns is None or netns.startswith("/run/netns/")
        return kernel.session(events=events, tap=tap)

    monkeypatch.setattr(base, "Session", session)
    monkeypatch.setattr("pfstatus.cli.explain.sysfs.facts", lambda _name, **known: Facts(**known))
    pfs = [kernel.add_pf(f"ens5f{number}", vfs=4) for number in (0, 1)]
    for number, pf in enumerate(pfs):
        kernel.add_bond(f"bond{number}", pf)
    return pfs[0]


@pytest.fixture
def run():
    """Run the command here. Returns its exit status."""
    return lambda *argv: main(argv)


CHILD = """
import sys
from functools import cache
from pfstatus.cli import base, main
from pfstatus.testing import FakeKernel

@cache  # once the command has begun: no descriptor is open before
def kernel():
    kernel = FakeKernel()
    kernel.add_bond("bond0", kernel.add_pf("ens5f0", vfs=4))
    return kernel

base.Session = lambda *, netns, events, tap: kernel().session(events=events, tap=tap)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def command():
    """The words that run it in a process of its own, with a PF ens5f0 in bond0."""
    return [sys.executable, "-c", CHILD]


@pytest.fixture
def shell():
    """Run a line of bash in which $PFSTATUS is the command, with a PF ens5f0 in bond0."""

    def run(line, *, stdout=subprocess.PIPE, **environment) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line.replace("$PFSTATUS", '"$PYTHON" -c "$CHILD"')],
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=LIMIT,
            check=False,
            env=os.environ | {"PYTHON": sys.executable, "CHILD": CHILD} | environment,
        )

    return run


class Output:
    """A stdout whose words can be waited for."""

    def __init__(self) -> None:
        self.text = ""
        self._changed = threading.Condition()

    def write(self, text) -> int:
        with self._changed:
            self.text += text
            self._changed.notify_all()
        return len(text)

    def wait_for(self, word) -> None:
        with self._changed:
            seen = self._changed.wait_for(lambda: word in self.text, LIMIT)
        assert seen, f"{word!r} did not come: {self.text}"

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@pytest.fixture
def output():
    return Output()


@pytest.fixture
def run_until(output, monkeypatch):
    """Run the command here until something else has happened, and end it by a signal."""

    def run(*argv, happen, number=signal.SIGINT) -> int:
        failures = []

        def beside():
            try:
                happen()
            except BaseException as exc:
                failures.append(exc)
            finally:
                signal.pthread_kill(threading.main_thread().ident, number)

        thread = threading.Thread(target=beside)
        monkeypatch.setattr(sys, "stdout", output)
        thread.start()
        try:
            code = main(argv)
        finally:
            thread.join(LIMIT)
        assert not failures, failures
        return code

    return run
