"""What passes between a session and the kernel: shown, recorded, played again."""

from __future__ import annotations

import logging
import struct

import pytest

from pfstatus import Direction, LinkState
from pfstatus import testing as wire

REQUEST, ANSWER, EVENT = Direction


def kinds(datagram: bytes) -> list[int]:
    """The types of a datagram's messages."""
    found = []
    while datagram:
        length, kind = struct.unpack_from("=IH", datagram)
        found.append(kind)
        datagram = datagram[length + -length % 4 :]
    return found


# ---- The tap


@pytest.fixture
def shown():
    return []


@pytest.fixture
def session(kernel, shown):
    with kernel.session(tap=lambda *what: shown.append(what)) as session:
        yield session


def test_tap_is_shown_each_datagram_and_its_direction(kernel, session, shown):
    pf = kernel.add_pf("ens5f0", vfs=1, announce=False)
    session.get("ens5f0")
    session.set_vf_link_state("ens5f0", {0: "disable"})
    assert [(direction, *kinds(data)) for direction, data in shown] == [
        (REQUEST, wire.RTM_GETLINK),
        (ANSWER, wire.RTM_NEWLINK),
        (REQUEST, wire.RTM_GETLINK),
        (ANSWER, wire.RTM_NEWLINK),
        (REQUEST, wire.RTM_SETLINK),
        (ANSWER, wire.NLMSG_ERROR),
    ]
    assert pf.vfs == {0: LinkState.DISABLE}


def test_tap_is_shown_events(kernel, session, shown):
    kernel.add_pf("ens5f0")
    assert session._wire.next_event()
    assert [(direction, kinds(data)) for direction, data in shown] == [(EVENT, [wire.RTM_NEWLINK])]


def test_tap_that_fails_is_logged_and_keeps_nothing_from_the_session(kernel, caplog):
    kernel.add_pf("ens5f0")

    def fail(_direction, _datagram):
        raise RuntimeError("no room")

    with kernel.session(tap=fail) as session, caplog.at_level(logging.ERROR, "pfstatus"):
        assert session.get("ens5f0").name == "ens5f0"
    assert [record.exc_info[1].args for record in caplog.records] == [("no room",)] * 2
