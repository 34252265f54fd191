"""What mypy accepts of programs that use pfstatus, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="the test extra has it")

PROGRAM = """
import pfstatus
from pfstatus import LinkStatus, Monitor, AsyncMonitor, Observer, Session, VfLinkState, VfResult

def accepted(session: Session, pf: LinkStatus, result: VfResult) -> None:
    session.set_vf_link_state("ens5f0", {0: "disable", 1: "auto"})
    session.set_vf_link_state(pf, {0: VfLinkState.ENABLE})
    session.get(pf)
    session.vfs("ens5f0").num_vfs
    AsyncMonitor(Monitor(pf, "ens5f1", interval=5))
    Observer([pf, "ens5f1"], print)
    Observer(Monitor(pf), print)
    if result.error is not None:
        print(result.error.extack, result.error.filename)

def refused(session: Session) -> None:
    session.set_vf_link_state("ens5f0", {0: "down"})  # dict-item
    Monitor(["ens5f0"])  # arg-type
    AsyncMonitor("ens5f0", interval=5)  # call-arg
    session.get(7)  # arg-type
"""


def test_mypy_accepts_what_works_and_refuses_the_rest(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", program.name],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    said = {
        (int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]"))
        for line in ran.stdout.splitlines()
        if ": error:" in line
    }
    marked = enumerate(PROGRAM.splitlines(), 1)
    expected = {(number, line.split("  # ")[1]) for number, line in marked if "  # " in line}
    assert said == expected, ran.stdout + ran.stderr
