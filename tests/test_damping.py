"""What keeps a relay from flapping along, and from what it does not know."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import Kind, Policy, PortState, VfLinkState
from pfstatus.relay.pace import HoldDown

AUTO, _, DISABLE = VfLinkState


def states(pf):
    return list(pf.vfs.values())


# The hold-down


def test_hold_down_doubles_with_each_flap_to_its_bound_and_ends_with_the_flapping():
    hold_down, now, waits = HoldDown(1.0, 30.0), 0.0, []
    for up in (1000.0, *[5.0] * 7, 31.0, 5.0):
        waits.append(hold_down.found(now))
        now += up
        hold_down.lost(now)
        now += 3.0
    assert waits == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 1.0]


def test_hold_down_of_none_grows_from_a_second():
    hold_down = HoldDown(0.0, 60.0)
    waits = []
    for second in range(0, 40, 10):
        waits.append(hold_down.found(second))
        hold_down.lost(second + 1)
    assert waits == [0.0, 0.0, 1.0, 2.0]


@given(
    least=st.floats(0, 10),
    most=st.just(0.0) | st.floats(10, 100),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 200))),
)
def test_hold_down_stays_between_its_bounds(least, most, steps):
    hold_down, now = HoldDown(least, most), 0.0
    for up, seconds in steps:
        if up:
            assert least <= hold_down.found(now) <= max(least, most)
        else:
            hold_down.lost(now)
        now += seconds


def test_flapping_partner_gets_its_vfs_back_later_each_time(rig):
    pf = rig.pf()
    relay = rig.relay(up_delay=1.0, up_delay_max=20.0)
    taken, given_back = [], []
    for _ in range(6):
        pf.lacp_expire()
        lost = rig.clock.now
        while states(pf) != [DISABLE] * 2:
            rig.pass_time(relay, 0.05)
        taken.append(rig.clock.now - lost)
        pf.lacp_up()
        found = rig.clock.now
        while states(pf) != [AUTO] * 2:
            rig.pass_time(relay, 0.1)
        given_back.append(round(rig.clock.now - found))
    assert max(taken) < 0.2, "a loss is never delayed"
    assert given_back == [1, 2, 4, 8, 16, 20]


@pytest.mark.parametrize(
    "wrong",
    [{"up_delay_max": -1}, {"up_delay": 5, "up_delay_max": 4}, {"up_delay_max": float("inf")}],
)
def test_hold_down_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="up_delay_max"):
        Policy(**wrong)


# Writes


def test_vf_that_somebody_keeps_changing_is_set_four_times_a_second_at_most(
    rig,
):
    """Each setting may cost the pod a reset of its VF, each second a second in the black hole."""
    pf = rig.pf(vfs=3)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    writes, wrong_since, longest = [], None, 0.0
    for _ in range(1000):
        before = len(rig.kernel.writes)
        with rig.kernel.change(pf):
            pf.vfs[1] = AUTO
        if wrong_since is None:
            wrong_since = rig.clock.now
        rig.pass_time(relay, 0.02)
        if len(rig.kernel.writes) > before:
            writes += [rig.clock.now] * (len(rig.kernel.writes) - before)
            longest, wrong_since = max(longest, rig.clock.now - wrong_since), None
    assert {write.vf for write in rig.kernel.writes} == {1}
    settled = [at for at in writes if at > writes[0] + 2.0]
    by_second = Counter(int(at) for at in settled)
    assert max(by_second.values()) <= 4
    assert longest < 1.0


# No partner


def test_pf_that_has_met_no_partner_is_up_where_its_switch_falls_back(rig):
    pf = rig.pf()
    pf.lacp_default()
    pf.vfs[1] = DISABLE
    relay = rig.relay(lacp_fallback=True, settled=False)
    rig.pass_time(relay, 2)
    assert states(pf) == [AUTO, AUTO]
    assert [r.kind for r in rig.reports].count(Kind.FALLBACK) == 1
    assert relay.snapshot()["ens5f0"].usable
    # It speaks: from now on it is a partner like any other.
    negotiating = PortState.ACTIVITY | PortState.TIMEOUT | PortState.AGGREGATION
    pf.lacp_set(negotiating, negotiating)
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE, DISABLE]
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO, AUTO]
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.lacp_default()
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE, DISABLE]
    assert [r.kind for r in rig.reports].count(Kind.FALLBACK) == 1


def test_pf_without_a_partner_is_down_unless_asked_otherwise(rig):
    pf = rig.pf()
    pf.lacp_default()
    rig.relay()
    assert states(pf) == [DISABLE, DISABLE]


def test_relay_that_begins_in_an_outage_it_has_noted_does_not_fall_back(rig):
    pf = rig.pf()
    first = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(first, 1)
    first.close()
    pf.lacp_default()
    rig.relay(restore="owned", lacp_fallback=True)
    assert states(pf) == [DISABLE, DISABLE]
