"""`make soak` finds what is wrong, and tells how to see it again."""

from __future__ import annotations

import collections

import soak

from pfstatus import LacpStatus, Vf, VfLinkState
from pfstatus.relay import worker
from pfstatus.relay.pace import Pacer
from pfstatus.relay.policy import Plan, plan

DISABLE = VfLinkState.DISABLE


def test_a_short_life_has_nothing_wrong_in_it(clock):
    counts = collections.Counter()
    assert soak.live(clock, 1, 500, counts) == ""
    assert counts["events"] >= 500
    assert counts["settings"]


def test_a_relay_that_touches_what_it_must_not_is_told_of_and_how_to_see_it_again(monkeypatch):
    def careless(lacp, vfs, **more) -> Plan:
        if lacp is LacpStatus.DOWN:
            return Plan(tuple(Vf(vf, DISABLE) for vf, state in vfs if state is not DISABLE), ())
        return plan(lacp, vfs, **more)

    monkeypatch.setattr(worker, "plan", careless)
    wrong = soak.work((7, 50_000)).wrong
    assert wrong.startswith("seed 7, restore=")
    assert "was in enable" in wrong
    again = wrong.rpartition("\n")[2]
    assert again == "again: .venv/bin/python tests/soak.py --jobs 1 --events 50000 --seed 7"


def test_a_relay_that_forgets_to_fail_over_is_told_of(clock, monkeypatch):
    monkeypatch.setattr(worker, "plan", lambda *_, **__: Plan((), ()))
    monkeypatch.setattr(Pacer, "at_once", lambda _: False)  # which does not ask for the plan
    assert "it did not fail over" in soak.live(clock, 7, 20_000, collections.Counter())
