"""A LIST in, the cluster as it is to be out."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects import NAMESPACE, NOW, SETTINGS, Cluster, key, monitor

from pfstatus.agent.config import outlets
from pfstatus.cli import parser
from pfstatus.operator.changes import changes
from pfstatus.operator.conflict import shared_pfs
from pfstatus.operator.decide import decide
from pfstatus.operator.render import PORT
from pfstatus.operator.resource import Key, Monitor


def daemonset_key(name):
    return Key(NAMESPACE, f"pf-status-relay-ds-{name}")


def turn(cluster, **known):
    """List, decide, write: what the loop does."""
    resources, daemonsets = cluster.list()
    decision = decide(resources, daemonsets, SETTINGS, now=NOW, **known)
    wanted = changes(decision, resources, daemonsets)
    for found in wanted.delete:
        cluster.delete(found)
    for found in wanted.apply:
        cluster.apply(found)
    for where, status in wanted.statuses:
        cluster.set_status(where, status)
    return wanted


def settle(cluster):
    """Turns until nothing is left to write."""
    for _ in range(4):
        if not turn(cluster):
            return
    pytest.fail("it never comes to rest")


# ---- Conflicts: the rule, beside what the reference answers (O1, O2)

SELECTORS = [
    # one, other, can they meet, what the reference says
    ("absent and anything", None, {"a": "1"}, True, True),
    ("both absent", None, None, True, True),
    ("empty and anything", {}, {"a": "1"}, True, False),
    ("both empty", {}, {}, True, False),
    ("the same", {"host": "w0"}, {"host": "w0"}, True, True),
    ("two values of a key", {"host": "w0"}, {"host": "w1"}, False, False),
    ("two keys", {"zone": "a"}, {"host": "w0"}, True, False),
    (
        "a pair shared, a key apart",
        {"role": "w", "host": "w0"},
        {"role": "w", "host": "w1"},
        False,
        True,
    ),
    ("one narrower", {"role": "w"}, {"role": "w", "host": "w1"}, True, True),
    ("an empty value", {"role": ""}, {"role": ""}, True, True),
    ("empty and other value", {"role": ""}, {"role": "w"}, False, False),
]


@pytest.mark.parametrize(
    ("one", "other", "meet", "reference"),
    [row[1:] for row in SELECTORS],
    ids=[row[0] for row in SELECTORS],
)
def test_two_selectors_meet_unless_one_key_has_two_values(one, other, meet, reference):
    first, second = (
        Monitor.read(monitor(name, "eth0", selector=selector))
        for name, selector in (("first", one), ("second", other))
    )
    assert bool(shared_pfs(first, second)) is bool(shared_pfs(second, first)) is meet
    by_pair = one is None or other is None or any(other.get(k) == v for k, v in one.items())
    assert by_pair is reference, "the table's column of the reference"


def test_the_earliest_created_is_served_then_the_first_by_name():
    late = monitor("a", "eth0", created="2026-01-01T00:00:02Z")
    early = monitor("z", "eth0", created="2026-01-01T00:00:01Z")
    twin = monitor("y", "eth0", created="2026-01-01T00:00:01Z")
    decision = decide([late, early, twin], [], SETTINGS, now=NOW)
    assert set(decision.daemonsets) == {daemonset_key("y")}
    assert decision.statuses[key("a")]["degraded"]
    assert decision.statuses[key("a")]["errorMessage"].startswith(
        "interfaces [eth0] conflict with the ones from PFLACPMonitor y"
    )


def test_who_is_refused_stands_in_nobodys_way():
    chain = [
        monitor("a", "eth0", created="2026-01-01T00:00:01Z"),
        monitor("b", "eth0", "eth1", created="2026-01-01T00:00:02Z"),
        monitor("c", "eth1", created="2026-01-01T00:00:03Z"),
    ]
    assert set(decide(chain, [], SETTINGS, now=NOW).daemonsets) == {
        daemonset_key("a"),
        daemonset_key("c"),
    }


def test_who_was_refused_is_served_once_the_other_goes():
    cluster = Cluster(monitor("a", "eth0"), monitor("b", "eth0"))
    settle(cluster)
    assert set(cluster.daemonsets) == {daemonset_key("a")}
    del cluster.resources[key("a")]
    settle(cluster)
    assert set(cluster.daemonsets) == {daemonset_key("b")}
    assert not cluster.resources[key("b")]["status"]["degraded"]
    assert not cluster.resources[key("b")]["status"]["errorMessage"]


def test_a_resource_that_is_being_deleted_gives_its_pfs_up():
    going = monitor("a", "eth0")
    going["metadata"]["deletionTimestamp"] = NOW
    decision = decide([going, monitor("b", "eth0")], [], SETTINGS, now=NOW)
    assert set(decision.daemonsets) == {daemonset_key("b")}
    assert key("a") not in decision.statuses


def test_names_are_split_as_the_agent_splits_them():
    first = Monitor.read(monitor("a", " eth0,eth1 "))
    assert first.pfs == {"eth0", "eth1"}
    assert shared_pfs(first, Monitor.read(monitor("b", "eth1")))


# ---- Properties

LABELS = {"zone": ["a", "b"], "host": ["w0", "w1", "w2"], "role": ["", "w"]}
selectors = st.none() | st.fixed_dictionaries(
    {}, optional={label: st.sampled_from(values) for label, values in LABELS.items()}
)
nodes = st.fixed_dictionaries(
    {}, optional={label: st.sampled_from(values) for label, values in LABELS.items()}
)
specs = st.builds(
    lambda interfaces, selector, created: (interfaces, selector, created),
    st.lists(
        st.sampled_from(["eth0", "eth1", "eth2", "eth3"]), min_size=1, max_size=3, unique=True
    ),
    selectors,
    st.integers(0, 3).map("2026-01-01T00:00:0{}Z".format),
)
clusters = st.lists(specs, max_size=8).map(
    lambda found: [
        monitor(f"m{number}", *interfaces, selector=selector, created=created)
        for number, (interfaces, selector, created) in enumerate(found)
    ]
)


def relays_on(node, daemonsets):
    """The PFs that the agents of one node watch, each as often as it is watched."""
    for found in daemonsets.values():
        pod = found["spec"]["template"]["spec"]
        if all(node.get(name) == value for name, value in pod.get("nodeSelector", {}).items()):
            [interfaces] = [
                variable["value"]
                for variable in pod["containers"][0]["env"]
                if variable["name"] == "PF_STATUS_RELAY_INTERFACES"
            ]
            yield from interfaces.split(",")


@given(clusters, nodes)
def test_no_node_ever_has_two_relays_for_one_pf(resources, node):
    watched = list(relays_on(node, decide(resources, [], SETTINGS, now=NOW).daemonsets))
    assert len(watched) == len(set(watched))


@given(clusters)
def test_what_can_be_served_is_served(resources):
    decision = decide(resources, [], SETTINGS, now=NOW)
    monitors = [Monitor.read(resource) for resource in resources]
    served = [found for found in monitors if found.daemonset in decision.daemonsets]
    for found in monitors:
        if found not in served:
            winners = [other for other in served if shared_pfs(found, other)]
            assert any(other.seniority < found.seniority for other in winners)


@given(clusters, st.randoms(use_true_random=False))
def test_order_does_not_matter(resources, rng: random.Random):
    shuffled = copy.deepcopy(resources)
    rng.shuffle(shuffled)
    one = decide(resources, [], SETTINGS, now=NOW)
    other = decide(shuffled, [], SETTINGS, now=NOW)
    assert one.daemonsets == other.daemonsets
    assert one.statuses == other.statuses


@given(clusters)
def test_a_second_turn_has_nothing_to_write(resources):
    cluster = Cluster(*resources)
    turn(cluster)
    turn(cluster)  # the DaemonSets' own statuses are there now
    assert not turn(cluster)


@given(clusters, clusters, st.data())
def test_a_failure_between_any_two_writes_heals(before, after, data):
    cluster = Cluster(*before)
    settle(cluster)
    cluster.resources = Cluster(*after).resources
    resources, daemonsets = cluster.list()
    decision = decide(resources, daemonsets, SETTINGS, now=NOW)
    wanted = changes(decision, resources, daemonsets)
    writes = [
        *((cluster.delete, (found,)) for found in wanted.delete),
        *((cluster.apply, (found,)) for found in wanted.apply),
        *((cluster.set_status, found) for found in wanted.statuses),
    ]
    for write, arguments in writes[: data.draw(st.integers(0, len(writes)))]:
        write(*arguments)
    settle(cluster)
    assert set(cluster.daemonsets) == set(decide(after, [], SETTINGS, now=NOW).daemonsets)


# ---- DaemonSets: kept, repaired, adopted


def test_defaults_of_the_api_server_cause_no_write():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    found = cluster.daemonsets[daemonset_key("a")]
    found["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/log"
    assert not turn(cluster)


def test_what_an_admin_added_stays_and_what_somebody_changed_is_mended():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    pod = cluster.daemonsets[daemonset_key("a")]["spec"]["template"]["spec"]
    pod["containers"][0]["env"].append({"name": "TZ", "value": "Europe/Rome"})
    pod["containers"].append({"name": "sidecar", "image": "theirs"})
    assert not turn(cluster)
    pod["containers"][0]["securityContext"]["privileged"] = True
    assert [found["metadata"]["name"] for found in turn(cluster).apply] == ["pf-status-relay-ds-a"]


@pytest.mark.parametrize(
    ("written", "stored"), [("1000m", "1"), ("0.5", "500m"), ("1024Ki", "1Mi"), ("2k", 2000)]
)
def test_quantities_are_compared_by_what_they_are_worth(written, stored):
    cluster = Cluster(monitor("a", "eth0", resources={"limits": {"cpu": written}}))
    settle(cluster)
    pod = cluster.daemonsets[daemonset_key("a")]["spec"]["template"]["spec"]
    pod["containers"][0]["resources"]["limits"]["cpu"] = stored
    assert not turn(cluster)
    pod["containers"][0]["resources"]["limits"]["cpu"] = "7"
    assert turn(cluster).apply


def test_a_field_that_is_no_longer_wanted_is_applied_away():
    cluster = Cluster(monitor("a", "eth0", selector={"host": "w0"}))
    settle(cluster)
    cluster.resources[key("a")]["spec"].pop("nodeSelector")
    assert turn(cluster).apply


def test_a_daemonset_of_a_former_resource_of_that_name_is_made_anew():
    cluster = Cluster(monitor("a", "eth0", uid="first"))
    settle(cluster)
    cluster.resources[key("a")]["metadata"]["uid"] = "second"
    wanted = turn(cluster)
    assert wanted.delete
    assert wanted.apply
    [owner] = cluster.daemonsets[daemonset_key("a")]["metadata"]["ownerReferences"]
    assert owner["uid"] == "second"


def test_a_daemonset_with_another_selector_is_made_anew():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    cluster.daemonsets[daemonset_key("a")]["spec"]["selector"] = {"matchLabels": {"app": "x"}}
    wanted = turn(cluster)
    assert wanted.delete
    assert wanted.apply


def test_daemonsets_of_others_are_never_touched():
    theirs = {
        "metadata": {"name": "pf-status-relay-ds-a", "namespace": NAMESPACE, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Theirs", "name": "x", "uid": "u", "controller": True}
        ]},
        "spec": {},
    }  # fmt: skip
    node_exporter = {"metadata": {"name": "node-exporter", "namespace": NAMESPACE}, "spec": {}}
    cluster = Cluster(monitor("a", "eth0"))
    cluster.daemonsets = {daemonset_key("a"): theirs, key("node-exporter"): node_exporter}
    settle(cluster)
    assert cluster.daemonsets[daemonset_key("a")] is theirs
    assert key("node-exporter") in cluster.daemonsets
    assert "Theirs x's" in cluster.resources[key("a")]["status"]["errorMessage"]


def test_a_daemonset_that_is_going_is_waited_for():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    cluster.daemonsets[daemonset_key("a")]["metadata"]["deletionTimestamp"] = NOW
    cluster.daemonsets[daemonset_key("a")]["spec"] = {}
    wanted = turn(cluster)
    assert not wanted.delete
    assert not wanted.apply


def test_a_name_too_long_for_the_label_is_said():
    name = "m" * 45
    decision = decide([monitor(name, "eth0")], [], SETTINGS, now=NOW)
    assert not decision.daemonsets
    assert "at most 44 characters" in decision.statuses[key(name)]["errorMessage"]
    assert decide([monitor("m" * 44, "eth0")], [], SETTINGS, now=NOW).daemonsets


# ---- The pod


def pod_of(**spec):
    [made] = decide(
        [monitor("a", "eth0", "eth1", **spec)], [], SETTINGS, now=NOW
    ).daemonsets.values()
    return made, made["spec"]["template"]["spec"]


def environment(pod):
    return {found["name"]: found["value"] for found in pod["containers"][0]["env"]}


def test_a_resource_of_the_reference_makes_the_references_pod():
    made, pod = pod_of()
    assert made["metadata"]["name"] == "pf-status-relay-ds-a"
    assert made["spec"]["selector"] == {"matchLabels": {"app": "pf-status-relay-ds-a"}}
    assert made["metadata"]["labels"]["app"] == "pf-status-relay-ds-a"
    assert pod["containers"][0]["name"] == "pf-status-relay"
    assert pod["hostNetwork"] is True
    assert pod["serviceAccountName"] == "pf-status-relay-operator-pf-status-relay"
    assert "nodeSelector" not in pod
    assert "tolerations" not in pod
    assert pod["containers"][0]["command"] == [
        "pfstatus",
        "relay",
        "--metrics=127.0.0.1:9143",
        f"--health-file=/run/pfstatus/health-{NAMESPACE}.a.json",
    ]
    assert environment(pod) == {
        "PF_STATUS_RELAY_INTERFACES": "eth0,eth1",
        "PF_STATUS_RELAY_POLLING_INTERVAL": "1000",
    }


def test_the_pod_has_one_capability_and_nothing_else():
    _, pod = pod_of()
    security = pod["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert security["privileged"] is security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert "ports" not in pod["containers"][0], "hostNetwork with a port forbids surge"


def test_what_a_resource_adds_is_an_argument_of_the_relay():
    _, pod = pod_of(
        restore="owned",
        onExit="restore",
        upDelay=1500,
        upDelayMax=60000,
        lacpFallback=True,
        groups=[["eth0", "eth1"]],
        heartbeat="late",
        heartbeatSlow=True,
        revive=True,
    )
    command = pod["containers"][0]["command"]
    program = parser().parse_args(command[1:])
    assert (program.restore, program.on_exit, program.up_delay) == ("owned", "restore", 1.5)
    assert (program.group, program.heartbeat, program.revive) == (["eth0,eth1"], "late", True)
    assert (program.up_delay_max, program.heartbeat_slow, program.lacp_fallback) == (60, True, True)
    assert program.metrics == "127.0.0.1:9143"


@pytest.mark.parametrize(
    ("spec", "raw"),
    [({}, False), ({"heartbeat": "off"}, False), ({"heartbeat": "watch"}, True),
     ({"revive": False}, False), ({"revive": True}, True)],
    ids=str,
)  # fmt: skip
def test_a_pod_that_sends_lacpdus_may(spec, raw):
    _, pod = pod_of(**spec)
    may = pod["containers"][0]["securityContext"]["capabilities"]["add"]
    assert may == (["NET_ADMIN", "NET_RAW"] if raw else ["NET_ADMIN"])


def test_probes_ask_at_the_loopback_where_the_agent_answers():
    _, pod = pod_of()
    [container] = pod["containers"]
    for kind, path in (("startup", "healthz"), ("liveness", "healthz"), ("readiness", "readyz")):
        asked = container[f"{kind}Probe"]["httpGet"]
        assert asked == {"host": "127.0.0.1", "port": 9143, "path": f"/{path}"}


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_metrics_for_others_are_on_every_address(address):
    options = replace(SETTINGS, metrics_address=address, metrics_port=9200)
    [made] = decide([monitor("a", "eth0")], [], options, now=NOW).daemonsets.values()
    [container] = made["spec"]["template"]["spec"]["containers"]
    assert f"--metrics={address}:9200" in container["command"]
    assert made["spec"]["template"]["metadata"]["annotations"][PORT] == "9200"
    program = parser().parse_args(container["command"][1:])
    assert outlets(program, {}).tls() is None
    assert program.metrics_open


TLS = replace(SETTINGS, metrics_address="0.0.0.0", metrics_secret="certificates-of-mine")


def test_metrics_by_tls_are_asked_for_by_tls():
    [made] = decide([monitor("a", "eth0")], [], TLS, now=NOW).daemonsets.values()
    pod = made["spec"]["template"]["spec"]
    [container] = pod["containers"]
    program = parser().parse_args(container["command"][1:])
    assert not program.metrics_open
    [mount] = [found for found in container["volumeMounts"] if found.get("readOnly")]
    [secret] = [found for found in pod["volumes"] if found["name"] == mount["name"]]
    assert secret["secret"] == {"secretName": "certificates-of-mine"}
    files = outlets(program, {}).tls()
    assert [str(file) for file in files] == [
        f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")
    ]
    for kind in ("startup", "liveness", "readiness"):
        assert container[f"{kind}Probe"]["httpGet"]["scheme"] == "HTTPS"


def ports_of(cluster):
    return {
        found["metadata"]["name"]: int(found["spec"]["template"]["metadata"]["annotations"][PORT])
        for found in cluster.daemonsets.values()
    }


def test_agents_that_begin_to_speak_tls_have_ports_where_none_answers_without():
    """The old agent answers until it ends: the next one would not be taken for ready there."""
    cluster = Cluster(monitor("a", "eth0"), monitor("b", "eth1"))

    def turn(options):
        for made in decide(*cluster.list(), options, now=NOW).daemonsets.values():
            cluster.apply(made)
        return ports_of(cluster)

    before = turn(SETTINGS)
    after = turn(TLS)
    assert len({*before.values(), *after.values()}) == 4
    assert turn(TLS) == after, "they stay"
    assert not {*turn(SETTINGS).values()} & {*after.values()}, "and the way back"


def test_the_cni_plugin_is_kept_on_the_node_when_asked_for():
    assert "initContainers" not in pod_of()[1]
    options = replace(SETTINGS, cni_folder="/var/lib/cni/bin")
    cluster = Cluster(monitor("a", "eth0"))
    [made] = decide(*cluster.list(), options, now=NOW).daemonsets.values()
    pod = made["spec"]["template"]["spec"]
    [plugin] = pod["initContainers"]
    assert plugin["restartPolicy"] == "Always", "it takes the plugin away at its end"
    assert plugin["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {found["name"]: found["mountPath"] for found in plugin["volumeMounts"]}
    assert plugin["command"] == ["keep-installed", mounts["cni"], f"{mounts['run']}/cni.lock"]
    [folder] = [found["hostPath"]["path"] for found in pod["volumes"] if found["name"] == "cni"]
    assert folder == "/var/lib/cni/bin"
    cluster.apply(made)
    found = cluster.daemonsets[daemonset_key("a")]
    found["spec"]["template"]["spec"]["initContainers"][0]["command"] = ["sleep"]
    decision = decide(*cluster.list(), options, now=NOW)
    assert changes(decision, *cluster.list()).apply, "mended"


# ---- Ports: agents of several resources on one node


def port(daemonset):
    return int(daemonset["spec"]["template"]["metadata"]["annotations"][PORT])


@given(clusters, nodes)
def test_no_node_ever_has_two_agents_at_one_port(resources, node):
    here = [
        port(found)
        for found in decide(resources, [], SETTINGS, now=NOW).daemonsets.values()
        if all(
            node.get(name) == value
            for name, value in found["spec"]["template"]["spec"].get("nodeSelector", {}).items()
        )
    ]
    assert len(here) == len(set(here))


def test_agents_that_never_meet_share_a_port():
    resources = [monitor(f"m{n}", "eth0", selector={"host": f"w{n}"}) for n in range(200)]
    made = decide(resources, [], SETTINGS, now=NOW).daemonsets.values()
    assert {port(found) for found in made} == {9143}


def test_a_port_is_kept_while_others_come_and_go():
    cluster = Cluster(monitor("a", "eth0"), monitor("b", "eth1"))
    settle(cluster)
    assert port(cluster.daemonsets[daemonset_key("b")]) == 9144
    del cluster.resources[key("a")]
    settle(cluster)
    assert port(cluster.daemonsets[daemonset_key("b")]) == 9144
    cluster.resources[key("c")] = monitor("c", "eth0", created="2025-01-01T00:00:00Z")
    settle(cluster)
    assert port(cluster.daemonsets[daemonset_key("b")]) == 9144
    assert port(cluster.daemonsets[daemonset_key("c")]) == 9143


def test_of_two_that_come_to_meet_at_a_port_the_later_moves():
    late, early = (
        monitor(name, pf, selector={"host": name}, created=f"2026-01-0{day}T00:00:00Z")
        for name, pf, day in (("a", "eth0", 2), ("z", "eth1", 1))
    )
    cluster = Cluster(late, early)
    settle(cluster)
    cluster.resources[key("z")]["spec"]["nodeSelector"] = {}
    settle(cluster)
    assert port(cluster.daemonsets[daemonset_key("z")]) == 9143
    assert port(cluster.daemonsets[daemonset_key("a")]) == 9144


@pytest.mark.parametrize("written", ["", "x", "99999", "80", "-1"])
def test_a_port_that_is_none_is_given_anew(written):
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    template = cluster.daemonsets[daemonset_key("a")]["spec"]["template"]
    template["metadata"]["annotations"][PORT] = written
    settle(cluster)
    assert port(cluster.daemonsets[daemonset_key("a")]) == 9143


def test_groups_count_as_interfaces_in_a_conflict():
    first = Monitor.read(monitor("a", "eth0", groups=[["eth0", "eth1"]]))
    assert shared_pfs(first, Monitor.read(monitor("b", "eth1"))) == {"eth1"}


def test_a_node_is_never_without_a_relay_during_an_update():
    made, _ = pod_of()
    assert made["spec"]["updateStrategy"]["rollingUpdate"] == {
        "maxSurge": "10%",
        "maxUnavailable": 0,
    }


# ---- Status


def conditions(status):
    return {found["type"]: (found["status"], found["reason"]) for found in status["conditions"]}


def test_status_follows_the_daemonset():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    status = cluster.resources[key("a")]["status"]
    assert conditions(status)["Ready"] == ("False", "DaemonSetChanging")
    cluster.schedule("a", 3, ready=1)
    settle(cluster)
    status = cluster.resources[key("a")]["status"]
    assert (status["matchedNodeCount"], status["readyNodeCount"]) == (3, 1)
    assert conditions(status) == {
        "Ready": ("False", "AgentsNotReady"),
        "Progressing": ("False", "RolledOut"),
        "Degraded": ("False", "Served"),
    }
    cluster.schedule("a", 3)
    settle(cluster)
    assert conditions(cluster.resources[key("a")]["status"])["Ready"] == ("True", "AgentsReady")
    cluster.schedule("a", 0)
    settle(cluster)
    status = cluster.resources[key("a")]["status"]
    assert conditions(status)["Ready"] == ("False", "NoNodeMatches")


def test_a_condition_keeps_its_time_while_its_state_stays():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    cluster.schedule("a", 3, ready=1)
    resources, daemonsets = cluster.list()
    later = decide(resources, daemonsets, SETTINGS, now="2026-01-02T04:00:00Z")
    since = {
        found["type"]: found["lastTransitionTime"]
        for found in later.statuses[key("a")]["conditions"]
    }
    assert since == {"Ready": NOW, "Progressing": "2026-01-02T04:00:00Z", "Degraded": NOW}


def test_a_refused_daemonset_is_degraded_until_it_is_taken():
    cluster = Cluster(monitor("a", "eth0"))
    turn(cluster, failures={key("a"): "exceeded quota"})
    status = cluster.resources[key("a")]["status"]
    assert status["errorMessage"] == "the API server refused the DaemonSet: exceeded quota"
    assert conditions(status)["Degraded"] == ("True", "DaemonSetRefused")
    settle(cluster)
    assert not cluster.resources[key("a")]["status"]["degraded"]


def test_troubled_nodes_are_named_and_forgotten():
    cluster = Cluster(monitor("a", "eth0"))
    settle(cluster)
    cluster.schedule("a", 30, ready=28)
    named = [{"name": "w7", "reason": "CrashLoopBackOff", "message": "no CAP_NET_ADMIN"}]
    turn(cluster, troubles={key("a"): named})
    assert cluster.resources[key("a")]["status"]["troubledNodes"] == named
    assert not turn(cluster), "nobody looked this time: what was known stays"
    cluster.schedule("a", 30)
    turn(cluster)
    assert cluster.resources[key("a")]["status"]["troubledNodes"] == []
