"""Everything that a LIST shows in, the cluster as it is to be out. No I/O, no clock, no memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pfstatus.operator.conflict import refused, shared_pfs
from pfstatus.operator.ports import assign
from pfstatus.operator.render import Settings, daemonset, is_current, port_of
from pfstatus.operator.resource import (
    DAEMONSET_PREFIX,
    LABEL_LENGTH,
    Key,
    Monitor,
    Object,
    belongs_to_us,
    key_of,
    owner_of,
)
from pfstatus.operator.status import Refusal, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Decision:
    """The cluster as it is to be."""

    daemonsets: dict[Key, Object]
    """Every DaemonSet that there is to be, and no other of ours."""
    statuses: dict[Key, Object]
    """The status of every resource that stays."""
    refusals: dict[Key, Refusal] = field(default_factory=dict)


def _conflict(monitor: Monitor, winner: Monitor) -> Refusal:
    # The first half is what the reference says, and what its users look for.
    other = winner.key.name if winner.key.namespace == monitor.key.namespace else str(winner.key)
    pfs = ", ".join(sorted(shared_pfs(monitor, winner)))
    return Refusal(
        "Conflict",
        f"interfaces [{' '.join(monitor.interfaces)}] conflict with the ones from PFLACPMonitor"
        f" {other}: both can select one node and watch {pfs} there; take {pfs} out of one of them,"
        " or give one label two different values in their nodeSelectors",
    )


def _unservable(monitor: Monitor, there: Object | None) -> Refusal | None:
    if len(monitor.daemonset.name) > LABEL_LENGTH:
        most = LABEL_LENGTH - len(DAEMONSET_PREFIX)
        return Refusal(
            "NameTooLong",
            f"a name of at most {most} characters fits into the DaemonSet's label, this has"
            f" {len(monitor.key.name)}: create it anew under a shorter name",
        )
    if not monitor.pfs:
        return Refusal("NoInterfaces", "spec.interfaces names no interface")
    if there is not None:
        owner = owner_of(there)
        if owner is not None and not belongs_to_us(there):
            return Refusal(
                "NameTaken",
                f"DaemonSet {monitor.daemonset} is {owner['kind']} {owner['name']}'s: remove it",
            )
    return None


def decide(
    resources: Iterable[Object],
    daemonsets: Iterable[Object],
    settings: Settings,
    *,
    now: str,
    troubles: Mapping[Key, list[Object]] | None = None,
    failures: Mapping[Key, str] | None = None,
) -> Decision:
    """Decide what is to be.

    Args:
        resources: all PFLACPMonitors.
        daemonsets: all DaemonSets where they are; those of others are looked at by name alone.
        settings: the operator's options.
        now: RFC 3339; the only thing that makes two equal calls differ, and only in conditions
            that change.
        troubles: by resource, nodes whose agent is not ready, where somebody has just looked.
        failures: by resource, what the API server said when its DaemonSet was last written.
    """
    monitors = [Monitor.read(resource) for resource in resources]
    staying = [monitor for monitor in monitors if not monitor.deleting]
    live = {key_of(found): found for found in daemonsets}
    refusals: dict[Key, Refusal] = {}
    for monitor in staying:
        unservable = _unservable(monitor, live.get(monitor.daemonset))
        if unservable is not None:
            refusals[monitor.key] = unservable
    servable = [monitor for monitor in staying if monitor.key not in refusals]
    by_key = {monitor.key: monitor for monitor in servable}
    for key, winner in refused(servable).items():
        refusals[key] = _conflict(by_key[key], winner)
    served = [monitor for monitor in servable if monitor.key not in refusals]
    there: dict[Key, int] = {}
    foreign: set[int] = set()
    for monitor in served:
        scheme, port = port_of(live.get(monitor.daemonset, {}))
        if scheme == settings.scheme:
            there[monitor.key] = port
        else:
            foreign.add(port)
    ports = assign(served, there, settings.metrics_port, foreign)
    to_be = {
        monitor.daemonset: daemonset(monitor, settings, ports[monitor.key]) for monitor in served
    }
    statuses = {}
    for monitor in staying:
        found = live.get(monitor.daemonset)
        refusal = refusals.get(monitor.key)
        failure = (failures or {}).get(monitor.key)
        if refusal is None and failure is not None:
            refusal = Refusal(
                "DaemonSetRefused", f"the API server refused the DaemonSet: {failure}"
            )
        wanted = to_be.get(monitor.daemonset)
        known = monitor.status.get("troubledNodes") or []
        statuses[monitor.key] = status_of(
            monitor,
            found,
            current=found is not None and wanted is not None and is_current(found, wanted),
            refusal=refusal,
            troubles=(troubles or {}).get(monitor.key, known),
            now=now,
        )
    return Decision(to_be, statuses, refusals)
