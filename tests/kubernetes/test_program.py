"""The operator as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from api_server import ApiServer
from objects import NAMESPACE, monitor
from test_faults import DAEMONSETS, LEASE, MONITORS

from pfstatus.operator.serving import Listener, Metrics, health, metrics, tls


@pytest.fixture
def server():
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def operator(server, tmp_path):
    """Start it; what it says is in its ``log``."""
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": server.url}}],
                "users": [{"name": "x", "user": {"token": "t"}}],
            }
        )
    )
    started = []

    def start(*arguments, image="registry.example/pfstatus:1", name="operator"):
        environment = {
            **os.environ,
            "KUBECONFIG": str(config),
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": name,
            "PF_STATUS_RELAY_IMAGE": image,
        }
        log = tmp_path / f"{name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pfstatus.operator",
                    "--health-probe-bind-address=127.0.0.1:0",
                    *arguments,
                ],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        process.log = log
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_it_serves_until_sigterm_and_leaves_its_lease_to_the_next(server, operator):
    process = operator()
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.wait_for(lambda: f"{DAEMONSETS}/pf-status-relay-ds-a" in server.objects, 60)
    assert server.objects[LEASE]["spec"]["holderIdentity"].startswith("operator_")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, process.log.read_text()
    assert server.objects[LEASE]["spec"]["holderIdentity"] == ""
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert lines[0].keys() >= {"time", "level", "msg"}
    assert lines[-1]["msg"] == "Stopped"


def test_of_two_one_writes_and_the_other_takes_over(server, operator):
    first = operator(name="first")
    server.wait_for(lambda: LEASE in server.objects, 60)
    second = operator(name="second")
    server.put(f"{MONITORS}/a", monitor("a", "eth0"))
    server.wait_for(lambda: f"{DAEMONSETS}/pf-status-relay-ds-a" in server.objects, 60)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    server.wait_for(
        lambda: server.objects[LEASE]["spec"]["holderIdentity"].startswith("second_"), 60
    )
    server.put(f"{MONITORS}/b", monitor("b", "eth1"))
    server.wait_for(lambda: f"{DAEMONSETS}/pf-status-relay-ds-b" in server.objects, 60)
    assert "daemonset applied" not in second.log.read_text().split("leading")[0]


@pytest.mark.parametrize(
    ("arguments", "image", "said"),
    [
        ((), "", "PF_STATUS_RELAY_IMAGE is not set"),
        (("--max-surge=lots",), "x", "--max-surge lots: a number of nodes, or 0% to 100%"),
        (("--metrics-bind-address=nowhere",), "x", "an address is HOST:PORT"),
        (("--metrics-bind-address=:0", "--metrics-client-ca=x"), "x", "needs --metrics-cert-dir"),
        (("--agent-metrics-address=0.0.0.0",), "x", "needs either --agent-metrics-secret, or"),
        (
            (
                "--agent-metrics-address=0.0.0.0",
                "--agent-metrics-secret=s",
                "--agent-metrics-open",
            ),
            "x",
            "needs either --agent-metrics-secret, or",
        ),
        (("--agent-metrics-open",), "x", "needs --agent-metrics-address"),
    ],
)
def test_what_cannot_work_is_said_at_start(operator, arguments, image, said):
    process = operator(*arguments, image=image)
    assert process.wait(60) == 2
    assert said in process.log.read_text()


# ---- Health and metrics


def get(port, path="/healthz", context=None):
    kind = "http" if context is None else "https"
    url = f"{kind}://localhost:{port}{path}"
    with urllib.request.urlopen(url, timeout=20, context=context) as answer:
        return answer.status, answer.read().decode()


def test_health_says_so_and_unknown_pages_are_none():
    healthy = [True]
    listener = Listener("127.0.0.1:0", health(lambda: healthy[0], lambda: True))
    try:
        assert get(listener.port) == (200, "ok\n")
        healthy[0] = False
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(listener.port)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(listener.port, "/other")
    finally:
        listener.close()


@pytest.fixture
def certificates(tmp_path):
    """An authority that signed a certificate for localhost, which serves as the client's, too."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", "tls.key", "-out", "tls.crt"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return tmp_path


def test_metrics_are_for_those_with_a_certificate(certificates):
    counted = Metrics()
    counted.request("GET", "/x", 200)
    counted.turn("done")
    context = tls(certificates, least="VersionTLS13", client_ca=certificates / "tls.crt")
    listener = Listener("127.0.0.1:0", metrics(counted), context)
    try:
        client = ssl.create_default_context(cafile=certificates / "tls.crt")
        with pytest.raises((ssl.SSLError, OSError)):
            get(listener.port, "/metrics", client)
        client.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
        _, text = get(listener.port, "/metrics", client)
    finally:
        listener.close()
    assert 'pfstatus_operator_api_requests_total{code="200",method="GET"} 1.0' in text
    assert 'pfstatus_operator_turns_total{result="done"} 1.0' in text


def test_a_client_that_says_nothing_keeps_nobody_waiting(certificates):
    listener = Listener("127.0.0.1:0", health(lambda: True, lambda: True), tls(certificates))
    try:
        with socket.create_connection(("127.0.0.1", listener.port), 10):
            client = ssl.create_default_context(cafile=certificates / "tls.crt")
            assert get(listener.port, context=client) == (200, "ok\n")
    finally:
        listener.close()


def test_an_unknown_tls_profile_is_said(certificates):
    with pytest.raises(ValueError, match="VersionTLS12, VersionTLS13"):
        tls(certificates, least="VersionTLS10")
    with pytest.raises(ValueError, match="OpenSSL knows none of NOTHING"):
        tls(certificates, ciphers="NOTHING")
