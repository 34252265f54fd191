"""Session and Monitor on a real kernel, down to the driver's calls."""

import errno
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from topology import Lab, ip

import pfstatus


@pytest.fixture
def session() -> Iterator[pfstatus.Session]:
    with pfstatus.Session() as session:
        yield session


@pytest.mark.parametrize("count", [0, 1, 221, 222, 256, 334, 335, 400, 512])
def test_any_number_of_vfs_is_read_and_set_right(
    lab: Lab, session: pfstatus.Session, count: int
) -> None:
    nic = lab.ports[0].nic
    nic.num_vfs = count
    status = session.get("pf0")
    assert status.num_vfs == count
    assert status.vfs == tuple(pfstatus.Vf(vf, pfstatus.VfLinkState.AUTO) for vf in range(count))
    assert status.lacp.status is pfstatus.LacpStatus.UP  # what follows a wrapped list was read too
    wanted = {vf: ("disable", "enable", "auto")[vf % 3] for vf in range(count)}
    results = session.set_vf_link_state("pf0", wanted)
    assert not [result for result in results if result.error]
    assert nic.vf_states() == wanted
    assert {vf: str(state) for vf, state in session.get("pf0").vfs or ()} == wanted


def test_pf_is_known_by_its_pci_address(lab: Lab, session: pfstatus.Session) -> None:
    pf = lab.ports[0].pf
    device = Path(f"/sys/class/net/{pf}/device").resolve()
    assert device.parent.name.startswith("pci")
    status = session.get(device.name)
    assert (status.name, status.ifname) == (device.name, pf)
    assert status.ifindex == session.get(pf).ifindex


@pytest.mark.parametrize("chunk", [0, 1, 5, 64])
def test_results_say_what_was_applied(lab: Lab, session: pfstatus.Session, chunk: int) -> None:
    nic = lab.ports[0].nic
    nic.num_vfs = 64
    # EPERM and ENODEV of one VF are the driver's word for that VF alone.
    failing = {3: errno.EBUSY, 4: errno.EAGAIN, 5: errno.EPERM, 29: errno.ENODEV}
    failing |= {30: errno.EINVAL, 31: errno.ETIMEDOUT, 63: errno.EOPNOTSUPP}
    for vf, code in failing.items():
        nic.fail(vf, code)
    results = session.set_vf_link_state("pf0", dict.fromkeys(range(64), "disable"), chunk=chunk)
    assert {r.vf: r.error.errno for r in results if r.error} == failing
    assert {type(r.error) for r in results if r.error} == {pfstatus.Error}
    states = nic.vf_states()
    assert all((states[r.vf] == "disable") == (r.error is None) for r in results)
    done = [r.vf for r in nic.trace() if r.kind == "set" and r.result == 0]
    assert sorted(done) == sorted(set(range(64)) - failing.keys()), "none was set twice"


def test_link_names_its_parent_device(lab: Lab, session: pfstatus.Session) -> None:
    name = lab.ports[0].pf
    device = Path(f"/sys/class/net/{name}/device").resolve().name
    assert session.get(name).parent == device
    lo = session.get("lo")
    assert (lo.parent, lo.admin_up, lo.carrier) == (None, True, True)


@pytest.fixture
def optmem_max() -> Iterator[Path]:
    path = Path("/proc/sys/net/core/optmem_max")
    before = path.read_text()
    yield path
    path.write_text(before)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("room", [20480, 1024], ids=["as-before-6.8", "hardly-any"])
def test_64_pfs_are_watched_with_little_room_for_the_filter(optmem_max: Path, room: int) -> None:
    names = [f"fifteen-chars{i:02}" for i in range(64)]
    optmem_max.write_text(str(room))
    ip(*(f"link add {name} group 9 type veth peer p{i}" for i, name in enumerate(names)))
    try:
        with pfstatus.Monitor(*names, interval=600) as monitor:
            assert len(monitor.poll(30)) == 64
            events = [monitor.session._wire.fileno()]
            while select.select(events, [], [], 0)[0]:
                monitor.poll(0)
            ip("link add foreign type veth peer ngierof", "link del foreign")
            woken = bool(select.select(events, [], [], 0)[0])
            assert woken == (room < 20480), "with no room all links are heard of"
            while select.select(events, [], [], 0)[0]:
                monitor.poll(0)
            ip(f"link set {names[63]} up")
            assert select.select(events, [], [], 0)[0]
    finally:
        ip("link del group 9")


def test_pf_that_vanishes_between_two_messages_ends_the_batch(
    lab: Lab, session: pfstatus.Session
) -> None:
    port = lab.ports[0]
    port.nic.num_vfs = 4
    status = session.get("pf0")
    port.disturbed = True
    port.remove_pf()
    results = session.set_vf_link_state(status, dict.fromkeys(range(4), "disable"), chunk=2)
    codes = [result.error.errno for result in results if result.error]
    assert codes == [errno.ENODEV] * 2 + [errno.ECANCELED] * 2


@pytest.mark.parametrize("kernel_filter", [True, False], ids=["filtered", "unfiltered"])
def test_ten_thousand_veth_events(lab: Lab, kernel_filter: bool) -> None:
    """Filtered they wake nobody; either way the PFs are still seen to go and come back."""
    port = lab.ports[0]
    with (
        pfstatus.Session(events=True, kernel_filter=kernel_filter, event_buffer=1 << 27) as session,
        pfstatus.Monitor("pf0", "pf1", interval=600, session=session) as monitor,
    ):
        assert len(monitor.poll(5)) == 2
        wakes = 0
        # 8 events a pair, made and deleted.
        for _ in range(13 if kernel_filter else 1):
            ip(*(f"link add storm{i} group 7 type veth peer mrots{i}" for i in range(100)))
            ip("link del group 7")
            while select.select([monitor.fileno()], [], [], 0)[0]:
                wakes += 1
                assert monitor.poll(0) == []
        assert (wakes == 0) == kernel_filter
        port.disturbed = True
        before = port.ifindex
        port.remove_pf()
        assert [c.new.lacp.reason.name for c in _poll(monitor)][-1:] == ["ABSENT"]
        port.create_pf()
        back = _poll(monitor)[-1].new
        assert back.ifindex not in (None, before)
        ip("link set pf1 down", "link set pf1 name away")
        assert "ABSENT" in [c.new.lacp.reason.name for c in _poll(monitor)]
        ip("link set away name pf1")
        assert _poll(monitor)[-1].new.ifname == "pf1"


def _poll(monitor: pfstatus.Monitor) -> list[pfstatus.Change]:
    """Everything that is told until it has been quiet for a while."""
    changes: list[pfstatus.Change] = []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        told = monitor.poll(0.5)
        if changes and not told:
            break
        changes += told
    return changes
