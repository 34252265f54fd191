"""The operator under its own RBAC against real API servers: `make cluster-test` builds them.

With KUBECONFIG set, against that cluster instead: as its administrator, with Nodes that are objects
alone, in the operator's own namespace, which must not be in use.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from manifests import EXAMPLES, crd, read
from objects import NAMESPACE
from real_cluster import GROUP, Kubectl, RealCluster, free_port, wait_until, where

PROGRAMS = where()
GIVEN = os.environ.get("KUBECONFIG")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAMS is None and not GIVEN,
        reason="no real API servers here: make cluster-test builds them once, in 10 minutes",
    ),
    pytest.mark.timeout(600),
]
ACCOUNT = "pf-status-relay-operator-controller-manager"
API = {"apiVersion": "pfstatusrelay.openshift.io/v1alpha1", "kind": "PFLACPMonitor"}
LABEL = "pfstatus-test"
MONITORS = ("pflacpmonitors", "-n", NAMESPACE)
DAEMONSETS = ("daemonsets", "-n", NAMESPACE)


class Given:
    """Somebody's cluster."""

    def __init__(self, folder):
        self.folder = folder
        program = shutil.which("kubectl") or str(PROGRAMS / "kubectl")
        self.kubectl = Kubectl(program, Path(GIVEN))
        if self.kubectl.run("get", "crd", f"{MONITORS[0]}.{GROUP}", check=False).returncode == 0:
            pytest.fail("KUBECONFIG's cluster has PFLACPMonitors, which these tests would delete")

    def token(self, account, namespace):
        ran = self.kubectl.run("create", "token", account, "-n", namespace)
        config = json.loads(self.kubectl.run("config", "view", "--raw", "-o", "json").stdout)
        config["users"] = [
            {**user, "user": {"token": ran.stdout.strip()}} for user in config["users"]
        ]
        path = self.folder / f"{account}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def close(self):
        pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Given(folder) if GIVEN else RealCluster(PROGRAMS, folder)
    try:
        kubectl = cluster.kubectl
        objects = read("install.yaml")
        for found in objects:
            if found["kind"] == "Deployment":
                found["spec"]["replicas"] = 0  # it runs here, as a process
        kubectl.apply(*objects)
        wait_until("the resource is served", lambda: kubectl.items(*MONITORS) == [])
        for number in range(3):
            node(kubectl, f"pfstatus-w{number}", "a" if number < 2 else "b")
        yield cluster
    finally:
        if GIVEN:
            cluster.kubectl.run("delete", "nodes", "-l", LABEL, check=False)
            cluster.kubectl.run(
                "delete", "--wait=false", "-f", str(EXAMPLES / "install.yaml"), check=False
            )
        cluster.close()


@pytest.fixture
def kubectl(cluster):
    kubectl = cluster.kubectl
    yield kubectl
    kubectl.run("delete", *MONITORS, "--all", "--wait=false")
    kubectl.run("delete", *DAEMONSETS, "--all", "--wait=false")
    wait_until("an empty namespace", lambda: not kubectl.items(*DAEMONSETS))
    wait_until("no resource", lambda: not kubectl.items(*MONITORS))


def node(kubectl, name, zone):
    """A Node without a kubelet: ready, since somebody says so."""
    labels = {LABEL: "x", "zone": zone, "kubernetes.io/hostname": name}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    )
    status = {
        "capacity": {"cpu": "8", "memory": "16Gi", "pods": "110"},
        "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "x", "message": "x"}],
    }
    # As the node lifecycle controller does once a node is ready.
    kubectl.run("patch", "node", name, "--type=merge", "-p", '{"spec": {"taints": null}}')
    kubectl.run(
        "patch", "node", name, "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": status}),
    )  # fmt: skip


def play_kubelet(kubectl, *, ready=lambda _node: True):
    """Run the agents' pods, as far as their status goes, and let those go that are deleted."""
    for pod in kubectl.items("pods", "-n", NAMESPACE):
        name, spec = pod["metadata"]["name"], pod["spec"]
        if "deletionTimestamp" in pod["metadata"]:
            kubectl.run(
                "delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0", check=False
            )
            continue
        [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        target = term["matchFields"][0]["values"][0]
        if "nodeName" not in spec:
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "target": {"apiVersion": "v1", "kind": "Node", "name": target},
            }
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/binding"
            kubectl.run("create", "--raw", path, "-f", "-", given=json.dumps(binding), check=False)
        good = ready(target)
        state = {"running": {}} if good else {"waiting": {"reason": "CrashLoopBackOff"}}
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if good else "False"}],
            "containerStatuses": [
                {
                    "name": "pf-status-relay", "image": "i", "imageID": "", "ready": good,
                    "restartCount": 0, "state": state,
                    "lastState": {} if good else {
                        "terminated": {"exitCode": 1, "message": "no CAP_NET_ADMIN"}
                    },
                }
            ],
        }  # fmt: skip
        kubectl.run(
            "patch", "pod", name, "-n", NAMESPACE, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}), check=False,
        )  # fmt: skip


