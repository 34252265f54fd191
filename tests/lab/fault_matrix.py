"""Brings about whatever may go wrong, and tells in a table how each ends: `make faults`.

    python3 tests/lab/vm.py --timeout 3000 --results results/faults -- \\
        .venv/bin/python tests/lab/fault_matrix.py [words of a name, or numbers]

Exit status: 0 all ended as they must, 1 some did not. The table is in `$LAB_RESULTS/faults.md`.
"""

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults import FAULTS, Fault, Outcome, happen
from topology import Crowd, Lab

Row = tuple[int, Fault, Outcome]


@contextmanager
def made(ports: int) -> Iterator[Lab]:
    """The lab with so many PFs."""
    lab = Lab() if ports == 2 else Crowd(ports)
    lab.up()
    try:
        yield lab
    finally:
        lab.down()


PAGE = """\
# Faults, and how they end

`make faults` brings about whatever may go wrong on a node, on a real kernel in the lab, and writes
this page. Each fault has a state that it must end in: the VFs' link states as the NICs have them,
and what is said beside. A W and a number stand for a fault that the Go pf-status-relay has. Besides
there are `tests/test_killed.py` (kill -9 at every system call of a reaction) and `make soak`
([random histories by the million, hundreds of real flaps](howto/measure.md#the-soak)).

The seconds are those from the last deed to the end state. Where a partner falls silent, 3 of them
are LACP's own; the lab is an emulated machine, on which a program takes seconds to start.

"""


def page(rows: Sequence[Row]) -> str:
    """The table, and what it is about."""
    right = sum(outcome.right for _, _, outcome in rows)
    lines = [
        f"{right} of {len(rows)} faults end as they must: Linux {platform.release()}, "
        f"Python {platform.python_version()}.",
        "",
        "| # | fault | must end | ended | s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number, fault, (ended, seconds, _) in sorted(rows, key=lambda row: row[0]):
        must = "; ".join(filter(None, (fault.ends, fault.besides)))
        lines.append(f"| {number} | {fault.name} | {must} | {ended} | {seconds:.1f} |")
    return PAGE + "\n".join([*lines, ""])


def is_meant(number: int, fault: Fault, which: str) -> bool:
    """Whether a fault is one of those that were asked for."""
    if not re.fullmatch(r"[\d,-]+", which):
        return which in fault.name
    ranges = (part.partition("-") for part in which.split(","))
    return any(int(first) <= number <= int(last or first) for first, _, last in ranges)


def _save(rows: Sequence[Row]) -> None:
    """Into the lab's results, after each fault: a long run may be ended."""
    results = os.environ.get("LAB_RESULTS")
    if results:
        (Path(results) / "faults.md").write_text(page(rows), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", nargs="?", default="", help="words of a name, or numbers: 6-14,41")
    parser.add_argument("--file", default="", help="those of a file, such as lacp")
    options = parser.parse_args()
    chosen = [
        (number, fault)
        for number, fault in enumerate(FAULTS, 1)
        if is_meant(number, fault, options.which)
        and fault.deed.__module__.rpartition(".")[2].startswith(options.file)
    ]
    rows: list[Row] = []
    for ports in sorted({fault.ports for _, fault in chosen}):
        with made(ports) as lab:
            for number, fault in chosen:
                if fault.ports == ports:
                    began = time.monotonic()
                    outcome = happen(fault, lab)
                    rows.append((number, fault, outcome))
                    print(
                        f"{number:3} {'ok  ' if outcome.right else 'FAIL'} "
                        f"{time.monotonic() - began:6.1f} s  {fault.name}: {outcome.ended}",
                        flush=True,
                    )
                    _save(rows)
    print(page(rows), flush=True)
    return 0 if all(outcome.right for _, _, outcome in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
