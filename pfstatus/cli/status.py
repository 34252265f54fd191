"""Show LACP and VFs of PFs: those named, or all ports of 802.3ad bonds.

Exit status: 0 LACP is up on all of them, 1 it is not on one,
3 one could not be read. With --npd: 0 up on all, 1 down on one, 2 anything
else.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from pfstatus.cli.base import (
    FAILED,
    NO,
    TONES,
    YES,
    describe_error,
    look,
    names,
    open_session,
    read_each,
)
from pfstatus.cli.text import BOLD, RED, YELLOW, Painter, say, table
from pfstatus.values import BondMode, LacpRate, LacpStatus, LinkStatus, OperState, VfLinkState

if TYPE_CHECKING:
    import argparse

    from pfstatus.cli.text import Cell
    from pfstatus.values import Bond

_NO_PARTNER = "00:00:00:00:00:00"
_NPD_UNKNOWN = 2
_NPD_LINE = 80
"""node-problem-detector cuts what is longer."""
_COLUMNS = ("PF", "LINK", "LACP", "BOND", "RATE", "SWITCH", "VFS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="a list of LinkStatus.to_dict(), which stays stable"
    )
    form.add_argument(
        "--npd", action="store_true", help="one line, as a plugin of node-problem-detector"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.npd:
        code, line = _problem(args)
        say(line if len(line) <= _NPD_LINE else line[: _NPD_LINE - 3] + "...")
        return code
    with open_session(args) as session:
        found, failed = read_each(session, args.interfaces, partial(look, session))
    if args.json:
        say(json.dumps([pf.to_dict() for pf in found], indent=2))
    elif found:
        _show(found)
    if failed:
        return FAILED
    return YES if all(pf.lacp.status is LacpStatus.UP for pf in found) else NO


def _problem(args: argparse.Namespace) -> tuple[int, str]:
    """Exit status and line for node-problem-detector. Reads no VFs: it asks again and again."""
    try:
        with open_session(args) as session:
            found = [session.get(name, vfs=False) for name in names(session, args.interfaces)]
    except OSError as exc:
        return _NPD_UNKNOWN, describe_error(exc)
    for status, code in ((LacpStatus.DOWN, NO), (LacpStatus.UNKNOWN, _NPD_UNKNOWN)):
        bad = [f"{pf.name} ({pf.lacp.reason})" for pf in found if pf.lacp.status is status]
        if bad:
            return code, f"LACP is {status} on {', '.join(bad)}"
    return YES, f"LACP is up on {', '.join(pf.name for pf in found)}"


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
