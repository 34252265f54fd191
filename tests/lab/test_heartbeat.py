"""Heartbeats against the kernel's own bonding, as PF and as switch."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from heartbeat import calm, follow, stay_calm
from relay_process import RelayProcess
from topology import Lab, ip, wait_for

import pfstatus
from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState, Outcome

UP = (0x3F, 0x3F)
HEARD, IDLE, SILENT = HeartbeatState.HEARD, HeartbeatState.IDLE, HeartbeatState.SILENT


def test_ping_is_answered_and_changes_nothing(lab: Lab) -> None:
    port = lab.ports[0]
    with subprocess.Popen(
        ["ip", "monitor", "link", "dev", port.pf], stdout=subprocess.PIPE, text=True
    ) as monitor:
        command = [sys.executable, "-m", "pfstatus.cli", "ping", "pf0", "-c", "5"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        monitor.send_signal(signal.SIGTERM)
        events, _ = monitor.communicate()
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    answers = re.findall(
        r"^answer from 02:6e:00:01:00:00  port 1  key \d+  time ([\d.]+) ms$",
        done.stdout,
        re.MULTILINE,
    )
    assert len(answers) == 5
    assert "5 questions, 5 answered, 0% unanswered" in done.stdout
    assert port.port_states() == UP
    assert events == ""


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_mute_switch_is_noticed_before_the_kernel_does(lab: Lab, mode: HeartbeatMode) -> None:
    port = lab.ports[0]
    with Heartbeat("pf0", mode=mode) as heartbeat:
        follow(heartbeat, "pf0", HEARD, 60)
        assert SILENT not in {beat.new for beat in calm(heartbeat, 5)}
        port.lacp_block("to-pf")
        beat = follow(heartbeat, "pf0", SILENT, 10)[-1]
        print(f"{mode}: {beat}", heartbeat.counts("pf0"))
        assert port.lacp_up()
        assert follow(heartbeat, "pf0", IDLE, 10)[-1].outcome is Outcome.CONFIRMED


def test_a_switch_that_hears_nothing_is_left_to_the_kernel_by_late(lab: Lab) -> None:
    """It speaks until it misses us: no silence, though no question is answered."""
    port = lab.ports[0]
    with Heartbeat("pf0") as heartbeat:
        follow(heartbeat, "pf0", HEARD, 60)
        port.lacp_block("to-switch")
        told = follow(heartbeat, "pf0", IDLE, 20)
        assert not port.lacp_up()
        assert Outcome.FALSE not in {beat.outcome for beat in told}


def test_nothing_changes_while_nothing_is_wrong(lab: Lab) -> None:
    found = stay_calm(lab, 30)
    assert not found.spoiled, found
    assert found.heartbeats[0].counts("pf0").questions > 45


def make_switch_bond(lab: Lab, rate: str) -> None:
    """Has the switch ask for a rate on the first port."""
    port = lab.ports[0]
    port.disturbed = True
    ip(
        f"link set {port.switch_bond} down",
        f"link set {port.switch_bond} type bond lacp_rate {rate}",
        f"link set {port.switch_bond} up",
        netns="sw",
    )
    asks = 0x3D if rate == "slow" else 0x3F
    wait_for(lambda: port.port_states() == (0x3F, asks), 60, f"LACP up, and the {rate} rate asked")


def test_where_the_switch_asks_for_the_slow_rate_three_a_second_are_ours(lab: Lab) -> None:
    make_switch_bond(lab, "slow")
    port = lab.ports[0]
    with Heartbeat("pf0", mode="pulse") as heartbeat:
        follow(heartbeat, "pf0", HEARD, 90)
        before = heartbeat.counts("pf0").questions
        assert SILENT not in {beat.new for beat in calm(heartbeat, 5)}
        assert heartbeat.counts("pf0").questions - before > 12
        port.lacp_block("to-pf")
        print(follow(heartbeat, "pf0", SILENT, 10)[-1])
        assert port.lacp_up()


def test_at_the_slow_rate_silence_is_concluded_from_where_that_was_asked_for(lab: Lab) -> None:
    """The kernel would take 90 s."""
    port = lab.ports[0]
    port.disturbed = True
    port.delete_bond()
    port.make_bond(lacp_rate="slow")
    port.wait_lacp(up=True, timeout=60)
    with Heartbeat("pf0") as heartbeat:
        told: list[Beat] = []
        deadline = time.monotonic() + 60
        while not any("slow rate" in beat.why for beat in told):
            assert time.monotonic() < deadline, told
            told += heartbeat.poll(1)
        told += calm(heartbeat, 2)
        assert {beat.new for beat in told} == {IDLE}
    with Heartbeat("pf0", slow=True) as heartbeat:
        follow(heartbeat, "pf0", HEARD, 100)
        port.lacp_block("to-pf")
        beat = follow(heartbeat, "pf0", SILENT, 10)[-1]
        print(beat)
        calm(heartbeat, 4)
        assert heartbeat.state("pf0") is SILENT
        assert port.lacp_up()


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_relay_that_was_stopped_takes_its_own_lateness_for_nobodys(mode: HeartbeatMode) -> None:
    with RelayProcess("pf0", "--heartbeat", mode) as relay:
        relay.wait("partner was learned", 90, interface="pf0")
        for _ in range(3):
            relay.process.send_signal(signal.SIGSTOP)
            time.sleep(2)
            relay.process.send_signal(signal.SIGCONT)
            time.sleep(2)
        assert not relay.said("partner is silent")
        assert not relay.said("lacp is down")


def remade_pf(lab: Lab) -> None:
    port = lab.ports[0]
    port.remove_pf()
    port.create_pf()
    ip(f"link set {port.pf} master {port.bond}", f"link set {port.bond} up")


def remade_bond(lab: Lab) -> None:
    lab.ports[0].delete_bond()
    lab.ports[0].make_bond()


def another_mac(lab: Lab) -> None:
    ip(f"link set {lab.ports[0].bond} address 02:6e:00:00:aa:01")


@pytest.mark.parametrize("change", [remade_pf, remade_bond, another_mac])
def test_what_our_kernel_said_before_is_not_sent_after(
    lab: Lab, change: Callable[[Lab], None]
) -> None:
    """The switch's port hears no question that is older than the bond, the PF or its MAC."""
    port = lab.ports[0]
    port.disturbed = True
    with (
        Heartbeat("pf0", mode="pulse", revive=True) as heartbeat,
        pfstatus.Session(netns="/run/netns/sw") as inside,
        inside.open_port(inside.get(port.switch_port).ifindex or 0) as ear,
    ):
        follow(heartbeat, "pf0", HEARD, 60)
        while ear.next():
            pass
        change(lab)
        calm(heartbeat, 0.5)
        follow(heartbeat, "pf0", HEARD, 60)
        calm(heartbeat, 1)
        heard = []
        while passed := ear.next():
            if not passed.sent:
                heard.append(passed.lacpdu)
    latest = heard[-1]
    questions = [lacpdu for lacpdu in heard if lacpdu.mark]
    assert questions
    new = [lacpdu for lacpdu in heard if lacpdu.actor.system == latest.actor.system]
    first = heard.index(next(lacpdu for lacpdu in new if not lacpdu.mark))
    for lacpdu in heard[first:]:
        assert (lacpdu.source, lacpdu.actor.system) == (latest.source, latest.actor.system)


