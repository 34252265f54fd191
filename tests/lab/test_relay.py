"""examples/relay.py on a real kernel, under faults. One boot runs them all."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from nic import reaction
from relay_process import RelayProcess
from topology import Lab, Port, ip, wait_for

import pfstatus

BOTH = ("pf0", "pf1")


def all_in(port: Port, state: str) -> Callable[[], bool]:
    """Whether the PF has VFs and all of them are in this link state."""
    return lambda: set(port.nic.vf_states().values()) == {state}


def lose_lacp(port: Port) -> None:
    """Has LACP expire on the PF within 4 s, and come back within 2 s of lacp_unblock()."""
    port.lacp_block("to-pf")


def test_failover_and_return_as_the_pod_sees_them(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 4
    pod = lab.pod()
    port = lab.ports[int(str(pod.active_slave())[2])]
    other = lab.ports[1 - lab.ports.index(port)]
    environment = {
        "PF_STATUS_RELAY_INTERFACES": "pf0,pf1",
        "PF_STATUS_RELAY_POLLING_INTERVAL": "1000",
    }
    with RelayProcess(env=environment) as relay:
        relay.wait_up(*BOTH)
        port.nic.reset_trace()
        with pod.ping() as ping:
            lose_lacp(port)
            wait_for(all_in(port, "disable"), 10, "VFs disabled")
            wait_for(lambda: pod.active_slave() == f"{other.pf}v0", 5, "failover")
        assert all_in(other, "auto")()
        # The pod's bond looks at its VFs every 100 ms; LACPDUs are lost, pings are not.
        assert ping.longest_gap < 2
        assert ping.received > ping.sent / 2
        down = relay.wait("lacp is down", interface=port.pf)
        assert down["reason"] in ("expired", "defaulted")
        relay.wait("vf link state was set", count=4, state="disable", interface=port.pf)
        assert reaction(port.nic.trace(), up=False).sets == 4

        port.lacp_unblock()
        wait_for(all_in(port, "auto"), 10, "VFs given back")
        relay.wait("vf link state was set", count=4, state="auto", interface=port.pf)
        ip(f"link set {other.pf}v0 down", netns="pod")
        wait_for(lambda: pod.active_slave() == f"{port.pf}v0", 5, "traffic on the PF again")
        status, seconds = relay.terminate()
        assert status == 0
        assert seconds < 5


def test_recovery_from_defaulted_is_found_though_no_event_tells(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess(*BOTH, "--interval", "60000") as relay:
        relay.wait_up(*BOTH)
        port.lacp_block()
        relay.wait("vf link state was set", count=4, state="disable", interface="pf0")
        wait_for(lambda: all((s or 0) & 0x40 for s in port.port_states()[:1]), 15, "DEFAULTED")
        port.nic.reset_trace()
        port.nic.sample_lacp(True)
        port.lacp_unblock()
        wait_for(all_in(port, "auto"), 60, "VFs given back")
        assert reaction(port.nic.trace(), up=True).seconds < 1


def test_enable_vf_is_untouched_and_said_once(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 3
    port.set_vfs("enable", 1)
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        relay.wait("vf link state was set", count=2, state="disable", interface="pf0")
        port.lacp_unblock()
        relay.wait("vf link state was set", count=2, state="auto", interface="pf0")
        assert port.nic.vf_states() == {0: "auto", 1: "enable", 2: "auto"}
        assert len(relay.said("vf will not fail over")) == 1
        assert not [r for r in port.nic.trace() if r.vf == 1 and r.state != "enable"]


def test_started_during_an_outage_it_disables(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    lose_lacp(port)
    port.wait_lacp(up=False)
    with RelayProcess(*BOTH) as relay:
        relay.wait("lacp is down", 30, interface="pf0")
        wait_for(all_in(port, "disable"), 5, "VFs disabled")


def test_vf_reset_by_another_program_in_mid_outage_is_disabled_again(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess("pf0", "--interval", "60000") as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        wait_for(all_in(port, "disable"), 10, "VFs disabled")
        relay.wait("vf link state was set", count=4, state="disable")
        relay.mark()
        port.set_vfs("auto", 2)  # what a CNI's DEL does
        relay.wait("vf link state was set", 2, id=2, state="disable")
        assert all_in(port, "disable")()


def test_vfs_made_in_mid_outage_are_disabled(lab: Lab) -> None:
    port = lab.ports[0]
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        relay.wait("pf has no VFs", interface="pf0")
        lose_lacp(port)
        relay.wait("lacp is down")
        port.nic.num_vfs = 4
        wait_for(all_in(port, "disable"), 5, "new VFs disabled")
        assert relay.wait("VFs detected on interface")["count"] == 4


def test_vfs_made_and_removed_while_lacp_is_up_are_said(lab: Lab) -> None:
    """As a public acceptance suite of the reference has it."""
    port = lab.ports[0]
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        assert relay.lines[0]["msg"] == "Starting application"
        for vfs in (4, 2):
            relay.wait("pf has no VFs", interface="pf0")
            relay.mark()
            port.nic.num_vfs = vfs
            assert relay.wait("VFs detected on interface", interface="pf0")["count"] == vfs
            relay.mark()
            port.nic.num_vfs = 0
        relay.wait("pf has no VFs", interface="pf0")
        assert not relay.said("VFs detected on interface")


def test_disable_that_a_cni_puts_back_after_the_outage_is_given_back(
    lab: Lab, tmp_path: Path
) -> None:
    """sriov-cni: a pod added in the outage with a link_state, and gone after it."""
    port = lab.ports[0]
    port.nic.num_vfs = 4
    state = ("--restore", "owned", "--state-file", str(tmp_path / "state.json"))
    with RelayProcess("pf0", *state) as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        relay.wait("vf link state was set", count=4, state="disable")
        relay.mark()
        port.set_vfs("auto", 0)
        relay.wait("vf link state was set", id=0, state="disable")
        port.lacp_unblock()
        relay.wait("vf link state was set", 20, count=4, state="auto")
        relay.mark()
        port.set_vfs("disable", 0)
        relay.wait("vf was put back to what this relay had set", id=0, interface="pf0")
        wait_for(all_in(port, "auto"), 5, "VF 0 given back")
        port.set_vfs("disable", 1)
        left = relay.wait("vfs are disabled, and not by this relay", interface="pf0")
        assert left["ids"] == [1]
        assert port.nic.vf_states()[1] == "disable"


@pytest.mark.usefixtures("lab")
def test_second_relay_on_a_pf_is_said() -> None:
    with RelayProcess("pf0") as first:
        first.wait_up("pf0")
        with RelayProcess("pf0", "pf1") as second:
            said = second.wait("another relay watches this pf")
            assert (said["interface"], said["pid"]) == ("pf0", first.process.pid)
            second.wait_up("pf1")
            assert len(second.said("another relay watches this pf")) == 1


def test_pf_that_appears_after_the_start_is_served(lab: Lab) -> None:
    port = lab.ports[0]
    port.disturbed = True
    port.remove_pf()
    with RelayProcess(*BOTH) as relay:
        relay.wait("pf is not ready", 30, interface="pf0")
        relay.wait_up("pf1")
        _bring_back(port)
        relay.wait_up("pf0")
        _fails_over(relay, port)


def test_pf_made_again_under_a_new_ifindex_is_served(lab: Lab) -> None:
    port = lab.ports[0]
    with RelayProcess(*BOTH) as relay:
        relay.wait_up(*BOTH)
        before = port.ifindex
        port.disturbed = True
        port.remove_pf()
        relay.wait("pf is not ready", interface="pf0")
        relay.mark()
        _bring_back(port)
        assert port.ifindex != before
        relay.wait_up("pf0")
        _fails_over(relay, port)


def _bring_back(port: Port) -> None:
    """After remove_pf(): the PF with VFs in its bond, which is made anew."""
    port.create_pf()
    port.nic.num_vfs = 4
    port.delete_bond()
    port.make_bond()
    _renegotiate(port)


def _renegotiate(port: Port) -> None:
    """Has the switch's end start from nothing too; else it sends slowly for up to 30 s."""
    ip(
        f"link set {port.switch_port} nomaster",
        f"link set {port.switch_port} master {port.switch_bond}",
        netns="sw",
    )