@pytest.fixture
def operator(cluster, tmp_path):
    """Start one, as its own account."""
    started = []

    def start(name="operator", *arguments):
        kubeconfig = cluster.token(ACCOUNT, NAMESPACE)
        port = free_port()
        log = tmp_path / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "pfstatus.operator",
                    "--health-probe-bind-address=127.0.0.1:0",
                    f"--metrics-bind-address=127.0.0.1:{port}",
                    *([] if knows_surge(cluster.kubectl) else ["--max-surge=0"]),
                    *arguments,
                ],
                env={
                    **os.environ,
                    "KUBECONFIG": str(kubeconfig),
                    "POD_NAMESPACE": NAMESPACE,
                    "POD_NAME": name,
                    "PF_STATUS_RELAY_IMAGE": "registry.example/pfstatus:1",
                },
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        process.log = log
        process.metrics = f"http://127.0.0.1:{port}/metrics"
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == 0, process.log.read_text()[-3000:]
        finally:
            process.kill()
            process.wait(10)


def knows_surge(kubectl):
    """DaemonSets have it from Kubernetes 1.22 on."""
    version = json.loads(kubectl.run("get", "--raw", "/version").stdout)["gitVersion"]
    return int(version.split(".")[1]) >= 22


def requests_of(process):
    """How many requests an operator has made, by method."""
    with urllib.request.urlopen(process.metrics, timeout=20) as answer:
        text = answer.read().decode()
    found = {}
    for method, count in re.findall(
        r'^pfstatus_operator_api_requests_total\{.*method="(\w+)".*\} (\S+)$', text, re.MULTILINE
    ):
        found[method] = found.get(method, 0) + float(count)
    return found


def monitor(name, *interfaces, **spec):
    return {
        **API,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"interfaces": list(interfaces), **spec},
    }


def daemonset(kubectl, name):
    """A resource's DaemonSet, None where there is none."""
    found = kubectl.run(
        "get", *DAEMONSETS, f"pf-status-relay-ds-{name}", "--ignore-not-found", "-o", "json"
    ).stdout
    return json.loads(found) if found.strip() else None


def status(kubectl, name):
    return kubectl.get(*MONITORS, name).get("status") or {}


def condition(kubectl, name, kind):
    for found in status(kubectl, name).get("conditions", ()):
        if found["type"] == kind:
            return found["status"], found["reason"]
    return None


# ---- DaemonSets made, kept, repaired, collected


def test_a_resource_is_served_and_says_how_it_goes(kubectl, operator):
    operator()
    kubectl.apply(monitor("a", "eth0", nodeSelector={"zone": "a"}))
    made = wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    assert made["metadata"]["ownerReferences"][0]["kind"] == "PFLACPMonitor"

    def agents(ready):
        play_kubelet(kubectl, ready=ready)
        return status(kubectl, "a")

    trouble = {
        "name": "pfstatus-w1",
        "reason": "CrashLoopBackOff",
        "message": "no CAP_NET_ADMIN",
    }

    def one_is_in_trouble():  # within a minute: pods are looked at no more often
        said = agents(lambda name: name != "pfstatus-w1")
        return said.get("troubledNodes") == [trouble] and said

    said = wait_until("one node in trouble", one_is_in_trouble)
    assert (said["matchedNodeCount"], said["readyNodeCount"]) == (2, 1)
    wait_until("all ready", lambda: agents(lambda _: True).get("readyNodeCount") == 2)
    wait_until("Ready", lambda: condition(kubectl, "a", "Ready") == ("True", "AgentsReady"))
    assert status(kubectl, "a")["troubledNodes"] == []
    table = kubectl.run("get", *MONITORS).stdout.split()
    assert table[:4] == ["NAME", "READY", "NODES", "DEGRADED"]
    kubectl.run("delete", *MONITORS, "a")
    wait_until("collected", lambda: daemonset(kubectl, "a") is None)
    wait_until(
        "no pods",
        lambda: play_kubelet(kubectl) or not kubectl.items("pods", "-n", NAMESPACE),
    )


