"""Set link states of VFs, and read them again: some drivers accept and do nothing.

  pfstatus set ens5f0 0=disable 2-5=auto
  pfstatus set ens5f0 all=auto

disable cuts off the pods that use the VF, or has their bond take another one.
Ctrl-C ends it between two VFs, and what was done until then is told.

Exit status: 0 every VF is as wanted, 1 one is not, 2 there is no such VF,
3 nothing was tried, 130 Ctrl-C came before the last one.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from pfstatus.cli.base import (
    INTERRUPTED,
    NO,
    VFS,
    YES,
    describe_error,
    interrupt_held,
    open_session,
    vf_numbers,
)
from pfstatus.cli.text import GREEN, RED, Painter, complain, paragraph, say, table
from pfstatus.errors import Error
from pfstatus.explain import ranges
from pfstatus.values import LacpStatus, VfLinkState

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from pfstatus.cli.text import Cell
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus, VfResult

_BATCH = 4  # VFs in a message: after each, Ctrl-C is heard and others get the RTNL lock


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
    with open_session(args) as session, interrupt_held() as interrupted:
        status = session.get(args.interface)
        settings = _settings(wanted, status)
        results, why = _set(session, status, settings, interrupted)
        seen = _read_again(session, status) if results else {}
    failures: dict[int, str | None] = dict.fromkeys(settings, f"not tried: {why}")
    failures |= {result.vf: _failure(result, seen) for result in results}
    if args.json:
        say(json.dumps([_plain(vf, settings[vf], failures[vf]) for vf in settings], indent=2))
    else:
        say(table([*_rows(settings, failures)], Painter()))
        done = {settings[vf] for vf, failure in failures.items() if not failure}
        for note in _notes(status, done):
            say("\n".join(paragraph(note)))
    if interrupted():
        return INTERRUPTED
    return NO if any(failures.values()) else YES


def _set(
    session: Session,
    status: LinkStatus,
    settings: dict[int, VfLinkState],
    interrupted: Callable[[], bool],
) -> tuple[list[VfResult], str]:
    """What became of the VFs that were tried, and why the rest was not.

    Raises:
        Error: nothing was tried.
    """
    results: list[VfResult] = []
    items = [*settings.items()]
    while len(results) < len(items):
        if interrupted():
            return results, "interrupted"
        batch = items[len(results) : len(results) + _BATCH]
        try:
            results += session.set_vf_link_state(status, dict(batch))
        except Error as exc:
            if not results:
                raise
            return results, describe_error(exc)
    return results, ""


def _read_again(session: Session, status: LinkStatus) -> dict[int, VfLinkState]:
    """What the driver says that its VFs are by now; nothing if it cannot."""
    try:
        return {vf.vf: vf.link_state for vf in session.vfs(status)[2]}
    except Error as exc:
        complain(f"{describe_error(exc)}: whether the driver did what it accepted is not known")
        return {}


def _parse(text: str) -> tuple[str, VfLinkState]:
    vfs, equals, state = text.partition("=")
    if not equals or not (vfs == "all" or VFS.fullmatch(vfs)):
        msg = f"a setting is VF=STATE, such as 0=disable, 0-7=auto or all=auto, not {text!r}"
        raise ValueError(msg)
    return vfs, VfLinkState.parse(state)


def _settings(wanted: list[tuple[str, VfLinkState]], status: LinkStatus) -> dict[int, VfLinkState]:
    settings: dict[int, VfLinkState] = {}
    count = status.num_vfs or 0
    there_are = f"VFs {ranges(range(count))}" if count > 1 else "VF 0 alone" if count else "no VFs"
    for vfs, state in wanted:
        numbers = [vf.vf for vf in status.vfs or ()] if vfs == "all" else vf_numbers(vfs)
        for vf in numbers:
            if vf in settings:
                msg = f"VF {vf} is named twice"
                raise ValueError(msg)
            settings[vf] = state
    if not settings or max(settings) >= count:
        msg = f"{status.name} has {there_are}"
        raise ValueError(msg)
    return settings


def _failure(result: VfResult, seen: dict[int, VfLinkState]) -> str | None:
    if result.error is not None:
        return f"failed: {result.error.strerror or describe_error(result.error)}"
    now = seen.get(result.vf, result.link_state)
    return None if now is result.link_state else f"the driver accepted, but it is still {now}"


def _plain(vf: int, state: VfLinkState, failure: str | None) -> dict[str, object]:
    error = failure and failure.removeprefix("failed: ")
    return {"vf": vf, "link_state": str(state), "error": error}


def _rows(
    settings: dict[int, VfLinkState], failures: dict[int, str | None]
) -> Iterator[tuple[Cell, ...]]:
    """A row for each run of VFs that fared alike."""
    for (state, failure), run in groupby(settings, lambda vf: (settings[vf], failures[vf])):
        vfs = [*run]
        answer = (failure, RED) if failure else ("set", GREEN)
        yield f"{'VF' if len(vfs) == 1 else 'VFs'} {ranges(vfs)}", str(state), answer


def _notes(status: LinkStatus, states: set[VfLinkState]) -> Iterator[str]:
    """What follows from states that were set."""
    if VfLinkState.DISABLE in states:
        yield "Who uses a VF in disable is cut off until it is set to auto."
    if VfLinkState.ENABLE in states:
        yield "A VF in enable follows no cable, and no relay touches it: it does not fail over."
    if VfLinkState.AUTO in states and status.lacp.status is LacpStatus.DOWN:
        yield f"LACP is {status.lacp} on {status.name}: a relay that runs disables them again."
