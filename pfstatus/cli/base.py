"""What the subcommands share: sessions, names, exit statuses, colours, a table."""

from __future__ import annotations

import os
import signal
import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

from pfstatus.errors import LinkNotFoundError
from pfstatus.session import Session
from pfstatus.values import BondMode, LacpStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pfstatus.values import Direction

YES, NO, FAILED = 0, 1, 3
"""Exit statuses; 2 is argparse's and that of a bad configuration."""

Cell = str | tuple[str, str]
"""A text, or a text and its colour."""

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
TONES = {LacpStatus.UP: GREEN, LacpStatus.DOWN: RED, LacpStatus.UNKNOWN: YELLOW}


def open_session(
    args: argparse.Namespace,
    *,
    events: bool = False,
    tap: Callable[[Direction, bytes], object] | None = None,
) -> Session:
    """A session where the command line wants it."""
    return Session(netns=args.netns, events=events, tap=tap)


def names(session: Session, given: list[str]) -> list[str]:
    """The PFs that were named, or else all ports of 802.3ad bonds.

    Raises:
        OSError: there are none.
    """
    if given:
        return list(dict.fromkeys(given))
    found = [
        port.name
        for port in session.ports()
        if port.bond is not None and port.bond.mode == BondMode.IEEE_802_3AD
    ]
    if not found:
        msg = "no interface here is a port of an 802.3ad bond: name one"
        raise OSError(msg)
    return found


def describe_error(exc: OSError) -> str:
    """One line: the cause and, where there is one, the cure."""
    if isinstance(exc, LinkNotFoundError):
        return f"{exc.filename}: there is no such interface here (ip -br link shows them)"
    if exc.filename and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return exc.strerror or str(exc)


def stop_by_signal(stop: Callable[[], None]) -> None:
    """Ctrl-C and SIGTERM end a wait instead of the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: to terminals, unless NO_COLOR (no-color.org) says no."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Painter:
    """Colours texts, or leaves them alone."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._on = coloured(stream)

    def __call__(self, cell: Cell, width: int = 0) -> str:
        """The cell, padded to a width of visible characters."""
        text, tone = (cell, "") if isinstance(cell, str) else cell
        padded = text.ljust(width)
        if not (self._on and tone and text):
            return padded
        return f"\x1b[{tone}m{text}\x1b[0m{padded[len(text) :]}"


def table(rows: Sequence[Sequence[Cell]], paint: Painter) -> str:
    """Rows in columns of even width."""
    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip_longest(*texts, fillvalue="")]
    lines = [
        "  ".join(paint(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
