"""PFs that stand for each other: which one keeps its VFs, so that a path is left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pfstatus.relay.policy import Member, last_path
from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfstatus.relay.narrator import Narrator
    from pfstatus.relay.pf import Pf

_UP, _DOWN = LacpStatus.UP, LacpStatus.DOWN


class Groups:
    """The groups of a relay.

    Args:
        narrator: is told of last paths.
    """

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._groups: tuple[tuple[str, ...], ...] = ()
        self._pfs: Mapping[str, Pf] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def change(self, groups: tuple[tuple[str, ...], ...], pfs: Mapping[str, Pf]) -> None:
        """These are the groups now, and these the PFs, by name."""
        self._groups, self._pfs = groups, pfs
        self._narrator.groups(groups)

    def turned(self, pf: Pf) -> None:
        """A PF's group may have another last path, or need none."""
        for names in self._groups:
            if pf.name in names:
                group = [self._pfs[name] for name in names if name in self._pfs]
                break
        else:
            _keep(pf, kept=False)
            return
        members = {one.name: Member(one.acts, one.served, one.down_since) for one in group}
        kept = last_path(members, next((one.name for one in group if one.kept), None))
        for one in group:
            _keep(one, kept=one.name == kept)
        self._narrator.kept(names, kept)

    def serve(self, pf: Pf) -> None:
        """Pods can use the PF, if LACP is up on it."""
        if not pf.served and pf.acts is _UP:
            pf.served = True
            self.turned(pf)


def _keep(pf: Pf, *, kept: bool) -> None:
    """A PF is the last path of its group, or is it no more."""
    if pf.kept != kept:
        pf.kept = kept
        pf.pending.clear()
        if pf.acts is _DOWN:
            pf.pace.lacp_changed(time.monotonic(), pf.acts)
