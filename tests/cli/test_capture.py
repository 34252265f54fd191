"""pfstatus capture."""

from __future__ import annotations

import re
import signal
from io import BytesIO

import pytest

from pfstatus import VfLinkState
from pfstatus.recording import pcapng
from pfstatus.testing import replay


def test_capture_can_be_played_again(run, pf, tmp_path, capsys, kernel):
    file = tmp_path / "bug.pcapng"
    pf.vfs[1] = VfLinkState.DISABLE
    assert run("capture", str(file), "--seconds", "0.1") == 0
    assert re.search(r"\d+ packets in .*bug\.pcapng", capsys.readouterr().err)
    with replay(file) as recorded, kernel.session() as session:
        assert recorded.get("ens5f0") == session.get("ens5f0")
        assert recorded.may_set_vfs()


@pytest.mark.usefixtures("pf")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_capture_ends_by_a_signal_as_it_should(run_until, kernel, tmp_path, number):
    file = tmp_path / "bug.pcapng"

    def happen():
        while not kernel.requests["get-vfs"]:
            pass

    assert run_until("capture", str(file), "ens5f0", happen=happen, number=number) == 0
    with file.open("rb") as recorded:
        assert [*pcapng.read(recorded)]


@pytest.mark.usefixtures("pf")
def test_capture_into_nowhere_is_3_and_one_line(run, tmp_path, capsys):
    assert run("capture", str(tmp_path / "no" / "bug.pcapng"), "--seconds", "1") == 3
    assert re.fullmatch(
        r"pfstatus: .*bug\.pcapng: No such file or directory\n", capsys.readouterr().err
    )


@pytest.mark.usefixtures("pf")
def test_capture_to_a_full_disk_is_said(run, capsys):
    assert run("capture", "/dev/full", "--seconds", "1") == 3
    assert capsys.readouterr().err == "pfstatus: /dev/full: No space left on device\n"


@pytest.mark.usefixtures("pf")
def test_capture_that_fails_later_ends_by_itself(run, tmp_path, monkeypatch, capsys):
    class Full(BytesIO):
        def write(self, data):
            if self.tell() > 1000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr("pfstatus.cli.capture._open", lambda _: Full())
    assert run("capture", str(tmp_path / "bug.pcapng"), "ens5f0") == 3
    assert capsys.readouterr().err.endswith("bug.pcapng: No space left on device\n")


@pytest.mark.usefixtures("pf")
def test_capture_overwrites_nothing(run, tmp_path, capsys):
    file = tmp_path / "bug.pcapng"
    file.write_text("precious")
    assert run("capture", str(file), "--seconds", "1") == 3
    assert "name a new file" in capsys.readouterr().err
    assert file.read_text() == "precious"


@pytest.mark.usefixtures("pf")
def test_capture_of_a_pf_without_a_file_is_refused(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("capture", "ens5f0", "--seconds", "1") == 2
    assert "the file comes first" in capsys.readouterr().err
    assert run("capture", "./ens5f0", "--seconds", "0.1") == 0
    assert (tmp_path / "ens5f0").exists()


@pytest.mark.usefixtures("pf")
def test_capture_without_any_port_leaves_no_file(run, kernel, tmp_path):
    for link in [link for link in kernel.links if link.kind == "bond"]:
        kernel.remove(link)
    assert run("capture", str(tmp_path / "bug.pcapng")) == 3
    assert not [*tmp_path.iterdir()]


def test_capture_to_stdout_is_the_recording_and_nothing_else(shell, tmp_path):
    file = tmp_path / "out"
    ran = shell(f"$PFSTATUS capture - --seconds 0.1 >{file}")
    assert (ran.returncode, ran.stdout) == (0, "")
    with file.open("rb") as recorded:
        assert [*pcapng.read(recorded)]


def test_capture_whose_reader_left_is_141(shell):
    ran = shell("$PFSTATUS capture - | true; exit ${PIPESTATUS[0]}")
    assert (ran.returncode, ran.stderr) == (141, "")
