"""What goes wrong between an operator and its API server, and what it must come to in the end."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import objects
import pytest
from api_server import CUT, CUT_AFTER, ApiServer
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster as Server
from lightkube.config.models import User
from objects import NAMESPACE, SETTINGS, monitor

from pfstatus.operator import loop as loop_module
from pfstatus.operator import watch as watch_module
from pfstatus.operator.cluster import WATCHED, Cluster
from pfstatus.operator.lease import DURATION, MARGIN, Lease, NotLeadingError
from pfstatus.operator.loop import PODS_EVERY, Loop
from pfstatus.operator.watch import Watcher

MONITORS = f"/apis/pfstatusrelay.openshift.io/v1alpha1/namespaces/{NAMESPACE}/pflacpmonitors"
DAEMONSETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/pf-status-relay-operator"


def daemonset(name):
    return f"{DAEMONSETS}/pf-status-relay-ds-{name}"


@pytest.fixture
def server():
    server = ApiServer()
    yield server
    server.fault = lambda _method, _path: None
    server.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(loop_module, "SHORTEST_GAP", 0.02)
    monkeypatch.setattr(loop_module, "LONGEST_GAP", 0.1)
    for module in (loop_module, watch_module):
        monkeypatch.setattr(module, "backoff", lambda _failures, _longest: 0.05)


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


@pytest.fixture
def connect(server, token):
    """Make the operator's view of the server."""
    made = []

    def connect(time_left=lambda: 10.0, **options):
        config = KubeConfig.from_one(
            cluster=Server(server=server.url), user=User(token_file=str(token))
        ).get()
        cluster = Cluster(config, NAMESPACE, time_left=time_left, **options)
        made.append(cluster)
        return cluster

    yield connect
    for cluster in made:
        cluster.close()


@contextmanager
def running(cluster, *, time_left=lambda: 10.0, resync=None, monkeypatch=None):
    """An operator at work, without a Lease of its own unless given one."""
    if resync is not None:
        monkeypatch.setattr(loop_module, "RESYNC", resync)
    stop = threading.Event()
    loop = Loop(cluster, SETTINGS, time_left=time_left, stop=stop)
    watchers = [Watcher(plural, cluster.watch, loop.wake, stop) for plural in WATCHED]
    worker = threading.Thread(target=loop.run, daemon=True)
    for thread in (*watchers, worker):
        thread.start()
    try:
        yield loop
    finally:
        stop.set()
        loop.wake()
        worker.join(10)
        assert not worker.is_alive()


def is_served(server, name):
    return lambda: daemonset(name) in server.objects


def status(server, name):
    return server.objects[f"{MONITORS}/{name}"].get("status", {})


def test_a_resource_becomes_a_daemonset_and_a_status(server, connect):
    with running(connect()):
        server.put(f"{MONITORS}/a", monitor("a", "eth0"))
        server.wait_for(lambda: status(server, "a").get("conditions"))
    assert is_served(server, "a")()
    assert status(server, "a")["degraded"] is False


def test_a_quiet_cluster_is_not_written_to(server, connect):
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    with running(connect()) as loop:
        server.wait_for(lambda: "NoNodeMatches" in str(status(server, "a")))
        written = threading.Event()
        server.fault = lambda method, _path: written.set() if method != "GET" else None
        for _ in range(5):
            loop.wake()
            time.sleep(0.15)
        assert not written.is_set()


