"""What a relay tells, and where to."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pfstatus.values import LacpReason, LacpStatus, PortState, VfLinkState

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]

_PF = {"interface": str}
_VF = {"id": int, "state": VfLinkState, **_PF}
_VF_ERROR = {"id": int, **_PF, "error": OSError}
_NONE: dict[str, type] = {}
_FILE = {"file": str}
_VFS = {**_PF, "ids": list}
_DOWN = {**_PF, "reason": LacpReason, "actor": PortState, "partner": PortState}


class Kind(Enum):
    """What a report is about: its words, how bad it is, and the fields that come with it.

    The value is the words. Programs go by the kind, people and their scripts by the words; both
    stay the same.
    """

    message: str
    """What, in words that stay the same."""
    level: Level
    """How bad it is."""
    fields: Mapping[str, type]
    """Names and types of the fields, in the order of the line. An octet that the kernel did not
    give is None."""

    def __new__(cls, message: str, level: Level, fields: Mapping[str, type]) -> Kind:
        """A kind by its words."""
        self = object.__new__(cls)
        self._value_ = self.message = message
        self.level = level
        self.fields = fields
        return self

    STARTED = "Starting application", "INFO", _NONE
    """The first one."""
    WATCHING = "interfaces to monitor", "INFO", {"interfaces": list}
    """The PFs, by their names in the configuration."""
    RELOADED = "configuration was reloaded", "INFO", {"interfaces": list}
    """These are the PFs from now on."""
    RELOAD_FAILED = "failed to reload the configuration", "ERROR", {"error": str}
    """What is wrong with it; the old one goes on."""
    READY = "pf is ready", "INFO", _PF
    """It is up, and a port of a bond in mode 802.3ad."""
    NOT_READY = "pf is not ready", "ERROR", {**_PF, "error": str}
    """Why not, and what to do about it."""
    LACP_UP = "lacp is up", "INFO", _PF
    """Frames reach the switch."""
    LACP_DOWN = "lacp is down", "INFO", _DOWN
    """They do not; with the port states of both ends."""
    LACP_STILL_DOWN = "lacp is still down", "DEBUG", _DOWN
    """For another reason than before."""
    LACP_UNKNOWN = "lacp is unknown", "WARN", {**_PF, "reason": LacpReason}
    """In a bond that is as it should be."""
    WARNED = (
        "pf wants mending before an outage",
        "WARN",
        {**_PF, "topic": str, "problem": str, "remedy": str},
    )
    """What would keep VFs from failing over, or keep it from being seen for long."""
    FALLBACK = "pf has met no partner, and is taken for up", "WARN", _PF
    """With lacp_fallback, until it meets one."""
    SLOW_RATE = "pf is using slow lacp rate", "WARN", _PF
    """A loss shows after 90 s."""
    NOT_ALONE = "pf is not alone in its bond", "WARN", {**_PF, "ports": int}
    """With so many ports, of which some may be idle."""
    ALIAS = "pf is watched by another name", "WARN", {**_PF, "other": str}
    """Two configured names are one PF; it is served once."""
    RIVAL = "another relay watches this pf", "WARN", {**_PF, "pid": int}
    """Two relays set the same VFs, each without knowing of the other."""
    TOOK_OVER = "pf was taken over from another relay", "INFO", _PF
    """That one has ended."""
    PATH_KEPT = "last path of a group is kept", "WARN", {**_PF, "group": list}
    """LACP is down on all of the group, and this one keeps its VFs in ``auto``."""
    PATH_FREED = "group has a path again", "INFO", {"group": list}
    """Another PF of it can be used: none is kept any more."""
    NO_VFS = "pf has no VFs", "INFO", _PF
    """None exist."""
    VFS_DETECTED = "VFs detected on interface", "INFO", {**_PF, "count": int}
    """Some were made where there had been none."""
    VF_SET = "vf link state was set", "INFO", _VF
    """The driver accepted."""
    REACTED = "vfs follow lacp", "DEBUG", {**_PF, "lacp": LacpStatus, "seconds": float}
    """Reading showed so, after some were set; so long after LACP changed, or after the up-delay."""
    VF_WOULD_BE_SET = "vf link state would be set", "INFO", _VF
    """A dry run."""
    VF_FAILED = "failed to set vf link state", "ERROR", _VF_ERROR
    """It is tried again, less and less often."""
    VF_FAILED_AGAIN = "failed to set vf link state again", "DEBUG", _VF_ERROR
    """For the same reason."""
    VF_IGNORED = "driver accepted a vf link state and did not set it", "WARN", _VF
    """Reading the VF showed its old state."""
    VF_UNSTABLE = "vf link state does not stay", "WARN", _VF
    """Somebody keeps changing it."""
    VF_UNPROTECTED = "vf will not fail over", "WARN", _VF
    """It is in ``enable``."""
    VF_RETURNED = "vf was put back to what this relay had set", "WARN", {"id": int, **_PF}
    """Somebody found it disabled by this relay, and disabled it again later; it is given back."""
    VFS_NOT_OURS = "vfs are disabled, and not by this relay", "WARN", _VFS
    """While LACP is up."""
    DRILL_SEEN = "fire drill disables vfs", "INFO", _VFS
    """They are left to it as long as it lives, and LACP is up."""
    DRILL_KILLED = "fire drill was killed, its vfs are given back", "WARN", _VFS
    """As soon as LACP is up."""
    VFS_UNREAD = "driver leaves vfs out of the list", "WARN", _VFS
    """Their link states cannot be read, so they do not fail over."""
    VFS_LEFT = "vfs were left disabled", "WARN", {**_VFS, "reason": str}
    """By this relay, which will not give them back."""
    CANNOT_SET = "pf cannot set vf link states", "ERROR", {**_PF, "error": str}
    """Its driver has no setter. Tried again at the next outage."""
    PARTNER_LEARNED = "partner was learned", "INFO", {**_PF, "partner": str}
    """How it answers questions: its silence can mean something from now on."""
    PARTNER_SILENT = "partner is silent", "WARN", {**_PF, "silence": float, "acted_upon": bool}
    """It answers no question, for so many seconds; the kernel still calls LACP up. Not acted upon:
    by a heartbeat that watches, or because no other path is known to work."""
    SILENCE_CONFIRMED = "silence of the partner was confirmed", "INFO", _PF
    """The kernel says that LACP is down, too."""
    FALSE_ALARM = "silence of the partner was a false alarm", "WARN", {**_PF, "hold": float}
    """It speaks. What was disabled is given back after so many seconds."""
    HEARTBEAT_WATCHES = "heartbeat only watches from now on", "WARN", _PF
    """It raised three false alarms within a day."""
    HEARTBEAT_IDLE = "partner is not asked", "INFO", {**_PF, "reason": str}
    """Why not; the kernel alone tells of it."""
    REVIVED = "lacp was revived", "INFO", _PF
    """It is up after our kernel's last LACPDU was sent again."""
    FETCH_FAILED = "failed to fetch interface", "WARN", {**_PF, "error": OSError}
    """A PF could not be asked, or its VFs not be read."""
    EVENTS_LOST = "events were lost, asking for everything", "WARN", _NONE
    """The kernel had more than the socket had room for."""
    RECORD_FAILED = "failed to record disabled vfs", "ERROR", {"error": OSError}
    """The state file could not be written; it is tried again."""
    RECORD_MENDED = "disabled vfs are recorded again", "INFO", _NONE
    """The state file could be written."""
    RECORD_DAMAGED = "record of disabled vfs is damaged, and was moved aside", "ERROR", _FILE
    """What it said of VFs is lost; the file is where it was moved to."""
    HEALTH_FAILED = "failed to write the health file", "ERROR", {"error": OSError}
    """It is tried again."""
    TEXTFILE_FAILED = "failed to write the metrics file", "ERROR", {"error": OSError}
    """It is tried again."""
    DROPPED = "reports were dropped", "WARN", {"count": int}
    """Whoever listens was too slow."""