def test_what_is_right_is_left_alone(kubectl, operator):
    process = operator()
    kubectl.apply(monitor("a", "eth0", resources={"limits": {"cpu": "1000m"}}))

    def rolled_out():
        play_kubelet(kubectl)
        return condition(kubectl, "a", "Ready") == ("True", "AgentsReady")

    wait_until("every agent ready", rolled_out)
    time.sleep(3)
    before = seen = requests_of(process)
    for number in range(3):
        kubectl.run("label", *MONITORS, "a", f"turn=n{number}", "--overwrite")

        def looked(last=seen["GET"]):
            found = requests_of(process)
            return found if found["GET"] >= last + 2 else None

        seen = wait_until("it looks", looked)
    time.sleep(2)  # in which it would write
    assert requests_of(process)["PATCH"] == before["PATCH"]


def test_what_somebody_changed_is_mended_and_what_an_admin_added_stays(kubectl, operator):
    operator()
    kubectl.apply(monitor("a", "eth0"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    name = ("daemonset", "pf-status-relay-ds-a", "-n", NAMESPACE)
    kubectl.run("set", "env", *name, "TZ=Europe/Rome", "PF_STATUS_RELAY_INTERFACES=eth9")
    kubectl.run("annotate", *name, "mine=stays")

    def variables():
        [container] = daemonset(kubectl, "a")["spec"]["template"]["spec"]["containers"]
        return {found["name"]: found.get("value") for found in container["env"]}

    wait_until("mended", lambda: variables()["PF_STATUS_RELAY_INTERFACES"] == "eth0")
    assert variables()["TZ"] == "Europe/Rome"
    assert daemonset(kubectl, "a")["metadata"]["annotations"]["mine"] == "stays"
    kubectl.run("delete", *name)
    wait_until("made again", lambda: daemonset(kubectl, "a"))


def test_a_field_that_is_taken_back_goes(kubectl, operator):
    operator()
    kubectl.apply(monitor("a", "eth0", nodeSelector={"zone": "a"}, restore="owned"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    kubectl.apply(monitor("a", "eth0"))

    def gone():
        pod = daemonset(kubectl, "a")["spec"]["template"]["spec"]
        names = {found["name"] for found in pod["containers"][0]["env"]}
        return "nodeSelector" not in pod and "PF_STATUS_RELAY_RESTORE" not in names

    wait_until("applied away", gone)


# ---- Conflicts


def test_a_conflict_is_refused_and_heals(kubectl, operator):
    operator()
    kubectl.apply(monitor("a", "eth0", "eth1"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))

    def refused():
        ran = kubectl.apply(monitor("b", "eth1"), check=False)
        if ran.returncode == 0:  # the policy is not there yet
            kubectl.run("delete", *MONITORS, "b")
        return ran.stderr if ran.returncode else None

    said = wait_until("refused", refused)
    assert "Operation cannot be fulfilled on pflacpmonitors.pfstatusrelay.openshift.io" in said
    assert "conflict with the ones from PFLACPMonitor a" in said
    kubectl.apply(monitor("c", "eth2"))
    patch = json.dumps({"spec": {"interfaces": ["eth0"]}})
    ran = kubectl.run("patch", *MONITORS, "c", "--type=merge", "-p", patch, check=False)
    assert "Operation cannot be fulfilled" in ran.stderr
    kubectl.run("delete", *MONITORS, "a")
    wait_until(
        "taken once the other has gone",
        lambda: kubectl.apply(monitor("b", "eth1"), check=False).returncode == 0,
    )
    wait_until("its DaemonSet", lambda: daemonset(kubectl, "b"))


def test_selectors_that_cannot_meet_pass_and_all_others_are_refused(kubectl):
    kubectl.apply(monitor("a", "eth0", nodeSelector={"role": "w", "host": "w0"}))
    time.sleep(1)
    kubectl.apply(monitor("b", "eth0", nodeSelector={"role": "w", "host": "w1"}))
    for selector in ({"zone": "a"}, {}, None, {"host": "w0"}):
        spec = {} if selector is None else {"nodeSelector": selector}
        ran = kubectl.apply(monitor("c", "eth0", **spec), check=False)
        assert "Operation cannot be fulfilled" in ran.stderr, selector


def test_what_admission_missed_is_degraded_until_the_other_goes(kubectl, operator):
    operator()
    policy = ("validatingadmissionpolicybindings", "pf-status-relay-operator-one-relay-for-a-pf")
    kept = kubectl.get(*policy)
    kubectl.run("delete", *policy)
    try:
        kubectl.apply(monitor("a", "eth0"))
        wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))

        def taken():
            return kubectl.apply(monitor("b", "eth0"), check=False).returncode == 0

        wait_until("taken without the policy", taken)
        wait_until("Degraded", lambda: status(kubectl, "b").get("degraded") is True)
        assert daemonset(kubectl, "b") is None
        assert "PFLACPMonitor a" in status(kubectl, "b")["errorMessage"]
        wait_until(
            "an Event",
            lambda: [
                found
                for found in kubectl.items("events", "-n", NAMESPACE)
                if found["reason"] == "Conflict" and found["involvedObject"]["name"] == "b"
            ],
        )
        kubectl.run("delete", *MONITORS, "a")
        wait_until("served", lambda: daemonset(kubectl, "b"))
        wait_until("said", lambda: status(kubectl, "b")["degraded"] is False)
    finally:
        for name in ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"):
            kept["metadata"].pop(name, None)
        kubectl.apply(kept)


# ---- Coming from the reference


def test_what_the_reference_let_in_is_kept_and_written_to(kubectl, operator):
    old = copy.deepcopy(crd())
    schema = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema.pop("x-kubernetes-validations")
    spec = schema["properties"]["spec"]
    spec.pop("x-kubernetes-validations")
    for name in set(spec["properties"]) - {"interfaces", "pollingInterval", "nodeSelector"}:
        del spec["properties"][name]
    spec["properties"]["interfaces"] = {
        "type": "array", "minItems": 1, "items": {"type": "string"},
    }  # fmt: skip
    spec["properties"]["nodeSelector"] = {
        "type": "object", "additionalProperties": {"type": "string"},
    }  # fmt: skip
    odd = {
        "twice": ["eth0", "eth0"],
        "blanks": [" eth1 "],
        "path": ["a/b"],
        "m" * 60: ["eth2"],
        "long": ["e" * 200],
    }
    kubectl.run("replace", "--validate=false", "-f", "-", given=json.dumps(old))
    try:

        def stored():
            return all(
                kubectl.apply(monitor(name, *interfaces), check=False).returncode == 0
                for name, interfaces in odd.items()
            )

        wait_until("the old rules take it", stored)
    finally:
        kubectl.run("replace", "--validate=false", "-f", "-", given=json.dumps(crd()))
    wait_until(
        "the new rules are in force",
        lambda: kubectl.apply(monitor("new", "a/b"), check=False).returncode != 0,
    )
    operator()
    for name in odd:
        wait_until(f"a status of {name}", lambda name=name: condition(kubectl, name, "Degraded"))
    assert condition(kubectl, "m" * 60, "Degraded") == ("True", "NameTooLong")
    assert daemonset(kubectl, "blanks")
    kubectl.run("label", *MONITORS, "path", "still=editable")


def test_the_references_daemonset_is_adopted(kubectl, operator):
    kubectl.apply(monitor("a", "eth0"))
    uid = kubectl.get(*MONITORS, "a")["metadata"]["uid"]
    labels = {"app": "pf-status-relay-ds-a"}
    old = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": "pf-status-relay-ds-a",
            "namespace": NAMESPACE,
            "ownerReferences": [
                {**API, "name": "a", "uid": uid, "controller": True, "blockOwnerDeletion": True}
            ],
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "pf-status-relay-operator-pf-status-relay",
                    "hostNetwork": True,
                    "hostPID": True,
                    "containers": [
                        {
                            "name": "pf-status-relay",
                            "image": "registry.example/reference:1",
                            "securityContext": {"privileged": True},
                            "env": [
                                {"name": "PF_STATUS_RELAY_INTERFACES", "value": "eth0"},
                                {"name": "PF_STATUS_RELAY_POLLING_INTERVAL", "value": "1000"},
                            ],
                        }
                    ],
                },
            },
        },
    }
    kubectl.run("create", "--field-manager=manager", "-f", "-", given=json.dumps(old))
    before = daemonset(kubectl, "a")
    operator()

    def adopted():
        pod = daemonset(kubectl, "a")["spec"]["template"]["spec"]
        [container] = pod["containers"]
        return container["image"] == "registry.example/pfstatus:1" and pod

    pod = wait_until("adopted", adopted)
    assert daemonset(kubectl, "a")["metadata"]["uid"] == before["metadata"]["uid"]
    assert pod["containers"][0]["securityContext"]["privileged"] is False
    wait_until("what it left is gone", lambda: "hostPID" not in adopted())


