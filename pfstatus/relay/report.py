"""What a relay tells, and where to."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]


def rfc3339(time_ns: int) -> str:
    """A time in nanoseconds since the epoch, as text: UTC, to the nanosecond."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a relay did or saw."""

    time_ns: int
    """When, nanoseconds since the epoch."""
    level: Level
    """How bad it is."""
    message: str
    """What, in words that stay the same."""
    fields: dict[str, Any]
    """Which PF, which VF and so on."""

    def to_json(self) -> str:
        """One line: time (RFC 3339, nanoseconds), level, msg, then the fields."""
        head = {"time": rfc3339(self.time_ns), "level": self.level, "msg": self.message}
        return json.dumps(head | self.fields, separators=(",", ":"))


log = logging.getLogger("pfstatus")
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}


def to_logging(reports: list[Report]) -> None:
    """Hand reports to the ``pfstatus`` logger."""
    for report in reports:
        words = " ".join(f"{key}={value}" for key, value in report.fields.items())
        log.log(_LEVELS[report.level], "%s %s", report.message, words)


def json_lines(stream: TextIO, level: Level = "INFO") -> Callable[[list[Report]], None]:
    """What writes reports of at least this level to a stream, a JSON object a line."""
    least = _LEVELS[level]

    def write(reports: list[Report]) -> None:
        lines = [r.to_json() + "\n" for r in reports if _LEVELS[r.level] >= least]
        if lines:
            stream.write("".join(lines))
            stream.flush()

    return write
