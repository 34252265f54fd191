"""The API server, by lightkube: what the operator reads, and what it may write."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube import ApiError, Client
from lightkube.config import client_adapter
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import CascadeType, PatchType

from pfstatus.operator.lease import NAME, NotLeadingError
from pfstatus.operator.resource import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    Key,
    Object,
    key_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightkube.config.kubeconfig import SingleConfig

MANAGER = "pf-status-relay-operator"
"""Field manager: the fields that carry it are ours."""
FORMER_MANAGER = "manager"
"""The reference's, which writes by update."""
TIMEOUT = 10.0
"""Seconds for a connection, and between two parts of an answer."""
WATCH_SECONDS = 240
PAGE = 100
"""Pods that are read at a time: 5,000 at once would be 40 MB."""

_MONITOR = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)
_DAEMONSET = create_namespaced_resource("apps", "v1", "DaemonSet", "daemonsets")
_POD = create_namespaced_resource("", "v1", "Pod", "pods")
_EVENT = create_namespaced_resource("", "v1", "Event", "events")
_LEASE = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")

WATCHED = {
    PLURAL: f"apis/{API_VERSION}",
    "daemonsets": "apis/apps/v1",
}


class _Transport(httpx2.BaseTransport):
    """The one way out: a write begins only where it may, and is over before the Lease is."""

    def __init__(
        self,
        inner: httpx2.BaseTransport,
        time_left: Callable[[], float],
        told: Callable[[str, str, int], None],
    ) -> None:
        self._inner = inner
        self._time_left = time_left
        self._told = told

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if request.method != "GET" and "/leases" not in path:
            left = self._time_left()
            if left <= 0:
                raise NotLeadingError("the Lease is not held: nothing is written")
            request.extensions["timeout"] = httpx2.Timeout(min(TIMEOUT, left)).as_dict()
        try:
            response = self._inner.handle_request(request)
        except httpx2.TransportError:
            self._told(request.method, path, 0)
            raise
        self._told(request.method, path, response.status_code)
        # lightkube looks for it in every answer that is an error.
        response.headers.setdefault("Content-Type", "text/plain")
        return response

    def close(self) -> None:
        self._inner.close()


def not_told(_method: str, _path: str, _code: int) -> None:
    """Count nothing."""


