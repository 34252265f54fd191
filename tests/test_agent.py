"""The agent: its file, its metrics, its life."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from pfstatus import Policy, Relay, VfLinkState
from pfstatus.agent.config import FileError, address_of, load
from pfstatus.agent.http import CLIENTS, serve_http
from pfstatus.agent.metrics import Metrics
from pfstatus.agent.systemd import Beat, notify
from pfstatus.cli import main
from pfstatus.testing import FakePartner

AUTO, ENABLE, DISABLE = VfLinkState
LIMIT = 20.0


# The file

WHOLE = """
interfaces = ["ens5f0", "ens5f1"]
polling_interval = 500
restore = "owned"
on_exit = "restore"
up_delay = 2.5
up_delay_max = 60
lacp_fallback = true
state_file = "/run/x/state.json"
groups = [["ens5f0", "ens5f1"]]
metrics = "127.0.0.1:9143"
metrics_cert = "/c"
metrics_key = "/k"
metrics_ca = "/ca"
textfile = "/x.prom"
log = "text"
health_file = "/run/x/health.json"
dry_run = false
debug = true
"""


def test_file_says_all_that_arguments_say(tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(WHOLE)
    assert {name: str(value) for name, value in load(file).items()} == {
        "interfaces": "['ens5f0', 'ens5f1']",
        "interval": "500",
        "restore": "owned",
        "on_exit": "restore",
        "up_delay": "2.5",
        "up_delay_max": "60",
        "lacp_fallback": "True",
        "state_file": "/run/x/state.json",
        "group": "['ens5f0,ens5f1']",
        "metrics": "127.0.0.1:9143",
        "metrics_cert": "/c",
        "metrics_key": "/k",
        "metrics_ca": "/ca",
        "textfile": "/x.prom",
        "log": "text",
        "health_file": "/run/x/health.json",
        "dry_run": "False",
        "debug": "True",
    }


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("interfaces = [\n", 2, "no TOML"),
        ("a = 1\nb = = 2\n", 2, "no TOML"),
        ('interfaces = ["a"]\ninterface = ["b"]\n', 2, "no key 'interface'"),
        ('interfaces = ["a"]\n\n[metrics]\nx = 1\n', 3, "in quotes"),
        ('interfaces = "a"\n', 1, 'like \\["ens5f0"'),
        ("interfaces = []\n", 1, "list of interface names"),
        ("polling_interval = 99\n", 1, "at least 100"),
        ("polling_interval = 1.5\n", 1, "whole number"),
        ('# first\nrestore = "some"\n', 2, "'all', 'owned'"),
        ("up_delay = true\n", 1, "a number"),
        ('dry_run = "yes"\n', 1, "true or false"),
        ('groups = ["a"]\n', 1, "list of lists"),
        ("state_file = 1\n", 1, "a text"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, line, word):
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(FileError, match=f"relay.toml:{line}: .*{word}"):
        load(file)


def test_file_is_weaker_than_environment_and_arguments(tmp_path, monkeypatch, capsys):
    file = tmp_path / "relay.toml"
    file.write_text('interfaces = ["from-file"]\n')
    check = ["relay", "--check-config", "--config", str(file)]
    assert main(check) == 0
    assert capsys.readouterr().out == "from-file: the configuration is good\n"
    monkeypatch.setenv("PF_STATUS_RELAY_INTERFACES", "from-env")
    assert main(check) == 0
    assert capsys.readouterr().out == "from-env: the configuration is good\n"
    assert main([*check, "from-args"]) == 0
    assert capsys.readouterr().out == "from-args: the configuration is good\n"


@pytest.mark.parametrize(("text", "code"), [("up_delay = -1\n", 2), ("nonsense", 2), (None, 3)])
def test_check_config_says_what_is_wrong(tmp_path, capsys, text, code):
    file = tmp_path / "relay.toml"
    if text:
        file.write_text('interfaces = ["a"]\n' + text)
    assert main(["relay", "--check-config", "--config", str(file)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pfstatus: ")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("\nup_delay = -1\n", 3, "up_delay must be 0 or more"),
        ("up_delay = 5\nup_delay_max = 3\n", 3, "up_delay_max 3 is less than up_delay 5"),
        ('groups = [["a"]]\n', 2, "groups are of two PFs or more"),
        ('metrics = "9143"\n', 2, "ADDRESS:PORT"),
        ('metrics = "0.0.0.0:9143"\n', 2, "whoever reaches this node"),
        ('metrics_key = "/k"\n', 2, "go together"),
        ('textfile = "/x.txt"\n', 2, r"ends with \.prom"),
        ("\xff\xfe\n", 2, "not encoded as UTF-8"),
    ],
    ids=str,
)
def test_check_config_says_where_keys_do_not_go_together(tmp_path, capsys, text, line, word):
    file = tmp_path / "relay.toml"
    file.write_text('interfaces = ["a"]\n' + text, encoding="latin-1")
    check = ["relay", "--check-config", "--config", str(file)]
    assert main(check) == 2
    assert re.fullmatch(f"pfstatus: .*relay.toml:{line}: .*{word}.*\n", capsys.readouterr().err)


def test_check_config_does_not_blame_the_file_for_an_argument(tmp_path, capsys):
    file = tmp_path / "relay.toml"
    file.write_text('interfaces = ["a"]\nup_delay = 1\n')
    assert main(["relay", "--check-config", "--config", str(file), "--up-delay=-1"]) == 2
    assert capsys.readouterr().err == "pfstatus: up_delay must be 0 or more seconds, not -1.0\n"


@pytest.mark.parametrize(
    ("names", "word"),
    [(["x" * 128], "cannot be an interface name"), ([f"e{n}" for n in range(300)], "at most")],
    ids=["long", "many"],
)
def test_check_config_says_what_no_relay_would_take(capsys, names, word):
    assert main(["relay", "--check-config", *names]) == 2
    assert word in capsys.readouterr().err


# Running

CHILD = """
import sys
from pfstatus.cli import base, main
from pfstatus.testing import FakeKernel

