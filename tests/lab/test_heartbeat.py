"""Heartbeats against the kernel's own bonding, as PF and as switch."""

import re
import signal
import subprocess
import sys
import time

import pytest
from relay_process import RelayProcess
from topology import Lab, wait_for

from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState

UP = (0x3F, 0x3F)


def pfstatus(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pfstatus.cli", *arguments]


def test_ping_is_answered_and_changes_nothing(lab: Lab) -> None:
    port = lab.ports[0]
    with subprocess.Popen(
        ["ip", "monitor", "link", "dev", port.pf], stdout=subprocess.PIPE, text=True
    ) as monitor:
        command = pfstatus("ping", "pf0", "-c", "5")
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


def hear(heartbeat: Heartbeat, pf: str, state: HeartbeatState, timeout: float) -> float:
    """Polls until the PF is in a state; returns the time."""
    deadline = time.monotonic() + timeout
    while heartbeat.state(pf) is not state:
        assert time.monotonic() < deadline, (heartbeat.state(pf), state)
        for beat in heartbeat.poll(0.5):
            print(f"{time.monotonic():.2f} {beat}", flush=True)
    return time.monotonic()


def calm(heartbeat: Heartbeat, seconds: float) -> list[Beat]:
    """Polls for a while."""
    beats, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        beats += heartbeat.poll(left)
    return beats


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_mute_switch_is_noticed_before_the_kernel_does(lab: Lab, mode: HeartbeatMode) -> None:
    port = lab.ports[0]
    with Heartbeat("pf0", mode=mode) as heartbeat:
        hear(heartbeat, "pf0", HeartbeatState.HEARD, 40)
        assert HeartbeatState.SILENT not in {beat.new for beat in calm(heartbeat, 5)}
        port.lacp_block("to-pf")
        began = time.monotonic()
        noticed = hear(heartbeat, "pf0", HeartbeatState.SILENT, 10)
        print(f"{mode}: noticed {noticed - began:.2f} s after the fault", heartbeat.counts("pf0"))
        assert port.lacp_up()
        hear(heartbeat, "pf0", HeartbeatState.IDLE, 10)
        assert list(heartbeat.counts("pf0").silences.values()) == [1, 0]


def test_both_switches_mute_leave_the_last_path_alone(lab: Lab) -> None:
    for port in lab.ports:
        port.nic.num_vfs = 2
    with RelayProcess("pf0", "pf1", "--heartbeat", "pulse") as relay:
        relay.wait("partner was learned", 60, interface="pf0")
        relay.wait("partner was learned", 60, interface="pf1")
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
