"""Say in sentences whether failover would work on PFs, and how to mend what is missing.

Exit status: 0 it would work on all of them, 1 it would not on one, 3 one could not be read.
"""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from pfstatus import sysfs
from pfstatus.cli.base import (
    BOLD,
    DIM,
    FAILED,
    GREEN,
    NO,
    RED,
    YELLOW,
    YES,
    Painter,
    describe_error,
    names,
    open_session,
)
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.explain import Facts, Finding, Level, explain, works
from pfstatus.values import Lacp, LacpReason, LacpStatus, LinkStatus

if TYPE_CHECKING:
    import argparse

    from pfstatus.session import Session

NAME = "explain"
_MARKS = {
    Level.GOOD: ("✓", GREEN),
    Level.NOTE: ("·", DIM),
    Level.WARNING: ("!", YELLOW),
    Level.PROBLEM: ("✗", RED),
}
_WIDTH = 96


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--json", action="store_true", help="a list of PFs: works, findings, LinkStatus.to_dict()"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    answers = []
    code = YES
    with open_session(args) as session:
        permitted = session.may_set_vfs()
        for name in names(session, args.interfaces):
            try:
                answers.append(_look(session, name, permitted=permitted, here=args.netns is None))
            except Error as exc:
                print(f"pfstatus: {describe_error(exc)}", file=sys.stderr)
                code = FAILED
    if args.json:
        print(json.dumps([_plain(*answer) for answer in answers], indent=2))
    else:
        paint = Painter()
        print("\n\n".join(_text(*answer, paint) for answer in answers))
    return code or (YES if all(works(findings) for _, findings in answers) else NO)


def _look(
    session: Session, name: str, *, permitted: bool, here: bool
) -> tuple[LinkStatus, tuple[Finding, ...]]:
    try:
        status = session.get(name)
    except LinkNotFoundError:
        status = LinkStatus(name, Lacp(LacpStatus.UNKNOWN, LacpReason.ABSENT, "It is absent."))
    # sysfs shows the namespace that it was mounted in.
    facts = (
        sysfs.facts(status.ifname, may_set_vfs=permitted)
        if here and status.ifname
        else Facts(may_set_vfs=permitted)
    )
    return status, explain(status, facts)


def _plain(status: LinkStatus, findings: tuple[Finding, ...]) -> dict[str, object]:
    return {
        "name": status.name,
        "works": works(findings),
        "findings": [finding.to_dict() for finding in findings],
        "status": status.to_dict(),
    }


def _text(status: LinkStatus, findings: tuple[Finding, ...], paint: Painter) -> str:
    counts = [(level, sum(f.level is level for f in findings)) for level in Level]
    counted = [
        f"{count} {level}{'s' if count > 1 else ''}"
        for level, count in counts
        if count and level in (Level.PROBLEM, Level.WARNING)
    ]
    if works(findings):
        answer = (
            f"failover would work, as long as a relay runs (pfstatus relay {status.name})",
            GREEN,
        )
    else:
        answer = ("failover would not work", RED)
    summary = f" ({', '.join(reversed(counted))})" if counted else ""
    lines = [f"{paint((status.name, BOLD))}: {paint(answer)}{summary}", ""]
    # What is to be mended comes last, where the eye is.
    for finding in sorted(findings, key=lambda finding: list(Level).index(finding.level)):
        mark, *rest = textwrap.wrap(
            f"  {_MARKS[finding.level][0]} {finding.sentence}", _WIDTH, subsequent_indent="    "
        )
        lines.append(mark.replace(_MARKS[finding.level][0], paint(_MARKS[finding.level]), 1))
        lines += rest
        if finding.command:
            # Whole, to be copied.
            lines.append(f"      {paint(('$ ' + finding.command, BOLD))}")
    return "\n".join(lines)
