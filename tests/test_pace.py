"""When a relay looks, what it holds back, and how much of the kernel's lock it takes."""

from __future__ import annotations

import math

import pytest

from pfstatus import LacpStatus, Vf, VfLinkState
from pfstatus.relay import pace
from pfstatus.relay.pace import Budget, Pacer, Urgency

AUTO, ENABLE, DISABLE = VfLinkState
UP, DOWN, UNKNOWN = LacpStatus


@pytest.fixture
def budget():
    return Budget()


@pytest.fixture
def pacer(budget):
    return Pacer(budget, 1.0)


def test_nothing_is_due_before_something_happens(pacer):
    assert pacer.due() == math.inf


@pytest.mark.parametrize(
    ("lacp", "due", "urgency"),
    [(DOWN, 10.0, Urgency.LOST), (UP, 15.0, Urgency.BACK), (UNKNOWN, math.inf, None)],
    ids=str,
)
def test_look_that_a_change_calls_for_waits_for_up_delay_alone(pacer, budget, lacp, due, urgency):
    budget.spend(9.0, 3.0)
    pacer.lacp_changed(10.0, lacp, up_delay=5.0)
    assert pacer.due() == due
    assert urgency in (None, pacer.urgency)


def test_touch_does_not_shorten_up_delay(pacer):
    pacer.lacp_changed(10.0, UP, up_delay=5.0)
    pacer.touched(11.0)
    assert (pacer.due(), pacer.urgency) == (15.0, Urgency.BACK)


def test_looks_of_all_pfs_together_take_a_twentieth(budget):
    pfs = [Pacer(budget, 1.0) for _ in range(16)]
    now, spent, cost = 0.0, 0.0, 0.064
    for pf in pfs:
        pf.looked(now, now, again=True)
    while now < 1000:
        pf = min(pfs, key=Pacer.due)
        now = max(now, pf.due())
        pf.looked(now, now + cost, again=True)
        now += cost
        spent += cost
    assert 0.04 < spent / now < 0.051


def test_debt_of_an_outage_is_bounded(budget, pacer):
    for _ in range(100):
        budget.spend(10.0, 0.1)
    pacer.looked(10.0, 10.0, again=True)
    assert 11.0 < pacer.due() <= 10.0 + pace.MAX_DEBT + 0.1 * pace.LOOK_SHARE


def test_touched_pf_waits_for_the_budget_a_second_at_most(budget, pacer):
    pacer.looked(9.9, 10.0, again=True)
    budget.spend(10.0, 1.0)
    pacer.touched(10.5)
    assert pacer.due() == 10.0 + pace.TOUCH_LOOK


def test_list_that_stays_sparse_while_lacp_is_up_is_read_less_and_less(pacer):
    now, looks = 0.0, 0
    while now < 1000:
        pacer.looked(now, now, again=True, slower=True)
        now = pacer.due()
        looks += 1
    assert looks < 25


def test_reading_back_what_was_set_puts_no_look_off(pacer):
    now = 0.0
    for _ in range(6):  # a VF that is refused again and again, beside one that cannot be read
        pacer.batch_ended(now)
        pacer.looked(now, now, again=True, slower=True)
        now += 0.1
    assert pacer.due() <= now + pace.OUTAGE_LOOK


def test_message_is_small_at_first_and_then_as_long_as_the_lock_may_be_held(pacer):
    assert pacer.message_size() == pace.PROBE
    assert pacer.sent(0.0, 0.004, 4) == 0.0
    assert pacer.message_size() == 50
    pacer.looked(1.0, 1.0, again=False)
    assert pacer.message_size() == pace.PROBE, "a new batch measures anew"
    assert pacer.sent(0.0, 4.0, 4) == pytest.approx(0.2)
    assert pacer.message_size() == 1


def hold(pacer, now, state=DISABLE, *, failed):
    """Set VF 7."""
    pacer.became(7, state, now, failed=failed)


def waits(pacer, now):
    """How long after ``now`` VF 7 may be set."""
    for step in range(20_000):
        if pacer.allowed(now + step / 1000, [Vf(7, DISABLE)])[0]:
            return step / 1000
    raise AssertionError


def test_vf_that_fails_waits_longer_each_time(pacer):
    now, pauses = 0.0, []
    for _ in range(12):
        hold(pacer, now, failed=True)
        pauses.append(waits(pacer, now))
        now += pauses[-1]
    assert pauses[:3] == pytest.approx([0.1, 0.2, 0.4], abs=0.002)
    assert pauses[-1] == 10.0


def test_vf_that_somebody_changes_is_set_at_once_and_then_within_half_a_second(pacer):
    now, pauses = 0.0, []
    for _ in range(12):
        hold(pacer, now, failed=False)
        pacer.allowed(now, [])  # a look saw it done
        pauses.append(waits(pacer, now))
        now += pauses[-1]
    assert pauses[0] == 0.0
    assert max(pauses) == 0.5


def test_driver_that_says_yes_and_does_nothing_is_one_that_fails(pacer):
    now, pauses = 0.0, []
    for _ in range(12):
        hold(pacer, now, failed=False)
        assert pacer.allowed(now, [Vf(7, DISABLE)]) == ([], [Vf(7, DISABLE)])
        pauses.append(waits(pacer, now))
        now += pauses[-1]
    assert pauses[-1] == 10.0


def test_change_of_lacp_is_a_new_chance(pacer):
    for _ in range(5):
        hold(pacer, 0.0, failed=True)
    pacer.lacp_changed(0.01, DOWN)
    assert waits(pacer, 0.01) == 0.0
