"""When to look at a PF's VFs, what is held back, and how much goes into one message.

Pure: each method is given the time, seconds on any clock that only goes forward. Reading and
setting VFs hold the kernel's RTNL lock, which the whole node waits for; here is how much of it a
relay takes.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING

from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfstatus.values import Vf, VfLinkState

PROBE = 4
"""VFs in the first message of a batch: it finds out what the NIC needs for one, even where that
has changed since the last batch."""
HOLD = 0.05
"""Seconds that one message may hold the lock, as far as a VF allows."""
GAP = 0.05
"""Part of a slow message's time for which the lock is then left to others: bonding, in the host
and in the pods, only ever tries for it."""
PROBE_QUICK = 64
"""The same where LACP was lost and the NIC needed less than QUICK for one at the last batch."""
QUICK = 5e-5
"""Seconds: a NIC that is as quick gets the rest of a batch in one message. PROBE_QUICK VFs that
have become a hundred times slower hold the lock for 0.3 s, once."""
QUICK_LOOK = 1e-3
"""Seconds: a PF that is read in less is served at once when LACP is lost, others after those."""
LOOK_GAP = 0.01
"""Least seconds between a look at a PF's VFs and the next."""
OUTAGE_LOOK = 1.0
"""Most seconds between looks while LACP is down, as far as the budget allows."""
SPARSE_LOOK = 60.0
"""The same while LACP is up and the driver leaves out VFs; it is reached by doubling."""
LOOK_SHARE = 20
"""Looks that nothing urgent calls for take one part in so many of the time, all PFs together."""
MAX_DEBT = 5.0
"""Most seconds by which those that are due are put off by those that were."""
TOUCH_LOOK = 0.8
"""Most seconds after a look until a PF that somebody touched is looked at, whatever the budget
says: a VF that a CNI set in mid-outage is wrong for no longer than a second, all told."""
FAILED_RETRY = (0.1, 10.0)
"""Seconds until a VF that failed is tried again: at first, and at most."""
CHANGED_RETRY = (0.1, 0.5)
"""The same for a VF that somebody keeps changing."""


class Urgency(IntEnum):
    """What calls for a look, the most urgent first."""

    LOST = 0
    """LACP went down."""
    BACK = 1
    """LACP came up."""
    CONFIRM = 2
    """VFs were set: success is what reading shows."""
    TOUCHED = 3
    """An event says that somebody touched the PF."""
    CHECK = 4
    """Time has passed."""


# An enum's attribute costs as much as a call.
_LOST, _BACK, _CONFIRM = Urgency.LOST, Urgency.BACK, Urgency.CONFIRM
_UP, _DOWN = LacpStatus.UP, LacpStatus.DOWN


class HoldDown:
    """How long LACP must be up before VFs are given back: longer each time that it flaps.

    Each loss doubles it, unless LACP had been up for ``most`` seconds by then: that ends the
    flapping. Losses themselves are acted upon at once.

    Args:
        least: seconds, as long as it does not flap.
        most: seconds, at most; 0 for always the least.
    """

    __slots__ = ("_flaps", "_up_since", "least", "most")

    def __init__(self, least: float, most: float) -> None:
        self.least = least
        self.most = most
        self._flaps = -1  # the first loss is none: nobody knows how long LACP had been up
        self._up_since: float | None = None

    def lost(self, now: float) -> None:
        """LACP is not up any more."""
        if self._up_since is not None:
            self._flaps = self._flaps + 1 if now - self._up_since < self.most else 0
            self._up_since = None

    def found(self, now: float) -> float:
        """LACP is up. Returns the seconds to wait."""
        self._up_since = now
        if not self.most or self._flaps < 1:
            return self.least
        longer: float = (self.least or 0.5) * 2 ** min(self._flaps, 30)
        return min(longer, self.most)


