"""The host's own kernel, in a network namespace that is made for the test and dies with it."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from pfstatus import (
    Cause,
    LacpReason,
    LinkNotFoundError,
    Monitor,
    OperState,
    Session,
)

CLONE_NEWNET = 0x40000000
SOON = 5.0

libc = ctypes.CDLL(None, use_errno=True)


class Netns:
    """A namespace that a sleeping process holds open."""

    def __init__(self) -> None:
        # It says when it is inside, and ends when its stdin does.
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        inside = self.holder.stdout.readline() == b"\n"
        self.path = Path(f"/proc/{self.holder.pid}/ns/net")
        if not inside:
            _, said = self.holder.communicate()
            pytest.skip(f"no network namespace can be made here: {said.decode().strip()}")

    def ip(self, *words: str) -> None:
        """Run ``ip`` inside, a command a word list."""
        batch = "\n".join(words)
        subprocess.run(
            ["nsenter", f"--net={self.path}", "ip", "-batch", "-"],
            input=batch,
            text=True,
            check=True,
            capture_output=True,
        )

    def close(self) -> None:
        self.holder.communicate()


@pytest.fixture
def netns():
    if os.geteuid():
        pytest.skip("making a network namespace takes root")
    netns = Netns()
    yield netns
    netns.close()


@pytest.fixture
def watch(netns):
    """Make a monitor inside that has told the present."""
    with ExitStack() as opened:

        def make(*names, interval=3600.0, **options):
            session = opened.enter_context(Session(netns=netns.path, events=True, **options))
            monitor = Monitor(*names, interval=interval, session=session, every_event=True)
            opened.enter_context(monitor).poll(0)
            return monitor

        yield make


def readable(fd, timeout=0.0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


def until(monitor, reason):
    """Poll until LACP is so; returns that change."""
    while True:
        changes = monitor.poll(SOON)
        assert changes, f"it did not become {reason}"
        for change in changes:
            if change.new.lacp.reason is reason:
                return change


# ---- Reading


def test_link_is_read(netns):
    netns.ip("link add pf0 type veth peer name peer0", "link set pf0 up", "link set peer0 up")
    with Session(netns=netns.path) as session:
        status = session.get("pf0")
    assert (status.name, status.ifname) == ("pf0", "pf0")
    assert status.operstate is OperState.UP
    assert status.lacp.reason is LacpReason.NO_BOND
    assert (status.num_vfs, status.vfs) == (0, ())


@pytest.mark.parametrize("name", ["alt0", "a-name-of-more-than-15-bytes"])
def test_link_is_found_by_an_alternative_name(netns, name):
    netns.ip("link add pf0 type veth peer name peer0", f"link property add dev pf0 altname {name}")
    with Session(netns=netns.path) as session:
        assert session.get(name).ifname == "pf0"


@pytest.mark.parametrize("name", ["pf0", "a-name-of-more-than-15-bytes"])
def test_link_that_is_not_there_is_not_found(netns, name):
    with Session(netns=netns.path) as session, pytest.raises(LinkNotFoundError, match=name):
        session.get(name)


def test_bridge_s_port_is_no_bond_s(netns):
    netns.ip(
        "link add pf0 type veth peer name peer0",
        "link add br0 type bridge",
        "link set pf0 master br0",
    )
    with Session(netns=netns.path) as session:
        status = session.get("pf0")
        assert status.lacp.reason is LacpReason.NOT_A_BOND
        assert (status.master_kind, status.bond) == ("bridge", None)
        assert session.ports() == []


def test_dump_of_more_links_than_one_datagram_holds_is_read_to_its_end(netns):
    netns.ip(*(f"link add pf{i} type veth peer name peer{i}" for i in range(150)))
    with Session(netns=netns.path) as session:
        assert session.ports() == []
        assert session.get("pf149").ifname == "pf149", "nothing of the dump is left in the socket"


# ---- Setting


def test_nic_without_a_setter_says_so_of_each_vf(netns):
    netns.ip("link add pf0 type veth peer name peer0")
    with Session(netns=netns.path) as session:
        results = session.set_vf_link_state("pf0", {0: "disable", 1: "disable"})
    assert [error.errno for _, _, error in results] == [errno.EOPNOTSUPP] * 2


def test_root_may_set_vfs(netns):
    with Session(netns=netns.path) as session:
        assert session.may_set_vfs()


def without_capabilities(code: str, netns: Netns) -> list[str]:
    """The lines that a process prints that has no capability but an open namespace."""
    fd = os.open(netns.path, os.O_RDONLY)
    try:
        ran = subprocess.run(
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-Pc", code],
            capture_output=True,
            text=True,
            check=True,
            pass_fds=[fd],
            env={**os.environ, "NETNS": str(fd)},
        )
    finally:
        os.close(fd)
    return ran.stdout.splitlines()


def test_process_without_capabilities_may_read_but_not_set(netns):
    code = """
