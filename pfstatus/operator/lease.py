"""Who may write: one operator at a time, and none past the end of its Lease."""

from __future__ import annotations

import datetime
import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfstatus.operator.resource import Object

NAME = "pf-status-relay-operator"
DURATION = 15.0
"""Seconds that a Lease holds after it was renewed."""
MARGIN = 3.0
"""Seconds before its end in which nothing is begun any more: clocks differ, not by this."""
RENEW = 4.0
"""Seconds between renewals, and between looks at somebody else's."""


class NotLeadingError(OSError):
    """A write was about to begin that this operator may not do, or not any more."""


class Leases(Protocol):
    """What the API server does with the Lease."""

    def get_lease(self) -> Object | None:
        """Return the Lease, None where there is none."""

    def create_lease(self, lease: Object) -> Object:
        """Create it; raises where there is one."""

    def replace_lease(self, lease: Object) -> Object:
        """Replace it; raises where it is not any more as it was read."""


def _micro_time() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Lease:
    """A Lease that is held, or watched until its holder lets go.

    Whether somebody else's has ended is judged by how long it has not changed before our own eyes,
    never by comparing two machines' clocks. Threads: any, ``turn()`` and ``release()`` one.
    """

    def __init__(self, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Make one that is not held yet; ``identity`` is unique to this process."""
        self.identity = identity
        self._clock = clock
        self._until = -1.0
        self._seen: Object = {}
        self._seen_at = clock()
        self._lock = threading.Lock()
        self._ended = False

    def left(self) -> float:
        """Return the seconds in which a write may still begin and must be over; 0 is none."""
        with self._lock:
            return 0.0 if self._ended else max(0.0, self._until - self._clock())

    def turn(self, leases: Leases) -> bool:
        """Renew it, take it, or see who has it. Returns whether it is held.

        Raises:
            Exception: what the API server or the way to it raises; what was held stays so until
                its time is over.
        """
        begun = self._clock()
        found = leases.get_lease()
        if found is None:
            self._holds(begun, leases.create_lease(self._written({}, 0)))
            return True
        spec = found.get("spec") or {}
        if spec != self._seen:
            self._seen, self._seen_at = spec, begun
        holder = spec.get("holderIdentity") or ""
        duration = float(spec.get("leaseDurationSeconds") or DURATION)
        if holder not in {"", self.identity} and begun < self._seen_at + duration:
            self._loses()
            return False
        transitions = spec.get("leaseTransitions", 0) + (holder != self.identity)
        self._holds(begun, leases.replace_lease(self._written(found, transitions)))
        return True

    def end(self) -> None:
        """Begin no more writes; the Lease stays ours until it is released."""
        with self._lock:
            self._ended = True

    def release(self, leases: Leases) -> None:
        """Give it up, so that the next operator need not wait for its end."""
        self.end()
        found = leases.get_lease()
        if found is None or found.get("spec", {}).get("holderIdentity") != self.identity:
            return
        now = _micro_time()
        found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
        leases.replace_lease(found)

    def _holds(self, begun: float, lease: Object) -> None:
        with self._lock:
            # From before the request was sent: the server may have counted from then.
            self._until = begun + DURATION - MARGIN
        self._seen, self._seen_at = lease.get("spec") or {}, begun

    def _loses(self) -> None:
        with self._lock:
            self._until = -1.0

    def _written(self, found: Object, transitions: int) -> Object:
        now = _micro_time()
        before = found.get("spec") or {}
        ours = before.get("holderIdentity") == self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        metadata = found.get("metadata") or {"name": NAME}
        return {**found, "metadata": metadata, "spec": spec}
