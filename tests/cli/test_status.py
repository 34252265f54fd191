"""pfstatus status."""

from __future__ import annotations

import errno
import json
import re

import pytest

from pfstatus import VfLinkState
from pfstatus.errors import error
from pfstatus.session import Session

DISABLE = VfLinkState.DISABLE


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
