from __future__ import annotations

import errno
import math
import os
import socket
import struct
from functools import partial

import pytest

from pfstatus import (
    BondMode,
    Error,
    LacpReason,
    LacpStatus,
    LinkNotFoundError,
    MalformedError,
    Monitor,
    NoAnswerError,
    NotPermittedError,
    Session,
    Vf,
    VfLinkState,
)
from pfstatus.recording import netlink as wire

AUTO, ENABLE, DISABLE = VfLinkState
LONG_NAME = "enp216s0f0np0-by-path-pci"


@pytest.fixture
def session(kernel):
    with kernel.session(events=False) as session:
        yield session


# ---- Reading


def test_get_tells_pf_bond_and_vfs(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=3)
    bond = kernel.add_bond("bond0", pf)
    pf.vfs[1] = DISABLE
    status = session.get("ens5f0")
    assert (status.name, status.ifname, status.ifindex) == ("ens5f0", "ens5f0", pf.ifindex)
    assert status.lacp.reason is LacpReason.UP
    assert (status.bond.name, status.bond.ifindex) == ("bond0", bond.ifindex)
    assert (status.num_vfs, status.vfs) == (3, (Vf(0, AUTO), Vf(1, DISABLE), Vf(2, AUTO)))


@pytest.mark.parametrize("name", ["enp3s0f0np0", LONG_NAME, "pci:0000:5e:00.0", "a b/c"])
def test_get_takes_an_alternative_name(kernel, session, name):
    kernel.add_pf("ens5f0", altnames=["other", name])
    status = session.get(name)
    assert (status.name, status.ifname) == (name, "ens5f0")


@pytest.fixture
def pci(monkeypatch, tmp_path):
    """Have sysfs show interfaces of a PCI device: name, ifindex, port name."""
    monkeypatch.setattr("pfstatus._pci.ROOT", str(tmp_path))

    def show(address, *interfaces):
        for name, ifindex, port in interfaces:
            folder = tmp_path / address / "net" / name
            folder.mkdir(parents=True)
            (folder / "ifindex").write_text(f"{ifindex}\n")
            if port:
                (folder / "phys_port_name").write_text(f"{port}\n")

    return show


@pytest.mark.parametrize("parent", ["0000:5e:00.0", None], ids=["told", "not-told"])
def test_pf_is_known_by_its_pci_address(kernel, session, pci, parent):
    pf = kernel.add_pf("ens5f0", vfs=1)
    pf.parent = parent
    other = kernel.add_pf("ens5f0_0")
    pci("0000:5e:00.0", ("ens5f0", pf.ifindex, "p0"), ("ens5f0_0", other.ifindex, "pf0vf0"))
    for address in ("0000:5e:00.0", "0000:5E:00.0"):
        status = session.get(address)
        assert (status.name, status.ifname, status.ifindex) == (address, "ens5f0", pf.ifindex)
    assert session.set_vf_link_state("0000:5e:00.0", {0: "disable"})[0].error is None
    assert pf.vfs[0] is DISABLE


@pytest.mark.parametrize("wrong", ["ifindex", "parent", "name", "address"])
def test_sysfs_of_another_network_namespace_is_not_believed(kernel, session, pci, wrong):
    pf = kernel.add_pf("ens5f0")
    pf.parent = "0000:5f:00.0" if wrong == "parent" else "0000:5e:00.0"
    name = "ens9f0" if wrong == "name" else "ens5f0"
    pci("0000:5e:00.0", (name, pf.ifindex + (wrong == "ifindex"), ""))
    address = "0000:5e:00.1" if wrong == "address" else "0000:5e:00.0"
    with pytest.raises(LinkNotFoundError) as caught:
        session.get(address)
    assert caught.value.filename == address


def test_device_with_two_interfaces_wants_a_name(kernel, session, pci):
    ports = [kernel.add_pf(name) for name in ("ens5", "ens5d1")]
    pci("0000:5e:00.0", *((port.name, port.ifindex, "") for port in ports))
    with pytest.raises(Error) as caught:
        session.get("0000:5e:00.0")
    assert caught.value.errno == errno.ENOTUNIQ


def test_address_that_leads_elsewhere_is_no_address(session, pci):
    pci("0000:5e:00.0", ("lo", 1, ""))
    for name in ("../0000:5e:00.0", "0000:5e:00.0/", ":", "0000:5e:00.8"):
        with pytest.raises(LinkNotFoundError):
            session.get(name)


