"""A relay's configuration, its other relays, and what sysfs tells it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest

from pfstatus import Policy
from pfstatus.relay import config
from pfstatus.relay.config import Config
from pfstatus.relay.numvfs import NumVfs
from pfstatus.relay.program import end_by_signal
from pfstatus.relay.rival import Claims

NAMES, INTERVAL = config.INTERFACES, config.POLLING_INTERVAL


def configured(*args, **environ):
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    return config.from_arguments(parser.parse_args(args), environ)


def test_defaults_are_those_of_the_reference():
    assert configured(**{NAMES: "ens5f0,ens5f1"}) == Config(("ens5f0", "ens5f1"), 1.0, Policy())


@pytest.mark.parametrize(
    ("environ", "interfaces", "interval"),
    [
        ({NAMES: " ens5f0 , ens5f1,"}, ("ens5f0", "ens5f1"), 1.0),
        ({NAMES: "ens5f0,ens5f1,ens5f0"}, ("ens5f0", "ens5f1"), 1.0),
        ({NAMES: "ens5f0\n"}, ("ens5f0",), 1.0),
        ({NAMES: "ens5f0", INTERVAL: "250"}, ("ens5f0",), 0.25),
        ({NAMES: "ens5f0", INTERVAL: "250\n"}, ("ens5f0",), 0.25),
        ({NAMES: "ens5f0", INTERVAL: ""}, ("ens5f0",), 1.0),
    ],
    ids=str,
)
def test_environment_is_read_as_people_write_it(environ, interfaces, interval):
    found = configured(**environ)
    assert (found.interfaces, found.interval) == (interfaces, interval)


def test_arguments_are_stronger_than_the_environment():
    found = configured("a", "b", "a", "--interval", "100", **{NAMES: "c", INTERVAL: "nonsense"})
    assert (found.interfaces, found.interval) == (("a", "b"), 0.1)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({NAMES: "a", INTERVAL: "99"}, f"{INTERVAL} is .* at least 100, not '99'"),
        ({NAMES: "a", INTERVAL: "1s\n"}, r"not '1s\\n'"),
        ({NAMES: " ,"}, f"no interfaces.*{NAMES}"),
    ],
    ids=str,
)
def test_what_is_wrong_is_shown_as_it_is(environ, words):
    with pytest.raises(ValueError, match=words):
        configured(**environ)


@pytest.mark.parametrize("values", [{"interfaces": ()}, {"interval": 0.05}], ids=str)
def test_configuration_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match=r"interface|interval"):
        Config(**{"interfaces": ("a",), **values})


# Signals


@pytest.fixture
def handlers():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "nohup"])
def test_terminal_that_closes_ends_a_relay_unless_nohup(ignored):
    called = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    end_by_signal(lambda: called.append(1))
    signal.raise_signal(signal.SIGHUP)
    assert called == ([] if ignored else [1])


# Other relays


@pytest.fixture
def netns():
    """A namespace that nobody else speaks of."""
    return int.from_bytes(os.urandom(6))


def test_pf_is_one_relay_s(netns):
    with Claims(netns) as ours, Claims(netns) as theirs:
        assert ours.claim(7) is None
        assert ours.claim(7) is None
        for _ in range(200):
            assert theirs.claim(7) == os.getpid()
        assert theirs.claim(8) is None
        ours.release(7)
        assert theirs.claim(7) is None
        assert ours.claim(7) == os.getpid()


def test_pf_of_a_relay_that_was_killed_is_free(netns):
    code = (
        "import sys, time; from pfstatus.relay.rival import Claims\n"
        f"claims = Claims({netns}); claims.claim(7); print('claimed', flush=True)\n"
        "time.sleep(60)"
    )
    with (
        Claims(netns) as ours,
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other,
    ):
        try:
            assert other.stdout.readline() == b"claimed\n"
            assert ours.claim(7) == other.pid
        finally:
            other.kill()
            other.wait(20)
        assert ours.claim(7) is None


def test_claim_that_an_ordinary_user_made_is_not_believed(netns):
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    code = (
        "import os, sys; from pfstatus.relay.rival import Claims\n"
        f"os.setuid(65534); claims = Claims({netns}); claims.claim(7)\n"
        "print('claimed', flush=True)\n"
        "sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"claimed\n"
        with Claims(netns) as ours:
            assert ours.claim(7) is None
        other.stdin.close()
        assert other.wait(20) == 0


def test_pf_of_an_unknown_namespace_is_not_claimed():
    with Claims(None) as one, Claims(None) as other:
        assert one.claim(7) is None
        assert other.claim(7) is None


# VFs in sysfs


@pytest.fixture
def sysfs(tmp_path):
    """A PF with ifindex 7, as sysfs shows it: a PCI device if it has a subsystem."""
    device = tmp_path / "devices" / "0000:81:00.0"
    device.mkdir(parents=True)
    netdev = tmp_path / "ens5f0"
    netdev.mkdir()
    (netdev / "ifindex").write_text("7\n")
    (netdev / "device").symlink_to(device)
    return tmp_path, device


def test_vfs_of_a_pci_device_are_seen_without_its_lock(sysfs):
    root, device = sysfs
    (root / "pci").mkdir()
    (device / "subsystem").symlink_to(root / "pci")
    (device / "sriov_numvfs").mkdir()  # which cannot be read
    num_vfs = NumVfs("ens5f0", 7, root)
    none = num_vfs.signature()
    assert none is not None
    (device / "virtfn0").symlink_to(device)
    some = num_vfs.signature()
    assert some not in (None, none)
    assert num_vfs.signature() == some
    (device / "virtfn0").unlink()
    assert num_vfs.signature() == none


def test_vfs_of_another_device_are_counted(sysfs):
    root, device = sysfs
    (device / "sriov_numvfs").write_text("0\n")
    num_vfs = NumVfs("ens5f0", 7, root)
    none = num_vfs.signature()
    (device / "sriov_numvfs").write_text("4\n")
    assert num_vfs.signature() != none
    (root / "ens5f0").rename(root / "ens6")  # it is the device that is looked at
    assert num_vfs.signature() == "4\n"


@pytest.mark.parametrize(("ifname", "ifindex"), [("ens5f0", 8), ("ens9", 7)], ids=str)
def test_sysfs_of_another_namespace_tells_nothing(sysfs, ifname, ifindex):
    root, device = sysfs
    (device / "sriov_numvfs").write_text("4\n")
    assert NumVfs(ifname, ifindex, root).signature() is None
