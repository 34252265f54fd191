"""keep-installed: the plugin is on the node for as long as an agent is."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "cni" / "keep-installed"
LIMIT = 30.0


@pytest.fixture
def node(tmp_path):
    """Starts one that installs a plugin with a text; returns once it is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    started = []

    def start(text="plugin"):
        plugin = tmp_path / text
        plugin.write_text(text)
        process = subprocess.Popen(
            [PROGRAM, folder, tmp_path / "lock", plugin],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == f"installed {folder}/pfstatus-cni\n"
        return process

    start.folder, start.target = folder, folder / "pfstatus-cni"
    yield start
    for process in started:
        if process.poll() is None:
            kill(process)
        process.stdout.close()


def kill(process):
    """As a container ends: all of it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(LIMIT)


def end(process):
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    return said


def test_plugin_is_there_whole_and_goes_with_the_agent(node):
    process = node()
    assert node.target.read_text() == "plugin"
    assert node.target.stat().st_mode & 0o777 == 0o755
    assert end(process) == f"removed {node.target}\n"
    assert list(node.folder.iterdir()) == []


def test_next_one_of_an_update_keeps_what_it_installed(node):
    old = node("old")
    new = node("new")
    assert end(old) == f"left {node.target} to another agent\n"
    assert node.target.read_text() == "new"
    assert "removed" in end(new)
    assert not node.target.exists()


def test_one_that_was_killed_holds_nobody_up(node):
    old = node("old")
    kill(old)
    new = node("new")
    assert "removed" in end(new)
    assert not node.target.exists()


def test_plugin_that_runs_meanwhile_is_not_written_into(node):
    first = node("first")
    with node.target.open() as running:
        node("second")
        assert running.read() == "first"
        assert node.target.read_text() == "second"
    end(first)


def test_folder_that_is_not_there_is_an_error(tmp_path):
    plugin = tmp_path / "plugin"
    plugin.touch()
    ran = subprocess.run(
        [PROGRAM, tmp_path / "no", tmp_path / "lock", plugin],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert str(tmp_path / "no") in ran.stderr