class Budget:
    """The RTNL time that all looks of a relay share."""

    __slots__ = ("free", "held")

    def __init__(self) -> None:
        self.held = 0.0
        """Seconds of it so far, the waiting for it included; settings, too."""
        self.free = 0.0
        """When the next look that is not urgent may begin."""

    def spend(self, now: float, seconds: float) -> None:
        """A look took so long."""
        self.free = min(max(self.free, now), now + MAX_DEBT) + seconds * LOOK_SHARE


def _after(times: int, bounds: tuple[float, float]) -> float:
    """Seconds to wait after so many times in a row, doubling between the bounds."""
    least, most = bounds
    return min(least * 2 ** min(times - 1, 10), most) if times > 0 else 0.0


class _Hold:
    """Why a VF is not set again at once."""

    __slots__ = ("changes", "failures", "until")

    def __init__(self) -> None:
        self.failures = 0  # settings in a row that were refused, or were not carried out
        self.changes = 0  # settings in a row that were carried out, and undone by somebody
        self.until = 0.0

    def _begin(self, now: float) -> None:
        if self.until + FAILED_RETRY[1] < now:
            self.failures = self.changes = 0

    def fail(self, now: float) -> None:
        """Wait longer each time."""
        self._begin(now)
        self.failures += 1
        self.until = now + _after(self.failures, FAILED_RETRY)

    def accept(self, now: float) -> None:
        """The driver says that it was done. The first time costs nothing."""
        self._begin(now)
        self.changes += 1
        self.until = now + _after(self.changes - 1, CHANGED_RETRY)

    def ignore(self, now: float) -> None:
        """It was not done, whatever the driver said."""
        self.changes -= 1
        self.fail(now)


