"""A relay beside a fire drill, and what gives back what the dead left disabled."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from pfstatus import Kind, Policy, VfLinkState
from pfstatus.relay.drills import Drills
from pfstatus.relay.release import release
from pfstatus.relay.rival import Claims

AUTO, ENABLE, DISABLE = VfLinkState


def states(pf):
    return list(pf.vfs.values())


def kinds(rig):
    return [report.kind for report in rig.reports]


@pytest.fixture
def drills(rig, tmp_path):
    """A drill's own, in another process as far as relays can see."""
    rig.netns = int.from_bytes(os.urandom(6))
    with Drills(tmp_path, rig.netns) as drills:
        yield drills


@pytest.mark.parametrize("restore", ["all", "owned"])
def test_vfs_of_a_drill_are_left_to_it(rig, drills, restore):
    pf = rig.pf(vfs=3)
    relay = rig.relay(restore=restore)
    assert drills.begin(pf.ifindex, [0, 1]) is None
    for _ in range(2):
        with rig.kernel.change(pf):
            pf.vfs |= {0: DISABLE, 1: DISABLE}
        rig.pass_time(relay, 3)
    assert states(pf) == [DISABLE, DISABLE, AUTO]
    assert kinds(rig) == [Kind.DRILL_SEEN]
    with rig.kernel.change(pf):
        pf.vfs |= {0: AUTO, 1: AUTO}
    drills.forget(pf.ifindex)
    rig.pass_time(relay, 3)
    assert not rig.kernel.writes
    assert not rig.relays[0].disabled("ens5f0")
    with rig.kernel.change(pf):  # the same by somebody else, later, is no drill's
        pf.vfs[0] = DISABLE
    rig.pass_time(relay, 3)
    assert states(pf)[0] is (AUTO if restore == "all" else DISABLE)


@pytest.mark.parametrize("restore", ["all", "owned"])
def test_vfs_of_a_drill_that_was_killed_are_given_back_within_the_interval(rig, drills, restore):
    pf = rig.pf()
    relay = rig.relay(restore=restore)
    drills.begin(pf.ifindex, [0, 1])
    with rig.kernel.change(pf):
        pf.vfs |= {0: DISABLE, 1: DISABLE}
    rig.pass_time(relay, 3)
    assert states(pf) == [DISABLE, DISABLE]
    drills.close()  # as the kernel does with a process that dies
    rig.pass_time(relay, 1.1)
    assert states(pf) == [AUTO, AUTO]
    assert kinds(rig).count(Kind.DRILL_KILLED) == 1
    assert not list(rig.state_file.parent.glob("drill-*"))


def test_drill_that_was_killed_before_the_relay_began_is_ended_by_it(rig, drills):
    pf = rig.pf()
    drills.begin(pf.ifindex, [0, 1])
    pf.vfs |= {0: DISABLE}
    drills.close()
    rig.relay(restore="owned")
    assert states(pf) == [AUTO, AUTO]


def test_drill_that_was_killed_in_an_outage_is_ended_when_lacp_is_back(rig, drills):
    pf = rig.pf(vfs=3)
    relay = rig.relay(restore="owned")
    drills.begin(pf.ifindex, [0])
    with rig.kernel.change(pf):
        pf.vfs[0] = DISABLE
    rig.pass_time(relay, 0.5)
    pf.lacp_expire()
    rig.pass_time(relay, 0.5)
    assert states(pf) == [DISABLE] * 3
    drills.close()
    rig.pass_time(relay, 3)
    assert states(pf) == [DISABLE] * 3
    pf.lacp_up()
    rig.pass_time(relay, 3)
    assert states(pf) == [AUTO] * 3


def test_file_of_a_drill_that_cannot_be_removed_is_heeded_once(rig, drills, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    pf = rig.pf()
    relay = rig.relay(restore="owned")
    drills.begin(pf.ifindex, [0, 1])
    pf.vfs |= {0: DISABLE}
    drills.close()
    monkeypatch.setattr(Path, "unlink", refuse)
    rig.pass_time(relay, 3)
    assert states(pf) == [AUTO, AUTO]
    with rig.kernel.change(pf):
        pf.vfs[0] = DISABLE
    rig.pass_time(relay, 3)
    assert states(pf) == [DISABLE, AUTO]
    assert kinds(rig).count(Kind.DRILL_KILLED) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"vfs": [0]}',
        '{"boot_id": "another", "vfs": [0]}',
        '{"boot_id": BOOT, "vfs": [[]]}',
    ],
)
def test_file_that_is_no_drills_is_passed_over(rig, drills, text):
    pf = rig.pf()
    drills.begin(pf.ifindex, [0])
    drills.close()
    (file,) = rig.state_file.parent.glob("drill-*")
    boot_id = json.loads(file.read_text())["boot_id"]
    file.write_text(text.replace("BOOT", json.dumps(boot_id)))
    pf.vfs[0] = DISABLE
    relay = rig.relay(restore="owned")
    rig.pass_time(relay, 3)
    assert states(pf) == [DISABLE, AUTO]


