"""LACP as a health source for others: a file that any program reads, replaced as a whole."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from pfstatus.relay.report import Kind, Report, rfc3339
from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pfstatus.relay.pf import Snapshot

VERSION = 1
"""Of the format: what is in it stays, more may come."""
EVERY = 10.0
"""Most seconds between signs of life: the file is touched, or written."""


class Health(NamedTuple):
    """What others make of a PF."""

    health: Literal["healthy", "unhealthy", "unknown"]
    """Whether pods can use it."""
    reason: str
    """LACP's, or one of ours: see ``health_of()``."""


def health_of(pf: Snapshot) -> Health:
    """Judge a PF: healthy is one on which LACP is up and no VF is still to be given back.

    Reasons are those of LacpReason, and "not-asked", "silent" (a heartbeat's word) and
    "vfs-disabled".
    """
    if pf.status is None:
        return Health("unknown", "not-asked")
    lacp, reason = pf.status.lacp.status, str(pf.status.lacp.reason)
    if lacp is LacpStatus.DOWN:
        return Health("unhealthy", reason)
    if lacp is LacpStatus.UNKNOWN:
        return Health("unknown", reason)
    if pf.silent:
        return Health("unhealthy", "silent")
    if not pf.usable and not pf.waits:
        return Health("unhealthy", "vfs-disabled")
    return Health("healthy", reason)


class HealthFile:
    """Keeps the file true.

    It is replaced at each change, touched at least every ``EVERY`` seconds, and removed at the end:
    one that was not touched for three times as long is nobody's.

    Args:
        path: of the file. Its folder is made.
        tell: is given what there is to say.
    """

    def __init__(self, path: Path, tell: Callable[[list[Report]], object]) -> None:
        self._path = path
        self._tell = tell
        self._said: dict[str, tuple[Health, str]] = {}  # and since when
        self._known: object = None  # what is in the file
        self._inode = 0  # of the file, as we wrote it
        self._due = 0.0
        self._failed: int | None = None

    def update(self, pfs: Mapping[str, Snapshot]) -> None:
        """Write what is new. Never raises for the file's sake: that is said."""
        if all(pf.waits for pf in pfs.values()):
            return  # the relay that has them keeps the file
        known = [(name, pf.status and pf.status.ifindex, health_of(pf)) for name, pf in pfs.items()]
        now = time.monotonic()
        if known == self._known and now < self._due:
            return
        self._due = now + EVERY
        try:
            if known == self._known and self._is_ours():
                os.utime(self._path)
            else:
                self._write(pfs)
                self._known = known
        except OSError as exc:
            self._known = None
            if exc.errno != self._failed:
                self._tell([Report(time.time_ns(), Kind.HEALTH_FAILED, {"error": exc})])
            self._failed = exc.errno
        else:
            self._failed = None

    def close(self) -> None:
        """Remove it, unless another relay has written it since."""
        if self._is_ours():
            self._path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def _write(self, pfs: Mapping[str, Snapshot]) -> None:
        now = rfc3339(time.time_ns())
        said = {}
        for name, pf in pfs.items():
            health = health_of(pf)
            before = self._said.get(name)
            said[name] = before if before and before[0] == health else (health, now)
        self._said = said
        text = json.dumps(
            {
                "version": VERSION,
                "written": now,
                "pid": os.getpid(),
                "pfs": {
                    name: {
                        "health": health.health,
                        "reason": health.reason,
                        "since": since,
                        **_place(pfs[name]),
                    }
                    for name, (health, since) in said.items()
                },
            },
            indent=1,
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        new.write_text(text + "\n")
        new.chmod(0o644)  # whatever the umask: it is for others
        self._inode = new.stat().st_ino
        new.replace(self._path)


def _place(pf: Snapshot) -> dict[str, object]:
    """Which PF it is, for those who go by something else than its name here."""
    status = pf.status
    if status is None:
        return {"ifname": None, "ifindex": None, "device": None}
    return {"ifname": status.ifname, "ifindex": status.ifindex, "device": status.parent}
