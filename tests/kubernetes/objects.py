"""Objects as the API server gives them, and one that remembers what is written."""

from __future__ import annotations

import copy
from itertools import count

from pfstatus.operator.render import Settings
from pfstatus.operator.resource import API_VERSION, KIND, Key, key_of

NAMESPACE = "openshift-pf-status-relay-operator"
SETTINGS = Settings(image="registry.example/pfstatus:1")
NOW = "2026-01-02T03:04:05Z"


def monitor(name, *interfaces, selector=None, created="2026-01-01T00:00:00Z", uid=None, **spec):
    """A PFLACPMonitor."""
    if selector is not None:
        spec["nodeSelector"] = selector
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": uid or f"uid-{name}",
            "creationTimestamp": created,
            "generation": 1,
        },
        "spec": {"interfaces": list(interfaces), "pollingInterval": 1000, **spec},
    }


def key(name):
    return Key(NAMESPACE, name)


class Cluster:
    """The API server as far as a decision reaches: it keeps, counts and defaults."""

    def __init__(self, *resources):
        self.resources = {key_of(resource): resource for resource in resources}
        self.daemonsets = {}
        self.generations = count(1)

    def list(self):
        return copy.deepcopy((list(self.resources.values()), list(self.daemonsets.values())))

    def delete(self, daemonset):
        self.daemonsets.pop(key_of(daemonset), None)

    def apply(self, wanted):
        before = self.daemonsets.get(key_of(wanted), {})
        stored = copy.deepcopy(wanted)
        # In a LIST, items of a built-in kind do not say what they are.
        del stored["apiVersion"], stored["kind"]
        stored["metadata"] |= {"uid": f"ds-{wanted['metadata']['name']}"}
        stored["metadata"]["generation"] = next(self.generations)
        stored["spec"]["revisionHistoryLimit"] = 10
        stored["spec"]["template"]["spec"]["restartPolicy"] = "Always"
        stored["status"] = before.get("status", {})
        self.daemonsets[key_of(wanted)] = stored

    def set_status(self, key, status):
        self.resources[key]["status"] = copy.deepcopy(status)

    def schedule(self, name, nodes, ready=None):
        """What the DaemonSet controller says once it has made the pods."""
        found = self.daemonsets[Key(NAMESPACE, f"pf-status-relay-ds-{name}")]
        found["status"] = {
            "observedGeneration": found["metadata"]["generation"],
            "desiredNumberScheduled": nodes,
            "updatedNumberScheduled": nodes,
            "numberReady": nodes if ready is None else ready,
        }