class Cluster:
    """What the operator does with an API server.

    Every call may raise what lightkube and its HTTP client do: ``httpx2.HTTPError`` (an
    ``ApiError`` is one), ``NotLeadingError`` before a write that may not begin. Threads: any.
    """

    def __init__(
        self,
        config: SingleConfig,
        namespace: str,
        *,
        all_namespaces: bool = False,
        time_left: Callable[[], float],
        told: Callable[[str, str, int], None] = not_told,
    ) -> None:
        """Connect when first asked.

        Args:
            config: where the API server is and who we are; a token from a file is read again
                when the server does not know it any more.
            namespace: the operator's own.
            all_namespaces: look at all of them.
            time_left: seconds in which a write may begin and must be over.
            told: is given method, path and status code (0: none came) of each request.
        """
        self.namespace = namespace
        self._everywhere = all_namespaces
        context = (
            client_adapter.verify_cluster(config.cluster, config.user, config.abs_file)  # type: ignore[arg-type]
        )
        self._transport = _Transport(httpx2.HTTPTransport(verify=context), time_left, told)
        self._client = Client(
            config=config,
            namespace=namespace,
            field_manager=MANAGER,
            timeout=httpx2.Timeout(TIMEOUT),
            transport=self._transport,
        )
        self._http = client_adapter.Client(
            config,
            client_adapter.ConnectionParams(
                timeout=httpx2.Timeout(TIMEOUT), transport=self._transport
            ),
        )

    def close(self) -> None:
        """Close the connections; what is under way in other threads fails."""
        self._http.close()
        self._client.close()

    @property
    def _where(self) -> str:
        return "*" if self._everywhere else self.namespace

    # ---- Reading

    def monitors(self) -> list[Object]:
        """List the PFLACPMonitors."""
        return list(self._client.list(_MONITOR, namespace=self._where))

    def daemonsets(self) -> list[Object]:
        """List the DaemonSets."""
        return list(self._client.list(_DAEMONSET, namespace=self._where))

    def pods(self, daemonset: Key) -> Iterator[Object]:
        """Read a DaemonSet's pods a page at a time: stop when enough is known."""
        yield from self._client.list(
            _POD,
            namespace=daemonset.namespace,
            labels={"app": daemonset.name},
            chunk_size=PAGE,
        )

    def watch(self, plural: str) -> Iterator[bytes]:
        """Yield whenever something of a kind has changed, until the server ends it.

        What has changed is not looked at. A connection that says nothing for longer than the
        server may be silent is dead: it raises.
        """
        path = WATCHED[plural]
        if not self._everywhere:
            path += f"/namespaces/{self.namespace}"
        path += f"/{plural}"
        # The version to begin with, at the price of one object: without it every object is sent.
        answer = self._http.get(path, params={"limit": 1})
        answer.raise_for_status()
        version = answer.json()["metadata"]["resourceVersion"]
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))
        yield b""
        with self._http.stream(
            "GET",
            path,
            params={"watch": "true", "resourceVersion": version, "timeoutSeconds": seconds},
            timeout=httpx2.Timeout(TIMEOUT, read=seconds + TIMEOUT),
        ) as stream:
            stream.raise_for_status()
            yield from stream.iter_bytes()

    # ---- Writing

    def apply(self, daemonset: Object) -> None:
        """Make a DaemonSet what it is to be, wherever that differs; other fields stay."""
        self._client.apply(_DAEMONSET.from_dict(daemonset), force=True)

    def adopt(self, daemonset: Object) -> None:
        """Take over the fields that the reference wrote, so that applying can remove them."""
        managers = daemonset["metadata"].get("managedFields") or []
        ours = [
            {**entry, "manager": MANAGER, "operation": "Apply"}
            if entry.get("manager") == FORMER_MANAGER and entry.get("operation") == "Update"
            else entry
            for entry in managers
        ]
        if ours == managers:
            return
        key = key_of(daemonset)
        version = daemonset["metadata"]["resourceVersion"]
        patch: Any = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/metadata/managedFields", "value": ours},
        ]
        self._client.patch(
            _DAEMONSET,
            key.name,
            patch,
            namespace=key.namespace,
            patch_type=PatchType.JSON,
        )

    def delete(self, daemonset: Object) -> None:
        """Delete a DaemonSet; its pods go in the background. One that is gone already will do."""
        key = key_of(daemonset)
        try:
            self._client.delete(
                _DAEMONSET, key.name, namespace=key.namespace, cascade=CascadeType.BACKGROUND
            )
        except ApiError as error:
            if error.response.status_code != 404:
                raise

    def set_status(self, key: Key, status: Object) -> None:
        """Write the whole status of a resource; one that is gone already will do."""
        metadata = {"name": key.name, "namespace": key.namespace}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        try:
            self._client.apply(_MONITOR.Status.from_dict(body), force=True)
        except ApiError as error:
            if error.response.status_code != 404:
                raise

    def event(self, event: Object) -> None:
        """Record an Event."""
        self._client.create(_EVENT.from_dict(event), namespace=event["metadata"]["namespace"])

    # ---- The Lease

    def get_lease(self) -> Object | None:
        """Return the Lease, None where there is none."""
        try:
            return dict(self._client.get(_LEASE, NAME, namespace=self.namespace))
        except ApiError as error:
            if error.response.status_code == 404:
                return None
            raise

    def create_lease(self, lease: Object) -> Object:
        """Create it; raises where there is one."""
        return dict(self._client.create(_LEASE.from_dict(lease), namespace=self.namespace))

    def replace_lease(self, lease: Object) -> Object:
        """Replace it; raises where it is not any more as it was read."""
        return dict(
            self._client.replace(_LEASE.from_dict(lease), name=NAME, namespace=self.namespace)
        )
