"""What the relay decides, as a table and as laws."""

from __future__ import annotations

import math
import pathlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import LacpStatus, Plan, Policy, Vf, VfLinkState, plan
from pfstatus.relay.policy import Member, last_path

UP, DOWN, UNKNOWN = LacpStatus
AUTO, ENABLE, DISABLE = VfLinkState

TABLE = [
    # LACP, VF, restore, owned -> setting, unprotected
    (UP, AUTO, "all", False, None, False),
    (UP, AUTO, "owned", True, None, False),
    (UP, DISABLE, "all", False, AUTO, False),
    (UP, DISABLE, "all", True, AUTO, False),
    (UP, DISABLE, "owned", False, None, False),
    (UP, DISABLE, "owned", True, AUTO, False),
    (UP, ENABLE, "all", True, None, False),
    (UP, ENABLE, "owned", True, None, False),
    (DOWN, AUTO, "all", False, DISABLE, False),
    (DOWN, AUTO, "owned", True, DISABLE, False),
    (DOWN, DISABLE, "all", False, None, False),
    (DOWN, DISABLE, "owned", True, None, False),
    (DOWN, ENABLE, "all", False, None, True),
    (DOWN, ENABLE, "owned", True, None, True),
    *[(UNKNOWN, state, "all", True, None, False) for state in VfLinkState],
    *[(UNKNOWN, state, "owned", True, None, False) for state in VfLinkState],
]


@pytest.mark.parametrize(
    "row", TABLE, ids=[f"{row[0]}-{row[1]}-{row[2]}{'-ours' * row[3]}" for row in TABLE]
)
def test_plan_is_the_table(row):
    lacp, state, restore, owned, setting, unprotected = row
    todo = plan(lacp, [Vf(7, state)], restore=restore, owned={7} if owned else ())
    assert todo == Plan(
        () if setting is None else (Vf(7, setting),),
        (7,) if unprotected else (),
    )


vf_lists = st.dictionaries(st.integers(0, 255), st.sampled_from(VfLinkState)).map(
    lambda vfs: [Vf(vf, state) for vf, state in vfs.items()]
)
situations = {
    "lacp": st.sampled_from(LacpStatus),
    "vfs": vf_lists,
    "restore": st.sampled_from(["all", "owned"]),
    "owned": st.sets(st.integers(0, 255)),
}


@given(**situations)
def test_plan_writes_only_differences_and_never_enable(lacp, vfs, restore, owned):
    states = dict(vfs)
    settings = plan(lacp, vfs, restore=restore, owned=owned).settings
    assert len({vf for vf, _ in settings}) == len(settings)
    for vf, state in settings:
        assert {states[vf], state} == {AUTO, DISABLE}


@given(**situations)
def test_plan_that_was_carried_out_leaves_nothing_to_do(lacp, vfs, restore, owned):
    first = plan(lacp, vfs, restore=restore, owned=owned)
    after = [Vf(vf, state) for vf, state in (dict(vfs) | dict(first.settings)).items()]
    assert plan(lacp, after, restore=restore, owned=owned).settings == ()


@given(vf_lists, st.sets(st.integers(0, 255)))
def test_outage_with_ownership_gives_back_what_it_took_and_no_more(vfs, owned):
    taken = dict(plan(DOWN, vfs, restore="owned", owned=owned).settings)
    during = [Vf(vf, taken.get(vf, state)) for vf, state in vfs]
    back = dict(plan(UP, during, restore="owned", owned=set(taken)).settings)
    assert [Vf(vf, back.get(vf, state)) for vf, state in during] == vfs


# ---- Groups

PFS = ("pf0", "pf1", "pf2")
paths = st.builds(
    lambda lacp, served, since: Member(lacp, lacp is UP and served, since),
    st.sampled_from(LacpStatus),
    st.booleans(),
    st.floats(0, 1000),
)
groups = st.dictionaries(st.sampled_from(PFS), paths, min_size=1)
kepts = st.sampled_from([None, *PFS])


@given(groups, kepts)
def test_group_is_never_without_a_path_that_could_be_kept(group, kept):
    last = last_path(group, kept)
    left = {name for name, pf in group.items() if pf.lacp is not DOWN} | ({last} - {None})
    assert left, "every PF's VFs are disabled"


@given(groups, kepts)
def test_no_pf_is_kept_where_another_can_be_used(group, kept):
    if any(pf.usable for pf in group.values()):
        assert last_path(group, kept) is None


@given(groups, kepts)
def test_pf_that_is_kept_is_down_and_stays_the_same(group, kept):
    last = last_path(group, kept)
    assert last is None or group[last].lacp is DOWN
    assert last_path(group, last) == last
    usable = any(pf.usable for pf in group.values())
    if kept in group and group[kept].lacp is DOWN and not usable:
        assert last == kept


def test_last_one_to_fail_is_kept():
    group = {"pf0": Member(DOWN, False, 10.0), "pf1": Member(DOWN, False, 12.0)}
    assert last_path(group, None) == "pf1"
    assert last_path(group | {"pf0": Member(UP, False, 10.0)}, "pf1") == "pf1", "not served yet"
    assert last_path(group | {"pf0": Member(UP, True, 10.0)}, "pf1") is None
    cut = {"pf1": Member(UNKNOWN, False, 12.0)}
    assert last_path(group | cut, "pf1") == "pf0", "a cable that is cut is no path"


# ---- Policy


@pytest.mark.parametrize(
    "values",
    [
        {"restore": "none"},
        {"restore": ""},
        {"on_exit": "give"},
        {"groups": (("pf0",),)},
        {"groups": (("pf0", "pf1"), ("pf1", "pf2"))},
        {"up_delay": -1},
        {"up_delay": math.nan},
        {"up_delay": math.inf},
    ],
    ids=str,
)
def test_policy_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Policy(**values)


@pytest.mark.parametrize(
    ("values", "keeps"),
    [
        ({}, False),
        ({"restore": "owned"}, True),
        ({"on_exit": "restore"}, True),
        ({"restore": "owned", "dry_run": True}, False),
        ({"on_exit": "restore", "dry_run": True}, False),
    ],
    ids=str,
)
def test_policy_keeps_a_record_where_it_gives_back(values, keeps):
    assert Policy(**values).keeps_record() is keeps


def test_policy_is_a_value():
    policy = Policy(restore="owned", state_file=pathlib.Path("/run/x"))
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(Policy(restore="owned", state_file=pathlib.Path("/run/x")))
