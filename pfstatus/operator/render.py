"""The DaemonSet of a resource, as server-side apply wants it: only what we mean, all of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pfstatus.operator.conflict import selectors_can_meet
from pfstatus.operator.resource import API_VERSION, GROUP, KIND, Key, Monitor, Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTAINER = "pf-status-relay"
HASH = f"{GROUP}/rendered"
"""Annotation of a DaemonSet: what it was rendered from. Another one means that a field may have
to go, which no comparison with what is to be there would show."""

_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator's own options say about every DaemonSet."""

    image: str
    service_account: str = "pf-status-relay-operator-pf-status-relay"
    max_surge: str = "10%"
    """Nodes that at once start the next agent beside the old one. "0" ends the old one first."""
    first_port: int = 21500
    """Each agent listens on a port of 127.0.0.1: those of a node share its network namespace."""
    ports: int = 500
    selinux_type: str = ""
    """spc_t where SELinux is on: container_t may not write below the node's /run."""
    image_pull_secrets: tuple[str, ...] = ()


def ports(monitors: Iterable[Monitor], settings: Settings) -> dict[Key, int]:
    """Give each resource a port, such that no two that can meet on a node have the same.

    It hangs on the name, so that it stays when others come and go, except where names collide:
    there the later one moves on.
    """
    given: list[tuple[Monitor, int]] = []
    for monitor in sorted(monitors, key=lambda monitor: monitor.seniority):
        digest = hashlib.sha256(str(monitor.key).encode()).digest()
        start = int.from_bytes(digest[:4], "big") % settings.ports
        taken = {
            port
            for other, port in given
            if selectors_can_meet(monitor.node_selector, other.node_selector)
        }
        tried = (settings.first_port + (start + n) % settings.ports for n in range(settings.ports))
        given.append((monitor, next((port for port in tried if port not in taken), 0)))
    return {monitor.key: port for monitor, port in given}


def _environment(monitor: Monitor, port: int) -> list[Object]:
    spec = monitor.spec
    variables = {
        "INTERFACES": ",".join(monitor.interfaces),
        "POLLING_INTERVAL": str(spec.get("pollingInterval") or 1000),
        "METRICS": f"127.0.0.1:{port}",
    }
    if "restore" in spec:
        variables["RESTORE"] = spec["restore"]
    if "onExit" in spec:
        variables["ON_EXIT"] = spec["onExit"]
    if "upDelay" in spec:
        variables["UP_DELAY"] = str(spec["upDelay"])
    if spec.get("groups"):
        variables["GROUPS"] = ";".join(",".join(group["interfaces"]) for group in spec["groups"])
    if "heartbeat" in spec:
        variables["HEARTBEAT"] = spec["heartbeat"]
    if "revive" in spec:
        variables["REVIVE"] = str(spec["revive"]).lower()
    return [
        {"name": f"PF_STATUS_RELAY_{name}", "value": value} for name, value in variables.items()
    ]


def _probe(path: str, port: int, **times: int) -> Object:
    request = {"host": "127.0.0.1", "path": path, "port": port, "scheme": "HTTP"}
    return {"httpGet": request, "successThreshold": 1, "timeoutSeconds": 2, **times}


def _container(monitor: Monitor, settings: Settings, port: int) -> Object:
    capabilities = ["NET_ADMIN"]
    if monitor.spec.get("heartbeat", "off") != "off" or monitor.spec.get("revive"):
        capabilities.append("NET_RAW")
    security: Object = {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        # Kubernetes has no ambient capabilities: another user would have none.
        "runAsUser": 0,
        "runAsGroup": 0,
        "capabilities": {"drop": ["ALL"], "add": capabilities},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if settings.selinux_type:
        security["seLinuxOptions"] = {"type": settings.selinux_type}
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["pfstatus", "relay"],
        "env": _environment(monitor, port),
        "resources": monitor.spec.get("resources") or _RESOURCES,
        "securityContext": security,
        "startupProbe": _probe("/healthz", port, periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("/healthz", port, periodSeconds=10, failureThreshold=3),
        "readinessProbe": _probe("/readyz", port, periodSeconds=5, failureThreshold=2),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # What it took from whom, and its lock, outlive the pod and are shared with the next.
        "volumeMounts": [{"name": "run", "mountPath": "/run/pfstatus"}],
    }


def _pod(monitor: Monitor, settings: Settings, port: int) -> Object:
    pod: Object = {
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "priorityClassName": "system-node-critical",
        "containers": [_container(monitor, settings, port)],
        "volumes": [
            {"name": "run", "hostPath": {"path": "/run/pfstatus", "type": "DirectoryOrCreate"}}
        ],
    }
    if monitor.node_selector:
        pod["nodeSelector"] = monitor.node_selector
    if monitor.spec.get("tolerations"):
        pod["tolerations"] = monitor.spec["tolerations"]
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return pod


def _update(settings: Settings) -> Object:
    surge: str | int = settings.max_surge
    if settings.max_surge.isdecimal():
        surge = int(settings.max_surge)
    if surge in {0, "0%"}:
        return {"maxUnavailable": "10%"}
    return {"maxSurge": surge, "maxUnavailable": 0}


def daemonset(monitor: Monitor, settings: Settings, port: int) -> Object:
    """Render the DaemonSet of one resource.

    Its name, selector and labels, the container's name and the two first variables are the
    reference's: its DaemonSet becomes ours without a pod being deleted first.
    """
    key = monitor.daemonset
    labels = {"app": key.name, "app.kubernetes.io/managed-by": "pf-status-relay-operator"}
    rendered: Object = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": monitor.key.name,
                    "uid": monitor.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "selector": {"matchLabels": {"app": key.name}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": _update(settings)},
            "template": {
                "metadata": {
                    "labels": {"app": key.name},
                    "annotations": {"kubectl.kubernetes.io/default-container": CONTAINER},
                },
                "spec": _pod(monitor, settings, port),
            },
        },
    }
    text = json.dumps(rendered, sort_keys=True)
    rendered["metadata"]["annotations"] = {HASH: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return rendered


def holds(live: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there. What the API server or an admin added may be, too."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            _COMPARED.get(name, holds)(live.get(name), value) for name, value in wanted.items()
        )
    return bool(live == wanted)


def _holds_list(live: Any, wanted: list[Object]) -> bool:
    named = {entry.get("name"): entry for entry in live or ()}
    return all(entry["name"] in named and holds(named[entry["name"]], entry) for entry in wanted)


_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def _quantity(written: str | float) -> Decimal | None:
    """What a resource.Quantity is worth: the API server writes 1000m as 1."""
    text = str(written)
    number = text.rstrip("numkKMGTPEi")
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (ArithmeticError, KeyError):
        return None


def _holds_resources(live: Any, wanted: Object) -> bool:
    live = live or {}
    for name, amounts in wanted.items():
        if not isinstance(amounts, dict):
            if live.get(name) != amounts:
                return False
            continue
        there = live.get(name, {})
        for resource, amount in amounts.items():
            if resource not in there or _quantity(there[resource]) != _quantity(amount):
                return False
    return True


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("containers", "env", "volumes", "volumeMounts"), _holds_list),
    "resources": _holds_resources,
}
