"""Figures of heartbeats, beside the kernel's own: python3 tests/lab/heartbeat.py, in the lab.

    python3 tests/lab/vm.py --timeout 900 -- .venv/bin/python tests/lab/heartbeat.py

Each round mutes the switch, towards the PF alone, and lets it speak again. All times are seconds,
from the last LACPDU of the switch that reached the PF, as the kernel stamped it.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterable

from timeline import table
from topology import Lab, Port

from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState, LacpReason, LacpStatus


def follow(heartbeat: Heartbeat, pf: str, state: HeartbeatState, timeout: float) -> list[Beat]:
    """Polls until the heartbeat is in a state. Returns what it told.

    Raises:
        TimeoutError: not within `timeout` seconds.
    """
    told: list[Beat] = []
    deadline = time.monotonic() + timeout
    while heartbeat.state(pf) is not state:
        if time.monotonic() > deadline:
            came = "\n".join(map(str, told))
            raise TimeoutError(
                f"{pf} is {heartbeat.state(pf)} and not {state} in {timeout} s:\n{came}"
            )
        told += heartbeat.poll(0.2)
    return told


def calm(heartbeat: Heartbeat, seconds: float) -> list[Beat]:
    """Polls for a while. Returns what it told."""
    told: list[Beat] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        told += heartbeat.poll(left)
    return told


def detect(port: Port, mode: HeartbeatMode, rounds: int) -> tuple[list[float], list[float], str]:
    """Mutes the switch again and again. Returns when it was silent, when the kernel said so."""
    noticed, kernel = [], []
    with Heartbeat(port.pf, mode=mode) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.HEARD, 60)
        learned = str(heartbeat.partner(port.pf))
        for _ in range(rounds):
            calm(heartbeat, random.uniform(2, 4))
            port.lacp_block("to-pf")
            began = time.monotonic()
            heard = None
            while time.monotonic() < began + 10:
                for beat in heartbeat.poll(0.05):
                    if beat.new is HeartbeatState.SILENT:
                        assert beat.silence is not None
                        noticed.append(beat.silence)
                        heard = time.monotonic() - beat.silence
                status = heartbeat.status(port.pf)
                if status and status.lacp.status is not LacpStatus.UP:
                    if heard is not None:
                        kernel.append(time.monotonic() - heard)
                    break
            port.lacp_unblock()
            follow(heartbeat, port.pf, HeartbeatState.HEARD, 40)
    return noticed, kernel, learned


def recover(port: Port, rounds: int, *, revive: bool) -> list[float]:
    """Lets both ends fall back to DEFAULTED; how long until LACP is up after the switch speaks."""
    took = []
    with Heartbeat(port.pf, revive=revive) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.LEARNING, 20)
        for _ in range(rounds):
            port.lacp_block()
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                heartbeat.poll(0.05)
                status = heartbeat.status(port.pf)
                if status and status.lacp.reason is LacpReason.DEFAULTED:
                    break
            calm(heartbeat, random.uniform(1, 3))
            port.lacp_unblock()
            began = time.monotonic()
            while time.monotonic() < began + 40:
                heartbeat.poll(0.02)
                status = heartbeat.status(port.pf)
                if status and status.lacp.status is LacpStatus.UP:
                    break
            took.append(time.monotonic() - began)
            calm(heartbeat, 2)
    return took


def row(what: str, times: Iterable[float]) -> tuple[str, str, str, str, str]:
    """One line of the table."""
    values = sorted(times)
    if not values:
        return what, "0", "-", "-", "-"
    middle = statistics.median(values)
    return what, str(len(values)), f"{values[0]:.2f}", f"{middle:.2f}", f"{values[-1]:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="faults in each mode")
    parser.add_argument("--recoveries", type=int, default=3, help="recoveries of each kind")
    options = parser.parse_args()
    lab = Lab()
    lab.up()
    port = lab.ports[0]
    rows, kernels = [], []
    for mode in HeartbeatMode:
        noticed, kernel, learned = detect(port, mode, options.rounds)
        print(f"{mode}: {learned}", flush=True)
        rows.append(row(f"silent, by {mode}", noticed))
        kernels += kernel
    rows.append(row("LACP down, by the kernel", kernels))
    for revive in (False, True):
        lab.reset()
        name = "with our LACPDU twice a second" if revive else "alone"
        took = recover(port, options.recoveries, revive=revive)
        rows.append(row(f"LACP up after DEFAULTED, {name}", took))
    print(table(("", "n", "least", "median", "most"), rows))
    lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
