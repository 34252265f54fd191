"""Say whether failover would work on PFs, and how to mend what is missing.

Exit status: 0 it would work on all of them, or has, where LACP is down;
1 it would not on one, 3 one could not be read.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pfstatus import sysfs
from pfstatus.cli.base import FAILED, NO, YES, look, names, open_session, read_each
from pfstatus.cli.text import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Painter,
    complain,
    paragraph,
    say,
    shell_lines,
)
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.explain import Facts, Finding, Level, explain, works
from pfstatus.heartbeat.learn import learn
from pfstatus.values import Lacp, LacpReason, LacpStatus, LinkStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pfstatus.heartbeat.values import Partner
    from pfstatus.session import Session

_LOOPBACK = 1  # the ifindex of lo, in each network namespace
_MARKS = {
    Level.GOOD: ("✓", GREEN),
    Level.NOTE: ("·", DIM),
    Level.WARNING: ("!", YELLOW),
    Level.PROBLEM: ("✗", RED),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--json", action="store_true", help="a list of PFs: works, findings, LinkStatus.to_dict()"
    )
    parser.add_argument(
        "--ask",
        action="store_true",
        help="ask the switch, too, for half a minute: whether a relay's heartbeat would work",
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    with open_session(args) as session:
        known = Facts(may_set_vfs=session.may_set_vfs(), netns=args.netns)
        asked: Mapping[str, Partner | str] = {}
        if args.ask:
            complain("asking the switch, which takes half a minute")
            asked = learn(*names(session, args.interfaces), netns=args.netns)
        judge = partial(_judge, session, known, asked)
        answers, failed = read_each(session, args.interfaces, judge)
    if args.json:
        say(json.dumps([_plain(*answer) for answer in answers], indent=2))
    else:
        paint = Painter()
        say("\n\n".join(_text(*answer, paint) for answer in answers))
    if failed:
        return FAILED
    return YES if all(works(findings) for _, findings in answers) else NO


def _judge(
    session: Session, known: Facts, asked: Mapping[str, Partner | str], name: str
) -> tuple[LinkStatus, tuple[Finding, ...]]:
    try:
        status = look(session, name)
    except LinkNotFoundError:
        lacp = Lacp(LacpStatus.UNKNOWN, LacpReason.ABSENT, "It is absent.")
        status = LinkStatus(name, lacp)
        return status, explain(status, known)
    if known.netns is None:  # sysfs shows the namespace that it was mounted in
        known = sysfs.facts(status, may_set_vfs=known.may_set_vfs)
    kind, ports = known.kind, known.bond_ports
    if status.ifindex == _LOOPBACK:
        kind = "loopback"
    with suppress(Error):  # too many links come and go
        bonded = session.ports()
        own = [port for port in bonded if port.master == status.ifindex]
        kind = "bond" if own else kind
        ports = tuple(
            port.ifname or port.name
            for port in own or bonded
            if own or (status.master and port.master == status.master)
        )
    known = replace(known, kind=kind, bond_ports=ports, partner=asked.get(name))
    return status, explain(status, known)


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
    answer = _answer(status, works=works(findings))
    summary = f" ({', '.join(reversed(counted))})" if counted else ""
    lines = [f"{paint((status.name, BOLD))}: {paint(answer)}{summary}", ""]
    # What is to be mended comes last, where the eye is.
    for finding in sorted(findings, key=lambda finding: list(Level).index(finding.level)):
        mark = _MARKS[finding.level]
        begin = f"  {mark[0]} "
        first, *rest = paragraph(finding.sentence, begin)
        lines += [first.replace(mark[0], paint(mark), 1), *rest]
        if finding.command:
            lines += [paint((line, BOLD)) for line in shell_lines(finding.command, "      $ ")]
    return "\n".join(lines)


def _answer(status: LinkStatus, *, works: bool) -> tuple[str, str]:
    """The answer in a line, and its colour."""
    if status.lacp.reason is LacpReason.LINK_DOWN:
        return "its link is down, and VFs in auto with it", RED
    if status.lacp.status is LacpStatus.DOWN:
        if works:
            return "LACP is down and so are its VFs: failover has taken place", YELLOW
        return "LACP is down, and failover has not taken place", RED
    if works:
        return f"failover would work while a relay runs (pfstatus relay {status.name})", GREEN
    return "failover would not work", RED