def test_monitor_follows_a_pci_address_through_another_name(kernel, pci, tmp_path):
    pf = kernel.add_pf("ens5f0")
    kernel.add_bond("bond0", pf)
    pci("0000:5e:00.0", ("ens5f0", pf.ifindex, ""))
    with Monitor("0000:5e:00.0", interval=0.1, session=kernel.session()) as monitor:
        (change,) = monitor.poll(5)
        assert (change.name, change.new.ifname) == ("0000:5e:00.0", "ens5f0")
        (tmp_path / "0000:5e:00.0/net/ens5f0").rename(tmp_path / "0000:5e:00.0/net/uplink")
        with kernel.change(pf):
            pf.name = "uplink"
        while change.new.ifname != "uplink":
            (change,) = monitor.poll(5, limit=1)
        pf.lacp_expire()
        (change,) = monitor.poll(5)
        assert change.new.lacp.reason is LacpReason.EXPIRED


def test_get_without_vfs_does_not_bother_the_driver(kernel, session):
    kernel.add_pf("ens5f0", vfs=3)
    status = session.get("ens5f0", vfs=False)
    assert (status.num_vfs, status.vfs) == (None, None)
    assert kernel.requests == {"get": 1}


@pytest.mark.parametrize("count", [0, 64, 65, 512])
def test_get_reads_any_number_of_vfs(kernel, session, count):
    kernel.add_pf("ens5f0", vfs=count)
    assert len(session.get("ens5f0").vfs) == count


def test_bond_that_is_known_is_not_asked_for_again(kernel, session):
    pf = kernel.add_pf("ens5f0")
    kernel.add_bond("bond0", pf)
    bond = session.get("ens5f0", vfs=False).bond
    kernel.requests.clear()
    assert session.get("ens5f0", vfs=False, bond=bond).bond == bond
    assert kernel.requests == {"get": 1}
    kernel.add_bond("bond1", pf)
    assert session.get("ens5f0", vfs=False, bond=bond).bond.name == "bond1"


def test_vfs_of_a_known_pf_are_read_by_one_question_with_lacp(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=300)
    kernel.add_bond("bond0", pf)
    status = session.get("ens5f0", vfs=False)
    kernel.requests.clear()
    pf.hidden = {1}
    pf.lacp_expire()
    lacp, count, vfs = session.vfs(status)
    assert (lacp.reason, count, len(vfs)) == (LacpReason.EXPIRED, 300, 299)
    assert kernel.requests["get"] == 0


def test_vfs_of_a_pf_that_is_gone_or_never_was_are_an_error(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=2)
    status = session.get("ens5f0")
    kernel.remove(pf)
    for gone in (status, status._replace(ifindex=None)):
        with pytest.raises(LinkNotFoundError, match="ens5f0"):
            session.vfs(gone)


def test_get_of_nothing_says_which_and_what_the_kernel_said(session):
    with pytest.raises(LinkNotFoundError) as caught:
        session.get("ens5f0")
    assert (caught.value.errno, caught.value.filename) == (errno.ENODEV, "ens5f0")
    assert caught.value.extack == "no such link"


def test_error_text_of_one_request_is_not_the_next_one_s(kernel, session):
    with pytest.raises(LinkNotFoundError):
        session.get("ens5f0")
    kernel.add_pf("ens5f1", vfs=1).supported = False
    (result,) = session.set_vf_link_state("ens5f1", {0: "disable"})
    assert result.error.extack == ""


def test_bond_that_goes_between_two_questions_is_none(kernel, session):
    bond = kernel.add_bond("bond0", kernel.add_pf("ens5f0"))
    asked = iter(range(9))
    kernel.on_request = lambda _: next(asked) == 1 and kernel.remove(bond)
    assert session.get("ens5f0").bond is None


def test_ports_are_those_of_bonds(kernel, session):
    for i in range(12):
        kernel.add_bond(f"bond{i}", kernel.add_pf(f"ens{i}"), mode=BondMode(i % 7))
    kernel.add_bridge("br0", kernel.add_pf("eno1"))
    kernel.add_pf("eno2")
    assert [port.name for port in session.ports()] == [f"ens{i}" for i in range(12)]


def test_port_that_goes_while_ports_are_listed_is_no_error(kernel, session):
    pfs = [kernel.add_pf(f"ens{i}") for i in range(2)]
    kernel.add_bond("bond0", *pfs)
    asked = iter(range(9))
    kernel.on_request = lambda _: next(asked) == 1 and kernel.remove(pfs[0])
    assert [port.name for port in session.ports()] == ["ens1"]


