"""Heartbeats with nothing wrong, on a busy machine: python3 tests/lab/calm.py SECONDS, in the lab.

    python3 tests/lab/vm.py --switches --timeout 900 -- .venv/bin/python tests/lab/calm.py 600

Each of SWITCHES has two PFs, one asked in `late` and one in `pulse`; a busy loop runs on each
processor. Prints tables, and exits with 1 if anything happened: a silence, another
port state, a link event, a LACPDU that bonding took for illegal or unknown. With --delay all that
the switches send comes 0.2 to 0.9 s late, at random, once they are learned; then the silences of
`pulse` are counted and no fault.
"""

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from switches import SWITCHES, LinuxBonding, Switch
from timeline import table
from topology import Lab, Port, run

from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState, Partner
from pfstatus.agent import lacpdus
from pfstatus.heartbeat.values import GAPS, Counts

_LEARNING_SECONDS = 120.0
_LATE_SECONDS = 0.1
"""A machine that wakes the most urgent of its processes later than this is late itself."""
_BATCHES = 5.0
"""Seconds between looks at the port states."""


def bad_lacpdus(device: str, netns: str | None = None) -> int:
    """How many LACPDUs bonding took for illegal or unknown on a port (BOND_3AD_STAT).

    Asked for here, since `ip link xstats type bond_slave` of Debian 12 dies of it.
    """
    with ThreadPoolExecutor(1) as pool:  # a thread may enter a namespace by itself
        counts = pool.submit(_lacpdu_counts, device, netns).result()
    assert counts[_LACPDU_RX], counts
    return counts[_UNKNOWN_RX] + counts[_ILLEGAL_RX]


_LACPDU_RX, _UNKNOWN_RX, _ILLEGAL_RX = 0, 2, 3  # uapi/linux/if_bonding.h, BOND_3AD_STAT_*


def _lacpdu_counts(device: str, netns: str | None) -> dict[int, int]:
    if netns:
        with Path(f"/run/netns/{netns}").open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"setns to {netns}")
    return lacpdus.counts(lacpdus.ask(socket.if_nametoindex(device), 1), 1)


@dataclass
class Watched:
    """A PF, and what happened on it in a time in which nothing should."""

    port: Port
    switch: Switch
    mode: HeartbeatMode
    learned: Partner | None = None
    counts: Counts = field(default_factory=Counts)
    """Questions, answers and gaps."""
    silences: list[Beat] = field(default_factory=list)
    states: set[tuple[int | None, int | None]] = field(default_factory=set)
    events: list[str] = field(default_factory=list)
    bad: int = 0

    @property
    def spoiled(self) -> bool:
        """Whether anything happened."""
        return bool(self.silences or len(self.states) != 1 or self.events or self.bad)

    def bad_lacpdus(self) -> int:
        """Of both ends, where both are bonding."""
        here = bad_lacpdus(self.port.pf)
        both = isinstance(self.switch, LinuxBonding)
        return here + (bad_lacpdus(self.port.switch_port, "sw") if both else 0)


@contextmanager
def two_of_each(lab: Lab) -> Iterator[list[Watched]]:
    """Two PFs for each of SWITCHES, as far as there are PFs."""
    with ExitStack() as stack:
        pairs = zip(lab.ports[::2], lab.ports[1::2], strict=True)
        yield [
            Watched(port, switch, mode)
            for kind, ports in zip(SWITCHES, pairs, strict=False)
            for switch in [stack.enter_context(kind(*ports))]
            for port, mode in zip(ports, HeartbeatMode, strict=True)
        ]


def stay_calm(watched: Sequence[Watched], seconds: float, *, delay: bool = False) -> None:
    """Learns the partners, then notes what happens in a time in which nothing is done.

    Args:
        watched: what to watch; it is filled in.
        seconds: how long.
        delay: have the switches' LACPDUs come 0.2 to 0.9 s late.
    """
    with ExitStack() as stack:
        hearts = {
            mode: stack.enter_context(
                Heartbeat(*(each.port.pf for each in watched if each.mode is mode), mode=mode)
            )
            for mode in HeartbeatMode
        }
        _learn(hearts, watched)
        if delay:
            for each in watched:
                stack.enter_context(_delayed(each.port))
        for each in watched:
            each.bad = -each.bad_lacpdus()
            each.counts = deepcopy(hearts[each.mode].counts(each.port.pf))
        monitor = stack.enter_context(
            subprocess.Popen(["ip", "-o", "monitor", "link"], stdout=subprocess.PIPE, text=True)
        )
        by_name = {each.port.pf: each for each in watched}
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            for beat in _poll_all(hearts.values(), min(end, now + _BATCHES)):
                if beat.new is HeartbeatState.SILENT or beat.outcome:
                    by_name[beat.name].silences.append(beat)
                    print(f"{time.monotonic():.2f}: {beat}")
            for each in watched:
                each.states.add(each.port.port_states())
        monitor.send_signal(signal.SIGTERM)
        events, _ = monitor.communicate()
        for each in watched:
            pf = each.port.pf
            each.bad += each.bad_lacpdus()
            each.events = [line for line in events.splitlines() if f" {pf}: " in line]
            each.learned = hearts[each.mode].partner(pf)
            each.counts = _since(each.counts, hearts[each.mode].counts(pf))