def rfc3339(time_ns: int) -> str:
    """A time in nanoseconds since the epoch, as text: UTC, to the nanosecond."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a relay did or saw."""

    time_ns: int
    """When, nanoseconds since the epoch."""
    kind: Kind
    """What."""
    fields: dict[str, Any]
    """Which PF, which VF and so on: those of the kind."""

    @property
    def level(self) -> Level:
        """How bad it is."""
        return self.kind.level

    @property
    def message(self) -> str:
        """What, in words."""
        return self.kind.message

    def to_dict(self) -> dict[str, Any]:
        """As plain values: time (RFC 3339, nanoseconds), level, msg, then the fields."""
        plain = {name: _plain(value) for name, value in self.fields.items()}
        return {"time": rfc3339(self.time_ns), "level": self.level, "msg": self.message, **plain}

    def to_json(self) -> str:
        """The same on one line."""
        return json.dumps(self.to_dict(), separators=(",", ":"))


def _plain(value: object) -> object:
    """A word for what has one, a number for an octet, else as it is."""
    if isinstance(value, PortState):
        return int(value)
    return str(value) if isinstance(value, IntEnum | OSError) else value


def _logger() -> logging.Logger:
    import logging  # noqa: PLC0415 - half a megabyte, for those whose reports go there

    return logging.getLogger("pfstatus")


_LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}


def to_logging(reports: list[Report]) -> None:
    """Hand reports to the ``pfstatus`` logger."""
    log = _logger()
    for report in reports:
        words = " ".join(f"{name}={_plain(value)}" for name, value in report.fields.items())
        log.log(_LEVELS[report.level], "%s %s", report.message, words)


class Stream(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Write some."""

    def flush(self) -> object:
        """Have it arrive."""


def json_lines(stream: Stream, level: Level = "INFO") -> Callable[[list[Report]], None]:
    """What writes reports of at least this level to a stream, a JSON object a line."""
    least = _LEVELS[level]

    def write(reports: list[Report]) -> None:
        lines = [r.to_json() + "\n" for r in reports if _LEVELS[r.level] >= least]
        if lines:
            stream.write("".join(lines))
            stream.flush()

    return write


def text_lines(stream: Stream, level: Level = "INFO") -> Callable[[list[Report]], None]:
    """The same for people: local time, how bad it is, which PF, what, and the fields."""
    least = _LEVELS[level]

    def write(reports: list[Report]) -> None:
        lines = [_line(report) for report in reports if _LEVELS[report.level] >= least]
        if lines:
            stream.write("".join(lines))
            stream.flush()

    return write


def _line(report: Report) -> str:
    fields = {name: _plain(value) for name, value in report.fields.items() if value is not None}
    pf = fields.pop("interface", "-")
    for name, value in fields.items():
        if isinstance(report.fields[name], PortState):
            fields[name] = f"{value:#04x}"
        elif isinstance(value, str) and not value.isalnum():
            fields[name] = json.dumps(value)
    seconds, nanoseconds = divmod(report.time_ns, 10**9)
    at = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{nanoseconds // 10**6:03d}"
    said = "".join(f" {name}={value}" for name, value in fields.items())
    return f"{at} {report.level:5} {pf}: {report.message}{said}\n"


class Outbox:
    """Hands reports on in a thread of its own: who listens, however slowly, holds up no relay.

    ::

        import sys

        with Outbox(json_lines(sys.stdout)) as outbox, Relay("ens5f0", report=outbox) as relay:
            relay.run()

    What does not fit is dropped and counted, and the count is told when there is room again.
    Called by one thread at a time.

    Args:
        report: is called in that thread, with lists.
        capacity: most reports that wait.
    """

    def __init__(self, report: Callable[[list[Report]], None], capacity: int = 10_000) -> None:
        self._report = report
        self._capacity = capacity
        self._waiting: deque[Report] = deque()
        self._news = threading.Condition()
        self._busy = False
        self._closed = False
        self._unsaid = 0
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """How many did not fit."""

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __call__(self, reports: list[Report]) -> None:
        """Take reports; never waits for who listens."""
        with self._news:
            room = max(0, self._capacity - len(self._waiting))
            if room and self._unsaid:
                self._waiting.append(Report(time.time_ns(), Kind.DROPPED, {"count": self._unsaid}))
                self._unsaid = 0
            self._waiting.extend(reports[:room])
            lost = len(reports[room:])
            self._unsaid += lost
            self.dropped += lost
            self._news.notify()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="pfstatus-reports", daemon=True
            )
            self._thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """Wait until all was handed on, but not for ever; then take no more."""
        with self._news:
            self._news.wait_for(lambda: not self._waiting and not self._busy, timeout)
            self._closed = True
            self._waiting.clear()
            self._news.notify_all()

    def _serve(self) -> None:
        while True:
            with self._news:
                self._busy = False
                self._news.notify_all()
                self._news.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                reports = list(self._waiting)
                self._waiting.clear()
                self._busy = True
            deliver(self._report, reports)


def deliver(report: Callable[[list[Report]], None], reports: list[Report]) -> None:
    """Hand reports to a callback. What it raises is logged and goes no further.

    Whoever listens must not stop a relay: the node's network hangs on it.
    """
    try:
        report(reports)
    except OSError as exc:  # a full disk, a reader that left
        with suppress(OSError):  # where no descriptor is left, no module is to be had either
            _logger().error("the report callback failed: %s", exc)
    except Exception:
        with suppress(OSError):
            _logger().exception("the report callback failed")
