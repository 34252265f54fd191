"""How far a heartbeat is acted upon."""

from __future__ import annotations

import math

import pytest

from pfstatus import Beat, HeartbeatState, Outcome
from pfstatus.relay.trust import Trust

HEARD, IDLE, SILENT = HeartbeatState.HEARD, HeartbeatState.IDLE, HeartbeatState.SILENT


def silent(name):
    return Beat(name, HEARD, SILENT, "no answer", 1.2)


def false(name):
    return Beat(name, SILENT, HEARD, "it speaks", 0.0, None, Outcome.FALSE)


def confirmed(name):
    return Beat(name, SILENT, IDLE, "LACP is not up", 3.1, None, Outcome.CONFIRMED)


@pytest.fixture
def trust():
    return Trust(["a", "b"], acts=True)


def test_a_silent_pf_is_held_while_another_works(trust):
    assert trust.held(0, {"a", "b"}) == set()
    trust.take(silent("a"), 1)
    assert trust.held(1, {"b"}) == {"a"}
    assert trust.held(2, set()) == set(), "the other one fails: a last path is not taken"
    assert trust.held(3, {"b"}) == {"a"}
    trust.take(confirmed("a"), 4)
    assert trust.held(4, {"b"}) == set(), "the kernel's own word counts from here"


def test_the_last_path_is_never_held(trust):
    trust.take(silent("a"), 1)
    trust.take(silent("b"), 1)
    assert trust.held(1, set()) == set()
    alone = Trust(["a"], acts=True)
    alone.take(silent("a"), 1)
    assert alone.held(1, {"a"}) == set()


def test_who_watches_holds_nothing():
    trust = Trust(["a", "b"], acts=False)
    trust.take(silent("a"), 1)
    assert trust.held(1, {"b"}) == set()
    assert trust.take(false("a"), 2) == (0.0, False)


def test_a_false_alarm_is_waited_out_and_the_next_one_longer(trust):
    trust.take(silent("a"), 10)
    trust.held(10, {"b"})
    assert trust.take(false("a"), 11) == (1.0, False)
    assert trust.due(11) == 12
    assert trust.held(11.9, {"a", "b"}) == {"a"}
    assert trust.held(12, {"a", "b"}) == set()
    assert trust.due(12) == math.inf
    trust.take(silent("a"), 20)
    trust.held(20, {"b"})
    assert trust.take(false("a"), 21) == (2.0, False)
    assert trust.held(22.9, {"a", "b"}) == {"a"}


def test_after_three_false_alarms_in_a_day_it_only_watches(trust):
    for at in (0, 1000, 2000):
        trust.take(silent("a"), at)
        trust.held(at, {"b"})
        alarm = trust.take(false("a"), at + 1)
    assert alarm.distrusted
    trust.take(silent("a"), 3000)
    assert trust.held(3000, {"b"}) == set()
    trust.take(silent("b"), 3000)
    assert trust.held(3000, {"a"}) == {"b"}, "the other one is another's partner"
    assert trust.distrusts("a", 80000)
    assert not trust.distrusts("a", 86402)


def test_another_groups_path_does_not_count():
    trust = Trust(["a", "b", "c", "d"], acts=True, groups=[["a", "b"], ["c", "d"]])
    trust.take(silent("a"), 1)
    assert trust.held(1, {"c", "d"}) == set()
    assert trust.held(1, {"b"}) == {"a"}