def test_the_way_from_the_reference_removes_its_webhook(kubectl):
    def webhook(name, group):
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": "vpflacpmonitor.kb.io",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {},
                    "objectSelector": {},
                    "timeoutSeconds": 5,
                    "clientConfig": {"service": {"name": "x", "namespace": "x", "port": 443}},
                    "rules": [
                        {
                            "apiGroups": [group], "apiVersions": ["v1alpha1"], "scope": "*",
                            "operations": ["CREATE", "UPDATE"], "resources": ["pflacpmonitors"],
                        }
                    ],
                }
            ],
        }  # fmt: skip

    kubectl.apply(webhook("vpflacpmonitor.kb.io-x7k2p", "pfstatusrelay.openshift.io"))
    kubectl.apply(webhook("theirs", "example.com"))
    try:
        wait_until(
            "every write is blocked",
            lambda: kubectl.apply(monitor("a", "eth0"), check=False).returncode != 0,
        )
        tool = Path(kubectl.kubeconfig).parent / "kubectl-as-admin"
        tool.write_text(
            f'#!/bin/sh\nexec "{kubectl.program}" --kubeconfig "{kubectl.kubeconfig}" "$@"\n'
        )
        tool.chmod(0o755)
        for arguments in (["--dry-run"], []):
            ran = subprocess.run(
                [EXAMPLES / "from-reference.sh", *arguments],
                check=True, capture_output=True, text=True, timeout=300,
                env={**os.environ, "KUBECTL": str(tool)},
            )  # fmt: skip
            assert "vpflacpmonitor.kb.io-x7k2p" in ran.stdout
            assert "theirs" not in ran.stdout
        wait_until(
            "writes pass",
            lambda: kubectl.apply(monitor("a", "eth0"), check=False).returncode == 0,
        )
    finally:
        kubectl.run("delete", "validatingwebhookconfigurations", "--all")


