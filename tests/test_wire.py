"""Calls into the C core: what may happen in the midst of one, and what is kept between two."""

from __future__ import annotations

import errno
import math
import signal
import subprocess
import sys

import pytest

from pfstatus import Error, LinkNotFoundError, NotPermittedError, OperState
from pfstatus import _wire as core
from pfstatus.recording.netlink import IFLA_IFNAME, RTM_NEWLINK, ifinfomsg, nla, nlmsg

CLOSED_BY_A_HANDLER = """
import os, random, signal, socket
from pfstatus import Session
from pfstatus._port import Port

def a_session():
    session = Session(events=True)
    return session, lambda: session.set_vf_link_state(session.get("lo"), {})

def a_port():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    port = Port(fd=theirs.detach())
    return port, lambda: (port.next(), ours)

closed = 0
for n in range(500):
    what, use = OWNER()
    signal.signal(signal.SIGALRM, lambda *_: what.close())
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
    try:
        while True:
            use()
    except ValueError as exc:
        assert "closed" in str(exc), exc
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert what.closed
    closed += 1
print(closed, len(os.listdir("/proc/self/fd")) < 20)
"""


@pytest.mark.parametrize("owner", ["a_session", "a_port"])
def test_close_in_a_signal_handler_ends_hundreds_of_them(owner):
    ran = subprocess.run(
        [sys.executable, "-Wignore", "-c", CLOSED_BY_A_HANDLER.replace("OWNER", owner)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["500", "True"]), ran.stderr


def test_close_in_the_midst_of_a_call_takes_effect_at_its_end(kernel):
    kernel.add_pf("ens5f0")
    seen = []

    def close(*_what):
        session.close()
        seen.append(session.closed)

    session = kernel.session(tap=close)
    assert session.get("ens5f0").ifname == "ens5f0"
    assert seen == [True, True]
    with pytest.raises(ValueError, match="closed"):
        session.get("ens5f0")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_in_a_tap_is_raised_once_the_kernel_has_answered(kernel, ending):
    kernel.add_pf("ens5f0", vfs=2)
    taps = []

    def tap(direction, _datagram):
        taps.append(direction)
        if len(taps) == 1:
            raise ending("now")

    with kernel.session(tap=tap) as session:
        with pytest.raises(ending, match="now"):
            session.get("ens5f0")
        assert len(taps) == 2, "the answer was read, and waits for nobody"
        assert session.get("ens5f0").num_vfs == 2


def test_ctrl_c_while_a_tap_runs_is_raised(kernel):
    kernel.add_pf("ens5f0")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            kernel.session(tap=lambda *_: signal.raise_signal(signal.SIGINT)) as session,
            pytest.raises(KeyboardInterrupt),
        ):
            session.get("ens5f0")
    finally:
        signal.signal(signal.SIGINT, before)


def test_forged_lists_are_not_kept(kernel):
    before = len(core._VFS)
    pf = kernel.add_pf("ens5f0", vfs=3)
    numbers = {vf: pf.vfs[vf] for vf in range(3)}
    for start in range(0, 60_000, 7000):
        pf.vfs.clear()
        pf.vfs.update(dict.fromkeys(range(start, start + 1000), numbers[0]))
        vfs = core.decode(pf.message(1))[2]
        assert (len(vfs), vfs[-1].vf) == (1000, start + 999)
    assert len(core._VFS) <= max(before, 3 * core._KEPT)


def test_names_without_end_are_not_kept(kernel):
    with kernel.session(events=False) as session:
        for n in range(3 * core._KEPT // 2):
            kernel.add_pf(f"p{n}")
            session.get(f"p{n}", vfs=False)
        assert all(len(seen) <= core._KEPT for seen in session._wire._seen)


def test_an_answer_that_is_the_same_is_the_same_value(kernel):
    pf = kernel.add_pf("ens5f0", vfs=2)
    bond = kernel.add_bond("bond0", pf)
    with kernel.session(events=False) as session:
        first = session.get("ens5f0")
        assert session.get("ens5f0") is first
        assert session.get("ens5f0", vfs=False) is not first
        pf.vfs[1] = pf.vfs[1].DISABLE
        assert session.get("ens5f0").vfs != first.vfs
        bond.lacp_rate = bond.lacp_rate.SLOW
        assert session.get("ens5f0").bond != first.bond


def test_event_outlives_the_questions_that_follow_it(kernel):
    pf = kernel.add_pf("ens5f0")
    kernel.add_bond("bond0", pf)
    kernel.add_pf("ens5f1")
    with kernel.session() as session:
        old = session.get("ens5f0", vfs=False)
        pf.lacp_expire()
        wire = session._wire
        while not (event := wire.next_event()):
            pass
        session.get("ens5f1")
        assert event.ifname == "ens5f0"
        assert str(wire.event_status(event, old).lacp) == "down (expired)"


DRIVER_S = [errno.EPERM, errno.ENODEV, errno.ETIMEDOUT, errno.EBUSY, errno.EOPNOTSUPP]


@pytest.mark.parametrize("number", DRIVER_S, ids=errno.errorcode.get)
def test_a_driver_s_errno_is_told_in_the_driver_s_meaning(kernel, number):
    pf = kernel.add_pf("ens5f0", vfs=4)
    pf.vf_errors[2] = (number, math.inf)
    with kernel.session(events=False) as session:
        results = session.set_vf_link_state("ens5f0", dict.fromkeys(range(4), "disable"))
    assert [result.vf for result in results if result.error] == [2]
    failed = results[2].error
    assert type(failed) is Error
    assert (failed.errno, failed.filename) == (number, "ens5f0")
    assert "CAP_NET_ADMIN" not in str(failed)
    assert "did not answer" not in str(failed)


def test_a_missing_capability_is_told_as_one(kernel):
    kernel.add_pf("ens5f0", vfs=4)
    kernel.permitted = False
    with kernel.session(events=False) as session:
        results = session.set_vf_link_state("ens5f0", dict.fromkeys(range(4), "disable"))
    assert all(type(result.error) is NotPermittedError for result in results)
    assert "CAP_NET_ADMIN" in str(results[0].error)


def test_no_such_link_is_not_found(kernel):
    with kernel.session(events=False) as session, pytest.raises(LinkNotFoundError, match="nobody"):
        session.get("nobody")


def test_link_says_its_parent_and_whether_it_is_up_and_has_a_carrier():
    flags = {0: (False, False), 1: (True, False), 0x10001: (True, True)}
    for value, said in flags.items():
        body = ifinfomsg(7, flags=value) + nla(IFLA_IFNAME, b"ens5f0\0")
        status = core.decode(nlmsg(RTM_NEWLINK, body))[0]
        assert (status.admin_up, status.carrier, status.parent) == (*said, None)
    body += nla(56, b"0000:3b:00.0\0") + nla(16, bytes([OperState.UNKNOWN]))
    status = core.decode(nlmsg(RTM_NEWLINK, body))[0]
    assert (status.parent, status.operstate) == ("0000:3b:00.0", OperState.UNKNOWN)
