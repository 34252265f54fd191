"""Fire drills: VFs that ``pfstatus drill`` disables for a while, and that a relay leaves to it.

A drill is known by a name that the kernel gives once and takes back with the process, as a relay's
claim is (``rival``), and by a file that says which VFs. A file without a living drill is one that
was killed: its VFs are to be given back, by a relay or by the next drill.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from pfstatus.relay.ownership import BOOT_ID
from pfstatus.relay.rival import Claims


class Drill(NamedTuple):
    """A drill on one PF."""

    vfs: frozenset[int]
    """VFs that it may have disabled."""
    pid: int | None
    """Its process; None if that died."""


class Drills:
    """The drills on this node. Used by one thread.

    Args:
        folder: where their files are.
        netns: inode of the PFs' network namespace; None knows of no drill.
    """

    def __init__(self, folder: Path, netns: int | None) -> None:
        self._folder = folder
        self._netns = netns
        self._claims = Claims(netns, "drill")
        self._passed: dict[int, tuple[int, int]] = {}  # files that could not be removed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors: our own drill has ended. May be called again."""
        self._claims.close()

    def find(self, ifindex: int) -> Drill | None:
        """The drill on a PF, if there is one. Costs a look at one file that mostly is not there."""
        if self._netns is None:
            return None
        try:
            with self._path(ifindex).open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_ino, status.st_mtime_ns) == self._passed.get(ifindex):
                    return None
                said = json.load(file)
            if said["boot_id"] != BOOT_ID.read_text().strip():
                return None
            vfs = frozenset(int(vf) for vf in said["vfs"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Drill(vfs, self._claims.holder(ifindex))

    def begin(self, ifindex: int, vfs: list[int]) -> int | None:
        """Begin a drill: have relays leave these VFs alone until ``forget()``, or our death.

        Returns:
            None, or the process of another drill on the PF: then nothing is begun.

        Raises:
            OSError: the file could not be written.
        """
        other = self._claims.claim(ifindex)
        if other is not None:
            return other
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(ifindex)
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"boot_id": BOOT_ID.read_text().strip(), "vfs": vfs}))
        new.chmod(0o644)  # a relay need not be root
        new.replace(path)
        return None

    def forget(self, ifindex: int) -> None:
        """A drill's VFs are somebody's again: remove its file, or else pass it over from now on."""
        path = self._path(ifindex)
        with suppress(OSError):
            status = path.stat()
            self._passed[ifindex] = status.st_ino, status.st_mtime_ns
            path.unlink()
        self._claims.release(ifindex)

    def _path(self, ifindex: int) -> Path:
        return self._folder / f"drill-{self._netns}-{ifindex}.json"
