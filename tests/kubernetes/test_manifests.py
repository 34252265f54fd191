"""Every file of examples/kubernetes is what its kind's schema says; rules do what they promise."""

from __future__ import annotations

import base64
import copy
import json
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import (
    EXAMPLES,
    check,
    check_built_in,
    documents,
    evaluate,
    faults_of_monitor,
    kubectl,
    read,
    rendered,
    schema,
)
from objects import NAMESPACE, NOW, SETTINGS, monitor
from test_decide import clusters

import pfstatus.operator.__main__ as program
from pfstatus import Relay
from pfstatus.agent.health import HealthFile
from pfstatus.agent.http import serve_http
from pfstatus.agent.metrics import Metrics as AgentMetrics
from pfstatus.operator.conflict import shared_pfs
from pfstatus.operator.decide import decide
from pfstatus.operator.render import CONTAINER, PORT, Settings
from pfstatus.operator.resource import Monitor
from pfstatus.operator.serving import Metrics
from pfstatus.testing import FakeKernel

FILES = sorted(
    str(path.relative_to(EXAMPLES))
    for path in EXAMPLES.rglob("*.yaml")
    if path.parts[-2] != "metadata"  # of a bundle: annotations, no object
)
NEEDS_KUBECTL = pytest.mark.skipif(kubectl() is None, reason="needs kubectl, for its kustomize")


@pytest.mark.parametrize("file", FILES)
def test_each_object_is_what_its_kind_says(file):
    found = read(file)
    assert found
    for document in found:
        check(document)


@NEEDS_KUBECTL
@pytest.mark.parametrize("overlay", ["kubernetes", "openshift"])
def test_overlays_render_to_valid_objects(overlay):
    found = documents(rendered(f"overlays/{overlay}"))
    for document in found:
        check(document)
    names = [(document["kind"], document["metadata"]["name"]) for document in found]
    assert len(names) == len(set(names))
    for document in found:
        if document["kind"] in {"Deployment", "ServiceAccount", "Role", "RoleBinding"}:
            assert document["metadata"]["namespace"] == NAMESPACE