def _fails_over(relay: RelayProcess, port: Port) -> None:
    wait_for(all_in(port, "auto"), 5, "VFs in auto")
    lose_lacp(port)
    wait_for(all_in(port, "disable"), 10, "VFs disabled")
    relay.wait("lacp is down", interface=port.pf)


def test_bond_made_again_is_served(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess(*BOTH) as relay:
        relay.wait_up(*BOTH)
        relay.mark()
        port.disturbed = True
        port.delete_bond()
        relay.wait("pf is not ready", interface="pf0")
        assert all_in(port, "auto")()
        port.make_bond()
        _renegotiate(port)
        relay.wait_up("pf0")
        _fails_over(relay, port)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        pytest.param("bridge", "", "a master that is not a bond", id="bridge"),
        pytest.param("vrf", "table 10", "a master that is not a bond", id="vrf"),
        pytest.param("", "", "in no bond", id="none"),
        pytest.param("active-backup", "", "not in mode 802.3ad", id="wrong-mode"),
    ],
)
def test_other_masters_are_named_and_left_alone(
    lab: Lab, kind: str, options: str, sentence: str
) -> None:
    port = lab.ports[0]
    port.disturbed = True
    port.nic.num_vfs = 4
    with RelayProcess(*BOTH) as relay:
        relay.wait_up(*BOTH)
        relay.mark()
        port.delete_bond()
        if kind == "active-backup":
            port.make_bond(kind)
        elif kind:
            port.set_master("other", kind, options)
        else:
            ip("link set pf0 up")
        wait_for(
            lambda: any(sentence in line["error"] for line in relay.said("pf is not ready")),
            10,
            f"{sentence!r} said",
        )
        assert all_in(port, "auto")()
        assert port.nic.calls()[0] == 0
        # It goes on for the other PF, and for this one once it is in order again.
        lab.ports[1].nic.num_vfs = 2
        lose_lacp(lab.ports[1])
        wait_for(all_in(lab.ports[1], "disable"), 10, "the other PF's VFs disabled")
        port.clear_master()
        if kind == "active-backup":
            port.delete_bond()
        ip("link set pf0 down")  # or bonding refuses it
        port.make_bond()
        _renegotiate(port)
        relay.wait_up("pf0")


