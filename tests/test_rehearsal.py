"""The outage that is played before there is one."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections import Counter

from pfstatus.relay import program, rehearsal
from pfstatus.relay.report import Kind


def test_relay_meets_what_it_would_in_earnest(monkeypatch, clock):
    assert clock.now, "in no time: on a busy machine the relay would ask more often"
    said = []
    monkeypatch.setattr(rehearsal, "_discard", said.extend)
    rehearsal.rehearse()
    times = rehearsal.TIMES
    assert times >= 12, "an interpreter's counters go to 8, and what they start learns by doing"
    assert Counter(report.kind for report in said) == {
        Kind.STARTED: 1,
        Kind.WATCHING: 1,
        Kind.READY: 1,
        Kind.LACP_UP: 1 + times,
        Kind.LACP_DOWN: times,
        Kind.VF_SET: times * 2 * rehearsal.VFS,
    }


def test_nothing_of_it_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rehearsal.rehearse()
    before = os.dup(0)
    os.close(before)
    rehearsal.rehearse()
    after = os.dup(0)
    os.close(after)
    assert after == before, "descriptors were left open"
    assert not any(tmp_path.iterdir())


def test_thread_that_reports_gives_way_at_once(monkeypatch):
    monkeypatch.setattr(gc, "freeze", lambda: None)
    before = sys.getswitchinterval()
    try:
        program.be_quick()
        assert sys.getswitchinterval() <= 0.0001, "5 ms by default: many times a whole reaction"
    finally:
        sys.setswitchinterval(before)


def test_relay_runs_where_no_descriptor_is_left_for_it(monkeypatch):
    def full(*_args) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(rehearsal.socket, "socketpair", full)
    program.be_quick()
    assert frozen
