"""What a relay decides: pure functions and values, no I/O and no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pfstatus.values import LacpStatus, Vf, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

Restore = Literal["all", "owned"]
Heartbeat = Literal["off", "watch", "late", "pulse"]

_AUTO, _ENABLE, _DISABLE = VfLinkState.AUTO, VfLinkState.ENABLE, VfLinkState.DISABLE
# Hundreds at a time, for which Vf() is slow.
_vf: Callable[[tuple[int, VfLinkState]], Vf] = partial(tuple.__new__, Vf)


class Plan(NamedTuple):
    """What a look at a PF calls for."""

    settings: tuple[Vf, ...]
    """VFs to set, and to what."""
    unprotected: tuple[int, ...]
    """VFs in ``enable``: they will not fail over."""


def plan(
    lacp: LacpStatus, vfs: Collection[Vf], *, restore: Restore = "all", owned: Collection[int] = ()
) -> Plan:
    """Decide, from LACP and the VFs' link states alone.

    ========  ================  =======================================  ============
    LACP      VF ``auto``       VF ``disable``                           VF ``enable``
    ========  ================  =======================================  ============
    up        leave             ``auto``; with "owned" only if in owned  leave
    down      ``disable``       leave                                    leave, report
    unknown   leave             leave                                    leave
    ========  ================  =======================================  ============

    Args:
        lacp: of the PF.
        vfs: as read.
        restore: which disabled VFs to give back.
        owned: those that the relay disabled itself.
    """
    if lacp is LacpStatus.DOWN:
        return Plan(
            tuple([_vf((vf, _DISABLE)) for vf, state in vfs if state == _AUTO]),
            tuple([vf for vf, state in vfs if state == _ENABLE]),
        )
    if lacp is LacpStatus.UP:
        disabled = [vf for vf, state in vfs if state == _DISABLE]
        if restore == "owned":
            disabled = [vf for vf in disabled if vf in owned]
        return Plan(tuple([_vf((vf, _AUTO)) for vf in disabled]), ())
    return Plan((), ())


class Member(NamedTuple):
    """One PF of a group."""

    lacp: LacpStatus
    """LACP on it."""
    usable: bool
    """Whether pods can use it: LACP is up, and its VFs were given back."""
    since: float
    """When LACP went down, seconds on any clock."""


def last_path(group: Mapping[str, Member], kept: str | None) -> str | None:
    """Which PF of a group stays in ``auto`` although LACP is down on it, so that one is left.

    None as long as pods can use another. Else the last one to fail, which stays it until another
    can be used: a control plane that restarts on both switches must not cut pods off whose data
    still flows.

    Args:
        group: its PFs, by name.
        kept: which one it was so far.
    """
    if any(pf.usable for pf in group.values()):
        return None
    down = {name: pf for name, pf in group.items() if pf.lacp is LacpStatus.DOWN}
    if kept in down:
        return kept
    return max(down, key=lambda name: down[name].since, default=None)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a relay does beyond disabling VFs when LACP is lost.

    Raises:
        ValueError: a value is out of range.
    """

    restore: Restore = "all"
    """When LACP is back: "all" gives every disabled VF its ``auto`` back, whoever disabled it;
    "owned" only those that this relay disabled."""
    up_delay: float = 0.0
    """Seconds that LACP must have been up before VFs are given back."""
    up_delay_max: float = 0.0
    """Most seconds to which that grows while LACP flaps, see ``pace.HoldDown``; 0: it does not
    grow."""
    lacp_fallback: bool = False
    """Take a PF that has not met a partner since the relay began for up, although LACP is not: its
    switch forwards without LACP until it hears some ("LACP fallback")."""
    on_exit: Literal["keep", "restore"] = "keep"
    """When the relay ends: leave its VFs disabled, or give them back."""
    dry_run: bool = False
    """Say what would be done, write nothing."""
    state_file: Path = Path("/run/pfstatus/disabled-vfs.json")
    """Where "owned" and on_exit="restore" note the disabled VFs; not written otherwise."""
    groups: tuple[tuple[str, ...], ...] = ()
    """PFs that stand for each other: where LACP is down on all that are left of a group, the last
    one to fail keeps its VFs, see ``last_path()``."""
    stand_by: bool = False
    """Leave a PF to another relay that has it already, and take over when that ends."""
    heartbeat: Heartbeat = "off"
    """Whether partners are asked (docs/heartbeat.md): "watch" tells of silent ones and touches
    nothing; "late" and "pulse" take their PFs for lost, before the kernel does, while another PF
    is up and heard. Needs CAP_NET_RAW."""
    heartbeat_slow: bool = False
    """Conclude, too, where our own bond asks for the slow rate, at which the kernel takes 90 s. A
    control plane that restarts may be mute for so long while it forwards."""
    revive: bool = False
    """While a PF is DEFAULTED with its link up, send our kernel's last LACPDU twice a second: LACP
    is back in a second instead of up to 30. Needs CAP_NET_RAW."""

    def __post_init__(self) -> None:
        if self.restore not in ("all", "owned"):
            msg = f"restore must be 'all' or 'owned', not {self.restore!r}"
            raise ValueError(msg)
        if self.on_exit not in ("keep", "restore"):
            msg = f"on_exit must be 'keep' or 'restore', not {self.on_exit!r}"
            raise ValueError(msg)
        if self.heartbeat not in ("off", "watch", "late", "pulse"):
            msg = f"heartbeat must be 'off', 'watch', 'late' or 'pulse', not {self.heartbeat!r}"
            raise ValueError(msg)
        if self.heartbeat_slow and self.heartbeat == "off":
            msg = "heartbeat_slow needs a heartbeat: 'watch', 'late' or 'pulse'"
            raise ValueError(msg)
        for name in ("up_delay", "up_delay_max"):
            if not 0 <= getattr(self, name) < math.inf:
                msg = f"{name} must be 0 or more seconds, not {getattr(self, name)!r}"
                raise ValueError(msg)
        if 0 < self.up_delay_max < self.up_delay:
            msg = f"up_delay_max {self.up_delay_max!r} is less than up_delay {self.up_delay!r}"
            raise ValueError(msg)
        members = [name for group in self.groups for name in group]
        if len(set(members)) != len(members) or any(len(group) < 2 for group in self.groups):
            msg = f"groups are of two PFs or more, and a PF is in one of them, not {self.groups!r}"
            raise ValueError(msg)

    def keeps_record(self) -> bool:
        """Whether the disabled VFs are noted in the state file."""
        return not self.dry_run and (self.restore == "owned" or self.on_exit == "restore")