def test_one_vf_that_fails_is_said_and_tried_again(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 8
    port.nic.fail(5, 16, 3)
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        failed = relay.wait("failed to set vf link state")
        assert (failed["id"], failed["interface"]) == (5, "pf0")
        assert "busy" in failed["error"]
        wait_for(all_in(port, "disable"), 10, "all VFs disabled in the end")
        relay.wait("vf link state was set", id=5, state="disable")
        assert len(relay.said("failed to set vf link state")) == 1
        sets = [r.vf for r in port.nic.trace() if r.kind == "set" and r.result == 0]
        assert sorted(sets) == list(range(8)), "each VF was set once"


def test_slow_nic_does_not_delay_the_other_pf(lab: Lab) -> None:
    slow, quick = lab.ports
    for port in lab.ports:
        port.nic.num_vfs = 64
    slow.nic.slow(set_seconds=0.06)
    with RelayProcess(*BOTH) as relay:
        relay.wait_up(*BOTH)
        lose_lacp(slow)
        time.sleep(0.9)
        lose_lacp(quick)  # expires while the slow one is being set
        wait_for(all_in(slow, "disable"), 20, "the slow PF's VFs disabled")
        wait_for(all_in(quick, "disable"), 1, "the quick PF's VFs disabled")
        late = reaction(quick.nic.trace(), up=False)
        own = reaction(slow.nic.trace(), up=False)
        assert late.last_set_ns < own.last_set_ns, "the quick PF came in between"
        assert own.first_set_ns < late.first_set_ns, "the slow PF was under way"
        assert late.seconds < 10 * 0.06


def test_400_vfs_are_read_and_set_right(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 400
    port.set_vfs("enable", 7)
    port.nic.reset_trace()
    with pfstatus.Session() as session:
        status = session.get("pf0")
        assert status.num_vfs == 400
        assert [vf.vf for vf in status.vfs or ()] == list(range(400))
        assert status.lacp.status is pfstatus.LacpStatus.UP
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        relay.wait("vf link state was set", 20, count=399, state="disable")
        assert [vf for vf, state in port.nic.vf_states().items() if state != "disable"] == [7]
        port.lacp_unblock()
        relay.wait("vf link state was set", 20, count=399, state="auto")
        assert [vf for vf, state in port.nic.vf_states().items() if state != "auto"] == [7]


def test_sparse_list_is_no_reason_to_forget_a_vf(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 8
    port.nic.hide([0, 3])
    with RelayProcess("pf0") as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        relay.wait("vf link state was set", count=6, state="disable")
        port.nic.hide([])
        wait_for(all_in(port, "disable"), 5, "the two that were hidden disabled too")


def test_lost_events_are_said_and_made_good(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess("pf0", "--interval", "60000") as relay, pfstatus.Session() as session:
        relay.wait_up("pf0")
        relay.process.send_signal(signal.SIGSTOP)
        lose_lacp(port)
        port.wait_lacp(up=False)
        # Each of these makes an event of the watched PF; the relay cannot read them.
        status = session.get("pf0")
        for _ in range(1000):
            session.set_vf_link_state(status, {3: "enable"})
            session.set_vf_link_state(status, {3: "auto"})
        relay.process.send_signal(signal.SIGCONT)
        relay.wait("events were lost, asking for everything")
        wait_for(all_in(port, "disable"), 5, "VFs disabled")


@pytest.mark.usefixtures("lab")
def test_event_storm_of_other_links_does_not_wake_it() -> None:
    with RelayProcess("pf0", "--interval", "60000") as relay:
        relay.wait_up("pf0")
        relay.wait("pf has no VFs")
        before = _switches(relay.process.pid)
        for _ in range(5):
            ip(*(f"link add storm{i} type dummy" for i in range(40)))
            ip(*(f"link del storm{i}" for i in range(40)))
        # A question a minute, and nothing else.
        assert _switches(relay.process.pid) - before <= 2


def _switches(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def test_killed_in_mid_write_and_started_again_it_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 16
    port.nic.slow(set_seconds=0.05)
    port.set_vfs("disable", 15)  # somebody else's
    state = ("--restore", "owned", "--state-file", str(tmp_path / "state.json"))
    with RelayProcess("pf0", *state) as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        wait_for(
            lambda: list(port.nic.vf_states().values()).count("disable") > 4, 10, "some disabled"
        )
        relay.process.kill()
    assert "auto" in port.nic.vf_states().values(), "it was killed in the middle"
    with RelayProcess("pf0", *state) as relay:
        wait_for(all_in(port, "disable"), 30, "the rest disabled")
        relay.wait("vf link state was set")
        port.lacp_unblock()
        wait_for(
            lambda: list(port.nic.vf_states().values()) == ["auto"] * 15 + ["disable"],
            60,  # on a busy machine both ends are DEFAULTED by now
            "its own given back, somebody else's left",
        )


def test_on_exit_restore_gives_back_what_it_took(lab: Lab, tmp_path: Path) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess(
        "pf0", "--on-exit", "restore", "--state-file", str(tmp_path / "state.json")
    ) as relay:
        relay.wait_up("pf0")
        lose_lacp(port)
        wait_for(all_in(port, "disable"), 10, "VFs disabled")
        relay.wait("vf link state was set", count=4)
        assert relay.terminate()[0] == 0
        assert all_in(port, "auto")()


def test_cap_net_admin_alone_suffices(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    drop = ",".join(f"-{name}" for name in _capabilities() if name != "net_admin")
    prefix = ("setpriv", "--bounding-set", drop, "--inh-caps", drop)
    with RelayProcess("pf0", prefix=prefix) as relay:
        relay.wait_up("pf0")
        status = Path(f"/proc/{relay.process.pid}/status").read_text()
        assert int(status.split("CapEff:")[1].split()[0], 16) == 1 << 12
        lose_lacp(port)
        wait_for(all_in(port, "disable"), 10, "VFs disabled")


def test_without_cap_net_admin_it_says_so_at_start(lab: Lab) -> None:
    assert lab.ports[0].lacp_up()
    command = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    with RelayProcess("pf0", prefix=command) as relay:
        assert relay.process.wait(30) == 3
    with RelayProcess("pf0", "--dry-run", prefix=command) as relay:
        relay.wait_up("pf0")


def _capabilities() -> list[str]:
    listed = subprocess.run(["setpriv", "--list-caps"], capture_output=True, text=True, check=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return listed.stdout.split()[: last + 1]


def test_flapping_partner_does_not_flap_the_vfs(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    with RelayProcess("pf0", "--up-delay", "5") as relay:
        relay.wait_up("pf0")
        for _ in range(2):
            lose_lacp(port)
            port.wait_lacp(up=False)
            port.lacp_unblock()
            port.wait_lacp(up=True)
        wait_for(all_in(port, "auto"), 15, "VFs given back in the end")
        sets = [r.state for r in port.nic.trace() if r.kind == "set"]
        assert sets == ["disable"] * 4 + ["auto"] * 4


def test_the_monitor_and_the_kernel_agree_all_along(lab: Lab) -> None:
    """What a Monitor tells equals what bonding shows in sysfs, through a loss and a return."""
    port = lab.ports[0]
    seen: list[pfstatus.Change] = []
    with pfstatus.Monitor("pf0", interval=1.0) as monitor:

        def watch() -> None:
            seen.extend(monitor)

        thread = threading.Thread(target=watch)
        thread.start()
        lose_lacp(port)
        wait_for(lambda: seen[-1:] and seen[-1].new.lacp.status.name == "DOWN", 10, "down told")
        port.lacp_unblock()
        wait_for(lambda: seen[-1].new.lacp.status.name == "UP", 10, "up told")
        status = seen[-1].new
        actor, partner = port.port_states()
        assert (status.actor, status.partner) == (actor, partner)
        assert status.bond is not None
        assert status.bond.name == "bond0"
        assert status.bond.mode is pfstatus.BondMode.IEEE_802_3AD
        assert status.bond.num_ports == 1
        assert status.bond.partner_mac not in (None, "00:00:00:00:00:00")
        monitor.stop()
        thread.join(5)
        assert not thread.is_alive()
    causes = {str(change.cause) for change in seen}
    assert causes <= {"start", "event", "asked"}