@NEEDS_KUBECTL
@pytest.mark.parametrize("component", ["all-namespaces", "node-problem-detector", "prometheus"])
def test_components_go_with_the_overlays(component, tmp_path):
    parts = tmp_path / "kubernetes"
    shutil.copytree(EXAMPLES, parts)
    overlay = parts / "overlays" / "kubernetes" / "kustomization.yaml"
    overlay.write_text(overlay.read_text() + f"  - ../../components/{component}\n")
    found = documents(rendered(str(overlay.parent)))
    for document in found:
        check(document)
    [deployment] = [document for document in found if document["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    # Whatever the manifests say, the program has to understand it.
    program.parser().parse_args(container["args"])


def test_the_operator_understands_the_arguments_it_is_given():
    for file in (
        "install.yaml",
        "bundle/manifests/pf-status-relay-operator.clusterserviceversion.yaml",
    ):
        text = (EXAMPLES / file).read_text()
        arguments = re.findall(r"^\s*- (--[a-z-]+=\S+)$", text, re.MULTILINE)
        assert arguments
        program.parser().parse_args(arguments)


def test_alerts_are_about_metrics_that_there_are():
    [rules] = read("components/prometheus/rules.yaml")
    there = {metric.name for metric in Metrics().registry.collect()}
    with FakeKernel() as kernel, Relay("pf", session=kernel.session(), report=list) as relay:
        agent = AgentMetrics(relay, [["pf", "pf2"]])
        told = re.findall(r"^# TYPE (\S+)", agent.text().decode(), re.MULTILINE)
        there |= set(told)
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            assert set(re.findall(r"pfstatus_\w+", rule["expr"])) <= there


def test_node_problem_detector_is_told_what_the_agents_know(tmp_path):
    plugin = EXAMPLES / "components" / "node-problem-detector" / "uplinks"

    def says():
        ran = subprocess.run(
            [plugin, tmp_path], check=False, capture_output=True, text=True, timeout=60
        )
        return ran.returncode, ran.stdout

    assert says() == (2, "no agent tells of its PFs\n")
    with FakeKernel() as kernel:
        pfs = [kernel.add_pf(name, vfs=1) for name in ("ens5f0", "ens5f1")]
        for pf in pfs:
            kernel.add_bond(f"bond-{pf.name}", pf)
        with Relay("ens5f0", "ens5f1", session=kernel.session(), report=list) as relay:
            file = tmp_path / "health-n.a.json"
            health = HealthFile(file, list)
            relay.turn(0)
            relay.turn(0.1)
            health.update(relay.snapshot())
            assert says() == (0, "LACP is up on all SR-IOV PFs\n")
            pfs[1].lacp_expire()
            for _ in range(5):
                relay.turn(0.05)
            health.update(relay.snapshot())
            assert says() == (1, "ens5f1 expired\n")
            os.utime(file, (0, 0))
            assert says() == (2, "no agent tells of its PFs\n")


def prometheus_asks(labels):
    """Where Prometheus asks, of a pod's container with these labels; None: nowhere."""
    [pods] = [
        found
        for found in read("components/prometheus/monitor.yaml")
        if found["kind"] == "PodMonitor"
    ]
    for rule in pods["spec"]["podMetricsEndpoints"][0]["relabelings"]:
        value = ";".join(labels.get(name, "") for name in rule["sourceLabels"])
        found = re.fullmatch(rule.get("regex", "(.*)"), value)
        if rule["action"] == "keep" and not found:
            return None
        if rule["action"] == "replace" and found:
            template = re.sub(r"\$(\d)", r"\\\1", rule.get("replacement", "$1"))
            labels = {**labels, rule["targetLabel"]: found.expand(template)}
    return labels["__address__"]


@pytest.mark.parametrize(
    ("ip", "address"), [("192.0.2.7", "192.0.2.7:9143"), ("2001:db8::7", "[2001:db8::7]:9143")]
)
def test_prometheus_finds_an_agent_at_its_port(ip, address):
    [made] = decide([monitor("a", "eth0")], [], SETTINGS, now=NOW).daemonsets.values()
    template = made["spec"]["template"]
    name = "__meta_kubernetes_pod_annotation_" + re.sub(r"[^a-zA-Z0-9]", "_", PORT)
    labels = {
        "__address__": ip,
        "__meta_kubernetes_pod_ip": ip,
        "__meta_kubernetes_pod_container_name": CONTAINER,
        name: template["metadata"]["annotations"][PORT],
    }
    assert prometheus_asks(labels) == address
    assert prometheus_asks({**labels, "__meta_kubernetes_pod_container_name": "cni-plugin"}) is None
    [pods] = read("components/prometheus/monitor.yaml")[1:]
    chosen = pods["spec"]["selector"]["matchLabels"].items()
    assert chosen <= template["metadata"]["labels"].items()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_agents_give_metrics_to_the_prometheus_that_has_the_certificates(tmp_path):
    script = EXAMPLES / "components" / "prometheus" / "certificates.sh"
    ran = subprocess.run(["sh", script, "7"], capture_output=True, text=True, check=True)
    secrets = {}
    for document in documents(ran.stdout):
        check(document)
        name = document["metadata"]["name"]
        secrets[name] = tmp_path / name
        secrets[name].mkdir()
        for file, content in document["data"].items():
            (secrets[name] / file).write_bytes(base64.b64decode(content))

    [patch] = [
        patch["patch"] for patch in read("components/prometheus/kustomization.yaml")[0]["patches"]
    ]
    [agents] = re.findall(r"--agent-metrics-secret=(\S+)", patch)
    shown = secrets[agents]
    tls = (shown / "tls.crt", shown / "tls.key", shown / "ca.crt")

    [pods] = read("components/prometheus/monitor.yaml")[1:]
    [endpoint] = pods["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    config = endpoint["tlsConfig"]

    def file(key):
        return secrets[key["name"]] / key["key"]

    context = ssl.create_default_context(cafile=file(config["ca"]["secret"]))
    stranger = ssl.create_default_context(cafile=file(config["ca"]["secret"]))
    context.load_cert_chain(file(config["cert"]["secret"]), file(config["keySecret"]))

    def status(with_context, port):
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        with with_context.wrap_socket(plain, server_hostname=config["serverName"]) as asking:
            asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return int(asking.makefile("rb").readline().split()[1])

    with serve_http("127.0.0.1:0", lambda: b"", lambda: True, lambda: True, tls=tls) as port:
        assert status(context, port) == 200
        assert status(stranger, port) == 403


@NEEDS_KUBECTL
def test_the_single_file_is_what_plain_kubernetes_gets():
    """`kubectl kustomize examples/kubernetes/overlays/kubernetes` writes it anew."""
    written = (EXAMPLES / "install.yaml").read_text()
    assert documents(written) == documents(rendered("overlays/kubernetes"))


@NEEDS_KUBECTL
def test_one_line_names_both_images(tmp_path):
    overlay = tmp_path / "mine"
    overlay.mkdir()
    (overlay / "base").symlink_to(EXAMPLES / "base")
    base = EXAMPLES / "base"
    text = (base / "kustomization.yaml").read_text()
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in base.glob("*.yaml"):
        (folder / file.name).write_text(file.read_text())
    (folder / "kustomization.yaml").write_text(
        text + "images:\n  - name: pfstatus.example/pfstatus\n    newName: mine/pfstatus\n"
    )
    [deployment] = [
        found for found in documents(rendered(str(folder))) if found["kind"] == "Deployment"
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [image] = [
        variable["value"]
        for variable in container["env"]
        if variable["name"] == "PF_STATUS_RELAY_IMAGE"
    ]
    assert container["image"] == image == "mine/pfstatus:0.1.0"


def test_names_are_the_references():
    """What dashboards, scripts and a public acceptance suite look for."""
    found = {(doc["kind"], doc["metadata"]["name"]): doc for doc in read("install.yaml")}
    deployment = found["Deployment", "pf-status-relay-operator-controller-manager"]
    assert deployment["spec"]["selector"] == {
        "matchLabels": {"control-plane": "controller-manager"}
    }
    assert deployment["spec"]["template"]["spec"]["containers"][0]["name"] == "manager"
    assert ("ServiceAccount", "pf-status-relay-operator-pf-status-relay") in found
    assert ("Namespace", "openshift-pf-status-relay-operator") in found
    assert ("CustomResourceDefinition", "pflacpmonitors.pfstatusrelay.openshift.io") in found


# ---- The DaemonSet

EVERYTHING = {
    "restore": "owned",
    "onExit": "restore",
    "upDelay": 1500,
    "upDelayMax": 60000,
    "lacpFallback": True,
    "groups": [["eth0", "eth1"]],
    "heartbeat": "late",
    "heartbeatSlow": True,
    "revive": True,
    "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    "resources": {"limits": {"memory": "64Mi"}},
    "nodeSelector": {"host": "w0"},
}


@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("surge", ["0", "2", "10%"])
def test_the_daemonset_is_valid(spec, surge):
    options = Settings(
        image="i",
        max_surge=surge,
        selinux_type="spc_t",
        image_pull_secrets=("s",),
        cni_folder="/opt/cni/bin",
    )
    found = monitor("a", "eth0", "eth1", **spec)
    assert not faults_of_monitor(found)
    [made] = decide([found], [], options, now=NOW).daemonsets.values()
    check_built_in(made)


@given(clusters)
@settings(max_examples=20)
def test_every_status_is_what_the_schema_says(resources):
    for status in decide(resources, [], SETTINGS, now=NOW).statuses.values():
        assert not faults_of_monitor({**resources[0], "status": status})


# ---- The resource


def test_every_field_of_the_reference_is_accepted():
    assert not faults_of_monitor(
        {
            "apiVersion": "pfstatusrelay.openshift.io/v1alpha1",
            "kind": "PFLACPMonitor",
            "metadata": {"name": "a"},
            "spec": {"interfaces": ["eth0"], "pollingInterval": 100, "nodeSelector": {}},
            "status": {"degraded": True, "errorMessage": "why"},
        }
    )
    spec = schema()["properties"]["spec"]["properties"]
    assert spec["pollingInterval"]["default"] == 1000
    assert [name for name, field in spec.items() if "default" in field] == ["pollingInterval"]


NAMES = {
    "alternative name of 127 bytes": ("a" * 127, True),
    "colon": ("eth0:1", True),
    "128 characters": ("a" * 128, False),
    "more bytes than characters": ("é" * 64, False),
    "empty": ("", False),
    "slash": ("a/b", False),
    "comma": ("a,b", False),
    "blank": ("a b", False),
    "tab": ("a\tb", False),
    "newline": ("a\n", False),
}


@pytest.mark.parametrize(("name", "accepted"), NAMES.values(), ids=NAMES)
def test_names_of_interfaces(name, accepted):
    assert (not faults_of_monitor(monitor("a", name))) is accepted


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        ({"interfaces": []}, False),
        ({"interfaces": ["eth0", "eth0"]}, False),
        ({"interfaces": [f"e{n}" for n in range(256)]}, True),
        ({"interfaces": [f"e{n}" for n in range(257)]}, False),
        ({"pollingInterval": 99}, False),
        ({"pollingInterval": "1000"}, False),
        ({"onExit": "leave"}, False),
        ({"upDelay": -1}, False),
        ({"upDelay": 3600000}, True),
        ({"upDelayMax": 60000}, True),
        ({"upDelay": 1500, "upDelayMax": 0}, True),
        ({"upDelay": 1500, "upDelayMax": 1500}, True),
        ({"upDelay": 1500, "upDelayMax": 1000}, False),
        ({"lacpFallback": True}, True),
        ({"restore": "all", "onExit": "keep"}, True),
        ({"resources": {"limits": {"cpu": "lots"}}}, False),
        ({"resources": {"limits": {"cpu": 1}}}, True),
        ({"tolerations": [{"operator": "Maybe"}]}, False),
        ({"groups": [["eth0", "eth1"]]}, True),
        ({"groups": []}, True),
        ({"groups": [["eth0"]]}, False),
        ({"groups": [["eth0", "eth0"]]}, False),
        ({"groups": [["eth0", "eth9"]]}, False),
        ({"groups": [["eth0", "eth1"], ["eth1", "eth0"]]}, False),
        ({"heartbeat": "pulse"}, True),
        ({"heartbeat": False}, False),
        ({"heartbeat": "on"}, False),
        ({"heartbeat": "late", "heartbeatSlow": True}, True),
        ({"heartbeatSlow": False}, True),
        ({"heartbeatSlow": True}, False),
        ({"heartbeat": "off", "heartbeatSlow": True}, False),
        ({"revive": True}, True),
    ],
    ids=str,
)
def test_what_the_schema_refuses(change, accepted):
    found = monitor("a", "eth0", "eth1")
    found["spec"] |= change
    assert (not faults_of_monitor(found)) is accepted


def test_a_name_fits_the_label():
    assert not faults_of_monitor(monitor("m" * 44, "eth0"))
    assert "at most 44 characters" in faults_of_monitor(monitor("m" * 45, "eth0"))[0]


# ---- Admission

[POLICY, BINDING] = read("components/admission/admission.yaml")


def denied(new, other, old=None):
    """What the policy says of a write, with another resource as its parameter; None: nothing."""
    variables = {
        "object": new,
        "oldObject": old if old is not None else {},
        "params": other,
        "request": {"operation": "CREATE" if old is None else "UPDATE"},
    }
    conditions = POLICY["spec"]["matchConditions"]
    if not all(evaluate(condition["expression"], **variables) for condition in conditions):
        return None
    named = {}
    for variable in POLICY["spec"]["variables"]:
        named[variable["name"]] = evaluate(variable["expression"], **variables, variables=named)
    [validation] = POLICY["spec"]["validations"]
    if evaluate(validation["expression"], **variables, variables=named):
        return None
    return evaluate(validation["messageExpression"], **variables, variables=named)


def test_a_conflict_is_refused_in_the_words_that_are_looked_for():
    said = denied(monitor("b", "eth0", "eth1"), monitor("a", "eth1"))
    assert said == (
        "Operation cannot be fulfilled on pflacpmonitors.pfstatusrelay.openshift.io"
        ' "b": interfaces [eth0 eth1] conflict with the ones from PFLACPMonitor a:'
        " both can select one node and watch eth1 there"
    )


def test_admission_looks_at_changes_of_what_conflicts_alone():
    before, other = monitor("b", "eth0"), monitor("a", "eth0")
    after = copy.deepcopy(before)
    after["metadata"]["labels"] = {"x": "y"}
    assert denied(after, other, before) is None
    after["spec"]["nodeSelector"] = {"host": "w0"}
    assert denied(after, other, before) is not None
    after["metadata"]["deletionTimestamp"] = NOW
    assert denied(after, other, before) is None


def test_a_resource_conflicts_neither_with_itself_nor_with_what_is_not_served():
    other = monitor("a", "eth0")
    assert denied(monitor("a", "eth0"), other) is None
    assert denied(monitor("b", "eth0"), {**other, "status": {"degraded": True}}) is None
    other["metadata"]["deletionTimestamp"] = NOW
    assert denied(monitor("b", "eth0"), other) is None


@given(st.data())
@settings(max_examples=60)
def test_admission_refuses_what_the_operator_would_call_degraded(data):
    found = data.draw(clusters.filter(lambda found: len(found) > 1))
    one, other = found[:2]
    refused = denied(one, other) is not None
    assert refused is bool(shared_pfs(Monitor.read(one), Monitor.read(other)))


def test_the_policy_cannot_block_what_it_cannot_judge():
    assert POLICY["spec"]["failurePolicy"] == "Ignore"
    assert BINDING["spec"]["paramRef"]["parameterNotFoundAction"] == "Allow"
    [rule] = POLICY["spec"]["matchConstraints"]["resourceRules"]
    assert rule["resources"] == ["pflacpmonitors"], "never its status"


# ---- Others


@NEEDS_KUBECTL
def test_the_bundle_is_what_the_manifests_say():
    """`python tests/kubernetes/bundle.py` writes it anew."""
    from bundle import files

    folder = EXAMPLES / "bundle"
    written = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yaml")}
    assert written == files()


def test_the_bundle_replaces_the_original():
    [found] = read("bundle/manifests/pf-status-relay-operator.clusterserviceversion.yaml")
    spec = found["spec"]
    assert found["metadata"]["name"] == f"pf-status-relay-operator.v{spec['version']}"
    assert found["metadata"]["annotations"]["olm.skipRange"] == f">=4.3.0-0 <{spec['version']}"
    assert spec["replaces"] == "pf-status-relay-operator.v4.23.0"
    [made] = spec["install"]["spec"]["deployments"]
    assert made["name"] == "pf-status-relay-operator-controller-manager"
    assert "webhookdefinitions" not in spec
    package = "operators.operatorframework.io.bundle.package.v1"
    [annotations] = read("bundle/metadata/annotations.yaml")
    assert annotations["annotations"][package] == "pf-status-relay-operator"


@pytest.mark.parametrize("page", ["kubernetes.md", "kubernetes-from-reference.md"])
def test_every_yaml_of_a_page_is_a_file_that_is_checked_here(page):
    text = (EXAMPLES.parents[1] / "docs" / page).read_text()
    assert "```yaml" not in text
    for path in re.findall(r"{literalinclude} \.\./examples/kubernetes/(\S+)", text):
        assert path in FILES
    for path in re.findall(r"examples/kubernetes/[\w./-]*\w", text):
        assert (EXAMPLES.parents[1] / path).exists(), path


@pytest.mark.parametrize("script", ["must-gather", "from-reference.sh"])
def test_scripts_are_shell(script):
    subprocess.run(["sh", "-n", EXAMPLES / script], check=True, timeout=60)
    assert (EXAMPLES / script).stat().st_mode & 0o111


def test_the_bond_of_the_pod_is_json():
    [found] = read("scenario/nad-bond.yaml")
    assert json.loads(found["spec"]["config"])["mode"] == "active-backup"
    [pod] = read("scenario/client-bond.yaml")
    networks = json.loads(pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"])
    assert [network["interface"] for network in networks] == ["net1", "net2", "bond0"]
