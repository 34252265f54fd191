"""What has to be written so that the cluster becomes what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfstatus.operator.render import holds, is_current
from pfstatus.operator.resource import Key, Object, belongs_to_us, key_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfstatus.operator.decide import Decision


@dataclass(frozen=True, slots=True)
class Changes:
    """Writes, in the order in which they are to be tried.

    Deleting comes first, so that a PF is free before somebody else's agent comes; statuses last,
    so that what failed is not called done. Each is right by itself: the next LIST shows the rest.
    """

    delete: tuple[Object, ...]
    """DaemonSets as they are."""
    apply: tuple[Object, ...]
    """DaemonSets as they are to be."""
    statuses: tuple[tuple[Key, Object], ...]
    """Whole statuses, by resource."""

    def __bool__(self) -> bool:
        return bool(self.delete or self.apply or self.statuses)


def _owner_uid(found: Object) -> str | None:
    owner = owner_of(found)
    return None if owner is None else owner.get("uid")


def changes(
    decision: Decision, resources: Iterable[Object], daemonsets: Iterable[Object]
) -> Changes:
    """Compare what was decided with what a LIST showed."""
    live = {key_of(found): found for found in daemonsets}
    delete = []
    gone = set()
    for key, found in live.items():
        wanted = decision.daemonsets.get(key)
        dying = "deletionTimestamp" in found["metadata"]
        if wanted is None:
            if belongs_to_us(found) and not dying:
                delete.append(found)
            continue
        # A resource that was deleted and created anew has another uid: the garbage collector
        # would take the DaemonSet. And a selector cannot be changed.
        stale = belongs_to_us(found) and _owner_uid(found) != _owner_uid(wanted)
        other = found.get("spec", {}).get("selector") != wanted["spec"]["selector"]
        if (stale or other) and not dying:
            delete.append(found)
            gone.add(key)
    apply = [
        wanted
        for key, wanted in decision.daemonsets.items()
        if key not in live
        or key in gone
        or ("deletionTimestamp" not in live[key]["metadata"] and not is_current(live[key], wanted))
    ]
    statuses = []
    for resource in resources:
        key = key_of(resource)
        status = decision.statuses.get(key)
        if status is not None and not holds(resource.get("status") or {}, status):
            statuses.append((key, status))
    return Changes(tuple(delete), tuple(apply), tuple(statuses))