def test_port_that_leaves_its_bond_while_ports_are_listed_is_not_told(kernel, session):
    pfs = [kernel.add_pf(f"ens{i}") for i in range(2)]
    kernel.add_bond("bond0", *pfs)
    asked = iter(range(9))
    kernel.on_request = lambda _: next(asked) == 1 and kernel.enslave(pfs[0], None)
    assert [port.name for port in session.ports()] == ["ens1"]


@pytest.mark.parametrize("name", ["", "a\0", "x" * 128, "é" * 64], ids=repr)
def test_what_can_be_no_name_is_refused_before_it_is_asked_for(kernel, session, name):
    with pytest.raises(ValueError, match="cannot be an interface name"):
        session.get(name)
    assert not kernel.requests


# ---- Setting


def test_all_vfs_are_set_by_one_message(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=128)
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, "disable"))
    assert set(pf.vfs.values()) == {DISABLE}
    assert [(vf, state, error) for vf, state, error in results] == [
        (vf, DISABLE, None) for vf in range(128)
    ]
    assert kernel.requests["set"] == 1


def test_vfs_are_set_in_the_order_given(kernel, session):
    kernel.add_pf("ens5f0", vfs=4)
    session.set_vf_link_state("ens5f0", [Vf(3, DISABLE), Vf(0, ENABLE), Vf(2, AUTO)])
    assert kernel.writes == [("ens5f0", 3, DISABLE), ("ens5f0", 0, ENABLE), ("ens5f0", 2, AUTO)]


def test_each_failure_is_known_by_its_vf(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=6)
    pf.vf_errors = {2: (errno.EBUSY, math.inf), 4: (errno.EAGAIN, math.inf)}
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE))
    failed = {vf: error.errno for vf, _, error in results if error}
    assert failed == {2: errno.EBUSY, 4: errno.EAGAIN}
    assert [vf for vf, state in pf.vfs.items() if state is AUTO] == [2, 4]
    assert all(error.filename == "ens5f0" for _, _, error in results if error)


def test_vfs_that_were_set_before_a_failure_are_not_set_again(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=6)
    pf.vf_errors = {2: (errno.EBUSY, 1)}
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE))
    assert not any(error for _, _, error in results)
    assert sorted(vf for _, vf, _ in kernel.writes) == list(range(6))


def test_vf_that_does_not_exist_fails_alone(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=2)
    results = session.set_vf_link_state("ens5f0", {0: "disable", 7: "disable", 1: "disable"})
    assert [error and error.errno for _, _, error in results] == [None, errno.EINVAL, None]
    assert set(pf.vfs.values()) == {DISABLE}


def test_more_failures_than_one_send_carries_are_all_told(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=100)
    pf.vf_errors = dict.fromkeys(range(0, 100, 2), (errno.EBUSY, math.inf))
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE))
    assert [vf for vf, _, error in results if error] == list(range(0, 100, 2))
    assert [vf for vf, state in pf.vfs.items() if state is DISABLE] == list(range(1, 100, 2))


def test_missing_privilege_ends_the_matter_at_once(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=8)
    kernel.permitted = False
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE), chunk=2)
    assert [error.errno for _, _, error in results] == [errno.EPERM] * 2 + [errno.ECANCELED] * 6
    assert isinstance(results[0].error, NotPermittedError)
    assert kernel.requests["set"] == 1


def test_pf_that_goes_ends_the_matter_at_once(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=4)
    status = session.get("ens5f0")
    kernel.remove(pf)
    results = session.set_vf_link_state(status, dict.fromkeys(pf.vfs, DISABLE), chunk=2)
    assert [error.errno for _, _, error in results] == [errno.ENODEV] * 2 + [errno.ECANCELED] * 2


@pytest.mark.parametrize(("chunk", "messages"), [(0, 1), (1, 10), (3, 4), (10, 1), (99, 1)])
def test_chunk_is_the_most_that_one_message_carries(kernel, session, chunk, messages):
    pf = kernel.add_pf("ens5f0", vfs=10)
    session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE), chunk=chunk)
    assert kernel.requests["set"] == messages
    assert set(pf.vfs.values()) == {DISABLE}


def test_a_failing_chunk_does_not_stop_the_next(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=6)
    pf.vf_errors = {0: (errno.EBUSY, math.inf)}
    results = session.set_vf_link_state("ens5f0", dict.fromkeys(pf.vfs, DISABLE), chunk=2)
    assert [vf for vf, _, error in results if error] == [0]
    assert [vf for vf, state in pf.vfs.items() if state is AUTO] == [0]


