#!/usr/bin/env python3
"""Compares exact figures with the baseline: the last part of `make bench-check`.

Exit status: 0 nothing of ours takes 5 % more than baseline.json says, 1 something does, 2 there is
no baseline for this kernel and Python.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

BASELINE = Path(__file__).with_name("baseline.json")
OURS = ("pfstatus", "libpfstatus")
MORE, LESS = 1.05, 0.95


def measured(results: Path) -> tuple[str, dict[str, int]]:
    """Where, and our own figures."""
    found: dict[str, dict[str, int]] = {}
    for file in sorted(results.glob("*.json")):
        for place, figures in json.loads(file.read_text()).items():
            ours = {what: ns for what, ns in figures.items() if any(who in what for who in OURS)}
            found.setdefault(place, {}).update(ours)
    if len(found) != 1:
        sys.exit(f"bench-check: {results} has figures of {len(found)} kernels; remove the old ones")
    return found.popitem()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="where the lab has put them")
    parser.add_argument("--write", action="store_true", help="make them the baseline")
    args = parser.parse_args()
    place, found = measured(args.results)
    baseline: dict[str, dict[str, int]] = {}
    if BASELINE.exists():
        baseline = json.loads(BASELINE.read_text())
    if args.write:
        baseline[place] = found
        BASELINE.write_text(json.dumps(baseline, indent=2) + "\n")
        return 0
    known = baseline.get(place)
    if known is None:
        print(f"bench-check: no baseline for {place}; make bench-check WRITE=--write notes one")
        return 2
    worse = 0
    for what in sorted(found.keys() | known.keys()):
        now, before = found.get(what), known.get(what)
        if now is None or before is None:
            print(f"  {what}: {'not measured' if now is None else 'not in the baseline yet'}")
            worse += now is None
            continue
        if not before * LESS <= now <= before * MORE:
            print(f"  {what}: {before / 1e6:.3f} -> {now / 1e6:.3f} ms ({now / before - 1:+.1%})")
        worse += now > before * MORE
    verdict = (
        f"{worse} of {len(found)} figures are not as they should be"
        if worse
        else "as before, or better"
    )
    print(f"bench-check: {place}: {verdict}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
