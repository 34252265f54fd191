"""The DaemonSet of a resource, as server-side apply wants it: only what we mean, all of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pfstatus.operator.resource import API_VERSION, GROUP, KIND, Monitor, Object

if TYPE_CHECKING:
    from collections.abc import Callable

CONTAINER = "pf-status-relay"
HASH = f"{GROUP}/rendered"
"""Annotation of a DaemonSet: what it was rendered from. Another one means that a field may have
to go, which no comparison with what is to be there would show."""
PORT = f"{GROUP}/metrics-port"
"""Annotation of an agent's pod: where it tells of metrics and health. A containerPort would forbid
to start the next agent beside the old one."""

_CERTIFICATES = "/run/secrets/metrics"
_VOLUME = "certificates"

_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator's own options say about every DaemonSet."""

    image: str
    service_account: str = "pf-status-relay-operator-pf-status-relay"
    max_surge: str = "10%"
    """Nodes that at once start the next agent beside the old one. "0" ends the old one first."""
    selinux_type: str = ""
    """spc_t where SELinux is on: container_t may not write below the node's /run."""
    image_pull_secrets: tuple[str, ...] = ()
    metrics_address: str = "127.0.0.1"
    """Where agents tell of metrics and health. The kubelet asks at 127.0.0.1 in any case."""
    metrics_secret: str = ""
    """With tls.crt, tls.key and ca.crt, in the namespace of the agents: they speak TLS, and tell
    metrics to those who show a certificate of that authority. "" is plain HTTP."""
    metrics_port: int = 9143
    """The lowest port for that; resources that can meet on a node have different ones."""
    cni_folder: str = ""
    """Folder of the node into which the agents' pods put the CNI plugin; "" puts it nowhere."""

    @property
    def scheme(self) -> str:
        """How agents are asked: "HTTP" or "HTTPS"."""
        return "HTTPS" if self.metrics_secret else "HTTP"


def _environment(monitor: Monitor) -> list[Object]:
    variables = {
        "PF_STATUS_RELAY_INTERFACES": ",".join(monitor.interfaces),
        "PF_STATUS_RELAY_POLLING_INTERVAL": str(monitor.spec.get("pollingInterval") or 1000),
    }
    return [{"name": name, "value": value} for name, value in variables.items()]


def _metrics(settings: Settings, port: int) -> list[str]:
    found = [f"--metrics={settings.metrics_address}:{port}"]
    if settings.metrics_secret:
        files = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        found += [f"--metrics-{word}={_CERTIFICATES}/{file}" for word, file in files.items()]
    elif not ip_address(settings.metrics_address.strip("[]")).is_loopback:
        found.append("--metrics-open")
    return found


def _arguments(monitor: Monitor, settings: Settings, port: int) -> list[str]:
    spec = monitor.spec
    key = monitor.key
    found = [
        *_metrics(settings, port),
        f"--health-file=/run/pfstatus/health-{key.namespace}.{key.name}.json",
    ]
    if "restore" in spec:
        found.append(f"--restore={spec['restore']}")
    if "onExit" in spec:
        found.append(f"--on-exit={spec['onExit']}")
    if "upDelay" in spec:
        found.append(f"--up-delay={spec['upDelay'] / 1000:g}")
    if "upDelayMax" in spec:
        found.append(f"--up-delay-max={spec['upDelayMax'] / 1000:g}")
    if spec.get("lacpFallback"):
        found.append("--lacp-fallback")
    found += [f"--group={','.join(group)}" for group in spec.get("groups") or ()]
    if "heartbeat" in spec:
        found.append(f"--heartbeat={spec['heartbeat']}")
    if spec.get("heartbeatSlow"):
        found.append("--heartbeat-slow")
    if spec.get("revive"):
        found.append("--revive")
    return found


