#!/usr/bin/env python3
"""Measures any relay program beside ours: `make bench-relay RELAY="command"`.

The program is told what to do as the reference is: by PF_STATUS_RELAY_INTERFACES and
PF_STATUS_RELAY_POLLING_INTERVAL. It is run in the lab, by its exact clock: an instruction is a
nanosecond. Nothing of it is known, nor is anything asked of it: when VFs were set the simulated
NIC's module tells, what it took the kernel does.

Reactions are measured first, without tracing. Then what one outage and its end take, 6 s or so, is
traced.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from chart import bars
from figures import here
from topology import Crowd, Lab, Port, ip, wait_for
from tracing import tracing

HERE = Path(__file__).parent
OURS = {
    "pfstatus relay, with metrics": f"{sys.executable} -m pfstatus.cli relay "
    "--metrics 127.0.0.1:9143",
    "examples/relay.py": f"{sys.executable} {HERE.parents[1] / 'examples/relay.py'}",
}
STRAW = f"{sys.executable} {HERE / 'straw.py'}"
"""What stands in for a program that is not ours, where none is given."""

VFS, PFS, COST_MS = (4, 64, 256), (1, 2, 16), (0.0, 1.5)
_START, _EXPIRE, _RECOVER, _SETTLE = 5.0, 4.0, 2.5, 0.5
_IDLE = 20.0
_STORM = 5_000
_LIMIT = 60.0


class Case(NamedTuple):
    """What is lost."""

    pfs: int
    vfs: int
    cost_ms: float

    def __str__(self) -> str:
        return f"{self.pfs} x {self.vfs} VFs, {self.cost_ms:g} ms"


class Figures(NamedTuple):
    """Of one program in one case. None is what never came about."""

    down_first_ms: float | None
    """From the kernel's announcement of the loss to a PF's first VF, median."""
    down_ms: float | None
    """To its last; of several PFs the slowest."""
    down_worst_ms: float | None
    up_ms: float | None
    """From LACP being up again, which nobody announces, to the last VF, median."""
    rtnl_ms: float | None
    """RTNL held in one outage and its end."""
    calls: int | None
    """System calls in it."""
    idle_percent: float
    """Of a CPU, while nothing happens."""
    idle_calls: float
    """System calls a second meanwhile."""
    storm_us: float
    """CPU for an event of a link that it does not watch."""
    resident_mb: float
    """Memory, 10^6 bytes."""


class Program:
    """A running relay, whatever processes it has."""

    def __init__(self, command: str, pfs: Sequence[str], interval: int) -> None:
        self.process = subprocess.Popen(
            ["setarch", "-R", "sh", "-c", f"exec {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONHASHSEED": "0",
                "PF_STATUS_RELAY_INTERFACES": ",".join(pfs),
                "PF_STATUS_RELAY_POLLING_INTERVAL": str(interval),
            },
            start_new_session=True,
        )

    def pids(self) -> Iterator[int]:
        """All its processes: those of its session."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                session = stat.read_text().rpartition(")")[2].split()[3]
            except OSError:
                continue
            if int(session) == self.process.pid:
                yield int(stat.parent.name)

    def tasks(self) -> list[int]:
        """All its threads."""
        tasks = (Path(f"/proc/{pid}/task").iterdir() for pid in self.pids())
        return [int(task.name) for threads in tasks for task in threads]

    def cpu_seconds(self) -> float:
        """What it has taken of the CPU."""
        stats = (Path(f"/proc/{task}/schedstat").read_text() for task in self.tasks())
        return sum(int(stat.split()[0]) for stat in stats) / 1e9

    def resident_mb(self) -> float:
        """Memory that it has."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def check(self) -> None:
        """It is still there."""
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.returncode}")

    def end(self) -> None:
        """Kill it."""
        for pid in [*self.pids()]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Bench:
    """One case in the lab, for one program after the other."""

    def __init__(self, lab: Lab, case: Case) -> None:
        self.lab = lab
        self.case = case
        self.ports = lab.ports
        for port in self.ports:
            port.nic.num_vfs = case.vfs
            port.nic.slow(set_seconds=case.cost_ms / 1e3)

    def all_in(self, state: str) -> bool:
        return all(set(port.nic.vf_states().values()) == {state} for port in self.ports)

    def _began(self, port: Port, *, up: bool) -> int:
        """When the kernel showed the change; a crowd's is announced under one hold of the lock."""
        shown = [
            next(r.ns for r in each.nic.trace() if r.kind != "set" and r.lacp_up == up)
            for each in (self.ports if len(self.ports) > 2 else [port])
        ]
        return max(shown)

    def _reaction(self, *, up: bool) -> tuple[float, float]:
        """Milliseconds to the first VF and the last, of the slowest PF."""
        firsts, lasts = [], []
        for port in self.ports:
            began = self._began(port, up=up)
            sets = [r.ns for r in port.nic.trace() if r.kind == "set" and not r.result]
            firsts.append((min(sets) - began) / 1e6)
            lasts.append((max(sets) - began) / 1e6)
        return max(firsts), max(lasts)

    def _reset_traces(self, *, sample: bool = False) -> None:
        for port in self.ports:
            port.nic.sample_lacp(sample)
            port.nic.reset_trace()

    def outage(self) -> tuple[tuple[float, float] | None, float | None]:
        """LACP is lost and comes back. What never came about is None, and is made good."""
        down, up = None, None
        self._reset_traces()
        self.lab.mute(self.ports)
        time.sleep(_EXPIRE)
        if self._waits("disable"):
            down = self._reaction(up=False)
        self._reset_traces(sample=True)
        self.lab.unmute(self.ports)
        time.sleep(_RECOVER)
        for port in self.ports:
            port.wait_lacp(up=True)
        if self._waits("auto"):
            up = self._reaction(up=True)[1] if down else None
        else:
            for port in self.ports:
                port.set_vfs("auto", *range(self.case.vfs))
        self._reset_traces()
        time.sleep(_SETTLE)
        return down, up

    def _waits(self, state: str) -> bool:
        try:
            wait_for(lambda: self.all_in(state), _LIMIT, state, every=0.5)
        except TimeoutError:
            return False
        return True

    def measure(self, command: str, rounds: int, interval: int) -> Figures:
        """All of one program.

        Raises:
            RuntimeError: it ended by itself.
        """
        program = Program(command, [port.pf for port in self.ports], interval)
        try:
            time.sleep(_START)
            program.check()
            outages = [self.outage() for _ in range(rounds + 1)][1:]  # the first warms up
            program.check()
            with tracing(program.tasks()) as idle:
                before = program.cpu_seconds()
                time.sleep(_IDLE)
                idle_cpu = program.cpu_seconds() - before
            with tracing(program.tasks()) as active:
                worked, _ = self.outage()
            storm = self._storm(program)
            program.check()
            downs = [down for down, _ in outages if down]
            ups = [up for _, up in outages if up is not None]
            return Figures(
                statistics.median(first for first, _ in downs) if downs else None,
                statistics.median(last for _, last in downs) if downs else None,
                max(last for _, last in downs) if downs else None,
                statistics.median(ups) if ups else None,
                active.rtnl_seconds * 1e3 if worked else None,
                active.calls if worked else None,
                idle_cpu / _IDLE * 100,
                idle.calls / _IDLE,
                storm,
                program.resident_mb(),
            )
        finally:
            program.end()
            if not self.all_in("auto"):
                for port in self.ports:
                    port.set_vfs("auto", *range(self.case.vfs))

    @staticmethod
    def _storm(program: Program) -> float:
        """Microseconds of CPU for an event of another link."""
        ip("link add storm type dummy")
        before = program.cpu_seconds()
        ip(*(f"link set dev storm alias {number}" for number in range(_STORM)))
        time.sleep(_SETTLE)
        took = program.cpu_seconds() - before
        ip("link del storm")
        return took / _STORM * 1e6