def test_second_drill_on_a_pf_learns_of_the_first(rig, drills, tmp_path):
    with Drills(tmp_path, rig.netns) as other:
        assert drills.begin(7, [0]) is None
        assert other.begin(7, [1]) == os.getpid()
        assert other.find(7) == ({0}, os.getpid())
        assert other.begin(8, [1]) is None


# pfstatus relay --release


def let_go(rig, *names, **policy):
    policy = Policy(state_file=rig.state_file, **policy)
    with rig.session() as session:
        return release(session, names or ["ens5f0"], policy, rig.reports.extend)


def test_release_gives_back_what_a_dead_relay_noted(rig):
    pf = rig.pf(vfs=3)
    relay = rig.relay(restore="owned")
    pf.vfs[2] = DISABLE
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    relay.close()
    assert states(pf) == [DISABLE] * 3
    assert let_go(rig, restore="owned")
    assert states(pf) == [AUTO, AUTO, DISABLE]
    assert json.loads(rig.state_file.read_text())["nics"] == []
    assert kinds(rig)[-2:] == [Kind.VF_SET] * 2


def test_release_gives_back_all_where_all_is_to_be_restored(rig):
    pf = rig.pf(vfs=3)
    pf.vfs |= {0: ENABLE, 2: DISABLE}
    assert let_go(rig)
    assert states(pf) == [ENABLE, AUTO, AUTO]


def test_release_that_is_dry_says_what_it_would_do(rig):
    pf = rig.pf()
    pf.vfs[1] = DISABLE
    assert let_go(rig, dry_run=True)
    assert states(pf) == [AUTO, DISABLE]
    assert rig.said() == [
        ("vf link state would be set", {"id": 1, "state": "auto", "interface": "ens5f0"})
    ]


def test_release_takes_nothing_from_a_relay_that_lives(rig):
    rig.netns = int.from_bytes(os.urandom(6))
    pf = rig.pf()
    relay = rig.relay()
    pf.lacp_expire()
    rig.pass_time(relay, 1)
    with pytest.raises(OSError, match=f"process {os.getpid()} serves it") as caught:
        let_go(rig)
    assert (caught.value.errno, caught.value.filename) == (errno.EBUSY, "ens5f0")
    assert states(pf) == [DISABLE, DISABLE]


def test_relay_of_another_user_is_believed_where_a_person_asks(rig, monkeypatch):
    """A service may run as a user of its own, and --release by root."""
    rig.netns = int.from_bytes(os.urandom(6))
    pf = rig.pf()
    rig.relay()
    monkeypatch.setattr("pfstatus.relay.rival.os.geteuid", lambda: 4711)
    monkeypatch.setattr("pfstatus.relay.rival._UCRED", Stranger)
    with Claims(rig.netns) as claims:
        assert claims.holder(pf.ifindex) is None
    with pytest.raises(OSError, match="serves it"):
        let_go(rig)


class Stranger:
    """A peer that is neither root nor us."""

    size = 12

    @staticmethod
    def unpack(_said):
        return 4712, 4712, 4712


def test_release_says_what_it_could_not_give_back(rig):
    pf = rig.pf()
    pf.vfs |= {0: DISABLE, 1: DISABLE}
    pf.vf_errors[0] = (errno.EBUSY, 9)
    assert not let_go(rig)
    assert states(pf) == [DISABLE, AUTO]
    assert kinds(rig)[-1] is Kind.VFS_LEFT
    pf.vf_errors.clear()
    assert not let_go(rig, "ens9", "ens5f0")
    assert Kind.FETCH_FAILED in kinds(rig)
    assert states(pf) == [AUTO, AUTO]


def test_release_goes_on_with_the_next_pf_where_one_cannot_be_read_back(rig):
    first, second = rig.pf("ens5f0"), rig.pf("ens5f1")
    for pf in (first, second):
        pf.vfs |= {0: DISABLE}
    driver = first.set_vf

    def set_vf(vf, state):
        rig.kernel.remove(first)
        return driver(vf, state)

    first.set_vf = set_vf
    assert not let_go(rig, "ens5f0", "ens5f1")
    assert Kind.FETCH_FAILED in kinds(rig)
    assert states(second) == [AUTO, AUTO]


def test_release_ends_a_drill_that_was_killed(rig, drills):
    pf = rig.pf()
    drills.begin(pf.ifindex, [1])
    drills.close()
    pf.vfs |= {0: DISABLE, 1: DISABLE}
    assert let_go(rig, restore="owned")
    assert states(pf) == [DISABLE, AUTO]
    assert not list(rig.state_file.parent.glob("drill-*"))
