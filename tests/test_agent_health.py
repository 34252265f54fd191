"""The health file."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import jsonschema
import pytest

from pfstatus import Kind, VfLinkState
from pfstatus.agent.health import EVERY, HealthFile, health_of

AUTO, _, DISABLE = VfLinkState
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def file(rig, clock, monkeypatch, tmp_path):
    """A health file in the rig's time; ``keep(relay)`` is what the agent does when idle."""
    monkeypatch.setattr("pfstatus.agent.health.time", clock)
    file = HealthFile(tmp_path / "run" / "health.json", rig.reports.extend)
    file.path = tmp_path / "run" / "health.json"
    file.keep = lambda relay: file.update(relay.snapshot())
    yield file
    file.close()


def pfs(file):
    said = json.loads(file.path.read_text())
    jsonschema.validate(said, json.loads((DOCS / "health.schema.json").read_text()))
    return said["pfs"]


def test_file_follows_a_pf_through_an_outage(rig, file):
    pf = rig.pf()
    pf.parent = "0000:5e:00.0"
    relay = rig.relay("ens5f0", "ens5f9", up_delay=5.0, settled=False)
    file.keep(relay)
    assert pfs(file)["ens5f0"]["reason"] == "not-asked"
    rig.pass_time(relay, 6)
    file.keep(relay)
    up = pfs(file)
    assert (up["ens5f9"]["health"], up["ens5f9"]["reason"]) == ("unknown", "absent")
    assert up["ens5f0"] == {
        "health": "healthy",
        "reason": "up",
        "since": up["ens5f0"]["since"],
        "ifname": "ens5f0",
        "ifindex": pf.ifindex,
        "device": "0000:5e:00.0",
    }
    seen = []
    for change, seconds in ((pf.lacp_expire, 1), (pf.lacp_default, 1), (pf.lacp_up, 2), (int, 6)):
        change()
        rig.pass_time(relay, seconds)
        file.keep(relay)
        now = pfs(file)
        seen.append((now["ens5f0"]["health"], now["ens5f0"]["reason"]))
        assert now["ens5f0"]["since"] > up["ens5f0"]["since"]
        assert now["ens5f9"] == up["ens5f9"]
    assert seen == [
        ("unhealthy", "expired"),
        ("unhealthy", "defaulted"),
        ("unhealthy", "vfs-disabled"),
        ("healthy", "up"),
    ]


def test_silent_partner_is_unhealthy(rig):
    rig.pf()
    relay = rig.relay("ens5f0")
    (known,) = relay.snapshot().values()
    assert health_of(known) == ("healthy", "up")
    assert health_of(known._replace(silent=True)) == ("unhealthy", "silent")


def test_file_is_replaced_at_a_change_and_touched_in_between(rig, file):
    pf = rig.pf()
    relay = rig.relay("ens5f0")
    file.keep(relay)
    first = file.path.stat()
    os.utime(file.path, (0, 0))
    rig.pass_time(relay, EVERY / 2)
    file.keep(relay)
    assert file.path.stat().st_mtime == 0
    rig.pass_time(relay, EVERY / 2 + 1)
    file.keep(relay)
    touched = file.path.stat()
    assert (touched.st_ino, touched.st_mtime > 0) == (first.st_ino, True)
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    with file.path.open() as old:
        file.keep(relay)
        assert json.load(old)["pfs"]["ens5f0"]["health"] == "healthy"
    assert pfs(file)["ens5f0"]["health"] == "unhealthy"


def test_file_is_for_everybody_to_read(rig, file):
    rig.pf()
    before = os.umask(0o077)
    try:
        file.keep(rig.relay("ens5f0"))
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: shutil.rmtree(path.parent)])
def test_file_that_somebody_removed_comes_back(rig, file, remove):
    rig.pf()
    relay = rig.relay("ens5f0")
    file.keep(relay)
    remove(file.path)
    rig.pass_time(relay, EVERY + 1)
    file.keep(relay)
    assert pfs(file)


def test_file_that_cannot_be_written_is_said_once_and_tried_again(rig, file):
    rig.pf()
    relay = rig.relay("ens5f0")
    file.path.parent.write_text("no folder")
    for _ in range(3):
        file.keep(relay)
        rig.pass_time(relay, EVERY + 1)
    (report,) = [report for report in rig.reports if report.kind is Kind.HEALTH_FAILED]
    assert report.fields["error"].errno in (errno.EEXIST, errno.ENOTDIR)
    file.path.parent.unlink()
    file.keep(relay)
    assert pfs(file)


def test_file_is_gone_with_its_relay_and_that_of_the_next_stays(rig, file):
    rig.netns = int.from_bytes(os.urandom(6))
    rig.pf()
    relay = rig.relay("ens5f0")
    other = rig.relay("ens5f0", stand_by=True)
    file.keep(relay)
    second = HealthFile(file.path, rig.reports.extend)
    second.update(other.snapshot())
    ours = file.path.stat().st_ino
    second.close()
    assert file.path.stat().st_ino == ours
    relay.close()
    rig.pass_time(other, 0.2)
    second.update(other.snapshot())
    file.close()
    assert pfs(file)["ens5f0"]["health"] == "healthy"
    second.close()
    assert not file.path.exists()
