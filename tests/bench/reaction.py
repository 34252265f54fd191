#!/usr/bin/env python3
"""How fast a relay disables VFs when LACP is lost, beside its floor and peers: `make bench`.

Run in the lab, by its exact clock: an instruction is a nanosecond, so that figures repeat on a busy
machine, and ratios of one kernel and Python hold elsewhere. Measured from the instant at which the
kernel had announced the loss (until then it holds the lock that setting a VF needs) to the first
and the last VF set. Both are noted by the simulated NIC's module; nobody looks on meanwhile.

The floor is a C program that sends the same bytes and decides nothing (floor.c); the straw relay is
what one writes in an afternoon (straw.py), once in plain Python, once by pyroute2.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from figures import Figures
from topology import Crowd, Lab, Port, wait_for

HERE = Path(__file__).parent
PYTHON = sys.executable
OURS = "pfstatus"

RELAYS: dict[str, Callable[[int], list[str]]] = {
    "floor (C)": lambda vfs: [str(HERE.parents[1] / "build/bench/floor"), str(vfs)],
    OURS: lambda _: [PYTHON, str(HERE.parents[1] / "examples/relay.py")],
    "straw": lambda _: [PYTHON, str(HERE / "straw.py")],
    "straw, pyroute2": lambda _: [PYTHON, str(HERE / "straw_pyroute2.py")],
}
"""What is compared: a command by the number of VFs of a PF, to which the PFs' names are added."""

_START, _EXPIRE, _RECOVER = 5.0, 4.0, 2.5
"""Seconds after which it is time to look: a relay has started, LACP expired, LACP is back."""
_LIMIT = 120.0


class Case(NamedTuple):
    """What is lost."""

    name: str
    vfs: int
    set_ms: float = 0.0
    """What the NIC takes to set a VF."""
    read_ms: float = 0.0
    """What it takes to read one."""


CASES = (
    Case("4 VFs", 4),
    Case("64 VFs", 64),
    Case("400 VFs", 400),
    Case("64 VFs, 1.5 ms to set one", 64, set_ms=1.5),
)
CROWD = (
    Case("64 PFs of 64 VFs", 64),
    Case("64 PFs of 64 VFs, 0.2 ms to read one", 64, read_ms=0.2),
)


class Outage(NamedTuple):
    """Seconds from the kernel's announcement."""

    first_vf: float
    last_vf: float


def outage(ports: Sequence[Port]) -> Outage:
    """What the NICs' traces tell of the loss of LACP on all of these."""
    announced, first, last = [], [], []
    for port in ports:
        trace = port.nic.trace()
        seen = next(r.ns for r in trace if r.kind != "set" and not r.lacp_up)
        sets = [r.ns for r in trace if r.kind == "set" and r.result == 0 and r.ns > seen]
        announced.append(seen)
        first.append(sets[0])
        last.append(sets[-1])
    began = max(announced)
    return Outage((min(first) - began) / 1e9, (max(last) - began) / 1e9)


@contextmanager
def running(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A relay; what it said is told if it ended by itself."""
    with tempfile.TemporaryFile() as said:
        # The same addresses and hashes each time: they decide what collides in which table.
        process = subprocess.Popen(
            ["setarch", "-R", *argv],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        try:
            yield process
        finally:
            if process.poll() is not None:
                said.seek(0)
                print(said.read().decode()[-2000:])
            process.kill()
            process.communicate()


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """MB (10^6 bytes) of memory that the process has."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmRSS")