def test_without_the_capability_all_else_goes_on(lab: Lab) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 2
    prefix = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    with RelayProcess("pf0", "--heartbeat", "late", "--revive", prefix=prefix) as relay:
        relay.wait_up("pf0")
        reason = relay.wait("partner is not asked", interface="pf0")["reason"]
        assert "CAP_NET_RAW" in reason
        port.lacp_block("to-pf")
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        port.lacp_unblock()
        relay.wait("vf link state was set", 30, count=2, interface="pf0", state="auto")
        assert len(relay.said("partner is not asked")) == 1


def test_both_switches_mute_leave_the_last_path_alone(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
    with RelayProcess("pf0", "pf1", "--heartbeat", "pulse") as relay:
        relay.wait("partner was learned", 90, interface="pf0")
        relay.wait("partner was learned", 90, interface="pf1")
        lab.ports[0].lacp_block("to-pf")
        relay.wait("partner is silent", interface="pf0", acted_upon=True)
        relay.wait("vf link state was set", count=2, interface="pf0", state="disable")
        assert lab.ports[0].lacp_up(), "the kernel does not know yet"
        relay.wait("silence of the partner was confirmed", interface="pf0")
        lab.ports[1].lacp_block("to-pf")
        relay.wait("partner is silent", interface="pf1", acted_upon=False)
        assert set(lab.ports[1].nic.vf_states().values()) == {"auto"}


def test_a_defaulted_pf_is_revived(lab: Lab) -> None:
    port = lab.ports[0]
    with RelayProcess("pf0", "--revive") as relay:
        relay.wait_up("pf0")
        port.lacp_block()
        wait_for(lambda: port.port_states()[1] in (0, 1), 12, "DEFAULTED")
        port.lacp_unblock()
        began = time.monotonic()
        relay.wait("lacp was revived", 10, interface="pf0")
        print(f"revived {time.monotonic() - began:.2f} s after the switch spoke")
    assert port.lacp_up()
