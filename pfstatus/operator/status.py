"""What is said of a resource: conditions, numbers, and the nodes in trouble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfstatus.operator.resource import Monitor, Object

MOST_TROUBLED = 20
"""Nodes that a status names: enough to start with, and no object of a megabyte."""
MESSAGE_LENGTH = 400


class Trouble(NamedTuple):
    """A node whose agent is not ready, and why."""

    node: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a resource has no DaemonSet."""

    reason: str
    """In CamelCase, for programs."""
    message: str


def trouble_of(pod: Object) -> Trouble | None:
    """Say what is wrong with an agent's pod; None where it is ready, going, or just made."""
    if "deletionTimestamp" in pod["metadata"]:
        return None
    status = pod.get("status") or {}
    conditions = {found["type"]: found for found in status.get("conditions") or ()}
    if conditions.get("Ready", {}).get("status") == "True":
        return None
    node = (pod.get("spec") or {}).get("nodeName", "")
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated")
        last = (container.get("lastState") or {}).get("terminated") or {}
        if stopped:
            message = last.get("message") or stopped.get("message") or ""
            return Trouble(
                node, stopped.get("reason", "Stopped"), message[-MESSAGE_LENGTH:].strip()
            )
    unscheduled = conditions.get("PodScheduled", {})
    if unscheduled.get("status") == "False":
        message = unscheduled.get("message", "")[:MESSAGE_LENGTH]
        return Trouble(node, unscheduled.get("reason", "Unschedulable"), message)
    if not node:
        return None
    message = conditions.get("Ready", {}).get("message", "")[:MESSAGE_LENGTH]
    return Trouble(node, status.get("reason") or "NotReady", message)


def troubled(troubles: Iterable[Trouble]) -> list[Object]:
    """Name at most 20 nodes, in the same order each time."""
    return [
        {"name": trouble.node, "reason": trouble.reason, "message": trouble.message}
        for trouble in sorted(set(troubles))[:MOST_TROUBLED]
    ]


class _Said(NamedTuple):
    """A condition's state, without its times."""

    state: bool
    reason: str
    message: str


def _condition(monitor: Monitor, kind: str, said: _Said, now: str) -> Object:
    status = "True" if said.state else "False"
    since = now
    for found in monitor.status.get("conditions") or ():
        if found.get("type") == kind and found.get("status") == status:
            since = found.get("lastTransitionTime", now)
    return {
        "type": kind,
        "status": status,
        "reason": said.reason,
        "message": said.message,
        "lastTransitionTime": since,
        "observedGeneration": monitor.generation,
    }


def _progress(daemonset: Object | None, *, current: bool) -> _Said:
    """Whether agents are still being brought up to date."""
    if daemonset is None or not current:
        return _Said(True, "DaemonSetChanging", "the DaemonSet is being written")
    status = daemonset.get("status") or {}
    if status.get("observedGeneration", 0) < daemonset["metadata"].get("generation", 0):
        return _Said(True, "DaemonSetChanging", "the DaemonSet controller has not seen it yet")
    wanted = status.get("desiredNumberScheduled", 0)
    updated = status.get("updatedNumberScheduled", 0)
    if updated < wanted:
        said = f"{updated} of {wanted} nodes have the agent as it is to be"
        return _Said(True, "RollingOut", said)
    return _Said(False, "RolledOut", "every node has the agent as it is to be")


def _readiness(matched: int, ready: int, named: list[Object], progress: _Said) -> _Said:
    """Whether every node that matches has an agent that is ready."""
    if ready < matched:
        nodes = ", ".join(trouble["name"] or "(no node)" for trouble in named)
        said = f"{ready} of {matched} agents are ready" + (f"; not on {nodes}" if nodes else "")
        return _Said(False, "AgentsNotReady", said)
    if matched > 0:
        return _Said(True, "AgentsReady", f"{ready} of {matched} agents are ready")
    if progress.state:
        return progress._replace(state=False)
    return _Said(False, "NoNodeMatches", "no node matches nodeSelector and tolerations")


def status_of(
    monitor: Monitor,
    daemonset: Object | None,
    *,
    current: bool,
    refusal: Refusal | None,
    troubles: Iterable[Object],
    now: str,
) -> Object:
    """Write the whole status of a resource; the time of a condition moves only with its state.

    Args:
        monitor: the resource, with its status until now.
        daemonset: as it is in the cluster, None where there is none.
        current: whether it says what it is to say.
        refusal: why there is to be none.
        troubles: nodes whose agent is not ready, as :func:`troubled` writes them.
        now: RFC 3339.
    """
    counted = (daemonset.get("status") or {}) if daemonset is not None else {}
    matched = counted.get("desiredNumberScheduled", 0)
    ready = counted.get("numberReady", 0)
    named = list(troubles) if ready < matched else []
    if refusal is None:
        degraded = _Said(False, "Served", "the resource has its DaemonSet")
        progress = _progress(daemonset, current=current)
        readiness = _readiness(matched, ready, named, progress)
    else:
        degraded = _Said(True, refusal.reason, refusal.message)
        progress = _Said(False, refusal.reason, "nothing is done before that is mended")
        readiness = degraded._replace(state=False)
    return {
        "degraded": degraded.state,
        "errorMessage": degraded.message if degraded.state else "",
        "observedGeneration": monitor.generation,
        "matchedNodeCount": matched,
        "readyNodeCount": ready,
        "troubledNodes": named,
        "conditions": [
            _condition(monitor, "Ready", readiness, now),
            _condition(monitor, "Progressing", progress, now),
            _condition(monitor, "Degraded", degraded, now),
        ],
    }
