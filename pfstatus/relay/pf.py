"""What a relay remembers of one PF."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.relay.pace import HoldDown, Pacer, Urgency
from pfstatus.values import LacpReason, LacpStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from pfstatus.relay.numvfs import NumVfs, Signature
    from pfstatus.relay.policy import Policy
    from pfstatus.relay.setter import Reading, Sent
    from pfstatus.values import LinkStatus, Vf

# An enum's attribute costs as much as a call.
_UP, _DOWN, _UNKNOWN = LacpStatus.UP, LacpStatus.DOWN, LacpStatus.UNKNOWN
_LOST, _BACK = Urgency.LOST, Urgency.BACK


class Snapshot(NamedTuple):
    """What a relay knows of one PF."""

    status: LinkStatus | None
    """As it was asked or told of last; None before the first time."""
    vfs: tuple[Vf, ...]
    """Its VFs, as they were read last."""
    usable: bool
    """Whether pods can use it: LACP is up, and its VFs were given back."""
    kept: bool
    """Whether it is the last path of its group, with LACP down."""
    waits: bool
    """Whether another relay has it."""
    silent: bool
    """Whether it is taken for lost by its heartbeat, while the kernel calls LACP up."""
    fallback: bool
    """Whether it is taken for up because it has met no partner yet."""
    unsupported: bool
    """Whether its driver said that it has no setter, since LACP last changed."""


class Pf:
    """What a relay remembers of one configured name."""

    def __init__(self, name: str, pace: Pacer, policy: Policy) -> None:
        self.name = name
        self.hold_down = HoldDown(policy.up_delay, policy.up_delay_max)
        self.fallback = policy.lacp_fallback  # until it meets a partner
        self.pace = pace
        self.status: LinkStatus | None = None
        self.vfs: tuple[Vf, ...] = ()  # as read last
        self.pending: deque[Vf] = deque()  # settings of the batch under way
        self.sent: list[Sent] = []  # of it, and not yet thought about
        self.reading: Reading | None = None  # likewise
        self.doubtful: Sent | None = None  # all ENODEV: the PF may be gone
        self.unsupported = False  # since LACP last changed
        self.held = False  # its partner is silent: taken for lost, before the kernel says so
        self.num_vfs: NumVfs | None = None
        self.signature: Signature | None = None  # of its VFs at the last look
        self.checked: Signature | None = None  # at the last check
        self.bond: tuple[int, int | None] | None = None  # whose ports were counted
        self.waits = False  # another relay has it
        self.served = False  # LACP is up, and all VFs that were disabled were given back
        self.down_since = 0.0  # monotonic
        self.kept = False  # LACP is down, and it is the last path of its group
        self.reacts_since: float | None = None  # until its VFs were read to be as LACP wants them
        self.reacted = False  # something was set for that

    @property
    def ifindex(self) -> int | None:
        """The NIC's, as last seen."""
        return self.status.ifindex if self.status else None

    @property
    def lacp(self) -> LacpStatus:
        """What counts for its VFs. Of a PF by two names the monitor tells under one."""
        if self.status is None:
            return _UNKNOWN
        lacp = self.status.lacp.status
        if self.held and lacp is _UP:
            return _DOWN
        return _UP if self.fallback and lacp is _DOWN else lacp

    def meets(self, status: LinkStatus, ours: Collection[int]) -> None:
        """See whether it has met a partner: VFs that we have disabled say so, too."""
        if status.lacp.reason in (LacpReason.UP, LacpReason.NEGOTIATING) or ours:
            self.fallback = False

    @property
    def acts(self) -> LacpStatus:
        """LACP, as far as it is ours to act upon: not where another relay has the PF."""
        return _UNKNOWN if self.waits else self.lacp

    def rank(self, now: float) -> tuple[int, float] | None:
        """What to do first, the smallest: what was lost, and of that what is quickly done."""
        if self.pending:
            urgency = _LOST if self.lacp is _DOWN else _BACK
            return urgency, self.pace.vf_cost * len(self.pending)
        due = self.pace.due()
        if due > now:
            return None
        urgency = self.pace.urgency
        return urgency, self.pace.look_cost if urgency <= _BACK else due

    def snapshot(self) -> Snapshot:
        """What is known of it. From any thread."""
        return Snapshot(
            self.status,
            self.vfs,
            usable=self.served,
            kept=self.kept,
            waits=self.waits,
            silent=self.held,
            fallback=self.fallback and self.lacp is _UP,
            unsupported=self.unsupported,
        )
