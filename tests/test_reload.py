"""A relay that is told of another configuration while it runs."""

from __future__ import annotations

import json
import os

import pytest

from pfstatus import Policy, VfLinkState

AUTO, _, DISABLE = VfLinkState


def states(pf):
    return list(pf.vfs.values())


@pytest.fixture
def change(rig):
    """Have a relay serve other PFs, or in another way."""

    def change(relay, *names, interval=1.0, **policy):
        whole = Policy(state_file=policy.pop("state_file", rig.state_file), **policy)
        relay.reconfigure(*names, interval=interval, policy=whole)
        rig.pass_time(relay, 1.5)

    return change


def test_pf_that_is_added_is_served_and_the_others_are_left_alone(rig, change):
    first, second = rig.pf("ens5f0"), rig.pf("ens5f1")
    relay = rig.relay("ens5f0")
    first.lacp_expire()
    second.lacp_expire()
    rig.pass_time(relay, 0.5)
    rig.forget()
    change(relay, "ens5f0", "ens5f1")
    assert states(second) == [DISABLE, DISABLE]
    assert {write.ifname for write in rig.kernel.writes} == {"ens5f1"}
    assert rig.said()[0] == ("configuration was reloaded", {"interfaces": ["ens5f0", "ens5f1"]})
    assert "lacp is down" not in [m for m, fields in rig.said() if "ens5f0" in fields.values()]


def test_pf_that_is_dropped_in_an_outage_keeps_its_vfs_disabled(rig, change):
    first, _ = rig.pf("ens5f0"), rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1")
    first.lacp_expire()
    rig.pass_time(relay, 0.5)
    rig.forget()
    change(relay, "ens5f1")
    first.lacp_up()
    rig.pass_time(relay, 2)
    assert states(first) == [DISABLE, DISABLE]
    left = {"interface": "ens5f0", "ids": [0, 1], "reason": "it is not configured any more"}
    assert ("vfs were left disabled", left) in rig.said()
    assert list(relay.snapshot()) == ["ens5f1"]
    change(relay, "ens5f1", "ens5f0")
    assert states(first) == [AUTO, AUTO]


def test_pf_that_is_dropped_gets_its_vfs_back_where_on_exit_says_so(rig, change):
    first, _ = rig.pf("ens5f0"), rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1", on_exit="restore")
    first.lacp_expire()
    rig.pass_time(relay, 0.5)
    change(relay, "ens5f1", on_exit="restore")
    assert states(first) == [AUTO, AUTO]
    assert rig.count("vfs were left disabled") == 0


def test_pf_that_was_dropped_is_another_relays_to_serve(rig, change):
    rig.netns = int.from_bytes(os.urandom(6))
    rig.pf("ens5f0"), rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1")
    other = rig.relay("ens5f0", stand_by=True)
    assert other.snapshot()["ens5f0"].waits
    change(relay, "ens5f1")
    rig.pass_time(other, 0.2)
    assert not other.snapshot()["ens5f0"].waits


def test_pf_by_two_names_goes_on_by_the_other(rig, change):
    pf = rig.kernel.add_pf("ens5f0", altnames=["uplink"], vfs=2)
    rig.kernel.add_bond("bond0", pf)
    relay = rig.relay("ens5f0", "uplink", on_exit="restore")
    pf.lacp_expire()
    rig.pass_time(relay, 0.5)
    rig.forget()
    change(relay, "uplink", on_exit="restore")
    assert not rig.kernel.writes
    pf.lacp_up()
    rig.pass_time(relay, 2)
    assert states(pf) == [AUTO, AUTO]


def test_record_is_kept_from_the_reload_on_that_asks_for_it(rig, change):
    pf = rig.pf()
    relay = rig.relay("ens5f0")
    pf.lacp_expire()
    rig.pass_time(relay, 0.5)
    assert not rig.state_file.exists()
    change(relay, "ens5f0", restore="owned")
    (nic,) = json.loads(rig.state_file.read_text())["nics"]
    assert (nic["name"], nic["disabled"]) == ("ens5f0", [0, 1])
    moved = rig.state_file.with_name("moved.json")
    change(relay, "ens5f0", restore="owned", state_file=moved)
    assert json.loads(rig.state_file.read_text())["nics"] == []
    assert json.loads(moved.read_text())["nics"] == [nic]


def test_restore_of_all_gives_back_what_owned_had_left(rig, change):
    pf = rig.pf()
    relay = rig.relay("ens5f0", restore="owned")
    pf.vfs[1] = DISABLE
    rig.pass_time(relay, 2)
    assert states(pf) == [AUTO, DISABLE]
    change(relay, "ens5f0", restore="all")
    assert states(pf) == [AUTO, AUTO]


def test_group_that_is_named_later_gets_a_path_and_loses_it_again(rig, change):
    first, second = rig.pf("ens5f0"), rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1")
    first.lacp_expire()
    rig.pass_time(relay, 0.5)
    second.lacp_expire()
    rig.pass_time(relay, 0.5)
    group = ("ens5f0", "ens5f1")
    change(relay, *group, groups=(group,))
    assert states(second) == [AUTO, AUTO]
    assert states(first) == [DISABLE, DISABLE]
    rig.forget()
    change(relay, *group, groups=(group,))
    assert rig.count("last path of a group is kept") == 0
    change(relay, *group)
    assert states(second) == [DISABLE, DISABLE]
    assert rig.count("group has a path again") == 0
    change(relay, *group, groups=(group,))
    assert rig.count("last path of a group is kept") == 1


def test_interval_changes(rig):
    rig.pf()
    relay = rig.relay("ens5f0", interval=100.0)
    rig.kernel.requests.clear()
    relay.reconfigure("ens5f0", interval=0.5, policy=Policy(state_file=rig.state_file))
    rig.pass_time(relay, 100)
    rig.kernel.requests.clear()
    rig.pass_time(relay, 10)
    assert sum(rig.kernel.requests.values()) >= 20


@pytest.mark.parametrize(
    ("names", "interval", "policy"),
    [
        ((), 1.0, {}),
        (("",), 1.0, {}),
        (tuple(f"pf{number}" for number in range(65)), 1.0, {}),
        (("ens5f0",), 0.0, {}),
        (("ens5f0",), 1.0, {"dry_run": True}),
        (("ens5f0",), 1.0, {"heartbeat": "watch"}),
        (("ens5f0",), 1.0, {"heartbeat": "watch", "heartbeat_slow": True}),
        (("ens5f0",), 1.0, {"revive": True}),
        (("ens5f0",), 1.0, {"stand_by": True}),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_changes_nothing(rig, names, interval, policy):
    rig.pf()
    relay = rig.relay("ens5f0")
    whole = Policy(state_file=rig.state_file, **policy)
    with pytest.raises(ValueError, match=r"PFs, not|cannot be|must be"):
        relay.reconfigure(*names, interval=interval, policy=whole)
    rig.pass_time(relay, 2)
    assert list(relay.snapshot()) == ["ens5f0"]
    assert rig.count("configuration was reloaded") == 0