@pytest.mark.parametrize(
    "settings",
    [{0: "down"}, {-1: "auto"}, {65536: "auto"}, {True: "auto"}, {"0": "auto"}],
    ids=repr,
)
def test_bad_setting_is_refused_before_anything_is_asked(kernel, session, settings):
    kernel.add_pf("ens5f0", vfs=2)
    with pytest.raises(ValueError, match=r"must be auto|VF number"):
        session.set_vf_link_state("ens5f0", settings)
    assert not kernel.requests


def test_negative_chunk_is_refused(kernel, session):
    with pytest.raises(ValueError, match="chunk"):
        session.set_vf_link_state("ens5f0", {0: "auto"}, chunk=-1)
    assert not kernel.requests


def test_status_spares_the_look_up(kernel, session):
    kernel.add_pf("ens5f0", vfs=2)
    status = session.get("ens5f0")
    kernel.requests.clear()
    session.set_vf_link_state(status, {1: "disable"})
    assert kernel.requests == {"set": 1}


def test_nothing_to_set_is_no_error(kernel, session):
    kernel.add_pf("ens5f0", vfs=2)
    assert session.set_vf_link_state("ens5f0", {}) == ()
    assert not kernel.writes


@pytest.mark.parametrize("permitted", [True, False])
def test_privilege_is_probed_without_changing_anything(kernel, session, permitted):
    kernel.permitted = permitted
    assert session.may_set_vfs() is permitted
    assert kernel.requests == {"probe": 1}


# ---- Answers that are late, wrong or missing: this end of the socketpair is ours


@pytest.fixture
def peer():
    """A session and the socket that it takes for the kernel."""
    ours, request = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, Session.from_fds(request.detach(), timeout=0.05) as session:
        yield session, ours


def link(name: str, seq: int, flags: int = 0) -> bytes:
    body = wire.ifinfomsg(7) + wire.nla(wire.IFLA_IFNAME, os.fsencode(name) + b"\0")
    return wire.nlmsg(wire.RTM_NEWLINK, body, seq=seq, flags=flags)


def refusal(number: int, seq: int) -> bytes:
    return wire.nlmsg(wire.NLMSG_ERROR, struct.pack("=i", -number) + bytes(16), seq=seq)


def test_silence_is_an_error_in_time(peer):
    session, _ = peer
    with pytest.raises(NoAnswerError) as caught:
        session.get("ens5f0")
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.filename == "ens5f0"


def test_late_answer_is_not_taken_for_the_next_question_s(peer):
    session, ours = peer
    with pytest.raises(NoAnswerError):
        session.get("first")
    ours.send(link("first", seq=1))
    ours.send(link("second", seq=2))
    assert session.get("second").ifname == "second"


@pytest.mark.parametrize(
    ("answer", "cls", "number"),
    [
        (wire.nlmsg(wire.RTM_NEWLINK, b"", seq=1), MalformedError, errno.EBADMSG),
        (wire.nlmsg(wire.NLMSG_ERROR, b"", seq=1), MalformedError, errno.EBADMSG),
        (refusal(0, seq=1), MalformedError, errno.EBADMSG),
        (refusal(errno.EMSGSIZE, seq=1), Error, errno.EMSGSIZE),
        (refusal(errno.EPERM, seq=1), NotPermittedError, errno.EPERM),
        (refusal(4095, seq=1), Error, 4095),
        (link("x", seq=1) + bytes(300_000 - 44), Error, errno.EMSGSIZE),
    ],
    ids=["no-link", "short-error", "ack-alone", "EMSGSIZE", "EPERM", "unheard-of", "too-large"],
)  # fmt: skip
def test_answer_that_is_none_is_an_error(peer, answer, cls, number):
    session, ours = peer
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ours.send(answer)
    with pytest.raises(cls) as caught:
        session.get("ens5f0")
    assert type(caught.value) is cls
    assert caught.value.errno == number


def test_kernel_that_hangs_up_is_an_error(peer):
    session, ours = peer
    ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Error, match="ens5f0"):
        session.get("ens5f0")


def test_interrupted_dump_is_asked_for_again(peer):
    session, ours = peer
    interrupted = 0x10
    ours.send(link("ens5f0", seq=1, flags=interrupted))
    ours.send(wire.nlmsg(wire.NLMSG_DONE, bytes(4), seq=1))
    ours.send(wire.nlmsg(wire.NLMSG_DONE, bytes(4), seq=2))
    assert session.ports() == []


