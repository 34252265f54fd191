"""pfstatus relay."""

from __future__ import annotations

import importlib.util
import re
import signal
from pathlib import Path

import pytest

from pfstatus import VfLinkState
from pfstatus.cli import parser

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_relay_relays_until_a_signal(run_until, pf, output, monkeypatch, number):
    monkeypatch.setattr("pfstatus.cli.relay.gc.freeze", lambda: None)

    def happen():
        output.wait_for("lacp is up")
        pf.lacp_expire()
        output.wait_for('"id":3,"state":"disable"')

    assert run_until("relay", "ens5f0", happen=happen, number=number) == 0
    assert {*pf.vfs.values()} == {VfLinkState.DISABLE}


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


def test_relay_has_the_options_of_the_example():
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "relay.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    wanted = set(re.findall(r'"(--[a-z-]+)"', (ROOT / "examples" / "relay.py").read_text()))
    (commands,) = parser()._subparsers._group_actions
    assert wanted == set(commands.choices["relay"]._option_string_actions) - {
        *("-h", "--help", "--netns"),
    }
