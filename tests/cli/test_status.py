"""pfstatus status."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from pfstatus import VfLinkState
from pfstatus.cli import parser
from pfstatus.errors import error
from pfstatus.session import Session

DISABLE = VfLinkState.DISABLE
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.usefixtures("pf")
def test_status_is_a_table_of_all_ports(run, kernel, capsys):
    kernel.add_pf("ens6f0")
    assert run("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["PF", "ens5f0", "ens5f1"]
    assert re.split(r"\s{2,}", lines[1]) == [
        *("ens5f0", "up", "up", "bond0", "fast", "02:00:5e:00:00:01", "4 auto"),
    ]


def test_status_is_1_and_a_sentence_where_lacp_is_not_up(run, pf, capsys):
    pf.lacp_expire()
    pf.vfs[0] = DISABLE
    assert run("status", "ens5f0", "ens5f1") == 1
    out = capsys.readouterr().out
    assert "down (expired)" in out
    assert "3 auto, 1 disable" in out
    assert out.splitlines()[-1].startswith("ens5f0: ")


@pytest.mark.usefixtures("pf")
def test_status_of_an_absent_pf_is_3_and_of_the_others_told(run, capsys):
    assert run("status", "ens9", "ens5f0") == 3
    out, err = capsys.readouterr()
    assert "ens5f0" in out
    assert err.startswith("pfstatus: ens9: there is no such interface")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("pf")
def test_status_json_is_to_dict(run, kernel, capsys):
    assert run("status", "--json", "ens5f0") == 0
    with kernel.session() as session:
        assert json.loads(capsys.readouterr().out) == [session.get("ens5f0").to_dict()]


@pytest.mark.usefixtures("pf")
def test_status_without_any_port_says_what_to_do(run, kernel, capsys):
    for bond in [link for link in kernel.links if link.kind == "bond"]:
        kernel.remove(bond)
    assert run("status") == 3
    assert "name one" in capsys.readouterr().err


@pytest.mark.usefixtures("pf")
def test_status_goes_without_vfs_that_do_not_fit_an_answer(run, monkeypatch, capsys):
    get = Session.get

    def refuse(session, name, *, vfs=True, bond=None):
        if vfs:
            raise error(errno.EMSGSIZE, name)
        return get(session, name, vfs=vfs, bond=bond)

    monkeypatch.setattr(Session, "get", refuse)
    assert run("status", "ens5f0") == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[-1] == "-"


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
def test_colours_are_for_terminals(run, monkeypatch, capsys, variables, coloured):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run("status")
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_colours_do_not_shift_columns(run, pf, monkeypatch, capsys):
    pf.lacp_expire()
    run("status")
    plain = capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    run("status")
    assert re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out) == plain


@pytest.fixture
def npd(run, capsys):
    """Run it as node-problem-detector does. Gives status and line."""

    def npd(*names):
        code = run("status", "--npd", *names)
        out, err = capsys.readouterr()
        assert (out.count("\n"), err) == (1, "")
        return code, out.strip()

    return npd


def test_npd_is_told_in_a_line_and_a_status(npd, pf):
    assert npd() == (0, "LACP is up on ens5f0, ens5f1")
    assert npd("ens9") == (2, "ens9: there is no such interface here (ip -br link shows them)")
    pf.set_carrier(up=False)
    assert npd() == (2, "LACP is unknown on ens5f0 (link-down)")
    pf.set_carrier(up=True)
    pf.lacp_expire()
    assert npd() == (1, "LACP is down on ens5f0 (expired)")


@pytest.mark.usefixtures("pf")
def test_npd_line_is_cut_where_npd_would_cut_it(npd, kernel):
    for number in range(12):
        kernel.add_bond(f"bond2{number}", kernel.add_pf(f"enp216s0f{number}"))
    code, line = npd()
    assert (code, len(line), line[-3:]) == (0, 80, "...")


@pytest.mark.usefixtures("pf")
def test_npd_without_any_port_knows_nothing(npd, kernel):
    for bond in [link for link in kernel.links if link.kind == "bond"]:
        kernel.remove(bond)
    code, line = npd()
    assert (code, "name one" in line) == (2, True)


def test_npd_configuration_runs_what_there_is():
    """Its keys are those of node-problem-detector's pkg/custompluginmonitor/types."""
    said = json.loads((EXAMPLES / "node-problem-detector" / "pfstatus.json").read_text())
    (rule,) = said["rules"]
    (condition,) = said["conditions"]
    assert rule["condition"] == condition["type"]
    assert rule["timeout"] == said["pluginConfig"]["timeout"]
    assert Path(rule["path"]).name == "pfstatus"
    assert parser().parse_args(rule["args"]).npd