def measure(lab: Lab, ports: Sequence[Port], who: str, case: Case, rounds: int) -> list[Outage]:
    """Outages of one relay's life, one after the other."""
    found: list[Outage] = []
    all_vfs = case.vfs * len(ports)

    def sets() -> int:
        return sum(port.nic.calls()[0] for port in ports)

    def states() -> set[str]:
        return {state for port in ports for state in port.nic.vf_states().values()}

    with running(RELAYS[who](case.vfs) + [port.pf for port in ports]) as relay:
        time.sleep(_START)
        if relay.poll() is not None:
            raise RuntimeError(f"{who} did not start")
        for _ in range(rounds):
            for port in ports:
                port.nic.reset_trace()
            lab.mute(ports)
            time.sleep(_EXPIRE)
            wait_for(lambda: sets() >= all_vfs, _LIMIT, f"{who}: {all_vfs} VFs set", every=1.0)
            found.append(outage(ports))
            lab.unmute(ports)
            time.sleep(_RECOVER)
            for port in ports:
                port.wait_lacp(up=True)
            if who.startswith("floor"):
                assert relay.stdin is not None
                relay.stdin.write(b"\n")
                relay.stdin.flush()
            wait_for(lambda: states() == {"auto"}, _LIMIT, f"{who}: VFs given back", every=1.0)
            time.sleep(0.5)
        if who == OURS:
            print(f"  resident after {rounds} outages: {resident_mb(relay):.1f} MB", flush=True)
    return found


def show(who: str, found: list[Outage], floor: Outage) -> None:
    """Print the first outage of a relay's life and the median of the later ones."""
    lasts = [each.last_vf for each in found[1:]]
    later = Outage(*map(statistics.median, zip(*found[1:], strict=True)))
    for words, each in (("first outage", found[0]), ("later", later)):
        row = f"  {who + ', ' + words:38}"
        row += "".join(f" {s * 1e3:9.3f} {s / of:6.2f}" for s, of in zip(each, floor, strict=True))
        print(row, f"{max(lasts) / min(lasts) - 1:7.1%}" if each is later else "", flush=True)


def compare(lab: Lab, ports: Sequence[Port], case: Case, args: argparse.Namespace) -> Figures:
    """Print one case's table, and give its figures."""
    figures = Figures()
    floor = Outage(math.nan, math.nan)
    for port in ports:
        port.nic.num_vfs = case.vfs
        port.nic.slow(set_seconds=case.set_ms / 1e3, get_seconds=case.read_ms / 1e3)
    print(f"\n{case.name:40} first VF / floor   last VF / floor  spread", flush=True)
    for who in args.relay:
        if who == "straw, pyroute2" and len(ports) > 1:
            continue  # it would take minutes
        try:
            rounds = args.rounds if len(ports) == 1 else min(args.rounds, 3)
            found = measure(lab, ports, who, case, rounds)
        except (RuntimeError, TimeoutError) as exc:
            if who in ("floor (C)", OURS):
                raise
            print(f"  {who}: {exc}", flush=True)
            for port in ports:
                port.set_vfs("auto", *range(case.vfs))
            continue
        if who == "floor (C)":
            floor = Outage(*map(statistics.median, zip(*found, strict=True)))
        show(who, found, floor)
        for field, later in zip(Outage._fields, zip(*found[1:], strict=True), strict=True):
            # The least: in others the clock ticked.
            figures.add(f"{case.name}: {who}, {field}", min(later))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="outages of a relay, the first apart")
    parser.add_argument("--relay", choices=RELAYS, action="append", help="these alone")
    parser.add_argument("--cases", default="", help="those whose names this expression finds")
    args = parser.parse_args()
    args.relay = args.relay or list(RELAYS)
    figures = Figures()
    print("ms, from the kernel's announcement that LACP is lost")
    lab = Lab()
    lab.up(exact=True)
    for case in CASES:
        if re.search(args.cases, case.name):
            lab.reset()
            figures |= compare(lab, lab.ports[:1], case, args)
            figures.save("reaction")
    lab.down()
    crowd = Crowd(64)
    for number, case in enumerate(case for case in CROWD if re.search(args.cases, case.name)):
        if not number:
            crowd.up(exact=True)
        figures |= compare(crowd, crowd.ports, case, args)
    crowd.down()
    figures.save("reaction")


if __name__ == "__main__":
    main()