@contextmanager
def made(pfs: int) -> Iterator[Lab]:
    """A lab of so many PFs."""
    lab = Crowd(pfs) if pfs > 2 else Lab(pfs)
    lab.up(exact=True)
    try:
        yield lab
    finally:
        lab.down()


HEAD = (
    "| case | program | first VF | last VF | worst | back | RTNL | calls | idle CPU | "
    "idle calls | storm | memory |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(case: Case, who: str, found: Figures | None) -> str:
    """A line of the table."""
    if found is None:
        return f"| {case} | {who} |" + " never |" * 10
    units = ("ms",) * 5 + ("", "%", "/s", "us", "MB")
    digits = (2, 2, 2, 2, 2, 0, 3, 1, 1, 1)
    cells = (
        "never" if value is None else f"{value:.{digit}f} {unit}".rstrip()
        for value, unit, digit in zip(found, units, digits, strict=True)
    )
    return f"| {case} | {who} | {' | '.join(cells)} |"


def chosen(text: str, among: Sequence[float]) -> list[float]:
    """Numbers of a list, or all."""
    return [float(word) for word in text.split(",")] if text else [*among]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--relay", metavar="COMMAND", help="a program that is not ours")
    parser.add_argument("--vfs", default="", metavar="N,N", help="of each PF: 4,64,256")
    parser.add_argument("--pfs", default="", metavar="N,N", help="1,2,16")
    parser.add_argument("--cost", default="", metavar="MS,MS", help="to set a VF: 0,1.5")
    parser.add_argument("--rounds", type=int, default=5, help="outages, besides a first one")
    parser.add_argument("--interval", type=int, default=1000, metavar="MS")
    args = parser.parse_args()
    programs = {**OURS, (args.relay or "straw.py"): args.relay or STRAW}
    lines = [HEAD]
    series: dict[str, list[tuple[str, float]]] = {who: [] for who in programs}
    figures: dict[str, dict[str, dict[str, float | None] | None]] = {}
    for pfs in map(int, chosen(args.pfs, PFS)):
        with made(pfs) as lab:
            for vfs, cost in product(chosen(args.vfs, VFS), chosen(args.cost, COST_MS)):
                case = Case(pfs, int(vfs), cost)
                lab.reset()
                bench = Bench(lab, case)
                for who, command in programs.items():
                    try:
                        found = bench.measure(command, args.rounds, args.interval)
                    except (RuntimeError, TimeoutError) as exc:
                        print(f"{case}, {who}: {exc}", flush=True)
                        found = None
                    lines.append(row(case, who, found))
                    print(lines[-1], flush=True)
                    figures.setdefault(str(case), {})[who] = found and found._asdict()
                    if found and found.down_ms:
                        series[who].append((str(case), found.down_ms / 1e3))
                    _save("\n".join(lines) + "\n", series, figures)
    print("\n".join(lines))
    return 0


def _save(table: str, series: dict[str, list[tuple[str, float]]], figures: object) -> None:
    """Into the lab's results, after each case: a long run may be ended."""
    results = os.environ.get("LAB_RESULTS")
    if not results:
        return
    folder = Path(results)
    (folder / "relay.md").write_text(table)
    (folder / "relay.json").write_text(json.dumps({here(): figures}, indent=2) + "\n")
    if any(series.values()):
        title = "From LACP lost to the last VF set"
        (folder / "relay.svg").write_text(bars(title, "", "seconds, exact clock", series))


if __name__ == "__main__":
    sys.exit(main())
