"""What a PFLACPMonitor and a DaemonSet say. Objects are JSON as the API server gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Object = dict[str, Any]
"""An API object, or a part of one."""

GROUP = "pfstatusrelay.openshift.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "PFLACPMonitor"
PLURAL = "pflacpmonitors"

DAEMONSET_PREFIX = "pf-status-relay-ds-"
LABEL_LENGTH = 63
"""Most characters of a label's value, which the DaemonSet's name is."""


class Key(NamedTuple):
    """What names an object of one kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(found: Object) -> Key:
    """The namespace and name of any namespaced object."""
    return Key(found["metadata"].get("namespace", ""), found["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Monitor:
    """One PFLACPMonitor, as far as a decision needs it."""

    key: Key
    uid: str
    created: str
    """RFC 3339 in UTC, as the API server writes it: sorts as text."""
    generation: int
    deleting: bool
    interfaces: tuple[str, ...]
    """As written: this is what the agent gets."""
    node_selector: dict[str, str]
    """Empty where absent: every node."""
    spec: Object
    status: Object

    @classmethod
    def read(cls, found: Object) -> Monitor:
        """Take what was stored as it is: older rules, or none, may have let it in."""
        metadata = found["metadata"]
        spec = found.get("spec") or {}
        return cls(
            key=key_of(found),
            uid=metadata.get("uid", ""),
            created=metadata.get("creationTimestamp", ""),
            generation=metadata.get("generation", 0),
            deleting="deletionTimestamp" in metadata,
            interfaces=tuple(spec.get("interfaces") or ()),
            node_selector=dict(spec.get("nodeSelector") or {}),
            spec=spec,
            status=found.get("status") or {},
        )

    @property
    def pfs(self) -> frozenset[str]:
        """Names that the agent will watch: it splits at commas and drops blanks."""
        members = (name for group in self.spec.get("groups") or () for name in group)
        listed = (*self.interfaces, *members)
        names = (name.strip() for written in listed for name in written.split(","))
        return frozenset(name for name in names if name)

    @property
    def daemonset(self) -> Key:
        """Where this resource's DaemonSet is."""
        return Key(self.key.namespace, DAEMONSET_PREFIX + self.key.name)

    @property
    def seniority(self) -> tuple[str, str, str]:
        """Sorts the earliest created first, then by name, then by namespace."""
        return (self.created, self.key.name, self.key.namespace)


def owner_of(found: Object) -> Object | None:
    """The reference to the object's controller."""
    for reference in found["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            return dict(reference)
    return None


def belongs_to_us(daemonset: Object) -> bool:
    """Whether some PFLACPMonitor, living or gone, is the controller of a DaemonSet."""
    owner = owner_of(daemonset)
    return (
        owner is not None
        and owner.get("kind") == KIND
        and owner.get("apiVersion", "").split("/")[0] == GROUP
    )
