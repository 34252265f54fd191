"""How far a heartbeat is acted upon: pure, the clock is handed in.

A partner that falls silent while the kernel still calls LACP up is taken for lost only where
another PF is up and heard: never the last path. A false alarm costs trust: VFs are given back
later each time, and after three in a day the heartbeat only watches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.heartbeat.values import HeartbeatState, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pfstatus.heartbeat.values import Beat

_HOLD, _LONGEST_HOLD = 1.0, 60.0
_DAY, _ALARMS = 86400.0, 3


class FalseAlarm(NamedTuple):
    """What a silence that was none costs."""

    hold: float
    """Seconds until the VFs are given back."""
    distrusted: bool
    """It only watches from now on."""


class _Pf:
    """What is remembered of one PF."""

    def __init__(self) -> None:
        self.silent = False
        self.hold = _HOLD
        self.until = -math.inf  # it is held so long, though it is heard again
        self.alarms: list[float] = []


class Trust:
    """Decides which PFs are taken for lost before the kernel says so.

    Args:
        names: the PFs.
        acts: False watches.
        groups: PFs that stand for each other; none: all do.
    """

    def __init__(
        self, names: Iterable[str], *, acts: bool, groups: Iterable[Iterable[str]] = ()
    ) -> None:
        self._pfs: dict[str, _Pf] = {}
        self._acts = acts
        self._held: frozenset[str] = frozenset()
        self.change(names, groups)

    def change(self, names: Iterable[str], groups: Iterable[Iterable[str]]) -> None:
        """Decide for these PFs from now on; what is known of those that stay is kept."""
        self._pfs = {name: self._pfs.get(name) or _Pf() for name in names}
        self._groups = [frozenset(group) for group in groups] or [frozenset(self._pfs)]

    def take(self, beat: Beat, now: float) -> FalseAlarm | None:
        """What a heartbeat told. Returns what it costs where it was a false alarm."""
        pf = self._pfs[beat.name]
        pf.silent = beat.new is HeartbeatState.SILENT
        if beat.outcome is not Outcome.FALSE:
            return None
        pf.alarms = [at for at in pf.alarms if now - at < _DAY] + [now]
        hold = 0.0
        if beat.name in self._held:
            hold = pf.hold
            pf.until = now + hold
            pf.hold = min(2 * pf.hold, _LONGEST_HOLD)
        return FalseAlarm(hold, self.distrusts(beat.name, now))

    def distrusts(self, name: str, now: float) -> bool:
        """Whether it raised three false alarms within a day."""
        return sum(now - at < _DAY for at in self._pfs[name].alarms) >= _ALARMS

    def held(self, now: float, working: Collection[str]) -> frozenset[str]:
        """The PFs that are to be taken for lost.

        Args:
            now: the clock.
            working: PFs that the kernel calls up, and whose partner is heard.
        """
        self._held = frozenset(
            name
            for name, pf in self._pfs.items()
            if self._acts
            and (pf.silent or now < pf.until)
            and self._stands_for(name, working)
            and not self.distrusts(name, now)
        )
        return self._held

    def _stands_for(self, name: str, working: Collection[str]) -> bool:
        """Whether another of its group works."""
        groups = [group for group in self._groups if name in group]
        return any(other != name and other in group for group in groups for other in working)

    def due(self, now: float) -> float:
        """When held() may change though nothing is told."""
        return min((pf.until for pf in self._pfs.values() if pf.until > now), default=math.inf)
