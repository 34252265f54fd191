"""The relay against the fake kernel, in time that only waiting moves."""

from __future__ import annotations

import errno
import math
import os
import shutil
import threading
from functools import partial
from itertools import pairwise

import pytest

from pfstatus import (
    BondMode,
    LacpRate,
    LinkNotFoundError,
    Relay,
    VfLinkState,
)
from pfstatus.recording.netlink import nlmsg
from pfstatus.relay.numvfs import NumVfs
from pfstatus.relay.ownership import Ownership
from pfstatus.session import Events, Session
from pfstatus.testing import FakeKernel

AUTO, ENABLE, DISABLE = VfLinkState


@pytest.fixture
def sysfs(monkeypatch, tmp_path):
    """The folder ``device`` of a PF, in a sysfs of our own that the relay looks at."""
    monkeypatch.setattr("pfstatus.relay.checks.NumVfs", partial(NumVfs, root=tmp_path))

    def make(pf):
        device = tmp_path / "ens5f0" / "device"
        device.mkdir(parents=True)
        (device.parent / "ifindex").write_text(f"{pf.ifindex}\n")
        return device

    return make


def states(pf):
    return list(pf.vfs.values())


def was_set(vf, state, interface="ens5f0"):
    return ("vf link state was set", {"id": vf, "state": state, "interface": interface})


# ---- Failover and return


def test_vfs_fail_over_and_return(rig):
    pf = rig.pf(vfs=3)
    relay = rig.relay()
    pf.lacp_expire()
    relay.turn(timeout=0)
    assert states(pf) == [DISABLE] * 3
    pf.lacp_default()
    rig.pass_time(relay, 30)
    assert states(pf) == [DISABLE] * 3
    pf.lacp_up()
    rig.pass_time(relay, 0.2)
    assert states(pf) == [AUTO] * 3


def test_words_are_those_that_dashboards_know(rig):
    pf = rig.pf(vfs=2)
    pf.vfs[1] = DISABLE
    relay = rig.relay("ens5f0", "ens9", settled=False)
    rig.pass_time(relay, 0.05)
    absent = (
        "There is no interface of this name. It is served as soon as it appears (ip -br link "
        "shows the names)."
    )
    assert rig.said() == [
        ("Starting application", {}),
        ("interfaces to monitor", {"interfaces": ["ens5f0", "ens9"]}),
        ("pf is ready", {"interface": "ens5f0"}),
        ("lacp is up", {"interface": "ens5f0"}),
        ("pf is not ready", {"interface": "ens9", "error": absent}),
        ("vfs are disabled, and not by this relay", {"interface": "ens5f0", "ids": [1]}),
        was_set(1, "auto"),
    ]
    rig.forget()
    pf.lacp_expire()
    rig.pass_time(relay, 0.05)
    octets = {"actor": 0x8F, "partner": 0x37}
    assert rig.said() == [
        ("lacp is down", {"interface": "ens5f0", "reason": "expired", **octets}),
        was_set(0, "disable"),
        was_set(1, "disable"),
    ]
    rig.forget()
    pf.lacp_default()
    rig.pass_time(relay, 5)
    assert rig.said() == []
    assert rig.said("DEBUG") == [
        (
            "lacp is still down",
            {"interface": "ens5f0", "reason": "defaulted", "actor": 0x4F, "partner": 1},
        )
    ]
    rig.forget()
    pf.lacp_up()
    rig.pass_time(relay, 0.2)
    assert rig.said() == [
        ("lacp is up", {"interface": "ens5f0"}),
        was_set(0, "auto"),
        was_set(1, "auto"),
    ]


def test_each_level_is_the_known_one(rig):
    pf = rig.pf(vfs=1, lacp_rate=LacpRate.SLOW)
    relay = rig.relay("ens5f0", "ens9", settled=False)
    pf.vf_errors = {0: (errno.EBUSY, 1)}
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.message = broken
    rig.pass_time(relay, 1)
    levels = {report.message: report.level for report in rig.reports}
    assert levels == {
        "Starting application": "INFO",
        "interfaces to monitor": "INFO",
        "pf is ready": "INFO",
        "pf is not ready": "ERROR",
        "pf is using slow lacp rate": "WARN",
        "lacp is down": "INFO",
        "failed to set vf link state": "ERROR",
        "vf link state was set": "INFO",
        "vfs follow lacp": "DEBUG",
        "failed to fetch interface": "WARN",
    }


def test_only_differences_are_written(rig):
    pf = rig.pf(vfs=6)
    relay = rig.relay(restore="owned")
    pf.vfs = {0: AUTO, 1: ENABLE, 2: DISABLE, 3: AUTO, 4: DISABLE, 5: ENABLE}
    pf.lacp_expire()
    rig.pass_time(relay, 30)
    assert rig.kernel.writes == [("ens5f0", 0, DISABLE), ("ens5f0", 3, DISABLE)]


def test_nothing_is_written_or_read_while_nothing_happens(rig):
    rig.pf()
    relay = rig.relay(interval=1.0)
    rig.pass_time(relay, 100)
    assert not rig.kernel.writes
    assert not rig.reports
    assert rig.kernel.requests["get-vfs"] == 0
    assert 100 <= rig.kernel.requests["get"] <= 202, "the PF each second, and its bond"


def test_outage_that_was_there_before_the_relay_is_acted_upon(rig):
    pf = rig.pf()
    pf.lacp_default()
    relay = rig.relay(settled=False)
    relay.turn(timeout=0)
    assert states(pf) == [DISABLE] * 2


def test_vfs_that_were_left_disabled_are_given_back_at_the_start(rig):
    pf = rig.pf()
    pf.vfs[0] = DISABLE
    rig.relay()
    assert states(pf) == [AUTO] * 2


def test_vf_that_someone_disables_while_lacp_is_up_is_given_back_by_all(rig):
    pf = rig.pf()
    relay = rig.relay(restore="all")
    rig.kernel.set_vf(pf, 0, DISABLE)
    rig.pass_time(relay, 0.2)
    assert states(pf) == [AUTO] * 2


# ---- Unknown: hands off


def no_aggregator(kernel, pf):
    with kernel.change(pf):
        pf.aggregator_id = None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _kernel, pf: pf.set_carrier(False),
        lambda kernel, pf: kernel.enslave(pf, None),
        lambda kernel, pf: kernel.add_bridge("br0", pf),
        lambda kernel, pf: kernel.add_bond("b", pf, mode=BondMode.ACTIVE_BACKUP),
        lambda kernel, pf: kernel.remove(pf.master),
        no_aggregator,
    ],
    ids=["link-down", "no-master", "bridge", "active-backup", "bond-gone", "no-aggregator"],
)
@pytest.mark.parametrize("up", [True, False], ids=["was-up", "was-down"])
def test_pf_of_which_lacp_is_unknown_is_not_touched(rig, spoil, up):
    pf = rig.pf(vfs=3)
    relay = rig.relay()
    if not up:
        pf.lacp_default()
        rig.pass_time(relay, 0.1)
    pf.vfs = {0: AUTO, 1: ENABLE, 2: DISABLE}
    rig.kernel.writes.clear()
    spoil(rig.kernel, pf)
    rig.pass_time(relay, 10)
    rig.kernel.set_vf(pf, 0, DISABLE)
    rig.kernel.set_vf(pf, 0, AUTO)
    rig.pass_time(relay, 10)
    assert not rig.kernel.writes


