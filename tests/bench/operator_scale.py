"""What the operator asks of an API server: 200 resources on 5,000 nodes.

Against the small server of tests/kubernetes, which answers with what a real one would: requests
and bytes are the operator's own, their time is not. Prints a table; needs no root.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "kubernetes"))

import json
import subprocess

from api_server import ApiServer
from objects import NAMESPACE, monitor

RESOURCES, NODES = 200, 5000
MONITORS = f"/apis/pfstatusrelay.openshift.io/v1alpha1/namespaces/{NAMESPACE}/pflacpmonitors"
DAEMONSETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def resident(pid: int) -> float:
    """Megabytes of memory that a process has had at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


class Meter:
    """Requests and bytes since the last row."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.at()

    def at(self) -> None:
        with self.server.lock:
            self.begun, self.requests, self.bytes = (
                time.monotonic(),
                len(self.server.seen),
                self.server.bytes_sent,
            )

    def row(self, what: str) -> None:
        seconds = time.monotonic() - self.begun
        with self.server.lock:
            made = self.server.seen[self.requests :]
            sent = self.server.bytes_sent - self.bytes
        writes = sum(method != "GET" for method, _ in made)
        print(
            f"| {what} | {seconds:.0f} s | {len(made)} | {writes} | {sent / 1e6:.1f} MB |"
            f" {len(made) / seconds:.1f}/s |",
            flush=True,
        )
        self.at()


def schedule(server: ApiServer, ready: int) -> None:
    """Have each DaemonSet say how many of its agents are ready."""
    per = NODES // RESOURCES
    for path in [path for path in server.objects if path.startswith(DAEMONSETS)]:
        found = server.objects[path]
        found["status"] = {
            "observedGeneration": 1,
            "desiredNumberScheduled": per,
            "updatedNumberScheduled": per,
            "numberReady": min(per, ready),
        }
        server.put(path, found)


def quiet(server: ApiServer, seconds: float) -> None:
    """Wait until nothing has been written for a while."""
    seen, since = -1, time.monotonic()
    limit = since + 300
    while time.monotonic() < limit:
        writes = sum(
            method != "GET" and path not in {"leases", "pf-status-relay-operator"}
            for method, path in list(server.seen)
        )
        if writes != seen:
            seen, since = writes, time.monotonic()
        if time.monotonic() > since + seconds:
            return
        time.sleep(0.2)
    sys.exit("it never came to rest")


def main() -> None:
    """Run an operator through start, rest, a rollout and an outage of every node's API."""
    server = ApiServer()
    for number in range(RESOURCES):
        found = monitor(f"rack-{number:03}", "ens5f0", "ens5f1", selector={"rack": f"r{number:03}"})
        server.put(f"{MONITORS}/rack-{number:03}", found)
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": server.url}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
    }
    print("| what | took | requests | writes | bytes | rate |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".kubeconfig") as file:
        json.dump(config, file)
        file.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "pfstatus.operator", "--health-probe-bind-address=127.0.0.1:0"],
            env={
                **os.environ,
                "KUBECONFIG": file.name,
                "POD_NAMESPACE": NAMESPACE,
                "PF_STATUS_RELAY_IMAGE": "i",
            },
            stdout=subprocess.DEVNULL,
        )
        try:
            meter = Meter(server)
            server.wait_for(
                lambda: sum(path.startswith(DAEMONSETS) for path in server.objects) == RESOURCES,
                300,
            )
            quiet(server, 15)
            meter.row("start: 200 DaemonSets and statuses")
            schedule(server, NODES)
            quiet(server, 15)
            meter.row("5,000 agents ready")
            time.sleep(120)
            meter.row("rest, 2 minutes")
            # LACP is no matter of the API server: an outage of the fabric changes no object, unless
            # it takes the nodes themselves away. That is the worst: each node, again and again.
            for number in range(12):
                schedule(server, number % 5)
                time.sleep(5)
            meter.row("every agent lost and found for a minute")
            print(f"\nmemory at most: {resident(process.pid):.0f} MB")
        finally:
            process.terminate()
            process.wait(30)
            server.close()


if __name__ == "__main__":
    main()
