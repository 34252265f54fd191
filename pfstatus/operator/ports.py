"""Where the agents of a resource tell of metrics and health: a port of their nodes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pfstatus.operator.conflict import selectors_can_meet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pfstatus.operator.resource import Key, Monitor


def assign(
    served: Iterable[Monitor],
    there: Mapping[Key, int],
    first: int,
    foreign: Collection[int] = (),
) -> dict[Key, int]:
    """Give each resource a port that no other has on a node which both can select.

    Who has one keeps it, since a change starts every agent anew; where two that have the same come
    to meet, the earlier created does.

    Args:
        served: the resources that have a DaemonSet.
        there: the ports of those whose DaemonSet has one, by resource.
        first: the lowest port.
        foreign: ports that are not given: agents are there that speak another protocol, and the
            next one is not taken for ready where they answer in its place.

    Returns:
        The ports, by resource.
    """
    given: dict[Key, int] = {}
    selectors: dict[Key, Mapping[str, str]] = {}

    def taken_beside(monitor: Monitor) -> set[int]:
        return {
            port
            for key, port in given.items()
            if selectors_can_meet(monitor.node_selector, selectors[key])
        }

    in_order = sorted(served, key=lambda monitor: monitor.seniority)
    for monitor in in_order:
        selectors[monitor.key] = monitor.node_selector
        port = there.get(monitor.key, 0)
        if port >= first and port not in taken_beside(monitor):
            given[monitor.key] = port
    for monitor in in_order:
        if monitor.key not in given:
            taken = taken_beside(monitor)
            given[monitor.key] = next(
                port for port in itertools.count(first) if port not in taken and port not in foreign
            )
    return given
