"""What a relay remembers of the VFs that it disabled."""

from __future__ import annotations

import fcntl
import json
import threading
from pathlib import Path

import pytest

from pfstatus import Vf, VfLinkState
from pfstatus.relay.ownership import Ownership

AUTO, ENABLE, DISABLE = VfLinkState
VFS = frozenset({0, 3, 200})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "disabled-vfs.json"


def look(**states):
    """What a look found, by VF number."""
    return [Vf(int(vf[1:]), state) for vf, state in states.items()]


def test_what_was_noted_outlives_the_process(path):
    Ownership(path).about_to_disable("ens5f0", 7, VFS)
    again = Ownership(path)
    assert again.disabled(7) == VFS
    assert again.names() == {7: "ens5f0"}
    assert again.find("ens5f0") == 7


def test_pf_that_was_made_again_has_nothing_noted(path):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, VFS)
    assert owner.disabled(8) == owner.disabled(None) == frozenset()


def test_pf_of_which_nothing_is_left_is_forgotten(path):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, VFS)
    owner.gave_back(7, VFS)
    owner.seen(7, look(**{f"v{vf}": AUTO for vf in VFS}))
    owner.mirror()
    assert owner.names() == Ownership(path).names() == {}
    assert json.loads(path.read_text())["nics"] == []


def test_of_nics_that_are_gone_the_last_ones_stay_noted(path):
    owner = Ownership(path)
    for ifindex in range(1, 101):  # a driver that is loaded again and again
        owner.about_to_disable("ens5f0", ifindex, VFS)
        owner.gone(ifindex)
        if ifindex == 90:
            owner.seen(80, look(v0=DISABLE))  # it came back from another namespace
    owner.mirror()
    assert [*owner.names()] == [80, *range(85, 101)]
    assert Ownership(path).names() == owner.names()


def test_what_is_noted_already_is_not_written_again(path):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, VFS)
    path.unlink()
    owner.about_to_disable("ens5f0", 7, {0, 3})
    owner.took(7, VFS)
    owner.seen(7, look(v0=DISABLE, v3=DISABLE))
    owner.mirror()
    assert not path.exists()


# Whose a VF is


def test_vf_that_reads_disabled_is_ours_whatever_the_driver_said(path):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, {0, 1})
    seen = owner.seen(7, look(v0=DISABLE, v1=AUTO, v2=DISABLE))
    assert seen == ({0}, set(), {2})
    assert owner.disabled(7) == {0}


def test_vf_that_is_missing_from_the_list_stays_noted():
    owner = Ownership()
    owner.about_to_disable("ens5f0", 7, {0, 1})
    assert owner.seen(7, look(v0=DISABLE)).ours == {0}
    assert owner.disabled(7) == {0, 1}


@pytest.mark.parametrize("sure", ["accepted", "read", "from an earlier life"])
def test_our_disable_that_somebody_puts_back_is_ours(path, sure):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, {0})
    if sure == "accepted":
        owner.took(7, {0})
    elif sure == "read":
        owner.seen(7, look(v0=DISABLE))
    else:
        owner = Ownership(path)
    assert owner.seen(7, look(v0=ENABLE)).ours == set()
    owner.mirror()
    for again in (owner, Ownership(path)):
        assert again.disabled(7) == set()
        assert again.seen(7, look(v0=DISABLE)) == ({0}, {0}, set())
        assert again.seen(7, look(v0=DISABLE)) == ({0}, set(), set())


def test_vf_that_was_never_disabled_is_not_lent():
    owner = Ownership()
    owner.about_to_disable("ens5f0", 7, {0})
    owner.seen(7, look(v0=AUTO))  # the setting failed
    assert owner.seen(7, look(v0=DISABLE)) == (set(), set(), {0})


def test_vf_that_was_given_back_and_is_disabled_then_is_somebody_else_s():
    owner = Ownership()
    owner.about_to_disable("ens5f0", 7, {0})
    owner.took(7, {0})
    owner.gave_back(7, {0})
    assert owner.seen(7, look(v0=AUTO)) == (set(), set(), set())
    assert owner.seen(7, look(v0=DISABLE)) == (set(), set(), {0})


def test_vf_that_a_driver_said_to_have_given_back_and_did_not_is_ours(path):
    owner = Ownership(path)
    owner.about_to_disable("ens5f0", 7, {0, 1})
    owner.took(7, {0, 1})
    owner.gave_back(7, {0, 1})
    owner.mirror()
    assert Ownership(path).disabled(7) == frozenset()
    assert Ownership(path).seen(7, look(v0=DISABLE)).ours == {0}, "the relay died in between"
    assert owner.seen(7, look(v0=DISABLE)).ours == {0}, "VF 1 could not be read"
    assert owner.seen(7, look(v0=DISABLE, v1=DISABLE)) == ({0, 1}, set(), set())
    owner.mirror()
    assert Ownership(path).disabled(7) == {0, 1}