def _security(settings: Settings, *capabilities: str) -> Object:
    """What a container may: nothing but a capability or two."""
    security: Object = {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        # Kubernetes has no ambient capabilities: another user would have none.
        "runAsUser": 0,
        "runAsGroup": 0,
        "capabilities": {"drop": ["ALL"], **({"add": [*capabilities]} if capabilities else {})},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if settings.selinux_type:
        security["seLinuxOptions"] = {"type": settings.selinux_type}
    return security


def _probes(scheme: str, port: int) -> Object:
    """Asked at the loopback, which the agent shares with its kubelet; it checks no certificate."""
    tls = {"scheme": scheme} if scheme == "HTTPS" else {}

    def asks(path: str, **times: int) -> Object:
        return {"httpGet": {"host": "127.0.0.1", "port": port, "path": path, **tls}, **times}

    return {
        "startupProbe": asks("/healthz", periodSeconds=1, failureThreshold=60),
        # The kernel may keep a turn of its loop waiting for half a minute.
        "livenessProbe": asks("/healthz", periodSeconds=15, timeoutSeconds=5, failureThreshold=4),
        "readinessProbe": asks("/readyz", periodSeconds=5, timeoutSeconds=5),
    }


def _container(monitor: Monitor, settings: Settings, port: int) -> Object:
    spec = monitor.spec
    # Both send LACPDUs by a packet socket.
    packets = spec.get("revive") or spec.get("heartbeat", "off") != "off"
    capabilities = ("NET_ADMIN", "NET_RAW") if packets else ("NET_ADMIN",)
    mounts: list[Object] = [{"name": "run", "mountPath": "/run/pfstatus"}]
    if settings.metrics_secret:
        mounts.append({"name": _VOLUME, "mountPath": _CERTIFICATES, "readOnly": True})
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["pfstatus", "relay", *_arguments(monitor, settings, port)],
        "env": _environment(monitor),
        "resources": monitor.spec.get("resources") or _RESOURCES,
        "securityContext": _security(settings, *capabilities),
        **_probes(settings.scheme, port),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # Which VFs it has disabled outlives the pod, and is shared with the next.
        "volumeMounts": mounts,
    }


def _plugin(settings: Settings) -> Object:
    """Puts the CNI plugin onto the node, and takes it away when the last of them ends."""
    return {
        "name": "cni-plugin",
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        # It is there before the agent, and ends after it.
        "restartPolicy": "Always",
        "command": ["keep-installed", "/host/cni", "/run/pfstatus/cni.lock"],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "16Mi"}},
        "securityContext": _security(settings),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "run", "mountPath": "/run/pfstatus"},
            {"name": "cni", "mountPath": "/host/cni"},
        ],
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
    if settings.metrics_secret:
        pod["volumes"].append({"name": _VOLUME, "secret": {"secretName": settings.metrics_secret}})
    if settings.cni_folder:
        pod["initContainers"] = [_plugin(settings)]
        # One that is not there is not where the runtime looks.
        folder = {"path": settings.cni_folder, "type": "Directory"}
        pod["volumes"].append({"name": "cni", "hostPath": folder})
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


def port_of(daemonset: Object) -> tuple[str, int]:
    """How ("HTTP", "HTTPS") and where agents tell of metrics and health; 0: it does not say."""
    template = (daemonset.get("spec") or {}).get("template") or {}
    written = ((template.get("metadata") or {}).get("annotations") or {}).get(PORT, "")
    port = int(written) if written.isdecimal() and int(written) <= 65535 else 0
    volumes = (template.get("spec") or {}).get("volumes") or ()
    tls = any(volume.get("name") == _VOLUME for volume in volumes)
    return "HTTPS" if tls else "HTTP", port


def daemonset(monitor: Monitor, settings: Settings, port: int) -> Object:
    """Render the DaemonSet of one resource, whose agents have a port of their nodes.

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
            # The old one is ended when the next has been up for so long: it has looked by then.
            "minReadySeconds": 5,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": _update(settings)},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "kubectl.kubernetes.io/default-container": CONTAINER,
                        PORT: str(port),
                    },
                },
                "spec": _pod(monitor, settings, port),
            },
        },
    }
    text = json.dumps(rendered, sort_keys=True)
    rendered["metadata"]["annotations"] = {HASH: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return rendered


def is_current(live: Object, wanted: Object) -> bool:
    """Whether a DaemonSet says all that it is to say.

    What it is, it need not say: a LIST of a built-in kind leaves apiVersion and kind out.
    """
    return all(holds(live.get(part), wanted[part]) for part in ("metadata", "spec"))


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
    **dict.fromkeys(
        ("containers", "env", "initContainers", "volumes", "volumeMounts"), _holds_list
    ),
    "resources": _holds_resources,
}
