"""Tell of each change of PFs: those named, or all ports of 802.3ad bonds.

The first lines of each PF are its present. A PF that cannot be asked is said on
stderr, and asked again. Ends with Ctrl-C, and then with 130.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from pfstatus.cli.base import TONES, YES, changes, names, open_session
from pfstatus.cli.text import DIM, Painter, paragraph, say
from pfstatus.explain import ranges
from pfstatus.monitor import Monitor
from pfstatus.relay.report import rfc3339

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pfstatus.values import Change, LinkStatus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between questions while LACP is up (%(default)s)",
    )
    parser.add_argument(
        "--vfs",
        action="store_true",
        help="tell of VFs, too; asks the NIC's driver for each of them each time",
    )
    parser.add_argument(
        "--json", action="store_true", help="an object a line: time, and Change.to_dict()"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    session = open_session(args, events=True)
    with session:
        watched = names(session, args.interfaces)
        with Monitor(*watched, interval=args.interval, vfs=args.vfs, session=session) as monitor:
            paint = Painter()
            width = max(map(len, watched))
            for change in changes(monitor):
                say(_json(change) if args.json else "\n".join(_lines(change, width, paint)))
    return YES


def _json(change: Change) -> str:
    return json.dumps({"time": rfc3339(time.time_ns()), **change.to_dict()}, separators=(",", ":"))


def _lines(change: Change, width: int, paint: Painter) -> Iterator[str]:
    """The change, and below it what it consists of."""
    clock = datetime.now().strftime("%H:%M:%S.%f")[:-3]
    tone = TONES[change.new.lacp.status]
    head = f"{clock}  {change.name.ljust(width)}  "
    news, *rest = _news(change)
    first, *more = paragraph(f"{news} [{change.cause}]", head, " " * len(head))
    what = first.removeprefix(head)
    yield f"{paint((clock, DIM))}{head[len(clock) :]}{paint((what, tone))}"
    indent = " " * (len(clock) + 2)
    for line in [*more, *(line for text in rest for line in paragraph(text, indent))]:
        yield paint((line, DIM))


def _news(change: Change) -> list[str]:
    """What there is to tell: the most important first, the details together at the end."""
    old, new = change.old, change.new
    vfs = [_vfs(new)] if new.vfs and (old is None or old.vfs != new.vfs) else []
    if old is None:
        return [f"LACP {new.lacp}", new.lacp.sentence, *vfs]
    details = ", ".join([*_differences(old, new), *vfs])
    if old.lacp != new.lacp:
        return [f"LACP {old.lacp} → {new.lacp}", new.lacp.sentence, *([details] if details else [])]
    return [details or "touched"]


def _differences(old: LinkStatus, new: LinkStatus) -> Iterator[str]:
    before, after = _details(old), _details(new)
    for word in before:
        if before[word] != after[word]:
            yield f"{word} {before[word]} → {after[word]}"


def _details(pf: LinkStatus) -> dict[str, str]:
    bond = pf.bond
    found = {
        "ifindex": pf.ifindex,
        "name": pf.ifname,
        "link": pf.operstate,
        "master": bond.name if bond else pf.master_kind,
        "active": None if pf.active is None else "yes" if pf.active else "no",
        "aggregator": pf.aggregator_id,
        "actor": None if pf.actor is None else f"{int(pf.actor):#04x}",
        "partner": None if pf.partner is None else f"{int(pf.partner):#04x}",
        "mode": bond and bond.mode,
        "rate": bond and bond.lacp_rate,
        "miimon": bond and bond.miimon,
        "min_links": bond and bond.min_links,
        "ports": bond and bond.num_ports,
        "active aggregator": bond and bond.aggregator_id,
        "key": bond and bond.actor_key,
        "switch key": bond and bond.partner_key,
        "switch": bond and bond.partner_mac,
        "VFs": pf.num_vfs,
    }
    return {word: "-" if value is None else str(value) for word, value in found.items()}


def _vfs(pf: LinkStatus) -> str:
    by_state = sorted(pf.vfs or (), key=lambda vf: vf.link_state)
    groups = groupby(by_state, lambda vf: vf.link_state)
    return ", ".join(f"VF {ranges(vf.vf for vf in vfs)} {state}" for state, vfs in groups)
