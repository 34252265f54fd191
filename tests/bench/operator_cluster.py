"""What the operator asks of real API servers: 200 resources on 5,000 nodes.

Needs what `make cluster-test` builds. Nodes and the agents' pods are objects that nobody runs:
their status is written here, by many threads. Requests are counted by the operator itself, bytes by
the servers: those of its lists, which nobody else makes by then. Prints a table.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

sys.path.insert(0, str(Path(__file__).parents[1] / "kubernetes"))

from manifests import read
from objects import NAMESPACE
from real_cluster import RealCluster, free_port, wait_until, where

from pfstatus.operator.lease import RENEW

RESOURCES = int(os.environ.get("RESOURCES", "200"))
NODES = int(os.environ.get("NODES", "5000"))
MONITORS = f"/apis/pfstatusrelay.openshift.io/v1alpha1/namespaces/{NAMESPACE}/pflacpmonitors"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
ACCOUNT = "pf-status-relay-operator-controller-manager"
THREADS = 16
REST = 30.0
"""Seconds in which nothing is written but the Lease: then it is at rest."""


class Api:
    """Requests as the administrator, by connections that stay."""

    def __init__(self, cluster: RealCluster) -> None:
        self._port = cluster.a_port
        self._context = ssl.create_default_context(cafile=cluster.folder / "ca.crt")
        self._context.load_cert_chain(cluster.folder / "admin.crt", cluster.folder / "admin.key")
        self._here = local()

    def __call__(self, method: str, path: str, body: object = None, port: int = 0) -> bytes:
        connection = getattr(self._here, str(port), None)
        if connection is None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", port or self._port, context=self._context, timeout=120
            )
            setattr(self._here, str(port), connection)
        kind = "merge-patch+json" if method == "PATCH" else "json"
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": f"application/{kind}"}
        try:
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
        except ConnectionError:  # it was ended by the server, having been idle
            connection.close()
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
        return said

    def all(self, *calls: tuple[str, str, object]) -> None:
        """Make many requests at once."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda call: self(*call), calls))


class Meter:
    """Requests of the operator, and bytes of lists, since the last row."""

    def __init__(self, api: Api, ports: list[int], metrics: str) -> None:
        self._api, self._ports, self._metrics = api, ports, metrics
        print("| what | took | requests | writes | bytes | rate |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        self._last = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        with urllib.request.urlopen(self._metrics, timeout=60) as answer:
            text = answer.read().decode()
        counted = re.findall(r'requests_total\{code="\d+",method="(\w+)"\} (\S+)', text)
        reads = sum(float(count) for method, count in counted if method == "GET")
        writes = sum(float(count) for method, count in counted if method != "GET")
        sent = 0.0
        for port in self._ports:
            text = self._api("GET", "/metrics", port=port).decode()
            for labels, size in re.findall(
                r"^apiserver_response_sizes_sum\{(.*)\} (\S+)$", text, re.MULTILINE
            ):
                ours = re.search(r'resource="(pflacpmonitors|daemonsets|pods)"', labels)
                if ours and 'verb="LIST"' in labels and f'"{NAMESPACE}"' not in labels:
                    sent += float(size)
        return time.monotonic(), reads, writes, sent

    def row(self, what: str) -> None:
        now = self._now()
        took, reads, writes, sent = (new - old for new, old in zip(now, self._last, strict=True))
        made = reads + writes
        print(
            f"| {what} | {took:.0f} s | {made:.0f} | {writes:.0f} | {sent / 1e6:.1f} MB |"
            f" {made / took:.1f}/s |",
            flush=True,
        )
        self._last = now

    def rest(self) -> None:
        """Wait until the operator has nothing to write but its Lease."""
        before = self._now()
        while True:
            time.sleep(REST)
            now = self._now()
            if now[2] - before[2] <= REST / RENEW + 2:
                return
            before = now


def resident(pid: int) -> float:
    """Megabytes of memory that a process has had at most."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def node(number: int) -> dict[str, object]:
    """A Node that is ready because it says so."""
    much = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"w{number}", "labels": {"rack": f"r{number % RESOURCES}"}},
        "status": {
            "capacity": much,
            "allocatable": much,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def readiness(name: str, *, ready: bool) -> tuple[str, str, object]:
    """The request by which a kubelet says how a pod does."""
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return "PATCH", f"{PODS}/{name}/status", {"status": status}


def run(cluster: RealCluster) -> None:
    """Start, rest, and a minute in which agents are lost and found as fast as it can be written."""
    api = Api(cluster)
    objects = read("install.yaml")
    for found in objects:
        if found["kind"] == "Deployment":
            found["spec"]["replicas"] = 0
    cluster.kubectl.apply(*objects)
    wait_until(
        "the resource is served",
        lambda: cluster.kubectl.run("get", "--raw", MONITORS, check=False).returncode == 0,
    )
    api.all(*(("POST", "/api/v1/nodes", node(number)) for number in range(NODES)))
    monitors = [
        {
            "apiVersion": "pfstatusrelay.openshift.io/v1alpha1",
            "kind": "PFLACPMonitor",
            "metadata": {"name": f"rack-{number}"},
            "spec": {
                "interfaces": ["ens5f0", "ens5f1"],
                "nodeSelector": {"rack": f"r{number}"},
            },
        }
        for number in range(RESOURCES)
    ]
    api.all(*(("POST", MONITORS, monitor) for monitor in monitors))
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pfstatus.operator", "--max-surge=0"),
            "--health-probe-bind-address=127.0.0.1:0",
            f"--metrics-bind-address=127.0.0.1:{port}",
        ],
        env={
            **os.environ,
            "KUBECONFIG": str(cluster.token(ACCOUNT, NAMESPACE)),
            "POD_NAMESPACE": NAMESPACE,
            "PF_STATUS_RELAY_IMAGE": "registry.example/pfstatus:1",
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        metrics = f"http://127.0.0.1:{port}/metrics"
        wait_until("it answers", lambda: urllib.request.urlopen(metrics, timeout=10).status)
        meter = Meter(api, [cluster.a_port, cluster.b_port], metrics)

        def pods() -> list[str]:
            listed = json.loads(cluster.kubectl.run("get", "--raw", PODS).stdout)["items"]
            return [pod["metadata"]["name"] for pod in listed]

        wait_until("every pod", lambda: len(pods()) >= NODES, 600)
        names = pods()
        meter.row(f"start: {RESOURCES} DaemonSets, {len(names)} pods made, none ready")
        meter.rest()
        meter.row("their pods and the statuses of the resources come to rest")
        api.all(*(readiness(name, ready=True) for name in names))
        meter.rest()
        meter.row(f"{len(names)} agents become ready")
        time.sleep(120)
        meter.row("rest, 2 minutes")
        end, turns = time.monotonic() + 60, 0
        while time.monotonic() < end:
            some = names[turns % 5 :: 5]
            api.all(*(readiness(name, ready=turns // 5 % 2 == 1) for name in some))
            turns += 1
        meter.row(f"{turns * len(names) // 5} changes of agents' readiness within a minute")
        print(f"\nmemory at most: {resident(process.pid):.0f} MB")
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Start the servers, and measure."""
    programs = where()
    if programs is None:
        sys.exit("no real API servers here: make cluster-test builds them")
    with tempfile.TemporaryDirectory() as folder:
        cluster = RealCluster(programs, Path(folder), fast=True)
        try:
            run(cluster)
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
