"""`make bench-check` fails where something of ours takes 5 % more, and where it cannot tell."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "bench" / "check.py"
PLACE = "Linux 6.1, Python 3.11"
WHAT = "4 VFs: pfstatus, last_vf"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run it on figures; returns its exit status."""
    spec = importlib.util.spec_from_file_location("check", CHECK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BASELINE", tmp_path / "baseline.json")
    results = tmp_path / "results"
    results.mkdir()

    def run(figures, *args, place=PLACE) -> int:
        (results / "reaction.json").write_text(json.dumps({place: figures}))
        monkeypatch.setattr(sys, "argv", ["check.py", *args, str(results)])
        return module.main()

    run({WHAT: 1_000_000, "4 VFs: straw, last_vf": 5}, "--write")
    return run


@pytest.mark.parametrize(
    ("ns", "status"), [(1_000_000, 0), (1_049_000, 0), (500_000, 0), (1_051_000, 1)]
)
def test_five_per_cent_more_fail(check, ns, status):
    assert check({WHAT: ns}) == status


def test_peers_are_not_compared(check):
    assert check({WHAT: 1_000_000, "4 VFs: straw, last_vf": 500}) == 0


def test_figure_that_is_missing_fails_and_a_new_one_is_told(check, capsys):
    assert check({}) == 1
    assert "not measured" in capsys.readouterr().out
    assert check({WHAT: 1_000_000, "64 VFs: pfstatus, last_vf": 1}) == 0
    assert "not in the baseline yet" in capsys.readouterr().out


def test_other_kernel_has_no_baseline(check, capsys):
    assert check({WHAT: 1}, place="Linux 6.12, Python 3.13") == 2
    assert "WRITE=--write" in capsys.readouterr().out


def test_baseline_that_is_written_keeps_other_kernels(check):
    assert check({WHAT: 2_000_000}, "--write", place="Linux 6.12, Python 3.13") == 0
    assert check({WHAT: 1_000_000}) == 0
    assert check({WHAT: 2_000_000}, place="Linux 6.12, Python 3.13") == 0
