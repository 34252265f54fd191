"""Heartbeats against the kernel's own bonding, as PF and as switch."""

import re
import signal
import subprocess
import sys
import time

import pytest
from topology import Lab

from pfstatus import Heartbeat, HeartbeatMode, HeartbeatState

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


@pytest.mark.parametrize("mode", HeartbeatMode)
def test_a_mute_switch_is_noticed_before_the_kernel_does(lab: Lab, mode: HeartbeatMode) -> None:
    port = lab.ports[0]
    with Heartbeat("pf0", mode=mode) as heartbeat:
        hear(heartbeat, "pf0", HeartbeatState.HEARD, 40)
        heartbeat.poll(5)
        assert heartbeat.state("pf0") is HeartbeatState.HEARD
        port.lacp_block("to-pf")
        began = time.monotonic()
        noticed = hear(heartbeat, "pf0", HeartbeatState.SILENT, 10)
        print(f"{mode}: noticed {noticed - began:.2f} s after the fault", heartbeat.counts("pf0"))
        assert port.lacp_up()
        hear(heartbeat, "pf0", HeartbeatState.IDLE, 10)
        assert list(heartbeat.counts("pf0").silences.values()) == [1, 0]