@pytest.mark.parametrize("lost", ["cut", "expired", "half a line", "ended"])
def test_a_lost_watch_costs_time_and_never_truth(server, connect, lost):
    lines = {
        "expired": [b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'],
        "half a line": [b'{"type":"MODIFIED","obj'],
        "ended": [b"\n"],
        "cut": [],
    }[lost]
    with running(connect()):
        server.wait_for(lambda: len(server.watches) == 2)
        server.event_answer = lines
        server.cut_watches()
        server.put(f"{MONITORS}/a", monitor("a", "eth0"), quiet=True)
        server.wait_for(is_served(server, "a"))


def test_without_watches_there_is_still_the_minute(server, connect, monkeypatch):
    cluster = connect()
    monkeypatch.setattr(cluster, "watch", lambda _plural: iter([]))
    with running(cluster, resync=0.3, monkeypatch=monkeypatch):
        server.put(f"{MONITORS}/a", monitor("a", "eth0"))
        server.wait_for(is_served(server, "a"))


def test_a_silent_watch_is_given_up(connect, monkeypatch):
    monkeypatch.setattr("pfstatus.operator.cluster.WATCH_SECONDS", 0)
    monkeypatch.setattr("pfstatus.operator.cluster.TIMEOUT", 2)
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
        for _ in connect().watch("daemonsets"):
            pass
    assert time.monotonic() - begun < 9


@pytest.mark.parametrize(
    "fault",
    [409, (429, [("Retry-After", "1")]), 500, 503, CUT, CUT_AFTER],
    ids=["409", "429", "500", "503", "cut", "cut after it was done"],
)
def test_a_storm_of_failures_ends_in_the_right_state(server, connect, fault):
    failed = []

    def storm(method, path):
        if len(failed) < 12 and (method, path) != ("GET", LEASE):
            failed.append(path)
            return fault
        return None

    server.fault = storm
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.put(f"{MONITORS}/b", monitor("b", "eth0"))
    with running(connect()):
        server.wait_for(
            lambda: (
                is_served(server, "a")()
                and status(server, "a").get("degraded") is False
                and status(server, "b").get("degraded") is True
            )
        )
    assert len(failed) == 12
    assert not is_served(server, "b")()


@pytest.mark.parametrize("failing", ["DELETE", "PATCH"])
def test_a_conflicting_daemonset_goes_even_if_one_write_fails(server, connect, failing):
    """The reference writes Degraded first, and forgets the DaemonSet if deleting fails once."""
    late = monitor("b", "eth1", created="2026-01-01T00:00:09Z")
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.put(f"{MONITORS}/b", late)
    with running(connect()):
        server.wait_for(lambda: is_served(server, "a")() and is_served(server, "b")())
        failed = []

        def once(method, path):
            if method == failing and not failed:
                failed.append(path)
                return 500
            return None

        server.fault = once
        late["spec"]["interfaces"] = ["eth0"]
        server.put(f"{MONITORS}/b", late)
        server.wait_for(
            lambda: not is_served(server, "b")() and status(server, "b").get("degraded")
        )
        assert failed


def test_a_token_that_has_changed_is_read_again(server, connect, token):
    server.token = "first"
    with running(connect()):
        server.put(f"{MONITORS}/a", monitor("a", "eth0"))
        server.wait_for(is_served(server, "a"))
        server.token = "second"
        server.put(f"{MONITORS}/b", monitor("b", "eth1"))
        time.sleep(0.3)
        assert not is_served(server, "b")()
        token.write_text("second")
        server.wait_for(is_served(server, "b"))


def test_a_server_that_was_away_is_found_again(server, connect):
    with running(connect()):
        server.put(f"{MONITORS}/a", monitor("a", "eth0"))
        server.wait_for(is_served(server, "a"))
        server.fault = lambda _method, _path: CUT
        server.cut_watches()
        server.put(f"{MONITORS}/b", monitor("b", "eth1"))
        time.sleep(1)
        assert not is_served(server, "b")()
        server.fault = lambda _method, _path: None
        server.wait_for(is_served(server, "b"))


def test_one_resource_that_is_refused_holds_no_other_up(server, connect):
    server.fault = lambda method, path: 403 if (method, path) == ("PATCH", daemonset("a")) else None
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.put(f"{MONITORS}/b", monitor("b", "eth1"))
    with running(connect()):
        server.wait_for(
            lambda: (
                is_served(server, "b")()
                and "on purpose" in status(server, "a").get("errorMessage", "")
            )
        )
        server.fault = lambda _method, _path: None
        server.wait_for(lambda: status(server, "a")["degraded"] is False)


def test_resources_of_every_namespace_are_served_where_that_is_asked_for(server, connect):
    other = monitor("b", "eth0")
    other["metadata"]["namespace"] = "theirs"
    elsewhere = MONITORS.replace(NAMESPACE, "theirs")
    with running(connect(all_namespaces=True)):
        server.put(f"{MONITORS}/a", monitor("a", "eth0"))
        server.wait_for(is_served(server, "a"))
        server.put(f"{elsewhere}/b", other)
        said = "conflict with the ones from PFLACPMonitor"
        server.wait_for(lambda: said in str(server.objects[f"{elsewhere}/b"].get("status")))
        server.remove(f"{MONITORS}/a")
        served = daemonset("b").replace(NAMESPACE, "theirs")
        server.wait_for(lambda: served in server.objects and not is_served(server, "a")())


def test_events_are_told_once(server, connect):
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.put(f"{MONITORS}/b", monitor("b", "eth0"))
    with running(connect()) as loop:
        server.wait_for(lambda: status(server, "b").get("degraded"))
        for _ in range(3):
            loop.wake()
            time.sleep(0.15)
    events = [found for path, found in server.objects.items() if "/events/" in path]
    assert [(event["reason"], event["involvedObject"]["name"]) for event in events] == [
        ("Conflict", "b")
    ]


def test_pods_are_read_where_a_daemonset_says_that_some_are_not_ready(server, connect):
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    pod = {
        "metadata": {"name": "p", "namespace": NAMESPACE},
        "spec": {"nodeName": "w3"},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
    }
    server.put(f"/api/v1/namespaces/{NAMESPACE}/pods/p", pod)
    with running(connect()):
        server.wait_for(is_served(server, "a"))
        assert ("GET", "pods") not in server.seen
        found = server.objects[daemonset("a")]
        found["status"] = {
            "desiredNumberScheduled": 2,
            "numberReady": 1,
            "updatedNumberScheduled": 2,
            "observedGeneration": 1,
        }
        server.put(daemonset("a"), found)
        server.wait_for(lambda: status(server, "a").get("troubledNodes"))
    [trouble] = status(server, "a")["troubledNodes"]
    assert (trouble["name"], trouble["reason"]) == ("w3", "ImagePullBackOff")
    assert server.count()["GET", "pods"] == 1


def test_a_turn_reads_the_pods_of_ten_daemonsets_and_the_next_turn_of_others(monkeypatch):
    monkeypatch.setattr(loop_module, "WRITES_AT_ONCE", 1000)
    cluster = objects.Cluster(*(monitor(f"m{n:02}", f"eth{n}") for n in range(25)))
    looked = []
    now = [0.0]
    writer = SimpleNamespace(
        monitors=lambda: cluster.list()[0],
        daemonsets=lambda: cluster.list()[1],
        pods=lambda daemonset: looked.append(daemonset) or iter(()),
        apply=cluster.apply,
        set_status=cluster.set_status,
        event=lambda _event: None,
    )
    stop = threading.Event()
    loop = Loop(writer, SETTINGS, time_left=lambda: 1.0, stop=stop, clock=lambda: now[0])
    loop.turn()
    for name in range(25):
        cluster.schedule(f"m{name:02}", 3, ready=1)
    for expected in (10, 20, 25, 25):
        loop.turn()
        assert len(looked) == len(set(looked)) == expected
    now[0] = PODS_EVERY
    loop.turn()
    assert looked[25:] == looked[:10], "a minute later, those first that were first"
    stop.set()
    loop.turn()
    assert len(looked) == 35, "whoever is to end reads no more"


# ---- Two operators


def test_two_operators_never_lead_at_once(connect):
    now = [0.0]
    first, second = Lease("first", lambda: now[0]), Lease("second", lambda: now[0])
    leases = connect()
    assert first.turn(leases)
    assert not second.turn(leases)
    for _ in range(10):
        now[0] += DURATION / 2
        assert first.turn(leases)
        assert not second.turn(leases)
        assert second.left() == 0
    # The first dies. Its writes end before the second's begin.
    ended = now[0] + first.left()
    while not second.turn(leases):
        now[0] += 0.5
    assert now[0] - ended >= MARGIN - 0.5
    assert first.left() == 0


def test_a_lease_that_is_given_up_is_taken_at_once(server, connect):
    leases = connect()
    first, second = Lease("first"), Lease("second")
    assert first.turn(leases)
    assert not second.turn(leases)
    first.release(leases)
    assert first.left() == 0
    assert second.turn(leases)
    assert server.objects[LEASE]["spec"]["leaseTransitions"] == 1


def test_of_two_that_take_it_at_one_instant_one_does(connect):
    leases = connect()
    first, second = Lease("first"), Lease("second")
    stale = leases.get_lease
    assert first.turn(leases)
    before = stale()
    first.release(leases)

    class Stale:
        get_lease = staticmethod(lambda: json.loads(json.dumps(before)) | {"spec": {}})
        create_lease = leases.create_lease
        replace_lease = leases.replace_lease

    with pytest.raises(Exception, match="it has changed"):
        second.turn(Stale())
    assert second.left() == 0


def test_nothing_is_written_without_the_lease(server, connect):
    left = [10.0]
    cluster = connect(time_left=lambda: left[0])
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    left[0] = 0.0
    with pytest.raises(NotLeadingError):
        cluster.delete(monitor("a", "eth0"))
    with running(cluster, time_left=lambda: left[0]) as loop:
        time.sleep(0.3)
        assert not is_served(server, "a")()
        left[0] = 10.0
        loop.wake()
        server.wait_for(is_served(server, "a"))
    assert {method for method, _ in server.seen} <= {"GET", "PATCH"}


def test_a_lease_lost_in_mid_write_ends_the_turn_there(server, connect):
    """The first write hangs until the Lease is over: it is given up, and none follows it."""
    now = [0.0]
    lease = Lease("first", lambda: now[0])
    cluster = connect(time_left=lease.left)
    assert lease.turn(cluster)
    hung = threading.Event()

    def hang(method, _path):
        if method == "PATCH" and not hung.is_set():
            hung.set()
            now[0] = DURATION
            time.sleep(0.3)
            return 500
        return None

    server.fault = hang
    for name in ("a", "b"):
        server.put(f"{MONITORS}/{name}", monitor(name, f"eth-{name}"))
    loop = Loop(cluster, SETTINGS, time_left=lease.left, stop=threading.Event())
    with pytest.raises(NotLeadingError):
        loop.turn()
    assert hung.is_set()
    assert not any("daemonsets" in path for path in server.objects)


def test_a_write_is_over_before_the_lease_is(server, connect):
    cluster = connect(time_left=lambda: 0.3)
    released = threading.Event()

    def hang(_method, _path):
        released.wait(20)

    server.fault = hang
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
        cluster.delete(monitor("a", "eth0"))
    assert time.monotonic() - begun < 8
    released.set()
