"""pfstatus explain: what it prints; what it says is tests/test_explain.py's."""

from __future__ import annotations

import json
import subprocess

import pytest

from pfstatus import LacpRate, Partner, VfLinkState
from pfstatus.cli.text import WIDTH, shell_lines

AUTO, ENABLE, DISABLE = VfLinkState


def commands(out: str) -> str:
    """The commands in an output, each on a line, as a shell reads them."""
    lines = [line.strip() for line in out.splitlines()]
    return "\n".join(lines).replace(" \\\n", " ").replace("&&\n", "&& ")


def test_explain_says_that_failover_works(run, pf, capsys):
    pf.master.lacp_rate = LacpRate.SLOW
    assert run("explain", "ens5f0") == 0
    out = capsys.readouterr().out
    assert out.startswith("ens5f0: failover would work")
    assert "$ ip link set bond0 down && ip link set bond0 type bond lacp_rate fast" in commands(out)


def test_explain_says_what_keeps_it_from_working(run, pf, kernel, capsys):
    pf.vfs[2] = ENABLE
    kernel.permitted = False
    assert run("explain", "ens5f0", "ens9") == 1
    out = capsys.readouterr().out
    assert out.startswith("ens5f0: failover would not work (")
    assert "$ pfstatus set ens5f0 2=auto" in out
    assert "CAP_NET_ADMIN" in out
    assert "ens9: failover would not work (1 problem)" in out


@pytest.mark.usefixtures("pf")
def test_explain_asks_the_switch_where_it_is_told_to(run, monkeypatch, capsys):
    asked = []

    def learn(*names, netns):
        asked.append((names, netns))
        return {
            "ens5f0": Partner("00:1b:21:00:00:01", 12, 10, 10, 4, 0, 0.062, 0.63, 0),
            "ens5f1": "LACP is not up",
        }

    monkeypatch.setattr("pfstatus.cli.explain.learn", learn)
    assert run("explain", "--json") == 0
    assert asked == []
    capsys.readouterr()
    assert run("explain", "--ask", "--json") == 0
    assert asked == [(("ens5f0", "ens5f1"), None)]
    said = [
        finding["sentence"]
        for found in json.loads(capsys.readouterr().out)
        for finding in found["findings"]
        if finding["topic"] == "heartbeat"
    ]
    assert len(said) == 2
    assert "10 of 10 questions answered within 62 ms" in said[0]
    assert "LACP is not up" in said[1]


def test_explain_json_names_each_finding(run, pf, capsys):
    pf.vfs[2] = ENABLE
    assert run("explain", "--json", "ens5f0") == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["works"]) == ("ens5f0", False)
    problems = [f["topic"] for f in found["findings"] if f["level"] == "problem"]
    assert problems == ["vfs-enable"]
    assert found["status"]["ifname"] == "ens5f0"


def test_explain_of_an_outage_that_was_handled_is_yes(run, pf, capsys):
    pf.lacp_expire()
    pf.vfs.update(dict.fromkeys(pf.vfs, DISABLE))
    assert run("explain", "ens5f0") == 0
    assert "failover has taken place" in capsys.readouterr().out


def test_explain_of_an_outage_that_nobody_handled_is_no(run, pf, capsys):
    pf.lacp_expire()
    assert run("explain", "ens5f0") == 1
    out = capsys.readouterr().out
    assert "failover has not taken place" in out
    assert "$ pfstatus relay ens5f0" in out


def test_explain_of_a_cable_outage_says_so(run, pf, capsys):
    pf.set_carrier(False)
    assert run("explain", "ens5f0") == 1
    assert capsys.readouterr().out.startswith("ens5f0: its link is down, and VFs in auto with it")


@pytest.mark.usefixtures("pf")
def test_explain_of_a_bond_names_its_port_and_changes_nothing(run, capsys):
    assert run("explain", "bond0") == 1
    out = capsys.readouterr().out
    assert "$ pfstatus explain ens5f0\n" in out
    assert "ip link" not in out


def test_commands_for_another_namespace_enter_it(run, kernel, pf, capsys):
    kernel.enslave(pf, None)
    pf.vfs[0] = ENABLE
    run("explain", "--netns", "/run/netns/blue", "ens5f0")
    steps = [
        step
        for line in commands(capsys.readouterr().out).splitlines()
        if line.startswith("$ ")
        for step in line[2:].split(" && ")
    ]
    assert len(steps) == 5
    assert all(step.startswith("nsenter --net=/run/netns/blue ") for step in steps)


def test_explain_keeps_to_80_columns(run, kernel, pf, capsys):
    kernel.enslave(pf, None)
    pf.vfs[2] = ENABLE
    kernel.permitted = False
    run("explain", "--netns", "/run/netns/blue")
    run("explain", "ens5f0", "ens5f1")
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if len(line) > WIDTH] == []


def test_a_command_over_several_lines_is_one_command():
    steps = ["echo a b", f"echo {' '.join(['word'] * 40)}", "echo end"]
    text = "\n".join(shell_lines(" && ".join(steps), "      "))
    assert text.count("\n") > 3
    ran = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["a b", " ".join(["word"] * 40), "end"]