# The file


def test_record_of_an_earlier_boot_is_worth_nothing(path, tmp_path, monkeypatch):
    Ownership(path).about_to_disable("ens5f0", 7, VFS)
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr("pfstatus.relay.ownership.BOOT_ID", tmp_path / "boot_id")
    assert Ownership(path).names() == {}


DAMAGED = [b"", b"{", b"[]", b"null", b"{}", b'"text"', b"\0", b"\xff"]


@pytest.mark.parametrize("data", DAMAGED, ids=repr)
def test_file_that_is_no_record_is_moved_aside(path, data):
    path.parent.mkdir()
    path.write_bytes(data)
    owner = Ownership(path)
    assert owner.damaged is not None
    assert owner.damaged.read_bytes() == data
    owner.about_to_disable("ens5f0", 7, VFS)
    assert owner.error is None
    assert Ownership(path).disabled(7) == VFS


@pytest.mark.parametrize(
    "nics",
    [{}, [1], [{"ifindex": 7}], [{"ifindex": "x", "name": "a", "disabled": [], "lent": []}]],
    ids=str,
)
def test_record_that_is_damaged_is_moved_aside(path, nics):
    Ownership(path).about_to_disable("ens5f0", 7, VFS)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"nics": nics}))
    owner = Ownership(path)
    assert owner.names() == {}
    assert (owner.damaged is None) == (nics == {})


def test_file_is_tried_at_once(path):
    path.parent.mkdir()
    path.with_name(path.name + ".new").mkdir()
    owner = Ownership(path)
    owner.mirror()
    assert isinstance(owner.error, IsADirectoryError)


def test_memory_is_the_truth_and_the_file_follows(path):
    owner = Ownership(path)
    owner.mirror()
    path.with_name(path.name + ".new").mkdir()
    owner.about_to_disable("ens5f0", 7, VFS)
    assert owner.disabled(7) == VFS
    assert isinstance(owner.error, IsADirectoryError)
    path.with_name(path.name + ".new").rmdir()
    owner.mirror()
    assert owner.error is None
    assert Ownership(path).disabled(7) == VFS


def test_folder_that_went_is_made_again(path):
    owner = Ownership(path)
    owner.mirror()
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    owner.about_to_disable("ens5f0", 7, VFS)
    assert Ownership(path).disabled(7) == VFS


def test_folder_that_cannot_be_made_is_an_error_and_no_end(tmp_path):
    (tmp_path / "file").touch()
    owner = Ownership(tmp_path / "file" / "state")
    owner.about_to_disable("ens5f0", 7, VFS)
    assert isinstance(owner.error, NotADirectoryError)
    assert owner.disabled(7) == VFS


def test_two_relays_share_a_file(path):
    one, other = Ownership(path), Ownership(path)
    one.about_to_disable("ens5f0", 7, {1})
    other.about_to_disable("ens5f1", 8, {2})
    one.about_to_disable("ens5f0", 7, {3})
    again = Ownership(path)
    assert (again.disabled(7), again.disabled(8)) == ({1, 3}, {2})
    other.gave_back(8, {2})
    other.mirror()
    one.about_to_disable("ens5f0", 7, {4})
    again = Ownership(path)
    assert (again.disabled(7), again.disabled(8)) == ({1, 3, 4}, set())


def test_relays_that_write_at_once_lose_nothing(path):
    def fill(ifindex):
        owner = Ownership(path)
        for vf in range(50):
            owner.about_to_disable(f"ens{ifindex}", ifindex, {vf})
        while owner.error:
            owner.mirror()

    threads = [threading.Thread(target=fill, args=[ifindex]) for ifindex in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    again = Ownership(path)
    assert [again.disabled(ifindex) for ifindex in range(1, 5)] == [set(range(50))] * 4


def test_relay_that_is_stopped_while_it_writes_holds_up_no_other(path):
    owner = Ownership(path)
    owner.mirror()
    with (path.parent / "disabled-vfs.json.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        owner.about_to_disable("ens5f0", 7, VFS)
        assert isinstance(owner.error, BlockingIOError)
        assert owner.disabled(7) == VFS
    owner.mirror()
    assert Ownership(path).disabled(7) == VFS


def test_nothing_is_left_open(path):
    before = sorted(Path("/proc/self/fd").iterdir())
    for vf in range(5):
        Ownership(path).about_to_disable("ens5f0", 7, {vf})
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_without_a_path_it_is_kept_in_memory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    owner = Ownership()
    owner.about_to_disable("ens5f0", 7, VFS)
    owner.mirror()
    assert owner.disabled(7) == VFS
    assert list(tmp_path.iterdir()) == []