class Pacer:
    """The pace of one PF.

    Args:
        budget: of the relay.
        interval: seconds between looks during an outage, if fewer than OUTAGE_LOOK.
    """

    __slots__ = (
        "_again",
        "_budget",
        "_holds",
        "_look_after",
        "_look_due",
        "_looked",
        "_looks_failed",
        "_probe",
        "_unconfirmed",
        "interval",
        "look_cost",
        "urgency",
        "vf_cost",
    )

    def __init__(self, budget: Budget, interval: float) -> None:
        self._budget = budget
        self.interval = interval
        """As given."""
        self._again = min(interval, OUTAGE_LOOK)
        self._look_due = math.inf
        self._look_after = 0.0  # not before
        self._looked = -math.inf  # when a look last ended
        self._looks_failed = _Hold()
        self._holds: dict[int, _Hold] = {}
        self._unconfirmed: dict[int, VfLinkState] = {}  # accepted by the driver, not read since
        self._probe = True
        self.urgency = Urgency.CHECK
        """Of the next look."""
        self.look_cost = 0.0
        """Seconds that the last look took."""
        self.vf_cost = 0.0
        """Seconds that the NIC took to set a VF, last time."""

    # Looks

    def at_once(self) -> bool:
        """Whether a PF that has just lost LACP is served before others are heard: it is quick."""
        return self.look_cost < QUICK_LOOK

    def due(self) -> float:
        """When to look next; infinity where nothing calls for it."""
        due = self._look_due
        if self.urgency <= _CONFIRM or due == math.inf:
            return due
        free = self._budget.free
        if self.urgency is Urgency.TOUCHED:
            free = min(free, self._looked + TOUCH_LOOK)
        return max(due, free)

    def lacp_changed(self, now: float, lacp: LacpStatus, up_delay: float = 0.0) -> None:
        """What was held back and what was due belong to the past."""
        if self._holds:
            self._holds.clear()
            self._unconfirmed.clear()
        self._again = OUTAGE_LOOK
        if self.interval < OUTAGE_LOOK:
            self._again = self.interval
        self._look_due = math.inf
        self._look_after = now
        if lacp is _DOWN:
            self._look_due = now
            self.urgency = _LOST
        elif lacp is _UP:
            self._look_due = self._look_after = now + up_delay
            self.urgency = _BACK

    def touched(self, now: float) -> None:
        """Somebody may have changed a VF."""
        self._call(now, Urgency.TOUCHED)

    def _call(self, now: float, urgency: Urgency) -> None:
        due = max(now, self._look_after)
        if self._look_due == math.inf or urgency < self.urgency:
            self.urgency = urgency
        self._look_due = min(self._look_due, due)

    def look_no_more(self) -> None:
        """Until LACP changes."""
        self._look_due = math.inf

    def look_failed(self, now: float) -> None:
        """The VFs could not be read."""
        self._looks_failed.fail(now)
        self._look_due = self._look_after = self._looks_failed.until
        self.urgency = Urgency.CONFIRM

    def looked(self, began: float, ended: float, *, again: bool, slower: bool = False) -> None:
        """The VFs were read.

        Args:
            began: when.
            ended: when.
            again: they are to be read again as time passes.
            slower: and less and less often, with each look that nothing but time called for.
        """
        self.look_cost = ended - began
        self._budget.held += self.look_cost
        self._looked = ended
        if self.urgency > _BACK:  # the others are as rare as changes of LACP
            self._budget.spend(ended, self.look_cost)
        self._look_after = ended + LOOK_GAP
        self._look_due = ended + self._again if again else math.inf
        if slower and self.urgency is Urgency.CHECK:
            self._again = min(2 * self._again, SPARSE_LOOK)
        self.urgency = Urgency.CHECK
        self._probe = True

    # Settings

    def allowed(self, now: float, settings: Iterable[Vf]) -> tuple[list[Vf], list[Vf]]:
        """Which settings may go out now, by what became of those before.

        Returns:
            Those, and the ones that a driver accepted last time and did not carry out.
        """
        ignored = []
        if self._unconfirmed:
            for setting in settings:
                if self._unconfirmed.pop(setting.vf, None) == setting.link_state:
                    ignored.append(setting)
                    self._holds[setting.vf].ignore(now)
            for vf in self._unconfirmed:
                self._holds[vf].failures = 0
            self._unconfirmed.clear()
        if not self._holds:
            return list(settings), ignored
        allowed = []
        for setting in settings:
            hold = self._holds.get(setting.vf)
            if hold and hold.until > now:
                self._call(hold.until, Urgency.TOUCHED)
            else:
                allowed.append(setting)
        return allowed, ignored

    def message_size(self) -> int:
        """Most VFs in the next message."""
        if not self.vf_cost:
            return PROBE
        size = max(1, int(HOLD / self.vf_cost))
        return min(size, PROBE) if self._probe else size

    def urgent_size(self) -> int:
        """The same where LACP was lost: what was quick at the last batch is not measured anew."""
        return PROBE_QUICK if 0.0 < self.vf_cost < QUICK else PROBE

    def sent(self, began: float, ended: float, vfs: int, *, failed: bool = False) -> float:
        """A message was sent. Returns the seconds for which to leave the lock to others.

        Args:
            began: when.
            ended: when.
            vfs: how many it was for.
            failed: some of them failed, which may be quick and tells nothing of the others' cost.
        """
        self._probe = False
        self._budget.held += ended - began
        cost = (ended - began) / vfs
        if not failed or cost > max(self.vf_cost, QUICK):
            self.vf_cost = cost
        return gap(ended - began)

    def batch_ended(self, now: float) -> None:
        """Read back what was set."""
        self._call(now + LOOK_GAP, Urgency.CONFIRM)

    def became(self, vf: int, state: VfLinkState, now: float, *, failed: bool) -> int:
        """What became of a VF's setting.

        Returns:
            How often in a row the VF was set and was changed by somebody, this time included.
        """
        hold = self._holds.get(vf)
        if hold is None:
            hold = self._holds[vf] = _Hold()
        if failed:
            hold.fail(now)
        else:
            hold.accept(now)
            self._unconfirmed[vf] = state
        return hold.changes


def gap(seconds: float) -> float:
    """How long to leave the lock to others after a message that held it so long."""
    return seconds * GAP if seconds > HOLD / 10 else 0.0
