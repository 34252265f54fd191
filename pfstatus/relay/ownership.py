"""Which VFs a relay has disabled: what it may give back, across kill -9 and restart."""

from __future__ import annotations

import json
import os
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Ledger:
    """VF numbers by PF, in a file that is replaced atomically, or in memory alone.

    The file is written before a VF is disabled: a relay that dies in between finds a VF noted
    that it did not disable, and sees that from the VF's state. It is worth nothing after a
    reboot of the node, and a PF that came back with another ifindex has other VFs.

    Args:
        path: of the file; None keeps the ledger in memory.

    Raises:
        ValueError: the file is there and is no ledger.
        OSError: it cannot be read, or its folder not be made.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._vfs: dict[str, tuple[int, frozenset[int]]] = {}  # name: (ifindex, VFs)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
        try:
            state = json.loads(text)
            if state["boot_id"] == _BOOT_ID.read_text().strip():
                for name, pf in state["pfs"].items():
                    vfs = frozenset(int(vf) for vf in pf["vfs"])
                    self._vfs[str(name)] = (int(pf["ifindex"]), vfs)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            msg = f"{path} is no record of disabled VFs; move it away to start without one"
            raise ValueError(msg) from exc

    def names(self) -> frozenset[str]:
        """PFs of which a VF is noted."""
        return frozenset(self._vfs)

    def get(self, name: str, ifindex: int | None = None) -> frozenset[int]:
        """VFs noted for a PF; with ``ifindex``, if it is still that one."""
        noted, vfs = self._vfs.get(name, (0, frozenset()))
        return vfs if ifindex in (None, noted) else frozenset()

    def set(self, name: str, ifindex: int, vfs: frozenset[int]) -> None:
        """Note exactly these VFs for a PF, in the file before this returns.

        Raises:
            OSError: the file cannot be written; the ledger is as it was.
        """
        entry = (ifindex, vfs)
        if self._vfs.get(name, (ifindex, frozenset())) == entry:
            return
        changed = {**self._vfs, name: entry}
        if not vfs:
            del changed[name]
        if self._path is not None:
            self._save(self._path, changed)
        self._vfs = changed

    @staticmethod
    def _save(path: Path, vfs: dict[str, tuple[int, frozenset[int]]]) -> None:
        state = {
            "boot_id": _BOOT_ID.read_text().strip(),
            "pfs": {
                name: {"ifindex": ifindex, "vfs": sorted(noted)}
                for name, (ifindex, noted) in vfs.items()
            },
        }
        # No fsync: it is to survive our death, and means nothing after the node's.
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps(state))
        os.replace(new, path)  # noqa: PTH105 - the atomic one, by its own name
