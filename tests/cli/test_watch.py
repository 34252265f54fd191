"""pfstatus watch."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pfstatus import BondMode, Cause, Change, LacpRate, OperState, VfLinkState
from pfstatus.cli.text import WIDTH, Painter
from pfstatus.cli.watch import _lines
from pfstatus.recording.netlink import nlmsg

DISABLE = VfLinkState.DISABLE


def test_watch_tells_each_change_until_ctrl_c(run_until, pf, output):
    def happen():
        output.wait_for("[start]")
        pf.lacp_expire()
        output.wait_for("[event]")

    assert run_until("watch", "ens5f0", happen=happen) == 130
    first, last = [line for line in output.text.splitlines() if not line.startswith(" ")]
    assert first.split()[1:] == ["ens5f0", "LACP", "up", "[start]"]
    assert last.split()[1:] == ["ens5f0", "LACP", "up", "→", "down", "(expired)", "[event]"]


def test_watch_json_is_an_object_a_line(run_until, pf, output):
    def happen():
        output.wait_for("start")
        pf.lacp_expire()
        output.wait_for("expired")

    assert run_until("watch", "ens5f0", "--json", happen=happen) == 130
    told = json.loads(output.text.splitlines()[-1])
    assert (told["name"], told["new"]["lacp"]["reason"]) == ("ens5f0", "expired")
    assert told["time"].endswith("Z")


def test_watch_tells_of_vfs_when_asked_to(run_until, kernel, pf, output):
    def happen():
        output.wait_for("VF 0-3 auto")
        kernel.set_vf(pf, 1, DISABLE)
        output.wait_for("VF 0,2-3 auto, VF 1 disable")

    assert run_until("watch", "--vfs", "ens5f0", happen=happen) == 130


def test_a_pf_that_cannot_be_asked_does_not_end_the_others(
    run_until, pf, output, monkeypatch, capsys
):
    message = type(pf).message

    def garbled(link, mask=0, **how):
        good = message(link, mask, **how)
        return nlmsg(16, b"", seq=how.get("seq", 0)) if link is pf and broken else good

    broken = [True]
    monkeypatch.setattr(type(pf), "message", garbled)

    def happen():
        output.wait_for("ens5f1")
        broken.clear()
        output.wait_for("ens5f0")

    arguments = ("watch", "--interval", "0.01", "ens5f0", "ens5f1")
    assert run_until(*arguments, happen=happen) == 130
    assert capsys.readouterr().err == "pfstatus: ens5f0: Malformed message (asking again)\n"


def test_lines_keep_to_80_columns_when_everything_changes(kernel, pf):
    with kernel.session() as session:
        old = session.get("ens5f0")
    vfs = tuple(vf._replace(link_state=VfLinkState(vf.vf % 3)) for vf in old.vfs)
    bond = replace(
        old.bond,
        name="bond-enp129s0f0",
        mode=BondMode.ACTIVE_BACKUP,
        lacp_rate=LacpRate.SLOW,
        miimon=0,
        min_links=1,
        num_ports=2,
        aggregator_id=7,
        actor_key=1,
        partner_key=2,
        partner_mac="00:00:00:00:00:00",
    )
    new = old._replace(
        ifindex=4711, operstate=OperState.DOWN, bond=bond, active=False, vfs=vfs, num_vfs=5
    )
    pf.lacp_expire()
    with kernel.session() as session:
        new = new._replace(lacp=session.get("ens5f0").lacp)
    for change in (Change(None, new, Cause.START), Change(old, new, Cause.ASKED)):
        lines = [*_lines(change, len("enp129s0f0np0"), Painter(SimpleNamespace(isatty=bool)))]
        assert len(lines) > 1
        assert [line for line in lines if len(line) > WIDTH] == []
        assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.usefixtures("pf")
def test_watch_of_a_socket_that_fails_ends_with_3(run, monkeypatch, capsys):
    def fail(*_):
        raise error_of_no_pf

    from pfstatus.errors import error

    error_of_no_pf = error(5)
    monkeypatch.setattr("pfstatus.monitor.Monitor.poll", fail)
    assert run("watch", "ens5f0") == 3
    assert capsys.readouterr().err == "pfstatus: Input/output error\n"
