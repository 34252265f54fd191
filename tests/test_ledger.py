from __future__ import annotations

import json

import pytest

from pfstatus.relay.ownership import Ledger

VFS = frozenset({0, 3, 200})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "disabled-vfs.json"


def test_what_was_noted_outlives_the_process(path):
    Ledger(path).set("ens5f0", 7, VFS)
    again = Ledger(path)
    assert again.get("ens5f0") == again.get("ens5f0", 7) == VFS
    assert again.names() == {"ens5f0"}


def test_pf_that_was_made_again_has_nothing_noted(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    assert ledger.get("ens5f0", 8) == frozenset()


def test_pf_that_was_made_again_takes_the_place_of_the_old_one(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    ledger.set("ens5f0", 8, frozenset({1}))
    assert Ledger(path).get("ens5f0", 8) == {1}
    assert Ledger(path).get("ens5f0", 7) == frozenset()


def test_pf_of_which_nothing_is_left_is_forgotten(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    ledger.set("ens5f0", 7, frozenset())
    assert ledger.names() == Ledger(path).names() == frozenset()


def test_pfs_do_not_mind_each_other(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    ledger.set("ens5f1", 8, frozenset({1}))
    ledger.set("ens5f0", 7, frozenset())
    assert Ledger(path).get("ens5f1", 8) == {1}


def test_what_is_noted_already_is_not_written_again(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    path.unlink()
    ledger.set("ens5f0", 7, VFS)
    ledger.set("ens5f1", 8, frozenset())
    assert not path.exists()


def test_failed_write_leaves_ledger_and_file_as_they_were(path):
    ledger = Ledger(path)
    ledger.set("ens5f0", 7, VFS)
    path.with_name(path.name + ".new").mkdir()  # in the way, also of root
    with pytest.raises(IsADirectoryError):
        ledger.set("ens5f0", 7, frozenset())
    assert ledger.get("ens5f0") == Ledger(path).get("ens5f0") == VFS


def test_record_of_an_earlier_boot_is_worth_nothing(path, tmp_path, monkeypatch):
    Ledger(path).set("ens5f0", 7, VFS)
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr("pfstatus.relay.ownership._BOOT_ID", tmp_path / "boot_id")
    assert Ledger(path).names() == frozenset()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b'"text"', b"\0", b"\xff"], ids=repr
)
def test_file_that_is_no_record_is_refused_and_left_alone(path, data):
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no record of disabled VFs"):
        Ledger(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "pfs",
    [[], {"ens5f0": 1}, {"ens5f0": {"vfs": [0]}}, {"ens5f0": {"ifindex": 7, "vfs": ["x"]}}],
    ids=str,
)
def test_record_that_is_damaged_is_refused(path, pfs):
    Ledger(path).set("ens5f0", 7, VFS)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pfs": pfs}))
    with pytest.raises(ValueError, match="no record of disabled VFs"):
        Ledger(path)


def test_without_a_path_it_is_kept_in_memory_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger(None)
    ledger.set("ens5f0", 7, VFS)
    assert ledger.get("ens5f0") == VFS
    assert list(tmp_path.iterdir()) == []