def _since(before: Counts, now: Counts) -> Counts:
    return Counts(
        questions=now.questions - before.questions,
        answers=now.answers - before.answers,
        gaps=[after - count for count, after in zip(before.gaps, now.gaps, strict=True)],
    )


def _learn(hearts: Mapping[HeartbeatMode, Heartbeat], watched: Sequence[Watched]) -> None:
    end = time.monotonic() + _LEARNING_SECONDS
    for each in watched:
        while hearts[each.mode].state(each.port.pf) is not HeartbeatState.HEARD:
            if time.monotonic() > end:
                raise TimeoutError(f"{each.port.pf} is {hearts[each.mode].state(each.port.pf)}")
            _poll_all(hearts.values(), time.monotonic() + 0.5)


def _poll_all(hearts: Collection[Heartbeat], end: float) -> list[Beat]:
    """Polls until then."""
    told: list[Beat] = []
    waits = select.poll()
    for heartbeat in hearts:
        waits.register(heartbeat.fileno(), select.POLLIN)
    while (left := end - time.monotonic()) > 0:
        for heartbeat in hearts:
            told += heartbeat.poll(0)
        waits.poll(left * 1e3)
    return told


@contextmanager
def _delayed(port: Port) -> Iterator[None]:
    """What the switch sends on a port takes 0.2 to 0.9 s, each frame its own time."""
    run(*f"tc -n sw qdisc add dev {port.switch_port} root netem delay 550ms 350ms".split())
    try:
        yield
    finally:
        run(*f"tc -n sw qdisc del dev {port.switch_port} root".split())


@contextmanager
def busy() -> Iterator[None]:
    """A loop on each processor that does nothing else."""
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(stack.enter_context(spin).kill)
        yield


@contextmanager
def own_lateness() -> Iterator[list[tuple[float, float]]]:
    """Notes when this machine itself was late: at what time, and by how much, in seconds."""
    noted: list[tuple[float, float]] = []
    command = [sys.executable, __file__, "--watch-clock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield noted
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate()
            for line in said.splitlines():
                at, late = map(float, line.split())
                noted.append((at, late))


def _watch_clock() -> None:
    """Sleeps, as the most urgent of all, and tells each time that it was woken late."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
    while True:
        before = time.monotonic()
        time.sleep(0.01)
        late = time.monotonic() - before - 0.01
        if late > _LATE_SECONDS:
            print(f"{before:.2f} {late:.2f}", flush=True)


def report(watched: Sequence[Watched]) -> None:
    """Prints tables of what happened."""
    rows, gaps = [], []
    for each in watched:
        name = f"{type(each.switch).__name__}, {each.mode}"
        counts, learned = each.counts, each.learned
        assert learned
        false = len([beat for beat in each.silences if beat.new is HeartbeatState.SILENT])
        states = " ".join(f"{a or 0:x}/{b or 0:x}" for a, b in sorted(each.states, key=str))
        numbers = (counts.questions, counts.answers, false)
        rows.append((name, *map(str, numbers), states, str(len(each.events)), str(each.bad)))
        gaps.append((name, *(str(count or "") for count in counts.gaps)))
        print(f"{name}: {learned}")
    head = ("", "questions", "answered", "silences", "states", "link events", "bad LACPDUs")
    print(f"\n{table(head, rows)}")
    bounds = ("gaps, at most", *(f"{bound:g} s" for bound in GAPS), "more")
    print(f"\n{table(bounds, gaps)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("seconds", type=float, nargs="?", metavar="SECONDS", help="how long")
    what.add_argument("--watch-clock", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--delay", action="store_true", help="LACPDUs come 0.2 to 0.9 s late")
    options = parser.parse_args()
    if options.watch_clock:
        _watch_clock()
    lab = Lab(ports=2 * len(SWITCHES))
    lab.up()
    began = time.monotonic()
    with two_of_each(lab) as watched, own_lateness() as late, busy():
        stay_calm(watched, options.seconds, delay=options.delay)
    report(watched)
    worst = max((seconds for _, seconds in late), default=0.0)
    print(f"{options.seconds:g} s of {time.monotonic() - began:.0f}, {os.cpu_count()} processors;")
    print(f"{len(late)} times the machine itself was more than {_LATE_SECONDS} s late", end="")
    print(f", {worst:.2f} s at most:", *(f"{at:.1f}+{by:.2f}" for at, by in late))
    if options.delay:
        watched = [each for each in watched if each.mode is HeartbeatMode.LATE]
    return int(any(each.spoiled for each in watched))


if __name__ == "__main__":
    sys.exit(main())
