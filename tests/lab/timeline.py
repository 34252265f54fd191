"""What the demo says: lines with a clock, in the order in which things happened, and tables."""

import heapq
import time
from collections.abc import Sequence
from enum import StrEnum

_HOLD_NS = 150_000_000
"""A line waits this long for one that happened earlier and is heard of later."""


class Tone(StrEnum):
    """How a line is meant, as a terminal's colour."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    BAD = "31"
    GOOD = "32"
    TOLD = "36"


class Timeline:
    """Writes to stdout.

    Args:
        colour: use a terminal's colours.
    """

    def __init__(self, *, colour: bool) -> None:
        self.zero_ns = time.monotonic_ns()
        self._colour = colour
        self._held: list[tuple[int, int, str]] = []
        self._count = 0

    def paint(self, text: str, tone: Tone) -> str:
        """The text in its colour."""
        return f"\x1b[{tone}m{text}\x1b[0m" if self._colour and tone and text else text

    def write(self, text: str = "", tone: Tone = Tone.PLAIN) -> None:
        """Writes lines without a clock, after all that are waiting."""
        self.flush(time.monotonic_ns() + _HOLD_NS)
        for line in text.split("\n"):
            print(self.paint(line, tone), flush=True)

    def heading(self, text: str) -> None:
        """Begins a chapter."""
        self.write(f"\n{text}\n{'─' * len(text)}", Tone.STRONG)

    def start(self) -> None:
        """Sets the clock to 0."""
        self.zero_ns = time.monotonic_ns()

    def say(self, who: str, text: str, tone: Tone = Tone.PLAIN, ns: int | None = None) -> None:
        """Says what somebody does or sees, now or at that instant."""
        ns = time.monotonic_ns() if ns is None else ns
        seconds = f"{(ns - self.zero_ns) / 1e9:8.3f} s"
        line = f"{self.paint(seconds, Tone.FAINT)}  {who:<8}{self.paint(text, tone)}"
        self._count += 1
        heapq.heappush(self._held, (ns, self._count, line))

    def flush(self, now_ns: int | None = None) -> None:
        """Writes the lines that have waited long enough."""
        until = (time.monotonic_ns() if now_ns is None else now_ns) - _HOLD_NS
        while self._held and self._held[0][0] <= until:
            print(heapq.heappop(self._held)[2], flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def seconds(value: float | None, never: str = "never") -> str:
    """A time of the order of seconds."""
    return never if value is None else f"{value:.2f} s"


def milliseconds(value: float | None, never: str = "never") -> str:
    """A time of the order of milliseconds."""
    return never if value is None else f"{value * 1e3:.1f} ms"