# ---- Rights, two operators, servers that go away


def test_the_operator_may_do_what_it_does_and_no_more(cluster):
    theirs = Kubectl(cluster.kubectl.program, cluster.token(ACCOUNT, NAMESPACE))

    def may(*words):
        return theirs.run("auth", "can-i", *words, check=False).stdout.strip() == "yes"

    assert may("list", "pflacpmonitors", "-n", NAMESPACE)
    assert may("patch", "pflacpmonitors", "--subresource=status", "-n", NAMESPACE)
    assert not may("patch", "pflacpmonitors", "-n", NAMESPACE)
    assert not may("delete", "pflacpmonitors", "-n", NAMESPACE)
    assert not may("get", "secrets", "-n", NAMESPACE)
    assert not may("create", "pods", "-n", NAMESPACE)
    assert not may("list", "nodes")
    assert not may("create", "daemonsets.apps", "-n", "default")
    assert not may("update", "leases.coordination.k8s.io", "-n", NAMESPACE)


def test_a_second_operator_takes_over(kubectl, operator):
    first = operator("first")

    def leads(name):
        found = kubectl.get("leases", "-n", NAMESPACE, "pf-status-relay-operator")
        return found["spec"].get("holderIdentity", "").startswith(f"{name}_")

    wait_until("the first leads", lambda: leads("first"))
    operator("second")
    kubectl.apply(monitor("a", "eth0"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    wait_until("the second leads", lambda: leads("second"), 30)
    kubectl.apply(monitor("b", "eth1"))
    wait_until("its DaemonSet", lambda: daemonset(kubectl, "b"))


@pytest.mark.skipif(bool(GIVEN), reason="stops the API server, which is somebody's")
def test_a_server_that_hangs_is_waited_for(cluster, kubectl, operator):
    operator()
    kubectl.apply(monitor("a", "eth0"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    with cluster.stopped("a"):
        time.sleep(20)  # longer than a Lease holds
    kubectl.apply(monitor("b", "eth1"))
    wait_until("its DaemonSet", lambda: daemonset(kubectl, "b"))


def test_must_gather_gathers(kubectl, operator, tmp_path):
    operator()
    kubectl.apply(monitor("a", "eth0"))
    wait_until("a DaemonSet", lambda: daemonset(kubectl, "a"))
    tool = tmp_path / "kubectl-as-admin"
    tool.write_text(
        f'#!/bin/sh\nexec "{kubectl.program}" --kubeconfig "{kubectl.kubeconfig}" "$@"\n'
    )
    tool.chmod(0o755)
    folder = tmp_path / "gathered"
    subprocess.run(
        [EXAMPLES / "must-gather", folder],
        check=True, capture_output=True, timeout=300,
        env={**os.environ, "KUBECTL": str(tool)},
    )  # fmt: skip
    assert "name: a" in (folder / "pflacpmonitors.yaml").read_text()
    assert "pf-status-relay-ds-a" in (folder / "workloads.yaml").read_text()
    assert "secret" not in " ".join(path.name for path in folder.rglob("*"))
