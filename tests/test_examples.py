"""The examples, as people run them."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import trio

import pfstatus

EXAMPLES = Path(__file__).parent.parent / "examples"
SOON = 10.0
NO_NAME = "a" * 128
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
NOWHERE = "no-such-if"  # an interface that no host has


def command(example, *args) -> list[str]:
    return [sys.executable, str(EXAMPLES / example), *args]


def environment(**values) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PF_STATUS_RELAY_")}
    return clean | values


def run(example, *args, **values) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(example, *args),
        env=environment(**values),
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )


class Running:
    """An example that runs until it is stopped."""

    def __init__(self, *argv, **values) -> None:
        self.process = subprocess.Popen(
            argv,
            env=environment(**values),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what was read ahead would not be waited for
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_exc) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        assert select.select([self.process.stdout], [], [], SOON)[0], "it says nothing"
        return self.process.stdout.readline().decode()

    def end(self, number) -> tuple[int, str]:
        """Send a signal. Returns the exit status and stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=SOON)
        return self.process.returncode, stderr.decode()


# ---- relay.py: configuration


@pytest.mark.parametrize(
    ("args", "values", "word"),
    [
        ([], {}, "no interfaces"),
        ([], {"PF_STATUS_RELAY_INTERFACES": ""}, "no interfaces"),
        ([], {"PF_STATUS_RELAY_INTERFACES": " , ,"}, "no interfaces"),
        ([NO_NAME], {}, NO_NAME),
        (["a"], {"PF_STATUS_RELAY_POLLING_INTERVAL": "99"}, "at least 100"),
        (["a"], {"PF_STATUS_RELAY_POLLING_INTERVAL": "1s"}, "at least 100"),
        (["a"], {"PF_STATUS_RELAY_POLLING_INTERVAL": "-1000"}, "at least 100"),
        (["a"], {"PF_STATUS_RELAY_POLLING_INTERVAL": "\u00b9000"}, "at least 100"),
        (["--interval", "99", "a"], {}, "at least 100"),
        (["--interval", "0", "a"], {}, "at least 100"),
        (["--up-delay", "-1", "a"], {}, "up_delay"),
        (["--up-delay", "nan", "a"], {}, "up_delay"),
        (["--restore", "some", "a"], {}, "--restore"),
        (["--on-exit", "give", "a"], {}, "--on-exit"),
        (["--unheard-of", "a"], {}, "--unheard-of"),
    ],
    ids=str,
)
def test_relay_says_what_is_wrong_and_exits_2(args, values, word):
    ran = run("relay.py", *args, **values)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert word in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_help_is_there(example):
    ran = run(example, "--help")
    assert ran.returncode == 0
    assert "INTERFACE" in ran.stdout


# ---- relay.py: running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=str)
def test_relay_ends_well_on_a_signal(number):
    with Running(*command("relay.py", "--dry-run", NOWHERE)) as relay:
        assert json.loads(relay.line())["msg"] == "Starting application"
        assert relay.end(number) == (0, "")


def test_relay_writes_a_json_object_a_line():
    values = {
        "PF_STATUS_RELAY_INTERFACES": f"{NOWHERE}, lo",
        "PF_STATUS_RELAY_POLLING_INTERVAL": "100",
    }
    with Running(*command("relay.py", "--dry-run"), **values) as relay:
        lines = [json.loads(relay.line()) for _ in range(4)]
    assert all(list(line)[:3] == ["time", "level", "msg"] for line in lines)
    assert all(re.fullmatch(STAMP, line.pop("time")) for line in lines)
    assert lines == [
        {"level": "INFO", "msg": "Starting application"},
        {"level": "INFO", "msg": "interfaces to monitor", "interfaces": [NOWHERE, "lo"]},
        {
            "level": "ERROR",
            "msg": "pf is not ready",
            "interface": NOWHERE,
            "error": "There is no interface of this name. It is served as soon as it appears "
            "(ip -br link shows the names).",
        },
        {
            "level": "ERROR",
            "msg": "pf is not ready",
            "interface": "lo",
            "error": "The interface is in no bond. Make it a port of a bond in mode 802.3ad "
            "(pfstatus explain lo says how).",
        },
    ]


def powerless(*argv) -> list[str]:
    """The command without any capability, whoever we are."""
    if os.geteuid():
        return list(argv)
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed, and root is all-powerful")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]


