"""Heartbeats against the kernel's own bonding, as PF and as switch."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from calm import stay_calm, two_of_each
from faults.partner import Forger
from heartbeat import calm, follow
from topology import Direction, Lab, ip

import pfstatus
from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState, Outcome
from pfstatus.heartbeat.listener import NO_ANSWERS

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
    assert port.port_states() == (0x3F, 0x3F)
    assert events == ""


@pytest.mark.parametrize("lost", ["to-pf", "both"], ids=["mute", "mute-and-deaf"])
@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_mute_switch_is_noticed_before_the_kernel_does(
    lab: Lab, mode: HeartbeatMode, lost: Direction
) -> None:
    port = lab.ports[0]
    with Heartbeat("pf0", mode=mode) as heartbeat:
        follow(heartbeat, "pf0", HEARD, 60)
        assert SILENT not in {beat.new for beat in calm(heartbeat, 5)}
        port.lacp_block(lost)
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


def test_a_switch_that_hears_nothing_leaves_pulse_no_silence_without_an_outcome(lab: Lab) -> None:
    """Between two of its own LACPDUs it may be called silent, which is then a false alarm."""
    port = lab.ports[0]
    with Heartbeat("pf0", mode="pulse") as heartbeat:
        follow(heartbeat, "pf0", HEARD, 60)
        port.lacp_block("to-switch")
        told = follow(heartbeat, "pf0", IDLE, 20)
        print(*told, sep="\n")
        assert not port.lacp_up()
        silences = [beat for beat in told if beat.new is SILENT]
        assert len(silences) == len([beat for beat in told if beat.outcome])
        assert sum(heartbeat.counts("pf0").silences.values()) == len(silences)


def test_a_switch_that_answers_no_question_is_left_to_the_kernel(lab: Lab) -> None:
    port = lab.ports[0]
    with Forger(port, answers=False) as switch, Heartbeat("pf0", mode="pulse") as heartbeat:
        told = follow(heartbeat, "pf0", HeartbeatState.LEARNING, 20)
        told += follow(heartbeat, "pf0", IDLE, 60)
        assert told[-1].why.startswith(NO_ANSWERS)
        questions = heartbeat.counts("pf0").questions
        switch.mute = True
        told = calm(heartbeat, 5)
        assert not port.lacp_up()
        assert SILENT not in {beat.new for beat in told}
        assert heartbeat.counts("pf0").questions == questions, "there is no use in asking"


def test_nothing_changes_while_nothing_is_wrong(lab: Lab) -> None:
    with two_of_each(lab) as watched:  # two ports: Linux bonding alone
        stay_calm(watched, 30)
    assert not any(each.spoiled for each in watched), watched
    asked = {each.mode: each.counts.questions for each in watched}
    assert asked[HeartbeatMode.PULSE] > 25, "about one in 0.8 s"


def test_where_the_switch_asks_for_the_slow_rate_three_a_second_are_ours(lab: Lab) -> None:
    port = lab.ports[0]
    port.make_switch_bond(lacp_rate="slow")
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
    port.remake_bond(lacp_rate="slow")
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
