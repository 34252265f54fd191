"""The command pfstatus, against a kernel that is a fake one."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pfstatus import LacpRate, VfLinkState
from pfstatus.cli import base, main, parser
from pfstatus.explain import Facts
from pfstatus.testing import replay

ROOT = Path(__file__).parent.parent
AUTO, ENABLE, DISABLE = VfLinkState


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in [*os.environ]:
        if name.startswith("PF_STATUS_RELAY_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pf(kernel, monkeypatch):
    """Two PFs in bonds, and a command that talks to their kernel."""

    def session(*, netns, events, tap):
        assert netns is None
        return kernel.session(events=events, tap=tap)

    monkeypatch.setattr(base, "Session", session)
    monkeypatch.setattr("pfstatus.cli.explain.sysfs.facts", lambda _name, **known: Facts(**known))
    pfs = [kernel.add_pf(f"ens5f{number}", vfs=4) for number in (0, 1)]
    for number, pf in enumerate(pfs):
        kernel.add_bond(f"bond{number}", pf)
    return pfs[0]


def run(*argv) -> int:
    try:
        return main(argv)
    except SystemExit as exc:
        return exc.code


# ---- status


@pytest.mark.usefixtures("pf")
def test_status_is_a_table_of_all_ports(kernel, capsys):
    kernel.add_pf("ens6f0")
    assert run("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["PF", "ens5f0", "ens5f1"]
    assert re.split(r"\s{2,}", lines[1]) == [
        *("ens5f0", "up", "up", "bond0", "fast", "02:00:5e:00:00:01", "4 auto"),
    ]


def test_status_is_1_and_a_sentence_where_lacp_is_not_up(pf, capsys):
    pf.lacp_expire()
    pf.vfs[0] = DISABLE
    assert run("status", "ens5f0", "ens5f1") == 1
    out = capsys.readouterr().out
    assert "down (expired)" in out
    assert "3 auto, 1 disable" in out
    assert out.splitlines()[-1].startswith("ens5f0: ")


@pytest.mark.usefixtures("pf")
def test_status_of_an_absent_pf_is_3_and_of_the_others_told(capsys):
    assert run("status", "ens9", "ens5f0") == 3
    out, err = capsys.readouterr()
    assert "ens5f0" in out
    assert err.startswith("pfstatus: ens9: there is no such interface")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("pf")
def test_status_json_is_to_dict(kernel, capsys):
    assert run("status", "--json", "ens5f0") == 0
    with kernel.session() as session:
        assert json.loads(capsys.readouterr().out) == [session.get("ens5f0").to_dict()]


def test_status_without_any_port_says_what_to_do(kernel, monkeypatch, capsys):
    monkeypatch.setattr(base, "Session", lambda **_: kernel.session())
    assert run("status") == 3
    assert "name one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
    ids=["no-terminal", "forced", "refused"],
)
@pytest.mark.usefixtures("pf")
def test_colours_are_for_terminals(monkeypatch, capsys, variables, coloured):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run("status")
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_colours_do_not_shift_columns(pf, monkeypatch, capsys):
    pf.lacp_expire()
    run("status")
    plain = capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    run("status")
    assert re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out) == plain


# ---- explain


def test_explain_says_that_failover_works(pf, capsys):
    pf.master.lacp_rate = LacpRate.SLOW
    assert run("explain", "ens5f0") == 0
    out = capsys.readouterr().out
    assert out.startswith("ens5f0: failover would work")
    assert "$ ip link set bond0 down && ip link set bond0 type bond lacp_rate fast" in out


def test_explain_says_what_keeps_it_from_working(pf, kernel, capsys):
    pf.vfs[2] = ENABLE
    kernel.permitted = False
    assert run("explain", "ens5f0", "ens9") == 1
    out = capsys.readouterr().out
    assert out.startswith("ens5f0: failover would not work (")
    assert "$ pfstatus set ens5f0 2=auto" in out
    assert "CAP_NET_ADMIN" in out
    assert "ens9: failover would not work (1 problem)" in out


def test_explain_json_names_each_finding(pf, capsys):
    pf.vfs[2] = ENABLE
    assert run("explain", "--json", "ens5f0") == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["works"]) == ("ens5f0", False)
    problems = [f["topic"] for f in found["findings"] if f["level"] == "problem"]
    assert problems == ["vfs-enable"]
    assert found["status"]["ifname"] == "ens5f0"


# ---- set


def test_set_takes_numbers_ranges_and_lists(pf, capsys):
    assert run("set", "ens5f0", "0=disable", "1-2=enable", "3=disable") == 0
    assert [*pf.vfs.values()] == [DISABLE, ENABLE, ENABLE, DISABLE]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert run("set", "ens5f0", "0,2-3=auto") == 0
    assert [*pf.vfs.values()] == [AUTO, ENABLE, AUTO, AUTO]
    assert run("set", "ens5f0", "all=disable") == 0
    assert {*pf.vfs.values()} == {DISABLE}


def test_set_tells_the_result_of_each_vf(pf, capsys):
    pf.vf_errors[1] = (errno.EIO, 9)
    assert run("set", "--json", "ens5f0", "0-2=disable") == 1
    assert json.loads(capsys.readouterr().out) == [
        {"vf": 0, "link_state": "disable", "error": None},
        {"vf": 1, "link_state": "disable", "error": "Input/output error"},
        {"vf": 2, "link_state": "disable", "error": None},
    ]


def test_set_believes_what_it_reads_again(pf, capsys):
    pf.ignores.add(ENABLE)
    assert run("set", "ens5f0", "0=enable") == 1
    assert "still auto" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["0"], "VF=STATE"),
        (["x=auto"], "VF=STATE"),
        (["-1=auto"], "VF=STATE|arguments"),
        (["0=up"], "auto, enable or disable"),
        (["0=auto", "0-1=disable"], "named twice"),
        (["3-1=auto"], "no range"),
        (["65536=auto"], "65535"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("pf")
def test_set_refuses_what_it_does_not_understand(kernel, capsys, settings, word):
    assert run("set", "ens5f0", *settings) == 2
    err = capsys.readouterr().err
    assert re.search(word, err)
    assert err.count("\n") == 1
    assert not kernel.writes


# ---- watch, capture, relay


def ask_to_end(monkeypatch, module):
    """Give the test the way in which a signal ends the command."""
    ready = threading.Event()
    stop = []

    def stop_by_signal(how):
        stop.append(how)
        ready.set()

    monkeypatch.setattr(f"pfstatus.cli.{module}.stop_by_signal", stop_by_signal)
    return ready, stop


class Output:
    """A stdout whose lines can be waited for."""

    def __init__(self, want) -> None:
        self.text = ""
        self._want = want
        self.seen = threading.Event()

    def write(self, text) -> int:
        self.text += text
        if self._want in self.text:
            self.seen.set()
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def in_thread(*argv) -> tuple[threading.Thread, list[int]]:
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run(*argv)))
    thread.start()
    return thread, codes


@pytest.mark.parametrize("json_lines", [False, True], ids=["text", "json"])
def test_watch_tells_each_change(pf, monkeypatch, json_lines):
    ready, stop = ask_to_end(monkeypatch, "watch")
    output = Output("expired")
    monkeypatch.setattr(sys, "stdout", output)
    thread, codes = in_thread("watch", "ens5f0", *(["--json"] if json_lines else []))
    assert ready.wait(5)
    pf.lacp_expire()
    assert output.seen.wait(5)
    stop[0]()
    thread.join(5)
    assert codes == [0]
    lines = output.text.splitlines()
    if json_lines:
        told = json.loads(lines[-1])
        assert (told["name"], told["new"]["lacp"]["reason"]) == ("ens5f0", "expired")
        assert told["time"].endswith("Z")
    else:
        assert "ens5f0" in lines[-1]
        assert "down (expired)" in lines[-1]


def test_watch_tells_of_vfs_when_asked_to(kernel, pf, monkeypatch):
    ready, stop = ask_to_end(monkeypatch, "watch")
    output = Output("VF 0,2-3 auto, VF 1 disable")
    monkeypatch.setattr(sys, "stdout", output)
    thread, codes = in_thread("watch", "--vfs", "ens5f0")
    assert ready.wait(5)
    kernel.set_vf(pf, 1, DISABLE)
    assert output.seen.wait(5)
    stop[0]()
    thread.join(5)
    assert codes == [0]


def test_capture_can_be_played_again(pf, tmp_path, capsys, kernel):
    file = tmp_path / "bug.pcapng"
    pf.vfs[1] = DISABLE
    assert run("capture", str(file), "--seconds", "0.1") == 0
    assert re.search(r"\d+ packets in .*bug\.pcapng", capsys.readouterr().err)
    with replay(file) as recorded, kernel.session() as session:
        assert recorded.get("ens5f0") == session.get("ens5f0")
        assert recorded.may_set_vfs()


@pytest.mark.usefixtures("pf")
def test_capture_into_nowhere_is_3_and_one_line(tmp_path, capsys):
    assert run("capture", str(tmp_path / "no" / "bug.pcapng"), "--seconds", "1") == 3
    assert re.fullmatch(
        r"pfstatus: .*bug\.pcapng: No such file or directory\n", capsys.readouterr().err
    )


@pytest.mark.usefixtures("pf")
def test_capture_to_a_full_disk_is_said(capsys):
    assert run("capture", "/dev/full", "--seconds", "1") == 3
    assert "No space left" in capsys.readouterr().err


def test_relay_relays(pf, monkeypatch):
    ready, stop = ask_to_end(monkeypatch, "relay")
    monkeypatch.setattr("pfstatus.cli.relay.gc.freeze", lambda: None)
    output = Output('"id":3,"state":"disable"')
    monkeypatch.setattr(sys, "stdout", output)
    thread, codes = in_thread("relay", "ens5f0")
    assert ready.wait(5)
    pf.lacp_expire()
    assert output.seen.wait(5)
    stop[0]()
    thread.join(5)
    assert codes == [0]
    assert {*pf.vfs.values()} == {DISABLE}


@pytest.mark.usefixtures("pf")
def test_relay_without_privilege_is_3(kernel, capsys):
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
def test_relay_refuses_a_bad_configuration(capsys, args, word):
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


# ---- as people run it


@pytest.mark.parametrize("command", ["status", "watch", "explain", "set", "relay", "capture"])
def test_each_command_has_help_with_its_exit_status(capsys, command):
    assert run(command, "--help") == 0
    assert re.search(r"[Ee]xit status|and then with 0", capsys.readouterr().out)


def test_documented_exit_statuses_are_those_of_the_help(capsys):
    run("--help")
    text = capsys.readouterr().out
    page = (ROOT / "docs" / "cli.md").read_text()
    for code in range(4):
        assert re.search(rf"^  {code}  ", text, re.MULTILINE)
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE)


def test_wrong_usage_is_2_and_one_line(capsys):
    assert run("state") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nobody_reading_is_no_error():
    command = f"{sys.executable} -m pfstatus.cli status lo | true"
    ran = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.returncode in (0, 1)
