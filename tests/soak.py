#!/usr/bin/env python3
"""Millions of random events against the fake kernel, on a virtual clock: a part of `make soak`.

What happens is history_world.py's. Each process lives through worlds of its own, one after the
other, with a relay each; memory and descriptors are noted after the first world and at the end.
Exit status: 0 all is well, 1 a relay was wrong: it says how to have that world again.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from history_world import EVENTS, World
from virtual_time import Clock, virtual

AT_REST = ("turn", "time_passes", "all_is_quiet")
"""What is no event but time."""
_SHARES = {
    "turn": 2.0,
    "time_passes": 0.2,
    "all_is_quiet": 0.02,
    "somebody_sets_a_vf": 0.2,
    "vfs_are_made_anew": 0.1,
    "relay_dies_and_is_started_again": 0.3,
}
"""How often, where others are 1: what takes virtual time takes ours too."""
WORLD = 200_000
"""Events in the life of one world: what a node sees in years, so that what adds up shows."""
LEAK_KIB, LEAK_FDS = 2048, 0
"""What a process may have more at the end."""


class Footprint(NamedTuple):
    """Of a process."""

    kib: int
    fds: int


class Report(NamedTuple):
    """What a process has lived through."""

    events: int
    seconds: float
    days: float
    """On the virtual clock."""
    settings: int
    """VFs that were set."""
    quiet: int
    """How often the end state was looked at."""
    early: Footprint
    late: Footprint
    wrong: str
    """What was; empty where nothing was."""


def footprint() -> Footprint:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    fds = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Footprint(pages * os.sysconf("SC_PAGE_SIZE") // 1024, fds)


def live(clock: Clock, seed: int, events: int, counts: collections.Counter[str]) -> str:
    """One world. Returns what was wrong, in words."""
    chance = random.Random(seed)
    names = [*EVENTS]
    shares = [_SHARES.get(name, 1.0) for name in names]
    last: collections.deque[str] = collections.deque(maxlen=40)
    restore = chance.choice(("all", "owned"))
    with tempfile.TemporaryDirectory() as folder, World(clock, restore, Path(folder)) as world:
        happened = 0
        while happened < events:
            for name in chance.choices(names, shares, k=500):
                told = {key: chance.choice(among) for key, among in EVENTS[name].items()}
                last.append(f"{name} {told}")
                try:
                    done = world.do(name, **told)
                except Exception as exc:  # whatever it is, the seed tells it again
                    history = "\n".join(last)
                    return f"seed {seed}, restore={restore}: {exc!r} after\n{history}"
                happened += done and name not in AT_REST
                counts["quiet"] += name == "all_is_quiet"
            counts["settings"] += len(world.kernel.writes)
            world.kernel.writes.clear()
        counts["events"] += happened
    return ""


def work(job: tuple[int, int]) -> Report:
    """What one process does, from a seed on: so many events."""
    seed, events = job
    counts: collections.Counter[str] = collections.Counter()
    wrong = ""
    early = None
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        clock = virtual(patch)
        start = clock.now
        while counts["events"] < events and not wrong:
            wrong = live(clock, seed, min(WORLD, -(-events // 10)), counts)
            if wrong:
                again = f"--jobs 1 --events {events} --seed {seed}"
                wrong += f"\nagain: .venv/bin/python tests/soak.py {again}"
            seed += 1
            if early is None:
                early = footprint()
            print(f"{counts['events']} of {events} events, {footprint().kib} KiB", flush=True)
        days = (clock.now - start) / 86400
    late = footprint()
    done = counts["events"], time.monotonic() - began, days, counts["settings"], counts["quiet"]
    return Report(*done, early or late, late, wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--into", type=Path, help="write the figures there, as JSON")
    args = parser.parse_args()
    each = -(-args.events // args.jobs)
    jobs = [(args.seed + 1_000_000 * number, each) for number in range(args.jobs)]
    reports: list[Report] = []
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for report in pool.imap_unordered(work, jobs):
            reports.append(report)
            if report.wrong:
                break
    total = sum(report.events for report in reports)
    seconds = max(report.seconds for report in reports)
    print(
        f"{total} events in {seconds:.0f} s ({total / seconds:.0f} a second, {args.jobs} jobs); "
        f"{sum(report.days for report in reports):.1f} virtual days, "
        f"{sum(report.settings for report in reports)} VFs set, "
        f"{sum(report.quiet for report in reports)} times all was quiet and looked at"
    )
    bad = False
    for report in reports:
        grown = report.late.kib - report.early.kib
        more = report.late.fds - report.early.fds
        bad |= bool(report.wrong) or grown > LEAK_KIB or more > LEAK_FDS
        print(
            f"  resident {report.early.kib} KiB after a world, {report.late.kib} at the end; "
            f"descriptors {report.early.fds}, {report.late.fds}"
        )
        if report.wrong:
            print(f"  WRONG: {report.wrong}")
    if args.into:
        args.into.parent.mkdir(parents=True, exist_ok=True)
        args.into.write_text(json.dumps([report._asdict() for report in reports], indent=2))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
