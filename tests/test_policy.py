"""What the relay decides, as a table and as laws."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import LacpStatus, Plan, Policy, Vf, VfLinkState, plan

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


# ---- Policy


@pytest.mark.parametrize(
    "values",
    [
        {"restore": "none"},
        {"restore": ""},
        {"on_exit": "give"},
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
    policy = Policy(restore="owned", state_file=Path("/run/x"))
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(policy) == hash(Policy(restore="owned", state_file=Path("/run/x")))
