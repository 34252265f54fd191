"""The lab itself: what scenarios rely on."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from nic import reaction
from topology import SWITCH_ADDRESS, Direction, Lab, ip, run, wait_for


def carrier(netdev: str) -> bool:
    return Path(f"/sys/class/net/{netdev}/carrier").read_text() == "1\n"


def wait_for_traffic(netdev: str) -> None:
    received = Path(f"/sys/class/net/{netdev}/statistics/rx_packets")
    before = int(received.read_text())
    wait_for(lambda: int(received.read_text()) > before, 5, f"frames received by {netdev}")


def test_reset_comes_back_with_lacp_up(lab: Lab) -> None:
    assert [port.port_states() for port in lab.ports] == [(0x3F, 0x3F)] * 2


def test_frames_reach_the_switch_the_pf_and_a_vf_of_the_same_nic(lab: Lab) -> None:
    port = lab.ports[0]
    for each in lab.ports:
        each.nic.num_vfs = 2
    lab.pod()
    ip("link add vrf0 type vrf table 10", "link set vrf0 up")
    ip("link set pf0v1 master vrf0", "link set pf0v1 up", "addr add 192.0.2.4/24 dev pf0v1")
    ip(f"addr add 192.0.2.3/24 dev {port.bond}")
    for destination in (SWITCH_ADDRESS, "192.0.2.3", "192.0.2.4"):
        run("ip", "netns", "exec", "pod", "ping", "-c1", "-W2", destination)


def test_a_vf_mac_is_set_through_the_pf(lab: Lab) -> None:
    lab.ports[0].nic.num_vfs = 1
    ip("link set pf0 vf 0 mac 02:00:00:00:00:05")
    shown = json.loads(run("ip", "-j", "link", "show", "dev", "pf0"))[0]
    assert shown["vfinfo_list"][0]["address"] == "02:00:00:00:00:05"


@pytest.mark.parametrize("direction", get_args(Direction))
def test_blocking_lacp_kills_it_with_the_cable_up(lab: Lab, direction: Direction) -> None:
    port, other = lab.ports
    port.lacp_block(direction)
    port.wait_lacp(up=False)
    assert carrier(port.pf)
    assert other.lacp_up()


def test_recovery_from_defaulted_is_seen_by_sampling_alone(lab: Lab) -> None:
    port = lab.ports[0]
    port.lacp_block("to-pf")
    wait_for(lambda: port.port_states()[1] == 0, 10, "DEFAULTED")
    port.nic.reset_trace()
    port.nic.sample_lacp(True)
    port.lacp_unblock()
    port.wait_lacp(up=True)
    time.sleep(0.1)
    assert {record.kind for record in port.nic.trace() if record.lacp_up} == {"sample"}


def test_num_vf_is_in_rtnetlink_and_in_sysfs(lab: Lab) -> None:
    lab.ports[0].nic.num_vfs = 3
    shown = json.loads(run("ip", "-j", "link", "show", "dev", "pf0"))[0]
    assert [vf["vf"] for vf in shown["vfinfo_list"]] == [0, 1, 2]
    assert run("sh", "-c", "ls -d /sys/class/net/pf0/device/virtfn*/net/*").split() == [
        f"/sys/class/net/pf0/device/virtfn{vf}/net/pf0v{vf}" for vf in range(3)
    ]
    assert run("ls", "/sys/class/net/pf0v2/device/physfn/net").split() == ["pf0"]


def test_vf_carrier_follows_link_state_and_cable(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 1
    ip("link set pf0v0 up")
    seen = {}
    for state in ("auto", "disable", "enable", "auto"):
        port.set_vfs(state, 0)
        assert port.nic.vf_states() == {0: state}
        seen[state] = carrier("pf0v0")
    assert seen == {"auto": True, "disable": False, "enable": True}

    port.pull_cable()
    assert not carrier("pf0v0")
    assert not carrier("pf0")
    port.set_vfs("enable", 0)
    assert carrier("pf0v0")


def test_400_vfs(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 400
    port.set_vfs("disable", *range(0, 400, 2))
    states = port.nic.vf_states()
    assert len(states) == 400
    assert all((state == "disable") == (vf % 2 == 0) for vf, state in states.items())


def test_a_vf_fails_as_often_as_told(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    port.nic.fail(1, 16, times=1)
    with pytest.raises(RuntimeError, match="busy"):
        port.set_vfs("disable", 1)
    port.set_vfs("disable", 1)
    assert port.nic.vf_states() == {0: "auto", 1: "disable"}
    assert [record.result for record in port.nic.trace() if record.kind == "set"] == [-16, 0]


def test_a_driver_says_other_than_it_does(lab: Lab) -> None:
    nic = lab.ports[0].nic
    nic.num_vfs = 2
    nic.fail(0, 0, 1)
    nic.fail(1, 5, 1, done=True)  # EIO
    lab.ports[0].set_vfs("disable", 0)
    with pytest.raises(RuntimeError):
        lab.ports[0].set_vfs("disable", 1)
    assert nic.vf_states() == {0: "auto", 1: "disable"}
    lab.ports[0].set_vfs("disable", 0)
    assert nic.vf_states()[0] == "disable"


def test_a_hidden_vf_is_left_out(lab: Lab) -> None:
    lab.ports[0].nic.num_vfs = 4
    lab.ports[0].nic.hide([0, 2])
    shown = json.loads(run("ip", "-j", "link", "show", "dev", "pf0"))[0]
    assert [vf["vf"] for vf in shown["vfinfo_list"]] == [1, 3]


def test_a_slow_nic_holds_the_caller(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    port.nic.slow(set_seconds=0.05)
    port.set_vfs("disable", 0, 1, 2, 3)
    times = [record.ns for record in port.nic.trace() if record.kind == "set"]
    assert times[3] - times[0] >= 150e6


def test_a_pf_comes_back_with_another_ifindex(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    before = port.ifindex
    port.remove_pf()
    assert not port.nic.present
    assert port.nic.num_vfs == 0
    port.create_pf()
    assert port.ifindex != before


@pytest.mark.parametrize(("kind", "options"), [("bridge", ""), ("vrf", "table 10"), ("team", "")])
def test_a_pf_can_have_another_master(lab: Lab, kind: str, options: str) -> None:
    port = lab.ports[0]
    port.delete_bond()
    port.set_master("m0", kind, options)
    assert port.port_states() == (None, None)


def test_a_pod_fails_over_and_loses_little(lab: Lab) -> None:
    port = lab.ports[0]
    for each in lab.ports:
        each.nic.num_vfs = 1
    pod = lab.pod()
    assert pod.active_slave() == "pf0v0"
    with pod.ping() as ping:
        time.sleep(1)
        port.set_vfs("disable", 0)
        wait_for(lambda: pod.active_slave() == "pf1v0", 5, "failover")
        time.sleep(1)
    assert ping.received > 40
    assert ping.longest_gap < 2


def test_reaction_is_measured_from_the_kernels_announcement(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    port.nic.reset_trace()
    port.lacp_block()
    port.wait_lacp(up=False)
    port.set_vfs("disable", 0, 1)
    measured = reaction(port.nic.trace(), up=False)
    assert measured.sets == 2
    assert 0 < measured.seconds < 2


@contextmanager
def traffic() -> Iterator[None]:
    """Broadcasts from the switch, from a PF and from a VF, to whoever there is."""
    ip("addr add 192.0.2.3/24 dev bond0")
    ping = "ping -q -b -i 0.002 192.0.2.255"
    sources = [ping, *(f"ip netns exec {netns} {ping}" for netns in ("sw", "pod"))]
    quiet = subprocess.DEVNULL
    senders = [subprocess.Popen(source.split(), stdout=quiet, stderr=quiet) for source in sources]
    try:
        yield
        assert [sender.poll() for sender in senders] == [None] * 3
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


def test_vfs_and_pfs_come_and_go_under_traffic(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 1
    lab.pod()
    with traffic():
        for _ in range(3):
            for port in lab.ports:
                port.nic.num_vfs = 0
                port.nic.num_vfs = 8
                ip(*(f"link set {port.pf}v{vf} up" for vf in range(8)))
                wait_for_traffic(f"{port.pf}v7")
                port.remove_pf()
                port.create_pf()
                ip(f"link set {port.pf} master {port.bond}")


def test_the_module_goes_under_traffic(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
    lab.pod()
    with traffic():
        time.sleep(0.2)
        run("rmmod", "nicsim")
    lab.up()