with FakeKernel() as kernel:
    for name in ("ens5f0", "ens5f1"):
        kernel.add_bond(f"bond-{name}", kernel.add_pf(name, vfs=2))
    base.Session = lambda *, netns, events, tap: kernel.session(events=events, tap=tap)
    sys.exit(main(["relay", *sys.argv[1:]]))
"""


class Agent:
    """A running one."""

    def __init__(self, *args, **environ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *args],
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | environ,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.kill()
        self.process.communicate(timeout=LIMIT)

    def wait_for(self, message):
        """The next line that says it."""
        while True:
            assert select.select([self.process.stdout], [], [], LIMIT)[0], f"no {message!r}"
            line = json.loads(self.process.stdout.readline())
            if line["msg"] == message:
                return line

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)


def test_systemd_is_told_of_its_life(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(LIMIT)
        with Agent("ens5f0", NOTIFY_SOCKET=str(path)) as agent:
            assert systemd.recv(1000).startswith(b"READY=1\nSTATUS=relaying ens5f0")
            assert systemd.recv(1000) == b"WATCHDOG=1"
            assert systemd.recv(1000) == b"WATCHDOG=1"
            assert agent.end() == 0
            last = b""
            while last != b"STOPPING=1":
                last = systemd.recv(1000)


def test_sighup_has_the_file_read_again(tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text('interfaces = ["ens5f0"]\n')
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(LIMIT)

        def reload(text):
            file.write_text(text)
            agent.process.send_signal(signal.SIGHUP)
            while not systemd.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC="):
                pass
            return systemd.recv(1000)

        with Agent("--config", str(file), NOTIFY_SOCKET=str(path)) as agent:
            agent.wait_for("lacp is up")
            told = reload('interfaces = ["ens5f1"]\ndebug = true\n')
            assert told == b"READY=1\nSTATUS=relaying ens5f1"
            assert agent.wait_for("configuration was reloaded")["interfaces"] == ["ens5f1"]
            assert agent.wait_for("lacp is up")["interface"] == "ens5f1"
            for wrong, words in (
                ("interface = 1", f"{file}:1: there is no key 'interface'"),
                ('interfaces = ["ens5f0"]\nmetrics = ":1"', "cannot be changed"),
                ('interfaces = ["ens5f0"]\ndry_run = true', "dry_run cannot be changed"),
            ):
                assert reload(wrong) == b"READY=1"
                line = agent.wait_for("failed to reload the configuration")
                assert words in line["error"]
                assert line["level"] == "ERROR"
            file.unlink()
            agent.process.send_signal(signal.SIGHUP)
            line = agent.wait_for("failed to reload the configuration")
            assert "No such file" in line["error"]
            assert agent.end() == 0


def test_agent_keeps_a_health_file_as_long_as_it_lives(tmp_path):
    file = tmp_path / "health.json"
    with Agent("ens5f0", "--health-file", str(file)) as agent:
        deadline = time.monotonic() + LIMIT
        while not file.exists() or '"healthy"' not in file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert json.loads(file.read_text())["pid"] == agent.process.pid
        assert agent.end() == 0
    assert not file.exists()


def test_sighup_ends_an_agent_without_a_file():
    with Agent("ens5f0") as agent:
        agent.wait_for("lacp is up")
        agent.process.send_signal(signal.SIGHUP)
        assert agent.process.wait(LIMIT) == 0


def test_systemd_that_is_gone_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))
    notify("READY=1")


def test_beat_that_stops_is_noticed(monkeypatch):
    beat = Beat()
    assert beat.lives()
    monkeypatch.setattr(Beat, "ALLOWED", -1.0)
    assert not beat.lives()


def test_beat_goes_on_in_a_batch_that_takes_long(kernel, clock):
    pf = kernel.add_pf("ens5f0", vfs=64)
    kernel.add_bond("bond0", pf)
    pf.delay = 1.0
    beats = []
    with Relay("ens5f0", session=kernel.session(), report=lambda _reports: None) as relay:

        def pulse():
            beats.append(clock.now)
            if {*pf.vfs.values()} == {DISABLE}:
                relay.stop()

        relay.turn(0)
        pf.lacp_expire()
        relay.run(pulse=pulse)
    assert max(later - earlier for earlier, later in pairwise(beats)) < 6.0


# Metrics and health


@pytest.fixture
def relay(kernel):
    pfs = [kernel.add_pf(name, vfs=2) for name in ("ens5f0", "ens5f1")]
    for pf in pfs:
        kernel.add_bond(f"bond-{pf.name}", pf)
    reports = []
    policy = Policy(groups=(("ens5f0", "ens5f1"),))
    with Relay(
        "ens5f0", "ens5f1", session=kernel.session(), report=reports.extend, policy=policy
    ) as relay:
        relay.reports = reports
        relay.pfs = pfs
        yield relay


def lines(metrics):
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in metrics.text().decode().splitlines()
        if not line.startswith("#")
    }


def test_metrics_tell_of_an_outage(relay):
    metrics = Metrics(relay, [("ens5f0", "ens5f1")])
    assert not metrics.ready()
    relay.turn(0)
    relay.turn(0.1)
    assert metrics.ready()
    relay.pfs[0].vfs[1] = ENABLE
    relay.pfs[0].lacp_expire()
    for _ in range(5):
        relay.turn(0.05)
    metrics(relay.reports)
    told = lines(metrics)
    assert told['pfstatus_pf_lacp_up{pf="ens5f0"}'] == 0
    assert told['pfstatus_pf_lacp_up{pf="ens5f1"}'] == 1
    assert told['pfstatus_pf_lacp_reason{pf="ens5f0",reason="expired"}'] == 1
    assert told['pfstatus_lacp_transitions_total{pf="ens5f0",to="down"}'] == 1
    assert told['pfstatus_vf_sets_total{pf="ens5f0",result="ok",state="disable"}'] == 1
    assert told['pfstatus_vfs{pf="ens5f0",state="disable"}'] == 1
    assert told['pfstatus_vfs{pf="ens5f0",state="enable"}'] == 1
    assert told['pfstatus_warning{pf="ens5f0",topic="enable-vf"}'] == 1
    assert told['pfstatus_group_paths_up{group="ens5f0,ens5f1"}'] == 1
    assert told["pfstatus_reaction_seconds_count"] == 1
    assert told['pfstatus_pf_state_since_timestamp_seconds{pf="ens5f0"}'] > 1e9


def test_metrics_tell_of_heartbeats(kernel):
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    with FakePartner(pf, delay=0.02) as partner:
        known = replace(partner.learned, answer_time=0.5, gap=1.0)
        with Relay(
            "ens5f0",
            policy=Policy(heartbeat="pulse"),
            session=kernel.session(),
            open_port=partner.open_port,
            known=[known],
        ) as relay:
            metrics = Metrics(relay)

            def until(key, value):
                deadline = time.monotonic() + LIMIT
                while lines(metrics).get(key, 0) < value:
                    assert time.monotonic() < deadline, metrics.text().decode()
                    relay.turn(0.1)

            until('pfstatus_heartbeat_state{pf="ens5f0",state="heard"}', 1)
            until('pfstatus_heartbeat_questions_total{pf="ens5f0"}', 2)
            until('pfstatus_heartbeat_answer_seconds_count{pf="ens5f0"}', 2)
            until('pfstatus_heartbeat_gap_seconds_count{pf="ens5f0"}', 2)
            partner.mute = True
            until('pfstatus_heartbeat_state{pf="ens5f0",state="silent"}', 1)
            pf.lacp_expire()
            until('pfstatus_heartbeat_silences_total{outcome="confirmed",pf="ens5f0"}', 1)
            told = lines(metrics)
    assert told['pfstatus_heartbeat_silences_total{outcome="false",pf="ens5f0"}'] == 0
    assert told['pfstatus_heartbeat_revivals_total{pf="ens5f0"}'] == 0
    assert told['pfstatus_heartbeat_distrusted{pf="ens5f0"}'] == 0
    gaps = [
        told[f'pfstatus_heartbeat_gap_seconds_bucket{{le="{le}",pf="ens5f0"}}']
        for le in ("0.1", "1.0", "90.0", "+Inf")
    ]
    assert gaps == sorted(gaps)
    assert gaps[-1] == told['pfstatus_heartbeat_gap_seconds_count{pf="ens5f0"}']


def test_metrics_of_a_relay_without_a_heartbeat_have_none(relay):
    assert b"heartbeat" not in Metrics(relay).text()


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


def test_health_is_what_the_loop_and_the_pfs_are():
    lives, ready = threading.Event(), threading.Event()
    with serve_http("127.0.0.1:0", lambda: b"metrics\n", lives.is_set, ready.is_set) as port:
        assert get(port, "/metrics") == (200, b"metrics\n")
        assert [get(port, path)[0] for path in ("/healthz", "/readyz", "/")] == [503, 503, 404]
        lives.set()
        assert [get(port, path)[0] for path in ("/healthz", "/readyz")] == [200, 503]
        ready.set()
        assert get(port, "/readyz")[0] == 200


def test_more_clients_than_can_be_served_are_sent_away():
    with serve_http("127.0.0.1:0", lambda: b"", lambda: True, lambda: True) as port:

        def connect() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
            client.sendall(b"GET /healthz HTTP/1.0\r\n")  # and no end
            return client

        with ExitStack() as stack:
            idle = [stack.enter_context(connect()) for _ in range(CLIENTS)]
            with connect() as one_more, suppress(ConnectionResetError):
                assert one_more.recv(64) == b""
            idle[0].sendall(b"\r\n")
            assert idle[0].recv(64).startswith(b"HTTP/1.0 200")
            while idle[0].recv(64):
                pass
            for _ in range(100):  # its thread ends soon
                with connect() as client, suppress(ConnectionResetError, BrokenPipeError):
                    client.sendall(b"\r\n")
                    if client.recv(64).startswith(b"HTTP/1.0 200"):
                        break
                time.sleep(0.05)
            else:
                pytest.fail("nobody else was served")


def test_a_client_for_whom_no_descriptor_is_left_costs_no_cpu(script):
    ran = script(
        "import itertools, os, resource, socket, time\n"
        "from pfstatus.agent.http import serve_http\n"
        "with serve_http('127.0.0.1:0', bytes, lambda: True, lambda: True) as port:\n"
        "    client = socket.socket()\n"
        "    limits = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "    free = os.dup(0)\n"
        "    os.close(free)\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))\n"
        "    client.connect(('127.0.0.1', port))\n"
        "    client.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n')\n"
        "    before = time.process_time()\n"
        "    time.sleep(2)\n"
        "    print(time.process_time() - before)\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, limits)\n"
        "    print(client.recv(100).splitlines()[0])\n"
        "    client.close()\n"
    )
    took, answer = ran.stdout.splitlines()
    assert float(took) < 0.1, ran
    assert answer == "b'HTTP/1.0 200 OK'"


def test_address_in_use_is_an_error_or_waited_for(capsys):
    def pages(text):
        return (lambda: text, lambda: True, lambda: True)

    with serve_http("127.0.0.1:0", *pages(b"old")) as port:
        address = f"127.0.0.1:{port}"
        with pytest.raises(OSError, match=f"{address} is in use"), serve_http(address, *pages(b"")):
            pass
        with serve_http(address, *pages(b""), wait=True):
            pass  # ends while it waits
        waiting = serve_http(address, *pages(b"new"), wait=True)
        waiting.__enter__()
        assert f"{address} is in use: waiting for it" in capsys.readouterr().err
        assert get(port, "/metrics") == (200, b"old")
    try:
        wait_until(lambda: answers(port))
        assert get(port, "/metrics") == (200, b"new")
    finally:
        waiting.__exit__(None, None, None)


def answers(port):
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_address_that_is_not_ours_is_an_error_at_once():
    pages = (lambda: b"", lambda: True, lambda: True)
    said = pytest.raises(OSError, match=r"told at 192\.0\.2\.1:0: Cannot assign")
    with said, serve_http("192.0.2.1:0", *pages, wait=True):
        pass


def test_address_is_had_without_asking_dns(monkeypatch):
    monkeypatch.setattr("socket.getfqdn", lambda _host: pytest.fail("it asks DNS"))
    with serve_http("0.0.0.0:0", lambda: b"", lambda: True, lambda: True) as port:
        assert get(port, "/healthz") == (200, b"ok\n")


@pytest.mark.parametrize(
    ("text", "address"),
    [(":9143", ("127.0.0.1", 9143)), ("[::1]:1", ("::1", 1)), ("0.0.0.0:80", ("0.0.0.0", 80))],
)
def test_address_is_the_loopback_s_unless_said(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "9143", "host", "host:port", "host:99999"])
def test_address_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        address_of(text)


def test_agent_answers_over_http():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Agent("ens5f0", "--metrics", f"127.0.0.1:{port}") as agent:
        agent.wait_for("lacp is up")
        assert get(port, "/readyz") == (200, b"ok\n")
        status, text = get(port, "/metrics")
        assert status == 200
        assert b'pfstatus_pf_lacp_up{pf="ens5f0"} 1.0' in text
        assert agent.end() == 0
