"""pfstatus relay."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pfstatus import VfLinkState
from pfstatus.cli import main

DISABLE = VfLinkState.DISABLE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_relay_relays_until_a_signal(run_until, pf, output, monkeypatch, number):
    monkeypatch.setattr("pfstatus.relay.program.gc.freeze", lambda: None)

    def happen():
        output.wait_for("lacp is up")
        pf.lacp_expire()
        output.wait_for('"id":3,"state":"disable"')

    assert run_until("relay", "ens5f0", happen=happen, number=number) == 0
    assert {*pf.vfs.values()} == {DISABLE}


def test_relay_whose_lines_nobody_reads_goes_on_relaying(pf, monkeypatch):
    monkeypatch.setattr("pfstatus.relay.program.gc.freeze", lambda: None)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    carry_out, listening, done = pf.set_vf, threading.Event(), threading.Event()

    def set_vf(vf, state):
        code = carry_out(vf, state)
        if {*pf.vfs.values()} == {DISABLE}:
            done.set()
        return code

    def happen():
        listening.wait(20)
        pf.lacp_expire()
        done.wait(20)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    pf.set_vf = set_vf
    pf.kernel.on_request = lambda word: word == "get" and listening.set()
    beside = threading.Thread(target=happen)
    beside.start()
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["relay", "ens5f0", "ens5f1"]) == 0
        os.close(reader)  # which ends the thread that waits for it
    beside.join(20)
    assert {*pf.vfs.values()} == {DISABLE}


@pytest.mark.usefixtures("pf")
def test_relay_without_privilege_is_3(run, kernel, capsys):
    kernel.permitted = False
    assert run("relay", "ens5f0") == 3
    assert "CAP_NET_ADMIN is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ([], "no interfaces"),
        (["--interval", "99", "ens5f0"], "at least 100"),
        (["--up-delay", "-1", "ens5f0"], "up_delay"),
    ],
    ids=["none", "interval", "up-delay"],
)
@pytest.mark.usefixtures("pf")
def test_relay_refuses_a_bad_configuration(run, capsys, args, word):
    assert run("relay", *args) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("reader", ["full-disk", "left"])
def test_relay_that_cannot_tell_goes_on_and_says_so_in_a_line(command, reader):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as left, Path("/dev/full").open("w") as full:
        relay = subprocess.Popen(
            [*command, "relay", "ens5f0"],
            stdout=full if reader == "full-disk" else left,
            stderr=subprocess.PIPE,
            text=True,
        )
    first = relay.stderr.readline()
    relay.send_signal(signal.SIGTERM)
    _, rest = relay.communicate(timeout=20)
    assert relay.returncode == 0
    assert first.startswith("the report callback failed: ")
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("log", "line"), [("json", r"{.*}"), ("text", r"\d\d:.* INFO  ens5f0: .*")]
)
def test_release_tells_in_the_lines_that_are_asked_for(pf, run, capfd, tmp_path, log, line):
    pf.vfs[1] = VfLinkState.DISABLE
    state = str(tmp_path / "vfs.json")
    assert run("relay", "ens5f0", "--release", "--log", log, "--state-file", state) == 0
    assert re.fullmatch(line, capfd.readouterr().out.rstrip("\n"))
    assert pf.vfs[1] is VfLinkState.AUTO
