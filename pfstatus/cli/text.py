"""Text for people: streams that carry it, colours, lines of a terminal's width, a table."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 80
"""Columns of the narrowest terminal that people use."""

Cell = str | tuple[str, str]
"""A text, or a text and its colour."""

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"

_ASCII = {"✓": "+", "·": "-", "✗": "x", "→": "->"}


def _carry(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: what an encoding lacks, in characters that each of them has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(
        _ASCII.get(char) or char.encode("ascii", "backslashreplace").decode() for char in lacking
    ), error.end


codecs.register_error("pfstatus-carry", _carry)


def prepare_streams() -> None:
    """Have stdout and stderr take whatever is written to them.

    Text that their encoding lacks is spelled otherwise. A stream that the caller closed (``>&-``)
    becomes /dev/null, so that no socket or file of ours gets its number.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        with suppress(AttributeError):  # not a file but something that a program put there
            getattr(sys, name).reconfigure(errors="pfstatus-carry")


def say(text: str) -> None:
    """Print on stdout, at once.

    Raises:
        BrokenPipeError: nobody reads on.
        OSError: it could not be written.
    """
    try:
        print(text, flush=True)
    except OSError as exc:
        abandon(sys.stdout)
        exc.filename = "standard output"
        raise


def complain(text: str) -> None:
    """Print on stderr, if that can be."""
    try:
        print(f"pfstatus: {text}", file=sys.stderr, flush=True)
    except OSError:
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Have what waits in a stream that failed go nowhere: Python would try it again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def coloured(stream: TextIO) -> bool:
    """Whether to write colours: to terminals, unless NO_COLOR (no-color.org) says no."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Painter:
    """Colours texts, or leaves them alone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._on = coloured(stream or sys.stdout)

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


def paragraph(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most ``WIDTH``; words are left whole.

    Args:
        text: the words.
        first: what the first line begins with.
        rest: what the others begin with; without, as many spaces.
    """
    from textwrap import wrap  # noqa: PLC0415 - a relay has no use for it

    return wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def shell_lines(command: str, first: str) -> Iterable[str]:
    """A shell command over lines of at most ``WIDTH``, to be copied whole.

    Args:
        command: steps joined by ``&&``.
        first: what the first line begins with; the others begin below the command.
    """
    from textwrap import wrap  # noqa: PLC0415 - a relay has no use for it

    rest = " " * len(first)
    steps = command.split(" && ")
    for number, step in enumerate(steps):
        begin = rest if number else first
        more = " &&" if number < len(steps) - 1 else ""
        *wrapped, last = wrap(
            step,
            WIDTH - len(" &&"),
            initial_indent=begin,
            subsequent_indent=rest + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from (f"{line} \\" for line in wrapped)
        yield last + more
