"""What is said of a PF, and the command that mends it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from pfstatus import (
    BondMode,
    Lacp,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    OperState,
    Partner,
    VfLinkState,
    sysfs,
)
from pfstatus.explain import Facts, Level, explain, ranges, works

LACP = Lacp(LacpStatus.UNKNOWN, LacpReason.NO_BOND, "It is in no bond.")
GOOD_FACTS = Facts(
    may_set_vfs=True,
    driver="ice",
    pci_address="0000:5e:00.0",
    total_vfs=64,
    admin_up=True,
    switchdev=False,
    bond_ports=("ens5f0",),
    routed=False,
)


@pytest.fixture
def pf(kernel):
    pf = kernel.add_pf("ens5f0", vfs=4)
    kernel.add_bond("bond0", pf).min_links = 1
    return pf


@pytest.fixture
def look(kernel, pf):
    """A status of the PF as it is by then, its bond with min_links 1."""
    with kernel.session() as session:

        def status():
            found = session.get(pf.name)
            return found._replace(bond=found.bond and replace(found.bond, min_links=1))

        yield status


def wrong(status, facts=GOOD_FACTS) -> dict[str, tuple[Level, str | None]]:
    """What is to be mended: topic, level, command."""
    return {
        finding.topic: (finding.level, finding.command)
        for finding in explain(status, facts)
        if finding.level in (Level.WARNING, Level.PROBLEM)
    }


def test_nothing_is_missing_where_failover_works(look):
    findings = explain(look(), GOOD_FACTS)
    assert wrong(look()) == {}
    assert works(findings)
    assert {f.level for f in findings} == {Level.GOOD, Level.NOTE}


def test_what_facts_would_tell_is_passed_over_without_them(look):
    assert works(explain(look()))


PARTNER = Partner("00:1b:21:00:00:01", 12, 10, 10, 4, 0, 0.062, 0.63, 0)


@pytest.mark.parametrize(
    ("partner", "level", "words"),
    [
        (PARTNER, Level.GOOD, "would work: the switch answers"),
        (replace(PARTNER, answers=0), Level.NOTE, "of no use: the switch does not answer"),
        ("LACP is not up", Level.NOTE, "is not known: LACP is not up."),
    ],
    ids=["answers", "does not", "not asked"],
)
def test_what_a_switch_answered_tells_whether_the_heartbeat_would_work(look, partner, level, words):
    findings = explain(look(), replace(GOOD_FACTS, partner=partner))
    (finding,) = [each for each in findings if each.topic == "heartbeat"]
    assert finding.level is level
    assert words in finding.sentence
    assert (finding.command == "pfstatus relay --heartbeat watch ens5f0") is (level is Level.GOOD)
    assert works(findings)


def test_the_heartbeat_concludes_nothing_at_the_slow_rate(look, pf):
    pf.master.lacp_rate = LacpRate.SLOW
    findings = explain(look(), replace(GOOD_FACTS, partner=PARTNER))
    (finding,) = [each for each in findings if each.topic == "heartbeat"]
    assert finding.level is Level.NOTE
    assert "concludes nothing" in finding.sentence


def test_nothing_is_said_of_a_heartbeat_where_nobody_asked(look):
    assert "heartbeat" not in {finding.topic for finding in explain(look(), GOOD_FACTS)}


def test_absent_pf_has_one_finding():
    lacp = Lacp(LacpStatus.UNKNOWN, LacpReason.ABSENT, "")
    (finding,) = explain(LinkStatus("ens9", lacp), GOOD_FACTS)
    assert (finding.topic, finding.level) == ("absent", Level.PROBLEM)


def test_link_down_tells_cable_from_setting(look, pf):
    pf.set_carrier(False)
    assert wrong(look()) == {"link": (Level.PROBLEM, "ethtool ens5f0")}
    facts = replace(GOOD_FACTS, admin_up=False)
    assert wrong(look(), facts) == {"link": (Level.PROBLEM, "ip link set ens5f0 up")}
    pf.up = False
    assert wrong(look()) == {"link": (Level.PROBLEM, "ip link set ens5f0 up")}


def test_link_of_which_the_driver_tells_nothing_counts_as_up(look, pf):
    pf.operstate = OperState.UNKNOWN
    (found,) = [f for f in explain(look(), GOOD_FACTS) if f.topic == "link"]
    assert found.level is Level.NOTE
    assert wrong(look()) == {}


def test_no_bond_is_mended_by_one(kernel, look, pf):
    kernel.enslave(pf, None)
    level, command = wrong(look())["bond"]
    assert level is Level.PROBLEM
    assert command.startswith("ip link add bond-ens5f0 type bond mode 802.3ad ")


def test_two_ports_of_a_nic_get_two_bonds(kernel):
    added = set()
    with kernel.session() as session:
        for name in ("enp129s0f0np0", "enp129s0f0np1", "ens5f0"):
            kernel.add_pf(name, vfs=1)
            _, command = wrong(session.get(name))["bond"]
            added.add(re.match(r"ip link add (\S+) ", command)[1])
    assert len(added) == 3
    assert max(map(len, added)) <= 15


# ---- what is no PF


@pytest.mark.parametrize(
    ("known", "sentence", "command"),
    [
        ({"kind": "bond", "bond_ports": ("ens5f0", "e 1")}, "is a bond", "ens5f0 'e 1'"),
        ({"kind": "vf", "pf": "ens5f0"}, "is a VF of ens5f0", "ens5f0"),
        ({"kind": "vf"}, "is a VF of a PF that is not to be seen", ""),
        ({"kind": "bridge"}, "of kind bridge", ""),
        ({"kind": "loopback"}, "of kind loopback", ""),
        ({"kind": "representor"}, "of kind representor", ""),
    ],
    ids=["bond", "vf", "vf-in-a-pod", "bridge", "lo", "representor"],
)
@pytest.mark.parametrize("vfs", [0, 4], ids=["none", "of-its-device"])
def test_what_is_no_pf_gets_no_advice_to_change_it(kernel, known, sentence, command, vfs):
    kernel.add_pf("it", vfs=vfs)
    with kernel.session() as session:
        (found,) = explain(session.get("it"), Facts(may_set_vfs=False, **known))
    assert (found.topic, found.level) == ("kind", Level.PROBLEM)
    assert sentence in found.sentence
    assert found.command == f"pfstatus explain {command}".strip()


@pytest.mark.parametrize("facts", [Facts(), Facts(total_vfs=0), None], ids=["", "no-sriov", "none"])
def test_what_may_be_no_pf_gets_no_advice_to_change_it(kernel, facts):
    kernel.add_pf("eth0", vfs=0)
    with kernel.session() as session:
        (found,) = explain(session.get("eth0"), facts)
    assert (found.topic, found.command) == ("vfs", None)


# ---- the host's own uplink


def test_commands_that_cut_the_host_off_have_a_warning(kernel, look, pf):
    routed = replace(GOOD_FACTS, routed=True)
    assert wrong(look(), routed) == {}, "there is no command"
    kernel.enslave(pf, None)
    assert wrong(look(), routed)["uplink"] == (Level.WARNING, None)
    assert "uplink" not in wrong(look())


def test_slow_rate_of_an_uplink_has_the_warning(look, pf):
    pf.master.lacp_rate = LacpRate.SLOW
    assert set(wrong(look(), replace(GOOD_FACTS, routed=True))) == {"lacp-rate", "uplink"}


# ---- its bond


def test_bridge_is_left_first(kernel, look, pf):
    kernel.add_bridge("br0", pf)
    level, command = wrong(look())["bond"]
    assert level is Level.PROBLEM
    assert command.startswith("ip link set ens5f0 nomaster && ip link add ")


def test_wrong_mode_is_changed_without_ports(look, pf):
    pf.master.mode = BondMode.ACTIVE_BACKUP
    level, command = wrong(look(), replace(GOOD_FACTS, bond_ports=("ens5f0", "ens5f1")))[
        "bond-mode"
    ]
    assert level is Level.PROBLEM
    steps = command.split(" && ")
    assert steps.index("ip link set ens5f1 nomaster") < next(
        i for i, step in enumerate(steps) if "mode 802.3ad" in step
    )


def test_several_ports_are_parted(look):
    facts = replace(GOOD_FACTS, bond_ports=("ens5f0", "ens5f1"))
    assert wrong(look(), facts) == {"ports": (Level.PROBLEM, "ip link set ens5f1 nomaster")}


def test_several_ports_are_seen_without_facts(kernel, look, pf):
    kernel.enslave(kernel.add_pf("ens5f1"), pf.master)
    assert wrong(look(), Facts()) == {"ports": (Level.PROBLEM, "cat /proc/net/bonding/bond0")}


def test_slow_rate_is_a_warning(look, pf):
    pf.master.lacp_rate = LacpRate.SLOW
    level, command = wrong(look())["lacp-rate"]
    assert level is Level.WARNING
    assert "lacp_rate fast" in command
    assert works(explain(look(), GOOD_FACTS))


@pytest.mark.parametrize(
    ("field", "topic"), [("miimon", "miimon"), ("min_links", "min-links")], ids=str
)
def test_bond_option_that_is_0_is_a_warning(look, field, topic):
    status = look()
    status = status._replace(bond=replace(status.bond, **{field: 0}))
    ((found, (level, command)),) = wrong(status).items()
    assert (found, level) == (topic, Level.WARNING)
    assert command.startswith(f"ip link set bond0 type bond {field} 1")


def test_slow_partner_is_noted(look, pf):
    pf.partner &= ~2
    notes = [f.topic for f in explain(look(), GOOD_FACTS) if f.level is Level.NOTE]
    assert "partner-rate" in notes


@pytest.mark.parametrize("step", ["lacp_expire", "lacp_default"])
def test_lacp_that_is_down_is_a_problem_where_vfs_did_not_follow(look, pf, step):
    getattr(pf, step)()
    assert wrong(look()) == {
        "lacp": (Level.WARNING, "cat /proc/net/bonding/bond0"),
        "vfs-auto": (Level.PROBLEM, "pfstatus relay ens5f0"),
    }
    pf.vfs.update(dict.fromkeys(pf.vfs, VfLinkState.DISABLE))
    assert list(wrong(look())) == ["lacp"]
    assert works(explain(look(), GOOD_FACTS))


def test_no_aggregator_is_a_problem(look, pf):
    pf.aggregator_id = None
    assert wrong(look())["lacp"] == (Level.PROBLEM, "ip link set bond0 up")


def test_no_vfs_are_made_as_far_as_the_device_can(kernel, look, pf):
    kernel.create_vfs(pf, 0)
    _, command = wrong(look(), replace(GOOD_FACTS, total_vfs=2))["vfs"]
    assert command == "echo 2 > /sys/class/net/ens5f0/device/sriov_numvfs"
    assert wrong(look(), replace(GOOD_FACTS, total_vfs=0)) == {"vfs": (Level.PROBLEM, None)}


def test_vfs_in_enable_are_a_problem_and_named(look, pf):
    pf.vfs.update(dict.fromkeys((0, 1, 3), VfLinkState.ENABLE))
    assert wrong(look()) == {"vfs-enable": (Level.PROBLEM, "pfstatus set ens5f0 0-1,3=auto")}


def test_vfs_in_disable_are_a_warning_only_while_lacp_is_up(look, pf):
    pf.vfs[2] = VfLinkState.DISABLE
    assert wrong(look()) == {"vfs-disable": (Level.WARNING, "pfstatus set ens5f0 2=auto")}
    pf.lacp_expire()
    assert "vfs-disable" not in wrong(look())


def test_vfs_that_could_not_be_read_are_named(look, pf):
    pf.hidden |= {1, 2}
    (found,) = [f for f in explain(look(), GOOD_FACTS) if f.topic == "vfs-missing"]
    assert found.level is Level.WARNING
    assert "VF 1-2 " in found.sentence


def test_vfs_that_do_not_fit_an_answer_are_said(look):
    found = wrong(look()._replace(vfs=None, num_vfs=None))
    assert found == {"vfs": (Level.WARNING, None)}


@pytest.mark.parametrize(
    ("change", "topic"),
    [
        ({"driver": "igb"}, "driver"),
        ({"switchdev": True}, "switchdev"),
        ({"may_set_vfs": False}, "capability"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_set_vfs_is_a_problem(look, change, topic):
    found = wrong(look(), replace(GOOD_FACTS, **change))
    assert list(found) == [topic]
    assert found[topic][0] is Level.PROBLEM


def test_switchdev_that_cannot_be_seen_is_said_so(look):
    facts = replace(GOOD_FACTS, switchdev=None)
    (finding,) = [f for f in explain(look(), facts) if f.topic == "switchdev"]
    assert finding.level is Level.NOTE
    assert finding.command == "devlink dev eswitch show pci/0000:5e:00.0"


def test_a_name_is_quoted_for_the_shell(kernel):
    pf = kernel.add_pf("a;reboot", vfs=1)
    pf.set_carrier(False)
    with kernel.session() as session:
        commands = [
            finding.command for finding in explain(session.get("a;reboot")) if finding.command
        ]
    assert commands
    assert all("'" in command for command in commands)


# ---- another network namespace


def test_commands_enter_the_namespace_of_the_pf(kernel, look, pf):
    pf.vfs[0] = VfLinkState.ENABLE
    kernel.enslave(pf, None)
    facts = replace(GOOD_FACTS, may_set_vfs=False, switchdev=None, netns="/run/netns/b c")
    steps = [
        step
        for finding in explain(look(), facts)
        if finding.command
        for step in finding.command.removeprefix("sudo ").split(" && ")
    ]
    assert len(steps) >= 7
    assert {tuple(shlex.split(step)[:2]) for step in steps} == {
        ("nsenter", "--net=/run/netns/b c"),
    }


def test_vfs_are_made_where_sysfs_shows_the_device_from_every_namespace(kernel, look, pf):
    kernel.create_vfs(pf, 0)
    facts = replace(GOOD_FACTS, netns="/run/netns/blue")
    _, command = wrong(look(), facts)["vfs"]
    assert command == "echo 4 > /sys/bus/pci/devices/0000:5e:00.0/sriov_numvfs"
    assert wrong(look(), replace(facts, pci_address=None))["vfs"] == (Level.PROBLEM, None)


@pytest.mark.parametrize(
    ("vfs", "text"),
    [([], ""), ([3], "3"), ([2, 0, 1], "0-2"), ([0, 1, 4, 6, 7], "0-1,4,6-7")],
    ids=str,
)
def test_ranges_are_as_people_write_them(vfs, text):
    assert ranges(vfs) == text


# ---- sysfs


@pytest.fixture
def root(tmp_path):
    """A sysfs with ens5f0 of driver ice, VF capable, in bond0 with ens5f1."""
    device = tmp_path / "devices" / "0000:5e:00.0"
    driver = tmp_path / "drivers" / "ice"
    net = tmp_path / "net"
    pf = net / "ens5f0"
    for folder in (device, driver, pf, net / "bond0" / "bonding"):
        folder.mkdir(parents=True)
    (pf / "device").symlink_to(device)
    (pf / "master").symlink_to(net / "bond0")
    (device / "driver").symlink_to(driver)
    (device / "sriov_totalvfs").write_text("64\n")
    (pf / "flags").write_text("0x1003\n")
    (net / "bond0" / "bonding" / "slaves").write_text("ens5f0 ens5f1\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "route").write_text("Iface Destination Gateway\n")
    return net


@pytest.fixture
def facts(root, tmp_path):
    def facts(name, ifindex=7, **options):
        (root / name / "ifindex").write_text("7\n")
        pf = LinkStatus(name, LACP, ifname=name, ifindex=ifindex)
        return sysfs.facts(pf, root=root, procfs=tmp_path / "proc", **options)

    return facts


def test_sysfs_of_another_network_namespace_is_not_believed(facts, root):
    """There ens5f0 is a namesake: another ifindex."""
    assert facts("ens5f0", ifindex=8, may_set_vfs=True) == Facts(may_set_vfs=True)
    namesake = LinkStatus("ens5f0", LACP, ifname="ens5f0", ifindex=8)
    assert sysfs.vf_devices(namesake, root=root) == ()


def test_vf_devices_are_read_by_number(facts, root, tmp_path):
    facts("ens5f0")
    device = (root / "ens5f0" / "device").resolve()
    for vf in (10, 2, 0):
        folder = tmp_path / f"0000:5e:01.{vf}"
        folder.mkdir()
        (device / f"virtfn{vf}").symlink_to(folder)
    (tmp_path / "0000:5e:01.2" / "net" / "ens5f0v2").mkdir(parents=True)
    (tmp_path / "vfio-pci").mkdir()
    (tmp_path / "0000:5e:01.10" / "driver").symlink_to(tmp_path / "vfio-pci")
    status = LinkStatus("enp94s0f0np0", LACP, ifname="ens5f0", ifindex=7)
    assert sysfs.vf_devices(status, root=root) == (
        (0, "0000:5e:01.0", None, None),
        (2, "0000:5e:01.2", None, "ens5f0v2"),
        (10, "0000:5e:01.10", "vfio-pci", None),
    )


def test_facts_are_read_from_sysfs(facts):
    assert facts("ens5f0", may_set_vfs=True) == Facts(
        may_set_vfs=True,
        driver="ice",
        pci_address="0000:5e:00.0",
        total_vfs=64,
        admin_up=True,
        switchdev=False,
        bond_ports=("ens5f0", "ens5f1"),
        routed=False,
    )


def test_facts_of_what_is_not_there_are_not_known(tmp_path):
    assert (
        sysfs.facts(LinkStatus("ens9", LACP, ifindex=3), root=tmp_path, procfs=tmp_path) == Facts()
    )


def test_kind_is_the_kernels_word(root, facts):
    (root / "bond0" / "uevent").write_text("DEVTYPE=bond\nINTERFACE=bond0\nIFINDEX=4\n")
    (root / "ens5f0" / "uevent").write_text("INTERFACE=ens5f0\nIFINDEX=2\n")
    assert facts("bond0").kind == "bond"
    assert facts("ens5f0").kind is None


def test_vf_names_its_pf(root, facts, tmp_path):
    pf = tmp_path / "devices" / "0000:5e:00.0"
    device = tmp_path / "devices" / "0000:5e:01.0"
    device.mkdir()
    (device / "physfn").symlink_to(pf)
    (root / "ens5f0v0").mkdir()
    (root / "ens5f0v0" / "device").symlink_to(device)
    found = facts("ens5f0v0")
    assert (found.kind, found.pf) == ("vf", None), "the PF is in another namespace"
    (pf / "net" / "ens5f0").mkdir(parents=True)
    found = facts("ens5f0v0")
    assert (found.kind, found.pf) == ("vf", "ens5f0")


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "routed"),
    [
        ("eth9 00000000 010200C0", "", False),
        ("ens5f0 000200C0 00000000", "", True),
        ("bond0 00000000 010200C0", "", True),
        ("br0 00000000 010200C0", "", True),
        ("", "fd000000000000000000000000000000 40 ... br0", True),
        ("", "fe800000000000000000000000000000 40 ... ens5f0", False),
        ("", "ff000000000000000000000000000000 08 ... ens5f0", False),
    ],
    ids=["elsewhere", "itself", "its-bond", "above-its-bond", "ipv6", "link-local", "multicast"],
)
def test_routes_through_what_stands_on_it_are_its_own(root, facts, tmp_path, ipv4, ipv6, routed):
    (root / "br0").mkdir()
    (root / "ens5f0" / "upper_bond0").symlink_to(root / "bond0")
    (root / "bond0" / "upper_br0").symlink_to(root / "br0")
    (tmp_path / "proc" / "route").write_text(f"Iface Destination Gateway\n{ipv4}\n".strip())
    (tmp_path / "proc" / "ipv6_route").write_text(f"{ipv6}\n")
    assert facts("ens5f0").routed is routed


def test_representor_tells_switchdev_mode(root, facts):
    (root / "ens5f0" / "phys_switch_id").write_text("aa55\n")
    assert facts("ens5f0").switchdev is None
    for name, switch in (("eth0", "bb66"), ("ens5f0_1", "aa55")):
        (root / name).mkdir()
        (root / name / "phys_port_name").write_text("pf0vf1\n")
        (root / name / "phys_switch_id").write_text(f"{switch}\n")
    assert facts("ens5f0").switchdev is True
    assert facts("ens5f0_1").kind == "representor"
