"""Which resources would put two relays on one PF of one node, and which of them are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pfstatus.operator.resource import Key, Monitor


def selectors_can_meet(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether a node can exist that both select.

    A label has one value on a node, so they cannot only if some key is given two values. An empty
    selector selects every node.
    """
    return all(other.get(label, value) == value for label, value in one.items())


def shared_pfs(one: Monitor, other: Monitor) -> frozenset[str]:
    """The PFs that both would watch on one node. Alternative names of a PF are not seen through."""
    if not selectors_can_meet(one.node_selector, other.node_selector):
        return frozenset()
    return one.pfs & other.pfs


def refused(monitors: Iterable[Monitor]) -> dict[Key, Monitor]:
    """Find who cannot be served, and because of whom.

    The earliest created is served, then by name; who is refused stands in nobody's way. So
    whoever can be served beside those before it is.
    """
    served: list[Monitor] = []
    losers = {}
    for monitor in sorted(monitors, key=lambda monitor: monitor.seniority):
        for earlier in served:
            if shared_pfs(monitor, earlier):
                losers[monitor.key] = earlier
                break
        else:
            served.append(monitor)
    return losers
