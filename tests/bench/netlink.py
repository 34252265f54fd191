#!/usr/bin/env python3
"""What reading and setting a PF costs, beside the floor and peers: part of `make bench`.

Run in the lab, on the simulated NIC and by its exact clock: an instruction is a nanosecond. Every
contender does the same in one run, by turns; figures are medians. The floor is a C program that
sends and receives the same bytes and decodes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from chart import bars
from figures import Figures
from topology import Lab

import pfstatus

Seconds = dict[tuple[str, str], float]
"""By operation and contender."""

NETLINK = Path(__file__).parents[2] / "build" / "bench" / "netlink"


def c_figures(name: str) -> Seconds:
    """The floor, libpfstatus and libnl-route, from C."""
    shown = subprocess.run([NETLINK, name], capture_output=True, text=True, check=True)
    print(shown.stderr, end="")
    lines = (line.split("\t") for line in shown.stdout.splitlines())
    return {(operation, f"{who} (C)"): int(ns) / 1e9 for operation, who, ns in lines}


def race(contenders: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each, taking turns of five; those that raise have none.

    Five, since under emulation one contender's first call pays for the caches that another left.
    """
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for turn in range(turns + 1):
        for who, run in contenders.items():
            for repeat in range(5):
                began = time.perf_counter()
                try:
                    run()
                except Exception as exc:
                    if turn == repeat == 0:
                        print(f"  {who}: {type(exc).__name__}: {exc}")
                    break
                if turn and repeat:  # the first ones warm up
                    times[who].append(time.perf_counter() - began)
    return {who: statistics.median(taken) for who, taken in times.items() if taken}


def python_figures(name: str, turns: int, *, peers: bool) -> Seconds:
    """Pfstatus from Python, and if wanted pyroute2 and `ip` as a subprocess."""
    from pyroute2 import IPRoute

    with pfstatus.Session() as session, IPRoute() as route:
        pf = session.get(name)
        vfs = range(len(pf.vfs or ()))
        states = cycle([dict.fromkeys(vfs, state) for state in ("disable", "auto")])

        def set_all() -> None:
            results = session.set_vf_link_state(pf, next(states))
            assert not any(result.error for result in results)

        def by_ip() -> None:
            shown = subprocess.run(
                ["ip", "-j", "-d", "link", "show", name], capture_output=True, check=True
            )
            json.loads(shown.stdout)

        operations: dict[str, dict[str, Callable[[], object]]] = {
            "read LACP": {
                "pfstatus (Python)": lambda: session.get(name, vfs=False, bond=pf.bond),
                "pyroute2": lambda: route.link("get", index=pf.ifindex),
            },
            "read VFs": {
                "pfstatus (Python)": lambda: session.vfs(pf),
                "pyroute2": lambda: route.link("get", index=pf.ifindex, ext_mask=9),
                "ip -j": by_ip,
            },
            "set VFs": {"pfstatus (Python)": set_all},
        }
        if not peers:
            for contenders in operations.values():
                for who in contenders.keys() - {"pfstatus (Python)"}:
                    del contenders[who]
        return {
            (operation, who): seconds
            for operation, contenders in operations.items()
            for who, seconds in race(contenders, turns).items()
        }


def table(figures: Seconds) -> list[str]:
    """One line for each operation and contender, with its ratio to the floor."""
    lines = []
    for (operation, who), seconds in sorted(
        figures.items(), key=lambda item: (item[0][0], item[1])
    ):
        floor = figures.get((operation, "floor (C)"))
        ratio = f"{seconds / floor:8.2f}" if floor else f"{'-':>8}"
        lines.append(f"  {operation:16} {who:18} {seconds * 1e6:11.1f} us {ratio}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vfs", type=int, nargs="+", default=[4, 64, 256, 512])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--ours", action="store_true", help="without peers in Python")
    args = parser.parse_args()
    lab = Lab()
    lab.up(exact=True)
    port = lab.ports[0]
    lines: list[str] = []
    kept = Figures()
    series: dict[str, list[tuple[str, float]]] = {}
    for count in args.vfs:
        port.nic.num_vfs = count
        figures = c_figures(port.pf) | python_figures(port.pf, args.turns, peers=not args.ours)
        found = [f"{count} VFs, one PF                             median    of floor"]
        found += table(figures)
        print("\n".join(found), flush=True)
        lines += found
        for (operation, who), seconds in figures.items():
            kept.add(f"{count} VFs: {operation}, {who}", seconds)
            if operation == "read VFs":
                series.setdefault(who, []).append((str(count), seconds))
    lab.down()
    kept.save("netlink")
    results = os.environ.get("LAB_RESULTS")
    if results:
        (Path(results) / "netlink.txt").write_text("\n".join(lines) + "\n")
        (Path(results) / "netlink.svg").write_text(
            bars("Reading a PF with its VFs", "VFs", "seconds, logarithmic", series)
        )


if __name__ == "__main__":
    main()
