"""Show LACP and VFs of PFs: those named, or all ports of 802.3ad bonds.

Exit status: 0 LACP is up on all of them, 1 it is not on one,
3 one could not be read.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from pfstatus.cli.base import FAILED, NO, TONES, YES, look, open_session, read_each
from pfstatus.cli.text import BOLD, RED, YELLOW, Painter, say, table
from pfstatus.values import BondMode, LacpRate, LacpStatus, LinkStatus, OperState, VfLinkState

if TYPE_CHECKING:
    import argparse

    from pfstatus.cli.text import Cell
    from pfstatus.values import Bond

NAME = "status"
_NO_PARTNER = "00:00:00:00:00:00"
_COLUMNS = ("PF", "LINK", "LACP", "BOND", "RATE", "SWITCH", "VFS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--json", action="store_true", help="a list of LinkStatus.to_dict(), which stays stable"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    with open_session(args) as session:
        found, failed = read_each(session, args.interfaces, partial(look, session))
    if args.json:
        say(json.dumps([pf.to_dict() for pf in found], indent=2))
    elif found:
        _show(found)
    if failed:
        return FAILED
    return YES if all(pf.lacp.status is LacpStatus.UP for pf in found) else NO


def _show(found: list[LinkStatus]) -> None:
    paint = Painter()
    head = [(column, BOLD) for column in _COLUMNS]
    say(table([head, *map(_row, found)], paint))
    for pf in found:
        if pf.lacp.status is not LacpStatus.UP:
            say(f"\n{paint((pf.name, TONES[pf.lacp.status]))}: {pf.lacp.sentence}")


def _row(pf: LinkStatus) -> tuple[Cell, ...]:
    link = "-" if pf.operstate is None else str(pf.operstate)
    bond = pf.bond
    slow = bond is not None and bond.lacp_rate is LacpRate.SLOW
    return (
        pf.name,
        link if pf.operstate is OperState.UP else (link, RED),
        (str(pf.lacp), TONES[pf.lacp.status]),
        _master(pf, bond),
        "-" if bond is None or bond.lacp_rate is None else (str(bond.lacp_rate), YELLOW * slow),
        "-" if bond is None or bond.partner_mac in (None, _NO_PARTNER) else str(bond.partner_mac),
        _vfs(pf),
    )


def _master(pf: LinkStatus, bond: Bond | None) -> Cell:
    if bond is None:
        return f"({pf.master_kind})" if pf.master_kind else "-"
    if bond.mode == BondMode.IEEE_802_3AD:
        return bond.name
    return f"{bond.name} ({bond.mode})", YELLOW


def _vfs(pf: LinkStatus) -> Cell:
    counts = Counter(vf.link_state for vf in pf.vfs or ())
    text = ", ".join(f"{counts[state]} {state}" for state in VfLinkState if counts[state])
    tone = RED if counts[VfLinkState.DISABLE] else YELLOW if counts[VfLinkState.ENABLE] else ""
    return text or "-", tone