import pfstatus
with pfstatus.Session() as session:
    print(session.get("lo").name, session.may_set_vfs())
    (result,) = session.set_vf_link_state("lo", {0: "auto"})
    print(type(result.error).__name__)
"""
    assert without_capabilities(code, netns) == ["lo False", "NotPermittedError"]


# ---- Events


def test_pf_that_comes_and_goes_is_heard_at_once(netns, watch):
    monitor = watch("pf0")
    netns.ip("link add pf0 type veth peer name peer0")
    until(monitor, LacpReason.NO_BOND)
    netns.ip("link del pf0")
    assert until(monitor, LacpReason.ABSENT).cause is Cause.EVENT


def test_pf_that_is_made_again_has_another_index(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0")
    monitor = watch("pf0")
    first = monitor.status("pf0").ifindex
    netns.ip("link del pf0")
    until(monitor, LacpReason.ABSENT)
    netns.ip("link add pf0 type veth peer name peer0")
    assert until(monitor, LacpReason.NO_BOND).new.ifindex > first


def test_pf_that_is_renamed_is_absent_until_it_is_renamed_back(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0")
    monitor = watch("pf0")
    netns.ip("link set pf0 name eth7")
    until(monitor, LacpReason.ABSENT)
    netns.ip("link set eth7 name pf0")
    until(monitor, LacpReason.NO_BOND)


def test_master_s_coming_and_going_is_heard(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0", "link add br0 type bridge")
    monitor = watch("pf0")
    netns.ip("link set pf0 master br0")
    until(monitor, LacpReason.NOT_A_BOND)
    netns.ip("link set pf0 nomaster")
    until(monitor, LacpReason.NO_BOND)


def events(monitor) -> int:
    """The event socket alone: fileno() is readable for questions that are due, too."""
    return monitor.session._wire.fileno()


def veth_storm(netns, pairs=50):
    netns.ip(
        *(f"link add veth{i} type veth peer name htev{i}" for i in range(pairs)),
        *(f"link del veth{i}" for i in range(pairs)),
    )


def test_storm_of_veths_wakes_nobody(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0")
    monitor = watch("pf0")
    veth_storm(netns)
    assert not readable(events(monitor))
    netns.ip("link set pf0 up")
    assert readable(events(monitor))
    assert monitor.poll(SOON)
    assert monitor.lost_events == 0


def test_without_the_kernel_s_filter_a_storm_wakes_and_tells_nothing(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0")
    monitor = watch("pf0", kernel_filter=False)
    veth_storm(netns, pairs=5)
    assert readable(events(monitor))
    assert monitor.poll(0) == []
    assert not readable(events(monitor))


def test_overrun_is_told_as_such_and_heals(netns, watch):
    netns.ip("link add pf0 type veth peer name peer0")
    monitor = watch("pf0", kernel_filter=False, event_buffer=16384)
    veth_storm(netns)
    netns.ip("link del pf0")
    change = until(monitor, LacpReason.ABSENT)
    assert change.cause is Cause.RESYNC
    assert monitor.lost_events == 1
    netns.ip("link add pf0 type veth peer name peer0")
    assert until(monitor, LacpReason.NO_BOND).cause is Cause.EVENT


# ---- The namespace


def my_netns() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


@pytest.mark.parametrize("by", ["path", "str", "descriptor"])
def test_session_is_inside_and_the_thread_stays_outside(netns, by):
    netns.ip("link add only-inside type veth peer name peer0")
    outside = my_netns()
    fd = os.open(netns.path, os.O_RDONLY)
    where = {"path": netns.path, "str": str(netns.path), "descriptor": fd}[by]
    try:
        with Session(netns=where) as session:
            assert session.get("only-inside").ifname == "only-inside"
        os.fstat(fd)  # still ours
    finally:
        os.close(fd)
    assert my_netns() == outside
    with Session() as session, pytest.raises(LinkNotFoundError):
        session.get("only-inside")


def test_session_without_netns_is_in_that_of_its_thread(netns):
    netns.ip("link add only-inside type veth peer name peer0")
    found = []

    def inside():
        with netns.path.open() as file:
            assert libc.setns(file.fileno(), CLONE_NEWNET) == 0
        with Session() as session:
            found.append(session.get("only-inside").ifname)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == ["only-inside"]


def test_session_outlives_the_name_of_its_namespace(netns):
    with Session(netns=netns.path) as session:
        netns.close()
        assert not netns.path.exists()
        assert session.get("lo").ifname == "lo"


def test_refused_namespace_says_what_entering_takes(netns):
    code = """
import os, pfstatus
try:
    pfstatus.Session(netns=int(os.environ["NETNS"]))
except pfstatus.NotPermittedError as exc:
    print(exc)
"""
    (said,) = without_capabilities(code, netns)
    assert "CAP_SYS_ADMIN" in said
