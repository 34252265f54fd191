#!/usr/bin/env python3
"""Show LACP and VFs of PFs: those named, or all that are in a bond.

Exit status: 0 LACP is up on all of them, 1 it is not on one, 2 one could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from itertools import zip_longest

import pfstatus

COLUMNS = ("PF", "LACP", "REASON", "ACTOR", "PARTNER", "BOND", "RATE", "SWITCH", "VFS")


def row(pf: pfstatus.LinkStatus) -> tuple[str, ...]:
    """Give one line of the table."""
    states = Counter(str(vf.link_state) for vf in pf.vfs or ())
    bond = pf.bond
    return (
        pf.name,
        str(pf.lacp.status),
        str(pf.lacp.reason),
        "-" if pf.actor is None else f"{pf.actor:#04x}",
        "-" if pf.partner is None else f"{pf.partner:#04x}",
        "-" if bond is None else f"{bond.name} ({bond.mode})",
        "-" if bond is None or bond.lacp_rate is None else str(bond.lacp_rate),
        "-" if bond is None or bond.partner_mac is None else bond.partner_mac,
        ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "-",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interfaces", nargs="*", metavar="INTERFACE")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    status = 0
    found = []
    with pfstatus.Session() as session:
        for name in args.interfaces or [pf.name for pf in session.ports()]:
            try:
                found.append(session.get(name))
            except (pfstatus.Error, ValueError) as exc:
                print(f"status: {exc}", file=sys.stderr)
                status = 2
    if args.json:
        print(json.dumps([pf.to_dict() for pf in found], indent=2))
    elif found:
        table = [COLUMNS, *map(row, found)]
        widths = [max(map(len, column)) for column in zip_longest(*table)]
        for line in table:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            print("  ".join(cells).rstrip())
        for pf in found:
            if pf.lacp.status is not pfstatus.LacpStatus.UP:
                print(f"{pf.name}: {pf.lacp.sentence}")
    elif not status:
        print("status: no interface here is in a bond; name one", file=sys.stderr)
        return 2
    return status or any(pf.lacp.status is not pfstatus.LacpStatus.UP for pf in found)


if __name__ == "__main__":
    sys.exit(main())
