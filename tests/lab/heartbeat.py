"""Figures of heartbeats, beside the kernel's own: python3 tests/lab/heartbeat.py, in the lab.

    python3 tests/lab/vm.py --switches --exact -- .venv/bin/python tests/lab/heartbeat.py --rounds 3

`make bench-heartbeat` is that with more rounds. Each round mutes the switch, towards the PF alone,
and lets it speak again. All times are seconds, from the last LACPDU of the switch that reached the
PF, as the kernel stamped it. Then both ends are DEFAULTED: there, from when LACPDUs pass again to
when LACP is up. With --switch one switch's alone.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from switches import SWITCHES, Dpdk, LinuxBonding, OpenVSwitch, Switch, Teamd
from timeline import table
from topology import Lab

from pfstatus import (
    Beat,
    Heartbeat,
    HeartbeatMode,
    HeartbeatState,
    Lacp,
    LacpReason,
    LacpStatus,
    Partner,
)


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


@dataclass(frozen=True, slots=True)
class Aims:
    """Seconds: what the heartbeat set out to reach."""

    late: float
    pulse: float
    recovery: float = 1.0


_AIMS = {
    LinuxBonding: Aims(late=1.9, pulse=0.8),
    OpenVSwitch: Aims(late=2.3, pulse=1.8),
    Teamd: Aims(late=1.9, pulse=0.8),
    Dpdk: Aims(late=1.9, pulse=1.1),
}


def detect(
    switch: Switch, mode: HeartbeatMode, rounds: int, known: Sequence[Partner] = ()
) -> tuple[list[float], list[float], Partner]:
    """Mutes the switch again and again.

    Returns:
        When it was silent, when the kernel said so, and what was learned of it.
    """
    (port,) = switch.ports
    noticed, kernel = [], []
    with Heartbeat(port.pf, mode=mode, revive=True, known=known) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.HEARD, 120)
        learned = heartbeat.partner(port.pf)
        assert learned
        for _ in range(rounds):
            calm(heartbeat, random.uniform(2, 4))
            switch.mute(True)
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
            switch.mute(False)
            follow(heartbeat, port.pf, HeartbeatState.HEARD, 60)
    return noticed, kernel, learned


def recover(switch: Switch, rounds: int, *, revive: bool) -> list[float]:
    """Lets both ends fall back to DEFAULTED; how long until LACP is up after LACPDUs pass again."""
    (port,) = switch.ports
    took = []
    with Heartbeat(port.pf, revive=revive) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.LEARNING, 60)
        for _ in range(rounds):
            switch.isolate(True)
            _until(heartbeat, port.pf, 15, lambda lacp: lacp.reason is LacpReason.DEFAULTED)
            calm(heartbeat, random.uniform(1, 3))
            switch.isolate(False)
            began = time.monotonic()
            _until(heartbeat, port.pf, 60, lambda lacp: lacp.status is LacpStatus.UP)
            took.append(time.monotonic() - began)
            calm(heartbeat, 2)
    return took


def _until(heartbeat: Heartbeat, pf: str, timeout: float, holds: Callable[[Lacp], bool]) -> None:
    deadline = time.monotonic() + timeout
    while not ((status := heartbeat.status(pf)) and holds(status.lacp)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{pf} is {status} after {timeout} s")
        heartbeat.poll(0.02)


def row(what: str, times: Iterable[float], aim: float | None = None) -> tuple[str, ...]:
    """One line of the table."""
    values = sorted(times)
    if not values:
        return what, "0", "-", "-", "-", "-"
    figures = (values[0], statistics.median(values), values[-1])
    return what, str(len(values)), *(f"{each:.2f}" for each in figures), f"{aim or '-'}"


def measure(switch: Switch, rounds: int, recoveries: int) -> Iterator[tuple[str, ...]]:
    """The lines of the table for one switch."""
    name, aims = type(switch).__name__, _AIMS[type(switch)]
    known: list[Partner] = []
    kernels: list[float] = []
    for mode, aim in zip(HeartbeatMode, (aims.late, aims.pulse), strict=True):
        noticed, kernel, learned = detect(switch, mode, rounds, known)
        known = [learned]
        kernels += kernel
        yield row(f"{name}: silent, by {mode}", noticed, aim)
    print(f"{name}: {known[0]}", flush=True)
    yield row(f"{name}: LACP down, by the kernel", kernels)
    for revive, words, to_reach in ((False, "alone", None), (True, "revived", aims.recovery)):
        took = recover(switch, recoveries, revive=revive)
        yield row(f"{name}: LACP up after DEFAULTED, {words}", took, to_reach)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="faults in each mode")
    parser.add_argument("--recoveries", type=int, default=2, help="recoveries of each kind")
    names = {kind.__name__: kind for kind in SWITCHES}
    parser.add_argument("--switch", choices=names, action="append", help="all of them")
    options = parser.parse_args()
    lab = Lab()
    lab.up()
    rows = []
    for name in options.switch or names:
        lab.reset()
        with names[name](lab.ports[0]) as switch:
            for line in measure(switch, options.rounds, options.recoveries):
                print(*line, flush=True)
                rows.append(line)
    print(table(("", "n", "least", "median", "most", "aim"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