def test_relay_without_cap_net_admin_says_so_at_once():
    ran = subprocess.run(
        powerless(*command("relay.py", NOWHERE)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    (line,) = ran.stderr.splitlines()
    assert "CAP_NET_ADMIN" in line


def test_dry_run_needs_no_capability():
    with Running(*powerless(*command("relay.py", "--dry-run", NOWHERE))) as relay:
        assert "Starting application" in relay.line()
        assert relay.end(signal.SIGTERM) == (0, "")


def test_relay_is_short():
    """A program to read whole."""
    assert len((EXAMPLES / "relay.py").read_text().splitlines()) <= 30


# ---- status.py, watch.py


def test_status_of_what_is_in_no_bond_is_1_with_the_reason():
    ran = run("status.py", "lo")
    assert (ran.returncode, ran.stderr) == (1, "")
    header, line, sentence = ran.stdout.splitlines()
    assert header.split()[:3] == ["PF", "LACP", "REASON"]
    assert line.split()[:3] == ["lo", "unknown", "no-bond"]
    assert sentence == "lo: The interface is in no bond."


def test_status_of_what_is_not_there_is_2():
    ran = run("status.py", NOWHERE)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert NOWHERE in ran.stderr


def test_status_as_json_is_words_and_numbers():
    ran = run("status.py", "--json", "lo")
    (pf,) = json.loads(ran.stdout)
    assert pf["name"] == pf["ifname"] == "lo"
    assert (pf["lacp"]["status"], pf["lacp"]["reason"]) == ("unknown", "no-bond")
    assert pf["ifindex"] == 1


def test_watch_tells_the_present_and_ends_on_ctrl_c():
    with Running(*command("watch.py", "lo")) as watch:
        assert "lo: LACP unknown (no-bond) [start]" in watch.line()
        assert watch.end(signal.SIGINT) == (0, "")


@pytest.mark.parametrize("args", [[NO_NAME], ["--interval", "0", "lo"]], ids=["name", "interval"])
def test_watch_says_in_one_line_what_is_wrong(args):
    ran = run("watch.py", *args)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("watch: ")


# ---- watch_async.py, callback.py, own_loop.py


PRESENT = "lo: LACP unknown (no-bond) [start]"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_watch_async_tells_the_present_and_ends_on_a_signal(number):
    with Running(*command("watch_async.py", "lo")) as watch:
        assert PRESENT in watch.line()
        assert watch.end(number) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_callback_is_told_and_ends_on_a_signal(number):
    with Running(*command("callback.py", "lo", NOWHERE)) as callback:
        assert callback.line().rstrip() == PRESENT
        assert callback.line().startswith(f"{NOWHERE}: LACP unknown (absent)")
        assert callback.end(number) == (0, "")


def test_own_loop_answers_a_line_and_ends_with_its_input():
    argv = command("own_loop.py", "lo")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loop:
        assert loop.stdout.readline().rstrip() == PRESENT
        loop.stdin.write("\n")
        loop.stdin.flush()
        assert loop.stdout.readline().rstrip() == "lo: LACP unknown (no-bond)"
        out, _ = loop.communicate(timeout=SOON)
    assert (loop.returncode, out) == (0, "")


@pytest.mark.parametrize("example", ["watch_async.py", "callback.py", "own_loop.py"])
def test_example_says_in_one_line_what_is_wrong(example):
    ran = run(example, NO_NAME)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(example.removesuffix("py").replace(".", ": "))


@pytest.fixture
def pf(kernel):
    """One in a bond, LACP up."""
    pf = kernel.add_pf("ens5f0", vfs=2)
    kernel.add_bond("bond0", pf)
    return pf


def load(example):
    spec = spec_from_file_location(example, EXAMPLES / f"{example}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_loop_s_trio_program_is_told_of_changes(kernel, pf, monkeypatch, capsys):
    """As its docstring has it."""
    code = load("own_loop").__doc__.partition("::\n")[2]
    names = {"trio": trio, "pfstatus": pfstatus}
    exec("if True:\n" + code, names)
    session = kernel.session()
    monkeypatch.setattr(pfstatus, "Monitor", partial(pfstatus.Monitor, session=session))
    said = []

    async def program():
        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(names["watch"], "ens5f0")
                while len(said) < 2:
                    await trio.lowlevel.checkpoint()
                    said.extend(capsys.readouterr().out.splitlines())
                    if len(said) == 1:
                        pf.lacp_expire()
                nursery.cancel_scope.cancel()

    trio.run(program)
    assert said[0] == "ens5f0: LACP up [start]"
    assert said[1] == "ens5f0: LACP up -> down (expired) [event]"


# ---- placement.py


@pytest.fixture
def placement(kernel, monkeypatch, capsys):
    """Ask of a PF of the fake kernel: the exit status and the line."""
    wait_for = pfstatus.wait_for

    def fake(*args, netns, **options):
        assert netns is None
        return wait_for(*args, session=kernel.session(), **options)

    def ask(*args):
        monkeypatch.setattr(pfstatus, "wait_for", fake)
        monkeypatch.setattr(sys, "argv", ["placement.py", *args])
        status = load("placement").main()
        out, err = capsys.readouterr()
        assert err == ""
        (line,) = out.splitlines()
        return status, json.loads(line)

    return ask


@pytest.mark.parametrize(
    ("happens", "reason", "answer"),
    [
        (lambda _pf: None, "up", (0, True)),
        (lambda pf: pf.lacp_expire(), "expired", (1, False)),
        (lambda pf: pf.lacp_default(), "defaulted", (1, False)),
        (lambda pf: pf.lacp_set(0, 0), "negotiating", (1, False)),
        (lambda pf: pf.set_carrier(False), "link-down", (3, None)),
        (lambda pf: pf.kernel.remove(pf.master), "no-bond", (3, None)),
        (lambda pf: pf.kernel.remove(pf), "absent", (3, None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_placement_answers(pf, placement, happens, reason, answer):
    happens(pf)
    status, line = placement("ens5f0")
    assert (status, line["place"]) == answer
    assert (line["interface"], line["lacp"]["reason"]) == ("ens5f0", reason)
    assert line["lacp"]["sentence"].endswith(".")


def test_placement_waits_for_lacp(pf, placement):
    pf.lacp_default()
    timer = threading.Timer(0.05, pf.lacp_up)
    timer.start()
    assert placement("ens5f0", "--wait", "5")[0] == 0
    timer.join()


def test_placement_needs_no_capability():
    ran = subprocess.run(
        powerless(*command("placement.py", "lo")),
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (3, "")
    assert json.loads(ran.stdout)["lacp"]["reason"] == "no-bond"


@pytest.mark.parametrize(
    "args",
    [
        [NO_NAME],
        ["lo", "--wait", "nan"],
        ["lo", "--netns", "/no/such"],
        [],
        ["lo", "--wait", "soon"],
    ],
    ids=" ".join,
)
def test_placement_that_cannot_ask_is_2_without_a_line(args):
    ran = run("placement.py", *args)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "placement" in ran.stderr.splitlines()[-1]
