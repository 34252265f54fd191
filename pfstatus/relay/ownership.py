"""Which VFs a relay has disabled: what it may give back, across kill -9 and restart."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pfstatus.values import VfLinkState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pfstatus.values import Vf

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DISABLE = VfLinkState.DISABLE
_PATIENCE = 0.01
"""Seconds to wait for another relay that writes the same file, which takes it far less."""
_GONE = 16
"""NICs that are not there and stay noted: one comes back as it was from another namespace, but a
driver that is loaded again makes another NIC each time."""


@dataclass(slots=True)
class _Nic:
    """What is noted of one NIC."""

    name: str
    taken: set[int] = field(default_factory=set)
    """VFs that we disabled, or were about to."""
    sure: set[int] = field(default_factory=set)
    """Those of them that were disabled for certain."""
    lent: set[int] = field(default_factory=set)
    """VFs that somebody set to something else after we had disabled them: whoever keeps what he
    found, as a CNI plugin does, may put our ``disable`` back later."""

    given: set[int] = field(default_factory=set)
    """VFs that the driver says are in ``auto`` again, and that were not read since."""

    def tells(self) -> bool:
        """There is something to remember."""
        return bool(self.taken or self.lent or self.given)

    def to_dict(self, ifindex: int) -> dict[str, Any]:
        """As plain values."""
        return {
            "ifindex": ifindex,
            "name": self.name,
            "disabled": sorted(self.taken),
            "lent": sorted(self.lent),
            "given": sorted(self.given),
        }


class Seen(NamedTuple):
    """What a look at a PF says of who disabled its VFs."""

    ours: frozenset[int]
    """Disabled by us."""
    returned: frozenset[int]
    """Of these, the ones that somebody else put back to our ``disable``."""
    others: frozenset[int]
    """Disabled by somebody else."""


class Ownership:
    """VF numbers by NIC. Memory is the truth; a file, if any, is its mirror.

    A NIC is known by its ifindex: its name may become another's. ``about_to_disable()`` writes the
    file before a VF is disabled, so that a relay that dies in between finds a VF noted that it did
    not disable, and sees that from the VF's state. What cannot be written at once is written at
    the next ``mirror()``. The file is worth nothing after a reboot of the node. Several relays may
    share one: each keeps its own NICs in it.

    Nothing here raises for the file's sake: ``error`` holds what went wrong.

    Args:
        path: of the file; None keeps all in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._nics: dict[int, _Nic] = {}
        self._gone: dict[int, None] = {}  # NICs that were not there, the last one last
        self._touched: set[int] = set()  # NICs whose entries in the file are ours to write
        self._changed = path is not None  # which tries the file at the start
        self._written: tuple[int, int] | None = None  # identity of the file as we wrote it
        self._boot_id = ""
        self._others: list[dict[str, Any]] = []  # entries of other relays, as last read
        self.error: OSError | None = None
        """Why the file could not be written last time; None if it could."""
        self.damaged: Path | None = None
        """Where a file that was no record was moved to."""
        if path is not None:
            self._begin(path)

    def move(self, path: Path | None) -> None:
        """Mirror into another file from now on, or into none: the old one forgets our NICs."""
        if path == self._path:
            return
        nics, self._nics = self._nics, {}
        self._touched.update(nics)
        self._changed = True
        self.mirror()
        self._path, self._written, self._others = path, None, []
        self._changed = path is not None
        if path is not None:
            self._begin(path)
        self._nics |= nics

    def _begin(self, path: Path) -> None:
        try:
            self._boot_id = BOOT_ID.read_text().strip()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._nics = self._read(path)
        except OSError as exc:
            self.error = exc

    # What is known

    def names(self) -> dict[int, str]:
        """NICs of which something is noted: ifindex, and the PF's name at that time."""
        return {ifindex: nic.name for ifindex, nic in self._nics.items() if nic.tells()}

    def disabled(self, ifindex: int | None) -> frozenset[int]:
        """VFs of a NIC that we disabled, as far as is known."""
        nic = self._nics.get(ifindex or 0)
        return frozenset(nic.taken) if nic else frozenset()

    def find(self, name: str) -> int | None:
        """The NIC that had this name when a VF of it was noted last."""
        return next((i for i, nic in self._nics.items() if nic.name == name and nic.taken), None)

    # What happens

    def about_to_disable(self, name: str, ifindex: int, vfs: Collection[int]) -> None:
        """Note VFs before they are disabled; in the file before this returns, if it can be."""
        nic = self._nics.get(ifindex)
        if nic is None:
            nic = self._nics[ifindex] = _Nic(name)
        if nic.name != name or not nic.taken.issuperset(vfs):
            nic.name = name
            nic.taken.update(vfs)
            self._change(ifindex)
            self.mirror()

    def took(self, ifindex: int, vfs: Iterable[int]) -> None:
        """The driver accepted ``disable``."""
        nic = self._nics.get(ifindex)
        if nic:
            nic.sure.update(vfs)

    def gave_back(self, ifindex: int, vfs: Iterable[int]) -> None:
        """The driver accepted ``auto``."""
        nic = self._nics.get(ifindex)
        if nic and not nic.taken.isdisjoint(vfs):
            nic.given |= nic.taken.intersection(vfs)
            nic.taken.difference_update(vfs)
            nic.sure.difference_update(vfs)
            self._change(ifindex)

    def seen(self, ifindex: int, vfs: Collection[Vf]) -> Seen:
        """The VFs were read. Only this tells what became of a setting, whatever the driver says."""
        disabled = {vf for vf, state in vfs if state == _DISABLE}
        nic = self._nics.get(ifindex)
        if self._gone:
            self._gone.pop(ifindex, None)
        if nic is None:
            return Seen(frozenset(), frozenset(), frozenset(disabled))
        if nic.given and (read := nic.given.intersection([vf for vf, _ in vfs])):
            nic.taken |= read & disabled
            nic.given -= read
            self._change(ifindex)
        returned = disabled & nic.lent - nic.taken
        freed = nic.taken - disabled
        if freed:
            freed &= {vf for vf, _ in vfs}  # a list may be sparse
        if returned or freed:
            nic.lent |= freed & nic.sure
            nic.lent -= returned
            nic.taken |= returned
            nic.taken -= freed
            nic.sure -= freed
            self._change(ifindex)
        ours = disabled & nic.taken
        nic.sure |= ours
        return Seen(frozenset(ours), frozenset(returned), frozenset(disabled - ours))

    def gone(self, ifindex: int) -> None:
        """There is no such NIC. Of the last few what is noted is kept: it may come back."""
        self._gone.pop(ifindex, None)
        self._gone[ifindex] = None
        if len(self._gone) > _GONE:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._nics.pop(oldest, None)
            self._change(oldest)

    def leave(self, ifindex: int) -> None:
        """What was noted of a NIC is another relay's, in the file as well."""
        self._gone.pop(ifindex, None)
        self._nics.pop(ifindex, None)

    def reload(self, ifindex: int) -> None:
        """Take over what a relay that has ended noted of a NIC."""
        if self._path is None:
            return
        try:
            nic = self._read(self._path).get(ifindex)
        except OSError as exc:
            self.error = exc
            return
        if nic:
            self._nics[ifindex] = nic

    def _change(self, ifindex: int) -> None:
        self._touched.add(ifindex)
        self._changed = True

    # The file

    def mirror(self) -> None:
        """Write what was not written yet."""
        if self._path is None or not self._changed:
            return
        try:
            self._write(self._path)
        except OSError as exc:
            self.error = exc
        else:
            self._changed = False
            self.error = None

    def _write(self, path: Path) -> None:
        with _locked(path):
            if self._written is None or _identity(path) != self._written:
                self._read(path)
            ours = [
                nic.to_dict(ifindex)
                for ifindex, nic in self._nics.items()
                if ifindex in self._touched and nic.tells()
            ]
            theirs = [nic for nic in self._others if nic["ifindex"] not in self._touched]
            text = json.dumps({"boot_id": self._boot_id, "nics": theirs + ours})
            # No fsync: it is to survive our death, and means nothing after the node's.
            new = path.with_name(path.name + ".new")
            new.write_text(text)
            new.replace(path)
            self._written = _identity(path)

    def _read(self, path: Path) -> dict[int, _Nic]:
        """What is in the file; one that is no record is moved aside."""
        self._others = []
        found: dict[int, _Nic] = {}
        try:
            record = json.loads(path.read_bytes())
            if record["boot_id"] == self._boot_id:
                for nic in record["nics"]:
                    disabled = {int(vf) for vf in nic["disabled"]}
                    lent = {int(vf) for vf in nic["lent"]}
                    given = {int(vf) for vf in nic.get("given", ())}
                    found[int(nic["ifindex"])] = _Nic(
                        str(nic["name"]), disabled, set(disabled), lent, given
                    )
                self._others = [nic.to_dict(ifindex) for ifindex, nic in found.items()]
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError):
            aside = path.with_name(path.name + ".damaged")
            path.replace(aside)
            self.damaged = aside
            return {}
        return found


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other relays from writing; made anew where it is missing."""
    lock = path.with_name(path.name + ".lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        fd = os.open(lock, flags, 0o600)
    except FileNotFoundError:  # the folder went: it may have been cleaned away
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(lock, flags, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.EAGAIN, "another relay is writing it", str(path)) from None
                time.sleep(0.0005)
        yield
    finally:
        os.close(fd)
