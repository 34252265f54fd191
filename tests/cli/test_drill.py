"""pfstatus drill."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import time

import pytest

from pfstatus import Session, VfLinkState
from pfstatus.cli import base, drill
from pfstatus.relay.drills import Drills
from pfstatus.relay.rival import Claims

AUTO, ENABLE, DISABLE = VfLinkState


class Site:
    def __init__(self, run, folder, netns):
        self.run = run
        self.folder = folder
        self.netns = netns

    def __call__(self, *words, pf="ens5f0", time="50ms"):
        return self.run("drill", pf, "--for", time, "--folder", str(self.folder), "--yes", *words)

    def files(self):
        return list(self.folder.glob("drill-*"))


@pytest.fixture
def site(run, pf, tmp_path, monkeypatch):
    assert pf.name == "ens5f0"
    netns = int.from_bytes(os.urandom(6))
    fake = base.Session

    def session(**options):
        session = fake(**options)
        session.netns = netns
        return session

    monkeypatch.setattr(base, "Session", session)
    monkeypatch.setattr(drill, "_LOOK", 0.01)
    monkeypatch.setattr(drill, "_PAUSE", 0.01)
    return Site(run, tmp_path, netns)


def states(pf):
    return list(pf.vfs.values())


def test_drill_disables_vfs_and_gives_them_back(site, kernel, capsys):
    began = time.monotonic()
    assert site("--vfs", "0,2-3", time="300ms") == 0
    assert time.monotonic() - began >= 0.3
    assert [(write.vf, write.link_state) for write in kernel.writes] == [
        *((vf, DISABLE) for vf in (0, 2, 3)),
        *((vf, AUTO) for vf in (0, 2, 3)),
    ]
    out, err = capsys.readouterr()
    assert "VFs 0,2-3 of ens5f0 will be disabled for 0.3 s" in " ".join(out.split())
    assert "No pfstatus relay serves ens5f0 here" in out
    steps = re.findall(r"^ *(\d\.\d{3}) s  (.*?) \([\d.]+ ms\)$", out, re.MULTILINE)
    assert [words for _, words in steps] == [
        *("VFs 0,2-3 set to disable by 1 message", "read again"),
        *("VFs 0,2-3 set to auto by 1 message", "read again"),
    ]
    assert float(steps[1][0]) < 0.3 <= float(steps[2][0])
    assert not err
    assert not site.files()


def test_vfs_that_no_outage_would_touch_are_left_alone(site, pf, kernel, capsys):
    pf.vfs |= {1: ENABLE, 2: DISABLE}
    assert site() == 0
    assert {write.vf for write in kernel.writes} == {0, 3}
    assert states(pf) == [AUTO, ENABLE, DISABLE, AUTO]
    out = " ".join(capsys.readouterr().out.split())
    assert "VFs 1 are in enable" in out
    assert "VFs 2 are disabled already" in out


def test_relay_that_lives_is_named(site, pf, capsys):
    with Claims(site.netns) as claims:
        claims.claim(pf.ifindex)
        assert site() == 0
    assert f"The relay (process {os.getpid()}) will leave them alone" in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("--group", "ens5f0,ens5f1"), ("--config", "FILE")])
def test_drill_is_refused_where_no_other_pf_is_up(site, kernel, capsys, words):
    file = site.folder / "relay.toml"
    file.write_text('groups = [["ens5f0", "ens5f1"]]\n')
    (other,) = [link for link in kernel.links if link.name == "ens5f1"]
    other.lacp_expire()
    third = kernel.add_pf("ens6f0")
    if words:  # one that is up, and in no group with it
        kernel.add_bond("bond2", third)
    assert site(*(str(file) if word == "FILE" else word for word in words)) == 3
    assert "no other PF is up that pods could go on by (ens5f1)" in capsys.readouterr().err
    assert not kernel.writes


@pytest.mark.parametrize(
    ("change", "words", "code", "said"),
    [
        (lambda pf: pf.lacp_expire(), (), 3, "LACP is down (expired)"),
        (lambda pf: pf.vfs.update(dict.fromkeys(range(4), ENABLE)), (), 3, "none of these VFs"),
        (lambda _pf: None, ("--vfs", "3-4"), 2, "ens5f0 has no VF 4"),
        (lambda _pf: None, ("--vfs", "x"), 2, "a list 0,2-5"),
        (lambda _pf: None, ("--for", "1h"), 2, "at most an hour"),
        (lambda _pf: None, ("--for", "61m"), 2, "at most an hour"),
    ],
)
def test_drill_that_makes_no_sense_is_refused(site, pf, kernel, capsys, change, words, code, said):
    change(pf)
    assert site(*words) == code
    assert said in capsys.readouterr().err
    assert not kernel.writes


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 3), ("", 3)])
def test_drill_asks(site, kernel, monkeypatch, capsys, answer, code):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    asking = ("drill", "ens5f0", "--for", "50ms", "--folder", str(site.folder))
    assert site.run(*asking) == code
    out, err = capsys.readouterr()
    assert "Go on? [y/N] " in out
    assert bool(kernel.writes) == (code == 0)
    assert ("nothing was touched" in err) == (code == 3)


def test_vf_that_fails_is_told_and_the_others_are_given_back(site, pf, capsys):
    pf.vf_errors[1] = (errno.EBUSY, 2)
    assert site() == 1
    out = capsys.readouterr().out
    assert "VF 1 failed: Device or resource busy" in out
    assert "VFs 1 are not in disable" in out
    assert states(pf) == [AUTO] * 4


def test_driver_that_does_nothing_is_found_out(site, pf, capsys):
    pf.ignores = {DISABLE}
    assert site() == 1
    assert "VFs 0-3 are not in disable" in capsys.readouterr().out


def test_what_cannot_be_given_back_at_once_is_tried_again(site, pf, capsys):
    set_vf = pf.set_vf
    fail = iter([errno.EAGAIN] * 3)
    pf.set_vf = lambda vf, state: (state is AUTO and next(fail, 0)) or set_vf(vf, state)
    assert site() == 1
    assert "are still disabled" in capsys.readouterr().out
    assert states(pf) == [AUTO] * 4
    assert not site.files()


def test_what_cannot_be_given_back_at_all_is_the_next_drills(site, pf, monkeypatch, capsys):
    monkeypatch.setattr(drill, "_TRIES", 2)
    pf.ignores = {AUTO}
    assert site() == 1
    assert "the next drill" in capsys.readouterr().err
    assert len(site.files()) == 1
    assert site() == 3
    assert "cannot be given back" in capsys.readouterr().err
    pf.ignores = set()
    assert site() == 0
    assert "VFs 0-3 of a drill that was killed were given back" in capsys.readouterr().out
    assert states(pf) == [AUTO] * 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_drill_and_gives_back(site, pf, run_until, capsys, number):
    def happen():
        deadline = time.monotonic() + 10
        while states(pf) != [DISABLE] * 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    words = ("drill", "ens5f0", "--for", "60s", "--folder", str(site.folder), "--yes")
    assert run_until(*words, happen=happen, number=number) == 130
    assert states(pf) == [AUTO] * 4
    assert f"ended before its time: {number.name}" in capsys.readouterr().err


def test_drill_ends_when_the_other_pf_is_lost(site, pf, kernel, monkeypatch, capsys):
    (other,) = [link for link in kernel.links if link.name == "ens5f1"]
    get = Session.get

    def lose(session, name, **options):
        if states(pf) == [DISABLE] * 4:
            other.lacp_expire()
        return get(session, name, **options)

    monkeypatch.setattr(Session, "get", lose)
    assert site(time="60s") == 130
    assert "LACP is up no more on ens5f1" in capsys.readouterr().err
    assert states(pf) == [AUTO] * 4


def test_somebody_else_who_gives_back_is_told(site, pf, monkeypatch, capsys):
    get = Session.get

    def meddle(session, name, **options):
        if states(pf) == [DISABLE] * 4:
            pf.vfs[2] = AUTO
        return get(session, name, **options)

    monkeypatch.setattr(Session, "get", meddle)
    assert site() == 1
    assert "VFs 2 are disabled no more" in capsys.readouterr().out


def test_drill_on_a_pf_that_is_drilled_is_refused(site, pf, kernel, capsys):
    with Drills(site.folder, site.netns) as other:
        other.begin(pf.ifindex, [0])
        assert site() == 3
    assert f"process {os.getpid()} drills it already" in capsys.readouterr().err
    assert not kernel.writes


def test_without_the_capability_nothing_is_begun(site, kernel, capsys):
    kernel.permitted = False
    assert site() == 3
    assert "CAP_NET_ADMIN" in capsys.readouterr().err
    assert not site.files()