def test_pf_that_is_not_ready_is_said_once_with_its_reason(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.set_carrier(False)
    rig.pass_time(relay, 10)
    pf.set_carrier(True)
    rig.pass_time(relay, 0.1)
    reason = (
        "The interface is not operationally up: no cable, or set down. Set it up (ip link set "
        "ens5f0 up) and look at its cable."
    )
    assert rig.said() == [
        ("pf is not ready", {"interface": "ens5f0", "error": reason}),
        ("pf is ready", {"interface": "ens5f0"}),
        ("lacp is up", {"interface": "ens5f0"}),
    ]


def test_lacp_that_is_unknown_in_a_good_bond_is_said(rig):
    pf = rig.pf()
    relay = rig.relay()
    no_aggregator(rig.kernel, pf)
    rig.pass_time(relay, 10)
    assert rig.said() == [("lacp is unknown", {"interface": "ens5f0", "reason": "no-aggregator"})]


# ---- What it warns of


def test_vf_in_enable_is_left_alone_and_said_once(rig):
    pf = rig.pf(vfs=3)
    pf.vfs[1] = ENABLE
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    rig.kernel.set_vf(pf, 0, AUTO)
    rig.pass_time(relay, 60)
    assert states(pf) == [DISABLE, ENABLE, DISABLE]
    warnings = [said for said in rig.said("WARNING") if said[0] == "vf will not fail over"]
    assert warnings == [
        ("vf will not fail over", {"id": 1, "state": "enable", "interface": "ens5f0"})
    ]
    pf.lacp_up()
    rig.pass_time(relay, 5)
    assert states(pf) == [AUTO, ENABLE, AUTO]
    assert all(vf != 1 for _, vf, _ in rig.kernel.writes)


def test_slow_rate_is_warned_of_once(rig):
    rig.pf(lacp_rate=LacpRate.SLOW)
    relay = rig.relay(settled=False)
    rig.pass_time(relay, 60)
    assert ("pf is using slow lacp rate", {"interface": "ens5f0"}) in rig.said()
    assert rig.count("pf is using slow lacp rate") == 1


def test_pf_that_is_not_alone_in_its_bond_is_warned_of(rig):
    pf = rig.pf()
    rig.kernel.enslave(rig.kernel.add_pf("ens5f1"), pf.master)
    relay = rig.relay(settled=False)
    rig.pass_time(relay, 60)
    assert rig.said("WARNING") == [
        ("pf is not alone in its bond", {"interface": "ens5f0", "ports": 2})
    ]


def test_idle_ports_of_a_bond_count(rig):
    """Two switches that are no MLAG: the other port is in an aggregator of its own, and idle."""
    pf = rig.pf()
    other = rig.kernel.add_pf("ens5f1")
    other.active = False
    other.aggregator_id = 2
    rig.kernel.enslave(other, pf.master)
    relay = rig.relay(settled=False)
    rig.pass_time(relay, 5)
    assert rig.said("WARNING") == [
        ("pf is not alone in its bond", {"interface": "ens5f0", "ports": 2})
    ]


def test_pf_without_vfs_is_said(rig):
    rig.pf(vfs=0)
    relay = rig.relay(settled=False)
    rig.pass_time(relay, 60)
    assert rig.count("pf has no VFs") == 1
    assert ("pf has no VFs", {"interface": "ens5f0"}) in rig.said()


def test_vfs_that_come_and_go_while_lacp_is_up_are_said_as_the_reference_does(rig, sysfs):
    pf = rig.pf(vfs=0)
    device = sysfs(pf)

    def create(vfs):
        rig.kernel.create_vfs(pf, vfs)
        (device / "sriov_numvfs").write_text(f"{vfs}\n")

    create(0)
    relay = rig.relay(settled=False)
    said = []
    for vfs in (0, 4, 0, 2, 3):
        create(vfs)
        rig.pass_time(relay, 1.1)
        said.append([line for line in rig.said() if "VFs" in line[0]])
        rig.forget()
    none = [("pf has no VFs", {"interface": "ens5f0"})]
    some = [("VFs detected on interface", {"interface": "ens5f0", "count": n}) for n in (4, 2)]
    assert said == [none, some[:1], none, some[1:], []]
    rig.pass_time(relay, 100)
    assert rig.kernel.requests["get-vfs"] == 0, "sysfs has the number for nothing"


def test_vfs_that_sysfs_shows_before_rtnetlink_counts_them_are_said(rig, sysfs, tmp_path):
    """As with PCI: virtfn0 comes before the kernel counts VFs, and goes before it counts none."""
    pf = rig.pf(vfs=0)
    device = sysfs(pf)
    (tmp_path / "pci").mkdir()
    (device / "subsystem").symlink_to(tmp_path / "pci")
    relay = rig.relay(settled=False)
    rig.pass_time(relay, 1.1)
    (device / "virtfn0").symlink_to(device)
    rig.pass_time(relay, 1.1)
    rig.forget()
    rig.kernel.create_vfs(pf, 4)
    rig.pass_time(relay, 2.2)
    assert rig.count("VFs detected on interface") == 1
    (device / "virtfn0").unlink()
    rig.pass_time(relay, 1.1)
    rig.forget()
    rig.kernel.create_vfs(pf, 0)
    rig.pass_time(relay, 2.2)
    assert rig.count("pf has no VFs") == 1


def test_vfs_that_an_event_showed_and_that_are_gone_before_the_next_check_are_said_to_be_gone(
    rig, sysfs
):
    pf = rig.pf(vfs=0)
    number = sysfs(pf) / "sriov_numvfs"
    number.write_text("0\n")
    relay = rig.relay(interval=60.0)
    rig.pass_time(relay, 61)
    rig.kernel.create_vfs(pf, 4)
    number.write_text("4\n")
    rig.kernel.set_vf(pf, 1, AUTO)  # which is announced
    rig.pass_time(relay, 1)
    assert ("VFs detected on interface", {"interface": "ens5f0", "count": 4}) in rig.said()
    rig.forget()
    rig.kernel.create_vfs(pf, 0)
    number.write_text("0\n")
    rig.pass_time(relay, 61)
    assert ("pf has no VFs", {"interface": "ens5f0"}) in rig.said()


def test_vfs_that_the_driver_leaves_out_for_good_are_said_once_in_an_outage(rig):
    pf = rig.pf(vfs=4)
    relay = rig.relay()
    pf.hidden = {1, 3}
    for _ in range(2):
        rig.forget()
        pf.lacp_expire()
        rig.pass_time(relay, 60)
        words = "driver leaves vfs out of the list"
        assert rig.said("WARNING") == [(words, {"interface": "ens5f0", "ids": [1, 3]})]
        pf.lacp_up()
        rig.pass_time(relay, 60)


def test_vf_that_is_left_out_for_a_moment_is_not_said(rig):
    pf = rig.pf(vfs=4)
    relay = rig.relay()
    pf.lacp_expire()
    for vf in (1, 2, 3):
        pf.hidden = {vf}
        rig.pass_time(relay, 1.5)
    assert rig.said("WARNING") == []


# ---- Others touch the PF


def test_vf_that_someone_resets_in_mid_outage_is_disabled_again_at_once(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    rig.kernel.set_vf(pf, 1, AUTO)
    rig.pass_time(relay, 0.05)
    assert states(pf) == [DISABLE] * 2
    assert rig.kernel.writes[2:] == [("ens5f0", 1, DISABLE)]


def test_vf_that_is_reset_without_an_event_is_disabled_at_the_interval(rig):
    pf = rig.pf()
    relay = rig.relay(interval=2.0)
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    rig.kernel.set_vf(pf, 1, AUTO, announce=False)
    rig.pass_time(relay, 2.1)
    assert states(pf) == [DISABLE] * 2


def test_vf_that_is_reset_while_events_are_lost_is_disabled_at_once(rig):
    pf = rig.pf()
    relay = rig.relay(interval=60)
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    rig.kernel.set_vf(pf, 1, AUTO, announce=False)
    rig.kernel.lose_events()
    rig.pass_time(relay, 0.2)
    assert states(pf) == [DISABLE] * 2


def test_lost_events_are_said(rig):
    rig.pf()
    relay = rig.relay()
    rig.kernel.lose_events()
    rig.pass_time(relay, 5)
    assert rig.said() == [("events were lost, asking for everything", {})]


def test_someone_who_keeps_resetting_a_vf_is_not_fought_without_pause(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    for _ in range(600):
        rig.kernel.set_vf(pf, 1, AUTO)
        rig.pass_time(relay, 0.1)
    assert len([vf for _, vf, _ in rig.kernel.writes if vf == 1]) < 130
    assert rig.count("vf link state does not stay") == 1
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE] * 2


@pytest.mark.parametrize("cost", [1e-5, 0.0015], ids=["quick", "slow"])
def test_vf_that_pod_after_pod_resets_is_never_wrong_for_longer_than_a_second(rig, cost):
    pf = rig.pf(vfs=64)
    pf.delay = pf.read_delay = cost
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    for _ in range(10):
        rig.kernel.set_vf(pf, 1, AUTO)
        rig.pass_time(relay, 1.0)
        assert states(pf)[1] is DISABLE


def test_vfs_that_are_made_in_mid_outage_are_disabled(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    rig.kernel.create_vfs(pf, 0)
    rig.pass_time(relay, 1.5)
    rig.kernel.create_vfs(pf, 8)
    rig.pass_time(relay, 1.5)
    assert states(pf) == [DISABLE] * 8
    counts = [said[1].get("count") for said in rig.said() if "VFs" in said[0]]
    assert counts == [None, 8]


@pytest.mark.parametrize("lacp", ["down", "up"])
def test_vf_that_could_not_be_read_at_first_is_not_forgotten(rig, lacp):
    """i40e leaves a VF out of the list while it resets it."""
    pf = rig.pf(vfs=3)
    relay = rig.relay()
    if lacp == "up":
        pf.lacp_default()
        rig.pass_time(relay, 1)
    pf.hidden = {1}
    if lacp == "up":
        pf.lacp_up()
    else:
        pf.lacp_expire()
    rig.pass_time(relay, 0.5)
    pf.hidden = set()
    rig.pass_time(relay, 5)
    assert states(pf) == [AUTO if lacp == "up" else DISABLE] * 3


# ---- Failures


def broken(*_args, seq=0, **_options):
    """A link message that ends before it says of which link."""
    return nlmsg(16, b"", seq=seq)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EBUSY, errno.EINVAL, errno.EIO])
def test_vf_that_fails_is_tried_again_said_once_and_does_not_hold_up_others(rig, number):
    pf = rig.pf(vfs=4)
    relay = rig.relay()
    pf.vf_errors = {1: (number, 5)}
    pf.lacp_expire()
    rig.pass_time(relay, 0.05)
    assert states(pf) == [DISABLE, AUTO, DISABLE, DISABLE]
    rig.pass_time(relay, 20)
    assert states(pf) == [DISABLE] * 4
    ((message, fields),) = rig.said("ERROR")
    assert message == "failed to set vf link state"
    assert fields.keys() == {"id", "interface", "error"}
    assert (fields["id"], fields["interface"]) == (1, "ens5f0")
    assert f"[Errno {number}]" in fields["error"]
    assert rig.said()[-1] == was_set(1, "disable"), "nor is it said not to stay"


def test_what_failed_is_not_said_to_be_set(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay()
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    pf.lacp_expire()
    rig.pass_time(relay, 20)
    assert [said for said in rig.said() if said[0] == "vf link state was set"] == [
        was_set(1, "disable")
    ]


def test_vf_that_always_fails_is_tried_less_and_less(rig):
    pf = rig.pf(vfs=1)
    relay = rig.relay()
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    tries = []
    rig.kernel.on_request = lambda word: word == "set" and tries.append(rig.clock.now)
    pf.lacp_expire()
    rig.pass_time(relay, 120)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[0] < 0.5
    assert all(later >= earlier * 0.9 for earlier, later in pairwise(pauses))
    assert 9 < pauses[-1] < 12
    assert rig.count("failed to set vf link state") == 1


def test_new_outage_gives_a_failing_vf_a_new_chance(rig):
    pf = rig.pf(vfs=1)
    relay = rig.relay()
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    pf.lacp_expire()
    rig.pass_time(relay, 120)
    pf.lacp_up()
    rig.pass_time(relay, 1)
    pf.vf_errors = {}
    pf.lacp_expire()
    rig.pass_time(relay, 0.05)
    assert states(pf) == [DISABLE]


def test_pf_that_cannot_set_vfs_is_said_once_in_an_outage(rig):
    pf = rig.pf(vfs=8)
    pf.supported = False
    relay = rig.relay()
    for outage in range(1, 4):
        pf.lacp_expire()
        rig.pass_time(relay, 60)
        pf.lacp_up()
        rig.pass_time(relay, 60)
        assert rig.kernel.requests["set"] <= outage * (1 + 4), "a message, then those of its VFs"
        assert rig.count("pf cannot set vf link states") == outage
    assert rig.count("failed to set vf link state") == 0


def test_pf_whose_eswitch_was_put_into_legacy_mode_is_served_at_the_next_outage(rig):
    pf = rig.pf(vfs=2)
    pf.supported = False
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    pf.supported = True  # devlink dev eswitch set ... mode legacy: the same ifindex
    pf.lacp_up()
    rig.pass_time(relay, 5)
    pf.lacp_expire()
    rig.pass_time(relay, 0.05)
    assert states(pf) == [DISABLE] * 2


def test_pf_that_is_made_again_may_be_able_to_set_vfs(rig):
    pf = rig.pf()
    pf.supported = False
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.remove(pf)
    rig.pass_time(relay, 1)
    again = rig.pf()
    again.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(again) == [DISABLE] * 2


def test_missing_privilege_is_said_and_not_hammered(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay()
    rig.kernel.permitted = False
    assert not relay.may_set_vfs()
    pf.lacp_expire()
    rig.pass_time(relay, 60)
    assert rig.kernel.requests["set"] < 15
    failures = rig.said("ERROR")
    assert {message for message, _ in failures} == {"failed to set vf link state"}
    assert len(failures) <= 4, "each VF, each reason"
    rig.kernel.permitted = True
    rig.pass_time(relay, 11)
    assert states(pf) == [DISABLE] * 2


def test_driver_that_says_yes_and_does_nothing_is_not_hammered(rig):
    pf = rig.pf(vfs=2)
    pf.ignores = {DISABLE}
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 60)
    assert rig.kernel.requests["set"] < 15
    words = "driver accepted a vf link state and did not set it"
    assert rig.said("WARNING") == [
        (words, {"id": vf, "state": "disable", "interface": "ens5f0"}) for vf in (0, 1)
    ]
    assert rig.count("vf link state was set") == 2, "once each, before it was read"


def test_driver_that_does_not_give_back_leaves_the_vfs_ours(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.ignores = {AUTO}
    rig.forget()
    pf.lacp_up()
    rig.pass_time(relay, 5)
    assert states(pf) == [DISABLE] * 2
    assert rig.count("driver accepted a vf link state and did not set it") == 2
    assert rig.count("vfs are disabled, and not by this relay") == 0
    pf.ignores = set()
    rig.pass_time(relay, 11)
    assert states(pf) == [AUTO] * 2


def test_pf_that_cannot_be_read_is_said_and_the_other_is_served(rig):
    pf, other = rig.pf(), rig.pf("ens5f1")
    relay = rig.relay("ens5f0", "ens5f1")
    pf.message = broken
    other.lacp_expire()
    rig.pass_time(relay, 10)
    assert states(other) == [DISABLE] * 2
    ((message, fields),) = rig.said("WARNING")
    assert message == "failed to fetch interface"
    assert fields.keys() == {"interface", "error"}
    assert fields["interface"] == "ens5f0"


def test_vf_list_that_cannot_be_read_is_tried_again(rig):
    pf = rig.pf()
    relay = rig.relay()
    whole = pf.message
    pf.message = lambda mask=0, **options: (broken if mask & 1 else whole)(mask, **options)
    pf.lacp_expire()
    rig.kernel.requests.clear()
    rig.pass_time(relay, 60)
    assert 2 < rig.kernel.requests["get-vfs"] < 20
    assert rig.count("failed to fetch interface") == 1
    pf.message = whole
    rig.pass_time(relay, 11)
    assert states(pf) == [DISABLE] * 2


def test_lost_kernel_ends_the_relay(rig):
    rig.pf()
    relay = rig.relay()
    rig.kernel.hang_up()
    with pytest.raises(OSError, match=r"."):
        rig.pass_time(relay, 10)


# ---- PFs that come and go


def test_pf_that_is_absent_at_the_start_is_served_when_it_comes(rig):
    relay = rig.relay()
    pf = rig.pf()
    pf.lacp_expire()
    rig.pass_time(relay, 0.2)
    assert states(pf) == [DISABLE] * 2


def test_pf_that_goes_in_mid_outage_and_comes_back_is_served(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.remove(pf)
    rig.pass_time(relay, 1)
    again = rig.pf(vfs=3)
    again.lacp_default()
    rig.pass_time(relay, 0.2)
    assert states(again) == [DISABLE] * 3
    again.lacp_up()
    rig.pass_time(relay, 0.2)
    assert states(again) == [AUTO] * 3


@pytest.mark.parametrize("request_word", ["get-vfs", "set"])
def test_pf_that_goes_under_our_hands_is_not_an_error(rig, request_word):
    pf = rig.pf()
    relay = rig.relay()

    def vanish(word):
        if word == request_word:
            rig.kernel.on_request = None
            rig.kernel.remove(pf)

    rig.kernel.on_request = vanish
    pf.lacp_expire()
    rig.pass_time(relay, 10)
    assert rig.kernel.on_request is None
    assert [message for message, _ in rig.said("WARNING")] == ["pf is not ready"]


def test_lacp_that_recovers_between_look_and_setting_is_set_right(rig):
    pf = rig.pf()
    relay = rig.relay()

    def recover(word):
        if word == "set":
            rig.kernel.on_request = None
            pf.lacp_up()

    rig.kernel.on_request = recover
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO] * 2


def test_lacp_that_recovered_before_the_vfs_were_read_leaves_them_alone(rig):
    pf = rig.pf()
    relay = rig.relay()

    def recover(word):
        if word == "get-vfs":
            rig.kernel.on_request = None
            pf.lacp_up(announce=False)

    rig.kernel.on_request = recover
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert not rig.kernel.writes


# ---- Messages and chunks


def messages(rig):
    """VFs in each message that set some."""
    sizes = []
    before = 0

    def count(word):
        nonlocal before
        if word in ("set", "get-vfs") and len(rig.kernel.writes) > before:
            sizes.append(len(rig.kernel.writes) - before)
            before = len(rig.kernel.writes)

    rig.kernel.on_request = count
    return sizes


@pytest.mark.parametrize("vfs", [1, 2, 4])
def test_few_vfs_are_set_by_one_message(rig, vfs):
    pf = rig.pf(vfs=vfs)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert rig.kernel.requests["set"] == 1


def test_quick_nic_is_served_by_one_message_at_the_next_outage(rig):
    pf = rig.pf(vfs=64)
    relay = rig.relay()
    seen = messages(rig)
    for sizes in ([4, 60], [64]):
        pf.lacp_expire()
        seen.clear()
        rig.pass_time(relay, 1)
        assert states(pf) == [DISABLE] * 64
        assert seen == sizes
        pf.lacp_up()
        rig.pass_time(relay, 1)


def test_loss_is_acted_upon_before_the_next_one_is_heard(rig, monkeypatch):
    pfs = [rig.pf(f"ens5f{port}") for port in range(3)]
    relay = rig.relay("ens5f0", "ens5f1", "ens5f2")
    order = []
    hear, act = Events.next, Session.switch_vfs

    def heard(events):
        event = hear(events)
        order.extend([("heard", event.ifname)] if event else [])
        return event

    def acted(session, pf, *args, **options):
        order.append(("acted", pf.name))
        return act(session, pf, *args, **options)

    monkeypatch.setattr(Events, "next", heard)
    monkeypatch.setattr(Session, "switch_vfs", acted)
    for pf in pfs:
        pf.lacp_expire()
    relay.turn(timeout=0)
    firsts = [step for number, step in enumerate(order) if step not in order[:number]]
    assert firsts == [(what, pf.name) for pf in pfs for what in ("heard", "acted")]
    assert [states(pf) for pf in pfs] == [[DISABLE] * 2] * 3


def test_loss_that_was_acted_upon_at_once_is_told_as_having_come_before(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    relay.turn(timeout=0)
    assert [report.message for report in rig.reports] == [
        "lacp is down",
        "vf link state was set",
        "vf link state was set",
    ]
    down, *sets = (report.time_ns for report in rig.reports)
    assert down < min(sets), "cause before effect"


def test_many_vfs_of_a_quick_nic_are_set_by_two_messages(rig):
    pf = rig.pf(vfs=256)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE] * 256
    assert rig.kernel.requests["set"] == 2, "one that measures, and the rest"


@pytest.mark.parametrize("cost", [0.0015, 0.01, 0.2])
def test_slow_nic_holds_the_lock_for_50_ms_at_a_time(rig, cost):
    pf = rig.pf(vfs=64)
    pf.delay = cost
    relay = rig.relay()
    sizes = messages(rig)
    pf.lacp_expire()
    rig.pass_time(relay, 64 * cost * 1.1 + 1)
    assert states(pf) == [DISABLE] * 64
    assert sizes[0] == 4
    assert max(sizes[1:]) <= max(1, 0.0501 / cost)
    assert len(sizes) <= 2 + 60 / max(1, int(0.05 / cost))


def test_nic_that_has_become_slow_since_the_last_batch_is_measured_anew(rig):
    pf = rig.pf(vfs=64)
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    pf.delay = 0.05
    sizes = messages(rig)
    pf.lacp_up()
    rig.pass_time(relay, 5)
    assert states(pf) == [AUTO] * 64
    assert sizes[:2] == [4, 1]


def test_lock_is_left_to_others_between_the_messages_of_a_slow_nic(rig):
    pf = rig.pf(vfs=16)
    pf.delay = 0.05
    relay = rig.relay()
    starts = []
    rig.kernel.on_request = lambda word: word == "set" and starts.append(rig.clock.now)
    pf.lacp_expire()
    rig.pass_time(relay, 2)
    pauses = [b - a - pf.delay for a, b in pairwise(starts[1:])]
    assert len(pauses) == 11
    assert min(pauses) >= 0.05 * pf.delay * 0.99


def test_other_pf_is_served_between_the_messages_of_a_slow_one(rig):
    slow, quick = rig.pf("ens5f0", vfs=64), rig.pf("ens5f1", vfs=4)
    slow.delay = 0.02
    relay = rig.relay("ens5f0", "ens5f1")
    sets = 0

    def lose_the_other(word):
        nonlocal sets
        sets += word == "set"
        if sets == 5:
            quick.lacp_expire()

    rig.kernel.on_request = lose_the_other
    slow.lacp_expire()
    rig.pass_time(relay, 3)
    assert states(slow) == [DISABLE] * 64
    names = [name for name, _, _ in rig.kernel.writes]
    served = names.index("ens5f1")
    assert served <= 4 + 2 * 5, "after the message under way, not after all"
    assert names[served : served + 4] == ["ens5f1"] * 4


def test_first_vf_does_not_wait_until_all_pfs_are_read(rig):
    pfs = [rig.pf(f"ens{number}", vfs=64) for number in range(64)]
    relay = rig.relay(*(pf.name for pf in pfs))
    for pf in pfs:
        pf.read_delay = 0.0002
    firsts = []
    rig.kernel.on_request = lambda word: word == "set" and firsts.append(rig.clock.now)
    began = rig.clock.now
    for pf in pfs:
        pf.lacp_expire()
    rig.pass_time(relay, 3)
    assert firsts[0] - began < 1.2 * 64 * 0.0002
    assert all(states(pf) == [DISABLE] * 64 for pf in pfs)


def test_pf_that_is_slow_to_read_delays_no_quick_one(rig):
    pfs = [rig.pf(f"ens{number}", vfs=64) for number in range(4)]
    pfs[0].read_delay = 0.01
    relay = rig.relay(*(pf.name for pf in pfs))
    rig.pass_time(relay, 5)
    rig.forget()
    for pf in pfs:
        pf.lacp_expire()
    rig.pass_time(relay, 3)
    order = list(dict.fromkeys(name for name, _, _ in rig.kernel.writes))
    assert order[-1] == "ens0"


def test_steady_outage_of_many_slow_pfs_leaves_the_lock_to_the_node(rig):
    pfs = [rig.pf(f"ens{number}", vfs=64) for number in range(16)]
    relay = rig.relay(*(pf.name for pf in pfs))
    for pf in pfs:
        pf.read_delay = 0.001
        pf.lacp_expire()
    rig.pass_time(relay, 10)
    rig.forget()
    rig.pass_time(relay, 20)
    assert 0.02 < rig.kernel.requests["get-vfs"] * 64 * 0.001 / 20 < 0.055


def test_lacp_that_returns_in_mid_batch_ends_the_batch(rig):
    pf = rig.pf(vfs=64)
    pf.delay = 0.02
    relay = rig.relay()
    sets = 0

    def recover(word):
        nonlocal sets
        sets += word == "set"
        if sets == 5 and word == "set":
            pf.lacp_up()

    rig.kernel.on_request = recover
    pf.lacp_expire()
    rig.pass_time(relay, 3)
    assert states(pf) == [AUTO] * 64
    assert len(rig.kernel.writes) < 2 * 40


# ---- Policy


def test_up_delay_absorbs_flaps(rig):
    pf = rig.pf()
    relay = rig.relay(up_delay=5.0)
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    for _ in range(5):
        pf.lacp_up()
        rig.pass_time(relay, 3)
        pf.lacp_expire()
        rig.pass_time(relay, 1)
    assert len(rig.kernel.writes) == 2
    pf.lacp_up()
    rig.pass_time(relay, 4.9)
    assert states(pf) == [DISABLE] * 2
    rig.pass_time(relay, 0.2)
    assert states(pf) == [AUTO] * 2


def test_events_do_not_shorten_up_delay(rig):
    pf = rig.pf()
    relay = rig.relay(up_delay=5.0)
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.lacp_up()
    for _ in range(4):
        rig.pass_time(relay, 1)
        rig.kernel.set_vf(pf, 0, DISABLE)
    assert states(pf) == [DISABLE] * 2


def test_owned_gives_back_what_the_relay_took(rig):
    pf = rig.pf(vfs=3)
    pf.vfs[1] = DISABLE
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert relay.disabled("ens5f0") == {0, 2}
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO, DISABLE, AUTO]
    assert relay.disabled("ens5f0") == frozenset()


def test_owned_survives_a_death_in_mid_outage(rig):
    pf = rig.pf(vfs=3)
    pf.vfs[1] = DISABLE
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    relay.close()  # a dead process says no more than that
    pf.lacp_up()
    rig.relay(restore="owned")
    assert states(pf) == [AUTO, DISABLE, AUTO]


def test_owned_is_noted_before_the_vf_is_set(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    noted = []

    def look(word):
        if word == "set":
            noted.append(Ownership(rig.state_file).disabled(pf.ifindex))

    rig.kernel.on_request = look
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert noted == [{0, 1}]


def test_vf_that_someone_took_over_in_an_outage_is_left_to_him(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.set_vf(pf, 0, ENABLE)
    rig.pass_time(relay, 1)
    assert relay.disabled("ens5f0") == {1}
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [ENABLE, AUTO]


@pytest.mark.parametrize("dies", [None, "in the outage", "after it"])
@pytest.mark.parametrize("state", [AUTO, ENABLE], ids=str)
def test_disable_that_a_cni_found_and_puts_back_after_the_outage_is_ours(rig, dies, state):
    """A pod added in the outage: sriov-cni saves what it finds, and writes it back at DEL."""
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.set_vf(pf, 0, state)
    rig.pass_time(relay, 1)
    if dies == "in the outage":
        relay.close()
        relay = rig.relay(restore="owned")
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [state, AUTO]
    if dies == "after it":
        relay.close()
        relay = rig.relay(restore="owned")
    rig.forget()
    rig.kernel.set_vf(pf, 0, DISABLE)
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO, AUTO]
    assert rig.said("WARNING") == [
        ("vf was put back to what this relay had set", {"id": 0, "interface": "ens5f0"})
    ]


def test_pod_that_comes_and_goes_within_an_outage_leaves_the_vf_ours(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.set_vf(pf, 0, ENABLE)
    rig.pass_time(relay, 1)
    rig.kernel.set_vf(pf, 0, DISABLE)
    rig.pass_time(relay, 1)
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO, AUTO]


@pytest.mark.parametrize("restore", ["all", "owned"])
def test_vf_that_somebody_disables_while_lacp_is_up_is_said_once(rig, restore):
    pf = rig.pf(vfs=3)
    relay = rig.relay(restore=restore)
    rig.kernel.set_vf(pf, 1, DISABLE)
    rig.pass_time(relay, 5)
    rig.kernel.set_vf(pf, 2, ENABLE)
    rig.pass_time(relay, 60)
    words = "vfs are disabled, and not by this relay"
    assert rig.said("WARNING") == [(words, {"interface": "ens5f0", "ids": [1]})]
    assert states(pf)[1] is (AUTO if restore == "all" else DISABLE)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENODEV, errno.EIO, errno.ETIMEDOUT])
def test_vfs_of_a_batch_that_failed_in_the_middle_are_given_back(rig, number):
    pf = rig.pf(vfs=8)
    relay = rig.relay(restore="owned")
    pf.vf_errors = {6: (number, math.inf)}
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO] * 8


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EIO, errno.EPERM, errno.ENODEV])
def test_vf_whose_driver_says_an_error_and_sets_it_is_ours(rig, number):
    pf = rig.pf(vfs=3)
    carry_out = pf.set_vf

    def lie(vf, state):
        return carry_out(vf, state) or (number if (vf, state) == (1, DISABLE) else 0)

    pf.set_vf = lie
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE] * 3
    assert relay.disabled("ens5f0") == {0, 1, 2}
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO] * 3


