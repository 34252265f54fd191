"""pfstatus set."""

from __future__ import annotations

import errno
import json
import os
import re
import signal

import pytest

from pfstatus import VfLinkState

AUTO, ENABLE, DISABLE = VfLinkState


def rows(out: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in out.splitlines() if line.startswith("VF")]


def test_set_takes_numbers_ranges_and_lists(run, pf):
    assert run("set", "ens5f0", "0=disable", "1-2=enable", "3=disable") == 0
    assert [*pf.vfs.values()] == [DISABLE, ENABLE, ENABLE, DISABLE]
    assert run("set", "ens5f0", "0,2-3=auto") == 0
    assert [*pf.vfs.values()] == [AUTO, ENABLE, AUTO, AUTO]
    assert run("set", "ens5f0", "all=disable") == 0
    assert {*pf.vfs.values()} == {DISABLE}


def test_vfs_that_fare_alike_share_a_row(run, kernel, pf, capsys):
    kernel.create_vfs(pf, 64)
    pf.vf_errors[9] = (errno.EIO, 9)
    assert run("set", "ens5f0", "all=disable") == 1
    assert rows(capsys.readouterr().out) == [
        ["VFs 0-8", "disable", "set"],
        ["VF 9", "disable", "failed: Input/output error"],
        ["VFs 10-63", "disable", "set"],
    ]


@pytest.mark.parametrize(
    ("state", "expire", "note"),
    [
        ("disable", False, "cut off until it is set to auto"),
        ("enable", False, "does not fail over"),
        ("auto", True, "LACP is down (expired) on ens5f0"),
        ("auto", False, None),
    ],
    ids=["disable", "enable", "auto-in-an-outage", "auto"],
)
def test_set_says_what_follows(run, pf, capsys, state, expire, note):
    if expire:
        pf.lacp_expire()
    assert run("set", "ens5f0", f"all={state}") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert note in last if note else last.startswith("VF")


def test_set_tells_the_result_of_each_vf(run, pf, capsys):
    pf.vf_errors[1] = (errno.EIO, 9)
    assert run("set", "--json", "ens5f0", "0-2=disable") == 1
    assert json.loads(capsys.readouterr().out) == [
        {"vf": 0, "link_state": "disable", "error": None},
        {"vf": 1, "link_state": "disable", "error": "Input/output error"},
        {"vf": 2, "link_state": "disable", "error": None},
    ]


def test_set_believes_what_it_reads_again(run, pf, capsys):
    pf.ignores.add(ENABLE)
    assert run("set", "ens5f0", "0=enable") == 1
    assert "still auto" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["0"], "VF=STATE"),
        (["x=auto"], "VF=STATE"),
        (["-1=auto"], "VF=STATE|arguments"),
        (["0=up"], "auto, enable or disable"),
        (["0=auto", "0-1=disable"], "named twice"),
        (["3-1=auto"], "no range"),
        (["7=auto"], "ens5f0 has VFs 0-3"),
        (["65536=auto"], "ens5f0 has VFs 0-3"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("pf")
def test_set_refuses_what_it_does_not_understand(run, kernel, capsys, settings, word):
    assert run("set", "ens5f0", *settings) == 2
    err = capsys.readouterr().err
    assert re.search(word, err)
    assert err.count("\n") == 1
    assert not kernel.writes


@pytest.mark.parametrize(
    ("count", "words"), [(0, "ens5f0 has no VFs"), (1, "ens5f0 has VF 0 alone")], ids=["0", "1"]
)
def test_set_says_which_vfs_there_are(run, kernel, pf, capsys, count, words):
    kernel.create_vfs(pf, count)
    assert run("set", "ens5f0", "3=auto") == 2
    assert words in capsys.readouterr().err
    if not count:
        assert run("set", "ens5f0", "all=auto") == 2


def interrupt_at(kernel, request, number=1):
    """Have Ctrl-C typed just as the kernel is asked for something."""
    seen = []

    def happen(what):
        if what == request:
            seen.append(what)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGINT)

    kernel.on_request = happen


def test_set_interrupted_tells_what_was_done(run, kernel, pf, capsys):
    kernel.create_vfs(pf, 64)
    interrupt_at(kernel, "set", 2)
    assert run("set", "ens5f0", "all=disable") == 130
    done = [vf for vf, state in pf.vfs.items() if state is DISABLE]
    assert done == [*range(8)]
    assert rows(capsys.readouterr().out) == [
        ["VFs 0-7", "disable", "set"],
        ["VFs 8-63", "disable", "not tried: interrupted"],
    ]


def test_set_interrupted_before_it_began_sets_nothing(run, kernel, pf, capsys):
    interrupt_at(kernel, "get-vfs")
    assert run("set", "--json", "ens5f0", "0=disable") == 130
    assert json.loads(capsys.readouterr().out)[0]["error"] == "not tried: interrupted"
    assert pf.vfs[0] is AUTO
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_set_that_loses_its_pf_tells_what_was_done(run, kernel, pf, capsys):
    def happen(request):
        if request == "set" and kernel.requests["set"] == 2:
            kernel.remove(pf)

    kernel.create_vfs(pf, 12)
    kernel.on_request = happen
    assert run("set", "ens5f0", "all=disable") == 1
    told = rows(capsys.readouterr().out)
    assert told[0] == ["VFs 0-3", "disable", "set"]
    assert all(not row[2].startswith("set") for row in told[1:])
