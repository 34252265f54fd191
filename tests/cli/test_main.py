"""The command as a whole: exit statuses, streams, help."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

import pfstatus
from pfstatus.cli import main
from pfstatus.cli.text import WIDTH

ROOT = Path(__file__).parents[2]
WORDS = ["status", "watch", "explain", "ping", "set", "relay", "capture"]


# ---- help


@pytest.mark.parametrize("command", WORDS)
def test_each_command_has_help_with_its_exit_status_in_80_columns(run, capsys, command):
    assert run(command, "--help") == 0
    out = capsys.readouterr().out
    assert re.search(r"exit status|and then with 130", " ".join(out.lower().split()))
    assert [line for line in out.splitlines() if len(line) > WIDTH] == []


def test_documented_exit_statuses_are_those_of_the_help(run, capsys):
    run("--help")
    text = capsys.readouterr().out
    page = (ROOT / "docs" / "cli.md").read_text()
    for code in (0, 1, 2, 3, 130, 141):
        assert re.search(rf"^  {code} +", text, re.MULTILINE)
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []


def test_version_is_the_librarys(run, capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"pfstatus {pfstatus.__version__}\n"


def test_wrong_usage_is_2_and_one_line(run, capsys):
    assert run("state") == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---- ends before the end


@pytest.mark.parametrize("command", ["status", "explain"])
def test_ctrl_c_is_130_and_says_nothing(run, kernel, pf, capsys, command):
    kernel.on_request = lambda _: os.kill(os.getpid(), signal.SIGINT)
    assert run(command, pf.name) == 130
    assert capsys.readouterr() == ("", "")


SAYING = ["--help", "status", "explain --json", "set ens5f0 0=auto", "watch"]


@pytest.mark.parametrize("arguments", SAYING)
def test_nobody_reading_is_141_and_says_nothing(shell, arguments):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ran = shell(f"$PFSTATUS {arguments}", stdout=closed)
    assert (ran.returncode, ran.stderr) == (141, "")


# ---- streams


@pytest.mark.parametrize("arguments", SAYING)
def test_a_full_disk_is_3_and_one_line(shell, arguments):
    ran = shell(f"$PFSTATUS {arguments} >/dev/full")
    assert ran.returncode == 3
    assert ran.stderr == "pfstatus: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "streams", "status"),
    [
        ("status", ">&-", 0),
        ("explain ens5f0", ">&-", 0),
        ("--help", ">&-", 0),
        ("status", "<&- >&- 2>&-", 0),
        ("status ens9", ">&- 2>&-", 3),
        ("status ens9", "2>&-", 3),
        ("status ens9", "2>/dev/full", 3),
        ("bad", "2>/dev/full", 2),
    ],
)
def test_a_stream_that_was_closed_changes_no_answer(shell, arguments, streams, status):
    ran = shell(f"$PFSTATUS {arguments} {streams}")
    assert ran.returncode == status
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "Exception" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("encoding", "arguments"),
    [
        ("ascii", "explain"),
        ("latin-1", "explain"),
        ("ascii", "explain no✓\udcff"),
        ("utf-8", "explain no✓\udcff"),
        ("cp437", "status"),
    ],
)
def test_output_that_the_encoding_cannot_carry_is_spelled_otherwise(shell, encoding, arguments):
    ran = shell(f"$PFSTATUS {arguments}", PYTHONIOENCODING=encoding)
    assert ran.returncode in (0, 1)
    assert ran.stdout
    assert ran.stderr == ""
    if arguments == "explain" and encoding == "ascii":
        assert "\n  + The link of ens5f0 is up.\n" in ran.stdout


def test_a_fault_of_ours_is_one_line_unless_asked_for(run, pf, monkeypatch, capsys):
    def fault(*_, **__):
        raise KeyError(pf.name)

    monkeypatch.setattr("pfstatus.cli.status.look", fault)
    assert run("status") == 3
    assert capsys.readouterr().err == (
        "pfstatus: KeyError: 'ens5f0': a fault of pfstatus (PYTHONDEVMODE=1 shows it)\n"
    )


def test_main_is_the_installed_command():
    from importlib.metadata import entry_points

    (command,) = entry_points(group="console_scripts", name="pfstatus")
    assert command.load() is main


def test_a_relay_loads_no_other_command_nor_what_only_those_need(script):
    ran = script(
        "import sys\n"
        "from pfstatus.cli import main\n"
        "code = main(['relay', '--check-config', 'ens5f0'])\n"
        "print(*sorted(sys.modules))\n"
        "sys.exit(code)"
    )
    loaded = set(ran.stdout.split())
    assert ran.returncode == 0
    assert "pfstatus.cli.relay" in loaded
    others = ("pfstatus.cli.capture", "statistics")
    assert loaded.isdisjoint({*others, "ssl", "http.server", "email", "importlib.metadata"})
    assert loaded.isdisjoint({"logging", "tomllib", "shutil", "textwrap"})


@pytest.mark.parametrize(("columns", "most"), [("60", 60), ("100", 100), ("", 80), ("wide", 80)])
def test_help_is_as_wide_as_the_terminal(script, columns, most):
    ran = script(
        f"import os; os.environ['COLUMNS'] = {columns!r}\n"
        "from pfstatus.cli import main\n"
        "main(['relay', '--help'])"
    )
    usage, _, _ = ran.stdout.partition("\n\n")
    assert most - 15 < max(map(len, usage.splitlines())) <= most