def test_batch_of_nothing_but_enodev_by_a_pf_that_stays_is_said(rig):
    pf = rig.pf(vfs=2)
    pf.vf_errors = {0: (errno.ENODEV, math.inf), 1: (errno.ENODEV, math.inf)}
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    assert sorted(fields["id"] for message, fields in rig.said("ERROR")) == [0, 1]
    assert rig.kernel.requests["set"] < 30


def test_vf_that_someone_disables_when_it_was_read_as_given_back_is_theirs(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.lacp_up()
    rig.pass_time(relay, 0.2)
    assert states(pf) == [AUTO] * 2
    rig.kernel.set_vf(pf, 0, DISABLE)
    rig.pass_time(relay, 5)
    assert states(pf) == [DISABLE, AUTO]


def test_vf_whose_setting_failed_is_not_owned(rig):
    pf = rig.pf(vfs=2)
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert relay.disabled("ens5f0") == {1}


def test_record_is_not_another_nic_s(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.remove(pf)
    rig.pass_time(relay, 1)
    again = rig.pf(vfs=2)
    again.vfs = {0: DISABLE, 1: DISABLE}
    rig.pass_time(relay, 1)
    assert states(again) == [DISABLE] * 2


def test_vfs_of_a_pf_that_leaves_lacp_are_named_and_can_be_given_back(rig):
    pf = rig.pf(vfs=2)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    rig.kernel.enslave(pf, None)
    rig.pass_time(relay, 1)
    assert rig.said("WARNING")[-1] == (
        "vfs were left disabled",
        {"interface": "ens5f0", "ids": [0, 1], "reason": "The interface is in no bond."},
    )
    assert [(vf, error) for vf, _, error in relay.give_back("ens5f0")] == [(0, None), (1, None)]
    assert states(pf) == [AUTO] * 2
    assert relay.disabled("ens5f0") == frozenset()


def test_vfs_of_a_pf_that_left_the_configuration_are_named_and_can_be_given_back(rig):
    pf = rig.pf("ens5f1")
    pf.vfs[1] = DISABLE
    Ownership(rig.state_file).about_to_disable("ens5f1", pf.ifindex, {1})
    rig.pf()
    relay = rig.relay("ens5f0", restore="owned", settled=False)
    rig.pass_time(relay, 1)
    left = {"interface": "ens5f1", "ids": [1], "reason": "it is not configured any more"}
    assert ("vfs were left disabled", left) in rig.said("WARNING")
    assert relay.disabled("ens5f1") == {1}
    relay.give_back("ens5f1")
    assert states(pf) == [AUTO] * 2


def test_give_back_says_what_failed_and_keeps_it(rig):
    pf = rig.pf(vfs=6)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.vf_errors = {5: (errno.EBUSY, math.inf)}
    results = relay.give_back("ens5f0")
    assert [vf for vf, _, error in results if error] == [5]
    assert relay.disabled("ens5f0") == {5}


def test_give_back_does_not_forget_a_vf_that_could_not_be_read(rig):
    """i40e leaves a VF out of the list while it resets it."""
    pf = rig.pf(vfs=3)
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.hidden = {1}
    assert [vf for vf, _, _ in relay.give_back("ens5f0")] == [0, 2]
    assert relay.disabled("ens5f0") == {1}
    pf.hidden = set()
    assert [vf for vf, _, _ in relay.give_back("ens5f0")] == [1]
    assert states(pf) == [AUTO] * 3
    assert relay.disabled("ens5f0") == frozenset()


def test_give_back_of_a_pf_that_is_gone_is_an_error(rig):
    relay = rig.relay()
    with pytest.raises(LinkNotFoundError):
        relay.give_back("ens5f0")


def test_state_file_that_cannot_be_written_does_not_stop_failover(rig):
    pf = rig.pf()
    relay = rig.relay(restore="owned")
    rig.state_file.with_name(rig.state_file.name + ".new").mkdir()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE] * 2
    assert [message for message, _ in rig.said("ERROR")] == ["failed to record disabled vfs"]


def test_state_file_is_tried_at_the_start(rig):
    rig.pf()
    rig.state_file.with_name(rig.state_file.name + ".new").mkdir()
    relay = rig.relay(restore="owned", settled=False)
    relay.turn(timeout=0)
    assert [message for message, _ in rig.said("ERROR")] == ["failed to record disabled vfs"]


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_folder_of_the_state_file_that_is_gone_for_a_moment_costs_no_vf(rig, dies, tmp_path):
    rig.state_file = tmp_path / "run" / "disabled-vfs.json"
    pf = rig.pf()
    relay = rig.relay(restore="owned")
    shutil.rmtree(rig.state_file.parent)
    rig.state_file.parent.touch()
    pf.lacp_expire()
    rig.pass_time(relay, 0.5)
    assert relay.disabled("ens5f0") == {0, 1}
    rig.state_file.parent.unlink()
    rig.pass_time(relay, 1)
    assert rig.said()[-1] == ("disabled vfs are recorded again", {})
    if dies:
        relay.close()
        relay = rig.relay(restore="owned")
    pf.lacp_up()
    rig.pass_time(relay, 1)
    assert states(pf) == [AUTO] * 2


def test_damaged_state_file_is_moved_aside_and_said(rig):
    rig.pf()
    rig.state_file.write_text("shopping list")
    relay = rig.relay(restore="owned", settled=False)
    relay.turn(timeout=0)
    aside = rig.state_file.with_name(rig.state_file.name + ".damaged")
    words = "record of disabled vfs is damaged, and was moved aside"
    assert rig.said("ERROR") == [(words, {"file": str(aside)})]
    assert aside.read_text() == "shopping list"


def test_relay_for_each_pf_shares_the_state_file(rig):
    pfs = [rig.pf("ens5f0"), rig.pf("ens5f1")]
    relays = [rig.relay(pf.name, restore="owned") for pf in pfs]
    for pf, relay in zip(pfs, relays, strict=True):
        pf.lacp_expire()
        rig.pass_time(relay, 0.5)
    for relay in relays:
        relay.close()
    for pf in pfs:
        pf.lacp_up()
        rig.relay(pf.name, restore="owned")
    assert [states(pf) for pf in pfs] == [[AUTO] * 2] * 2


def test_second_relay_on_a_pf_is_found_out_and_said_once(rig):
    rig.pf()
    rig.netns = int.from_bytes(os.urandom(6))
    first, second = rig.relay(settled=False), rig.relay(settled=False)
    rig.pass_time(first, 1)
    rig.pass_time(second, 20)
    assert rig.said("WARNING") == [
        ("another relay watches this pf", {"interface": "ens5f0", "pid": os.getpid()})
    ]


def test_pfs_that_exchange_names_in_an_outage_get_their_vfs_back(rig):
    pfs = [rig.pf("ens5f0"), rig.pf("ens5f1", vfs=3)]
    relay = rig.relay("ens5f0", "ens5f1", restore="owned")
    for pf in pfs:
        pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.kernel.rename(pfs[0], "swap")
    rig.kernel.rename(pfs[1], "ens5f0")
    rig.kernel.rename(pfs[0], "ens5f1")
    rig.pass_time(relay, 1)
    assert relay.disabled("ens5f0") == {0, 1, 2}
    for pf in pfs:
        pf.lacp_up()
    rig.pass_time(relay, 1)
    assert [states(pf) for pf in pfs] == [[AUTO] * 2, [AUTO] * 3]


def test_pf_that_is_renamed_in_an_outage_is_said_with_the_vfs_that_it_takes_along(rig):
    pf = rig.pf()
    relay = rig.relay(restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    rig.kernel.rename(pf, "ens7")
    rig.pass_time(relay, 5)
    why = "ens5f0 is another interface now"
    assert rig.said("WARNING")[-1] == (
        "vfs were left disabled",
        {"interface": "ens5f0", "ids": [0, 1], "reason": why},
    )


def test_driver_that_is_loaded_again_and_again_fills_no_state_file(rig):
    pf = rig.pf()
    relay = rig.relay(restore="owned")
    for _ in range(30):
        pf.lacp_expire()
        rig.pass_time(relay, 2)
        assert states(pf) == [DISABLE] * 2
        rig.kernel.remove(next(link for link in rig.kernel.links if link.name == "bond-ens5f0"))
        rig.kernel.remove(pf)
        rig.pass_time(relay, 2)
        pf = rig.pf()
        rig.pass_time(relay, 2)
    assert len(Ownership(rig.state_file).names()) == 16


def test_pf_by_two_names_is_served_once_and_said(rig):
    pf = rig.kernel.add_pf("ens5f0", vfs=2, altnames=["enp129s0f0"])
    rig.kernel.add_bond("bond0", pf)
    relay = rig.relay("enp129s0f0", "ens5f0", settled=False)
    rig.pass_time(relay, 1)
    pf.lacp_expire()
    rig.pass_time(relay, 5)
    assert len(rig.kernel.writes) == 2
    alias = {"interface": "ens5f0", "other": "enp129s0f0"}
    assert rig.said("WARNING") == [("pf is watched by another name", alias)]
    assert rig.count("vf link state was set") == 2


def test_no_state_file_is_written_where_nobody_needs_it(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert relay.disabled("ens5f0") == {0, 1}
    assert not rig.state_file.exists()


def end(relay):
    """Stop it, and let run() end it."""
    relay.stop()
    relay.run()


def test_on_exit_restore_gives_vfs_back_in_mid_outage(rig):
    pf = rig.pf(vfs=6)
    pf.vfs[1] = DISABLE
    relay = rig.relay(on_exit="restore", restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    end(relay)
    assert states(pf) == [AUTO, DISABLE, AUTO, AUTO, AUTO, AUTO]
    assert rig.said() == [was_set(vf, "auto") for vf in (0, 2, 3, 4, 5)]


def test_on_exit_keep_names_what_it_leaves(rig):
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    end(relay)
    assert states(pf) == [DISABLE] * 2
    left = {"interface": "ens5f0", "ids": [0, 1], "reason": "the relay ends"}
    assert rig.said("WARNING") == [("vfs were left disabled", left)]


def test_on_exit_with_nothing_disabled_is_silent(rig):
    rig.pf()
    relay = rig.relay(on_exit="restore")
    end(relay)
    assert rig.said() == []


def test_on_exit_restore_that_fails_says_so(rig):
    pf = rig.pf()
    relay = rig.relay(on_exit="restore")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    rig.forget()
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    end(relay)
    assert states(pf) == [DISABLE, AUTO]
    assert rig.said("ERROR")[0][0] == "failed to set vf link state"


def test_on_exit_restore_that_a_driver_did_not_do_is_said(rig):
    pf = rig.pf()
    relay = rig.relay(on_exit="restore")
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    pf.ignores = {AUTO}
    end(relay)
    why = "they could not be given back"
    left = {"interface": "ens5f0", "ids": [0, 1], "reason": why}
    assert rig.said("WARNING")[-1] == ("vfs were left disabled", left)
    assert Ownership(rig.state_file).disabled(pf.ifindex) == {0, 1}


def test_dry_run_writes_nothing_and_says_what_it_would_once(rig):
    pf = rig.pf()
    relay = rig.relay(dry_run=True, restore="owned")
    pf.lacp_expire()
    rig.pass_time(relay, 30)
    assert rig.kernel.requests["set"] == 0
    assert not rig.state_file.exists()
    assert rig.said()[1:] == [
        ("vf link state would be set", {"id": vf, "state": "disable", "interface": "ens5f0"})
        for vf in (0, 1)
    ]


# ---- Groups: never the last path

GROUP = {"groups": (("ens5f0", "ens5f1"),)}
BOTH = ("ens5f0", "ens5f1")


def kept(interface):
    return ("last path of a group is kept", {"interface": interface, "group": [*BOTH]})


def test_last_pf_of_a_group_to_fail_keeps_its_vfs(rig):
    pfs = [rig.pf(name) for name in BOTH]
    relay = rig.relay(*BOTH, **GROUP)
    pfs[1].lacp_expire()
    rig.pass_time(relay, 5)
    assert [states(pf) for pf in pfs] == [[AUTO] * 2, [DISABLE] * 2]
    assert rig.said("WARNING") == []
    pfs[0].lacp_expire()
    rig.pass_time(relay, 60)
    assert [states(pf) for pf in pfs] == [[AUTO] * 2, [DISABLE] * 2]
    assert rig.said("WARNING") == [kept("ens5f0")]
    rig.forget()
    pfs[1].lacp_up()
    rig.pass_time(relay, 5)
    assert [states(pf) for pf in pfs] == [[DISABLE] * 2, [AUTO] * 2]
    assert ("group has a path again", {"group": [*BOTH]}) in rig.said()
    order = [name for name, _, _ in rig.kernel.writes]
    assert order == ["ens5f1"] * 2 + ["ens5f0"] * 2, "the other first"


def test_both_pfs_that_fail_at_once_leave_one_path(rig):
    """A control plane that restarts on both switches, whose data still flows."""
    pfs = [rig.pf(name) for name in BOTH]
    relay = rig.relay(*BOTH, **GROUP)
    for pf in pfs:
        pf.lacp_expire()
    rig.pass_time(relay, 5)
    assert sorted(map(str, (states(pf)[0] for pf in pfs))) == ["auto", "disable"]
    for pf in pfs:
        pf.lacp_default()
    rig.pass_time(relay, 30)
    before = [states(pf) for pf in pfs]
    for pf in pfs:
        pf.lacp_up()
    rig.pass_time(relay, 5)
    assert [AUTO] * 2 in before
    assert [states(pf) for pf in pfs] == [[AUTO] * 2] * 2
    assert len(rig.kernel.writes) == 4, "the one that was kept was never touched"


def test_kept_pf_waits_for_the_other_s_up_delay(rig):
    pfs = [rig.pf(name) for name in BOTH]
    relay = rig.relay(*BOTH, up_delay=5.0, **GROUP)
    rig.pass_time(relay, 6)
    pfs[1].lacp_expire()
    rig.pass_time(relay, 1)
    pfs[0].lacp_expire()
    rig.pass_time(relay, 1)
    pfs[1].lacp_up()
    rig.pass_time(relay, 4)
    assert [states(pf)[0] for pf in pfs] == [AUTO, DISABLE]
    rig.pass_time(relay, 2)
    assert [states(pf)[0] for pf in pfs] == [DISABLE, AUTO]


def test_pf_that_was_disabled_is_given_back_where_the_last_one_loses_its_cable(rig):
    pfs = [rig.pf(name) for name in BOTH]
    relay = rig.relay(*BOTH, **GROUP)
    pfs[1].lacp_expire()
    rig.pass_time(relay, 1)
    pfs[0].set_carrier(False)
    rig.pass_time(relay, 1)
    assert states(pfs[1]) == [AUTO] * 2
    assert kept("ens5f1") in rig.said("WARNING")


def test_relay_that_starts_with_both_down_keeps_one(rig):
    pfs = [rig.pf(name) for name in BOTH]
    for pf in pfs:
        pf.lacp_default()
    rig.relay(*BOTH, **GROUP)
    assert sorted(map(str, (states(pf)[0] for pf in pfs))) == ["auto", "disable"]


# ---- Two relays on a PF


def test_second_relay_stands_by_and_takes_over_what_the_first_one_took(rig):
    pf = rig.pf()
    rig.netns = int.from_bytes(os.urandom(6))
    first = rig.relay(restore="owned", settled=False)
    rig.pass_time(first, 0.5)
    second = rig.relay(restore="owned", stand_by=True, settled=False)
    pf.lacp_expire()
    rig.pass_time(first, 0.5)
    rig.forget()
    rig.pass_time(second, 5)
    assert not rig.kernel.writes
    pf.lacp_up()
    first.close()  # killed
    rig.pass_time(second, 0.1)
    assert states(pf) == [AUTO] * 2
    assert ("pf was taken over from another relay", {"interface": "ens5f0"}) in rig.said()


# ---- Reports


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_end_gives_all_pfs_back_whatever_fails_at_one(rig, number):
    pfs = [rig.pf("ens5f0"), rig.pf("ens5f1")]
    relay = rig.relay("ens5f0", "ens5f1", on_exit="restore")
    for pf in pfs:
        pf.lacp_expire()
    rig.pass_time(relay, 1)
    if number == errno.EROFS:
        rig.state_file.with_name(rig.state_file.name + ".new").mkdir()
    else:
        pfs[0].message = broken
    end(relay)
    assert states(pfs[1]) == [AUTO] * 2
    assert states(pfs[0]) == [AUTO if number == errno.EROFS else DISABLE] * 2
    assert rig.said("ERROR") or rig.said("WARNING")


def test_callback_that_raises_does_not_stop_the_relay(rig, caplog):
    def report(_reports):
        msg = "the disk is full"
        raise OSError(msg)

    pf = rig.pf()
    relay = rig.relay(report=report)
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    assert states(pf) == [DISABLE] * 2
    assert "the report callback failed" in caplog.text


def test_reports_come_after_the_work(rig):
    """A slow pipe must not keep VFs from failing over."""
    pf = rig.pf()
    seen = []
    relay = rig.relay(report=lambda _reports: seen.append(states(pf)))
    seen.clear()
    pf.lacp_expire()
    relay.turn(timeout=0)
    assert seen == [[DISABLE] * 2]


# ---- The end, in real time


def test_stop_from_another_thread_ends_run():
    with FakeKernel() as kernel:
        pf = kernel.add_pf("ens5f0", vfs=2)
        kernel.add_bond("bond0", pf)
        disabled = threading.Event()

        def report(reports):
            if any(report.message == "vf link state was set" for report in reports):
                disabled.set()

        with Relay("ens5f0", session=kernel.session(), report=report) as relay:
            thread = threading.Thread(target=relay.run)
            thread.start()
            pf.lacp_expire()
            assert disabled.wait(5)
            relay.stop()
            thread.join(5)
            assert not thread.is_alive()
    assert states(pf) == [DISABLE] * 2


def test_stop_from_the_report_callback_ends_run(kernel):
    with Relay("ens5f0", session=kernel.session(), report=lambda _reports: relay.stop()) as relay:
        relay.run()