def test_dump_that_is_interrupted_for_ever_gives_up(peer):
    session, ours = peer
    for seq in range(1, 7):
        ours.send(wire.nlmsg(wire.NLMSG_DONE, bytes(4), seq=seq, flags=0x10))
    with pytest.raises(Error, match="kept changing") as caught:
        session.ports()
    assert caught.value.errno == errno.EAGAIN


# ---- Life and death


def test_close_may_be_called_again_and_ends_all_use(kernel):
    session = kernel.session()
    session.close()
    session.close()
    assert session.closed
    for use in (session.ports, session.may_set_vfs, partial(session.get, "ens5f0")):
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.parametrize("netns", ["/", "/dev/null"])
def test_netns_must_be_one(netns):
    with pytest.raises(ValueError, match="no network namespace"):
        Session(netns=netns)


def test_netns_that_is_not_there_is_said_by_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="blue"):
        Session(netns=tmp_path / "blue")


def test_regular_file_is_no_netns(tmp_path):
    (tmp_path / "blue").touch()
    with pytest.raises(Error) as caught:
        Session(netns=tmp_path / "blue")
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("timeout", [0, -1, math.nan])
def test_timeout_must_be_positive(timeout):
    with pytest.raises(ValueError, match="timeout"):
        Session(timeout=timeout)


def test_refused_descriptor_stays_the_caller_s(tmp_path):
    with (tmp_path / "file").open("w") as file:
        with pytest.raises(Error) as caught:
            Session.from_fds(file.fileno())
        assert caught.value.errno == errno.ENOTSOCK
        file.write("still open")


# ---- Reading and setting in one step


@pytest.fixture
def lost(kernel, session):
    """A PF on which LACP is lost, with VFs in all states, and its status."""
    pf = kernel.add_pf("ens5f0", vfs=6)
    kernel.add_bond("bond0", pf)
    pf.vfs.update({1: ENABLE, 3: DISABLE})
    pf.lacp_expire()
    return pf, session.get("ens5f0", vfs=False)


def test_switch_sets_what_is_in_one_state_to_another(session, lost):
    pf, status = lost
    before = tuple(Vf(vf, state) for vf, state in pf.vfs.items())
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=4)
    assert (done.lacp.reason, done.num_vfs, done.vfs) == (LacpReason.EXPIRED, 6, before)
    assert (done.changed, done.errors) == ([0, 2, 4, 5], [])
    assert list(pf.vfs.values()) == [DISABLE, ENABLE, DISABLE, DISABLE, DISABLE, DISABLE]


@pytest.mark.parametrize("first", [0, 1, 3])
def test_switch_goes_as_far_as_it_is_told(kernel, session, lost, first):
    pf, status = lost
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=first)
    assert done.changed == [0, 2, 4, 5][:first]
    assert kernel.requests["set"] == bool(first)
    assert [vf for vf in (0, 2, 4, 5) if pf.vfs[vf] is DISABLE] == done.changed


def test_switch_goes_on_where_it_was_quick(kernel, session, lost):
    pf, status = lost
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=1, quick=60.0)
    assert (done.changed, kernel.requests["set"]) == ([0, 2, 4, 5], 2)
    assert AUTO not in pf.vfs.values()


def test_switch_ends_with_the_first_message_that_fails(session, lost):
    pf, status = lost
    pf.vf_errors = {0: (errno.EIO, math.inf)}
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=1, quick=60.0)
    assert (done.changed, [error.errno for error in done.errors]) == ([0], [errno.EIO])
    assert pf.vfs[2] is AUTO


def test_switch_sets_nothing_where_lacp_is_not_as_said(kernel, session, lost):
    pf, status = lost
    pf.lacp_up()
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=64)
    assert (done.lacp.status, done.changed) == (LacpStatus.UP, [])
    assert kernel.requests["set"] == 0


def test_switch_tells_what_failed_by_vf(session, lost):
    pf, status = lost
    pf.vf_errors = {2: (errno.EIO, math.inf)}
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=64)
    assert done.changed == [0, 2, 4, 5]
    assert [error and error.errno for error in done.errors] == [None, errno.EIO, None, None]


def test_switch_reads_any_number_of_vfs_and_says_that_a_pf_is_gone(kernel, session):
    pf = kernel.add_pf("ens5f0", vfs=500)
    kernel.add_bond("bond0", pf)
    pf.lacp_expire()
    status = session.get("ens5f0", vfs=False)
    done = session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=500)
    assert set(pf.vfs.values()) == {DISABLE}
    assert done.changed == list(range(500))
    kernel.remove(pf)
    with pytest.raises(LinkNotFoundError):
        session.switch_vfs(status, LacpStatus.DOWN, AUTO, DISABLE, first=500)
