"""Set link states of VFs, and read them again: some drivers accept and do nothing.

  pfstatus set ens5f0 0=disable 2-5=auto
  pfstatus set ens5f0 all=auto

Exit status: 0 every VF is as wanted, 1 one is not, 3 nothing was tried.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pfstatus.cli.base import GREEN, NO, RED, YES, Painter, describe_error, open_session, table
from pfstatus.values import VfLinkState

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from pfstatus.values import LinkStatus, VfResult

NAME = "set"
_VFS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interface", metavar="PF")
    parser.add_argument(
        "settings",
        nargs="+",
        metavar="VF=STATE",
        help="a VF, a range 0-7, a list 0,2-5 or all; auto, enable or disable",
    )
    parser.add_argument("--json", action="store_true", help="a list of results")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    wanted = [_parse(setting) for setting in args.settings]
    with open_session(args) as session:
        status = session.get(args.interface)
        settings = _settings(wanted, status)
        results = session.set_vf_link_state(status, settings)
        # Reading once more is what tells; of a PF that went meanwhile the results do.
        seen = {vf.vf: vf.link_state for vf in session.vfs(status)[2]}
    answers = [(result, _failure(result, seen)) for result in results]
    if args.json:
        print(json.dumps([_plain(*answer) for answer in answers], indent=2))
    else:
        paint = Painter()
        print(table([_row(*answer) for answer in answers], paint))
    return NO if any(failure for _, failure in answers) else YES


def _parse(text: str) -> tuple[str, VfLinkState]:
    vfs, equals, state = text.partition("=")
    if not equals or not (vfs == "all" or all(map(_VFS.fullmatch, vfs.split(",")))):
        msg = f"a setting is VF=STATE, such as 0=disable, 0-7=auto or all=auto, not {text!r}"
        raise ValueError(msg)
    return vfs, VfLinkState.parse(state)


def _numbers(vfs: str, status: LinkStatus) -> Iterable[int]:
    if vfs == "all":
        yield from (vf.vf for vf in status.vfs or ())
        return
    for part in vfs.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _settings(wanted: list[tuple[str, VfLinkState]], status: LinkStatus) -> dict[int, VfLinkState]:
    settings: dict[int, VfLinkState] = {}
    for vfs, state in wanted:
        numbers = list(_numbers(vfs, status))
        if not numbers:
            what = f"{status.name} has no VFs" if vfs == "all" else f"{vfs} is no range"
            raise ValueError(what)
        for vf in numbers:
            if vf in settings:
                msg = f"VF {vf} is named twice"
                raise ValueError(msg)
            settings[vf] = state
    return settings


def _failure(result: VfResult, seen: dict[int, VfLinkState]) -> str | None:
    if result.error is not None:
        return result.error.strerror or describe_error(result.error)
    now = seen.get(result.vf, result.link_state)
    return None if now is result.link_state else f"the driver accepted, but it is still {now}"


def _plain(result: VfResult, failure: str | None) -> dict[str, object]:
    return {"vf": result.vf, "link_state": str(result.link_state), "error": failure}


def _row(result: VfResult, failure: str | None) -> tuple[str | tuple[str, str], ...]:
    answer = (f"failed: {failure}", RED) if failure else ("set", GREEN)
    return f"VF {result.vf}", str(result.link_state), answer
