"""LACPDUs in Python: values and frames, and a port on a socketpair whose other end is the wire."""

from __future__ import annotations

import errno
import socket
import struct
import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import Error, Lacpdu, LacpduEnd, LinkNotFoundError, MalformedError, PortState
from pfstatus._core import lib
from pfstatus._port import Port, decode_lacpdu, encode_lacpdu
from pfstatus.values import Say

MULTICAST, OUTGOING = 2, 4  # sll_pkttype

u16 = st.integers(0, 0xFFFF)
macs = st.binary(min_size=6, max_size=6).map(lambda mac: mac.hex(":"))
ends = st.builds(LacpduEnd, macs, u16, u16, u16, u16, st.integers(0, 255).map(PortState))
lacpdus = st.builds(Lacpdu, macs, st.just(1), ends, ends, u16, st.integers(0, 0xFFFFFFFF))

PF = LacpduEnd("02:00:00:00:00:a0", 0xFFFF, 15, 1, 255, PortState(0x3F))
SWITCH = LacpduEnd("02:00:00:00:00:b0", 0x8000, 16, 2, 127, PortState(0x3F))
OWN = Lacpdu("02:00:00:00:00:a1", 1, PF, SWITCH, 0)
THEIRS = Lacpdu("02:00:00:00:00:b1", 1, SWITCH, PF, 0)


@given(lacpdus)
def test_a_frame_holds_all_of_a_lacpdu(lacpdu):
    frame = encode_lacpdu(lacpdu)
    assert frame.startswith(bytes.fromhex("0180c2000002"))
    assert decode_lacpdu(frame) == lacpdu


@pytest.mark.parametrize("frame", [b"", bytes(124), encode_lacpdu(OWN)[:14] + b"\x02" + bytes(109)])
def test_other_frames_are_none(frame):
    assert decode_lacpdu(frame) is None


def test_a_short_lacpdu_is_malformed():
    with pytest.raises(MalformedError):
        decode_lacpdu(encode_lacpdu(OWN)[:-1])


def test_what_may_be_said_has_the_cores_numbers():
    assert {f"PFS_PORT_{say.name}": int(say) for say in Say} == {
        name: getattr(lib, name) for name in ("PFS_PORT_ASK", "PFS_PORT_COPY", "PFS_PORT_REPEAT")
    }


class Wire:
    """The other end of a port's socketpair."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.port = Port(fd=theirs.detach())
        self.socket = ours
        ours.setblocking(False)

    def passes(self, lacpdu: Lacpdu, kind: int) -> None:
        self.socket.send(struct.pack("=HHiHBB8x", 0, 0, 0, 0, kind, 0) + encode_lacpdu(lacpdu))

    def close(self) -> None:
        self.port.close()
        self.socket.close()


@pytest.fixture
def wire():
    with closing(Wire()) as wire:
        yield wire


def test_a_port_tells_what_passed_which_way_and_when(wire):
    assert wire.port.next() is None
    before = time.monotonic()
    wire.passes(OWN, OUTGOING)
    wire.passes(THEIRS, MULTICAST)
    own, theirs = wire.port.next(), wire.port.next()
    assert (own.sent, own.lacpdu, theirs.sent, theirs.lacpdu) == (True, OWN, False, THEIRS)
    assert before <= own.at <= theirs.at <= time.monotonic()
    assert wire.port.next() is None


def test_a_question_differs_by_the_partners_timeout_bit(wire):
    wire.passes(OWN, OUTGOING)
    wire.passes(THEIRS, MULTICAST)
    while wire.port.next():
        pass
    before = time.monotonic()
    assert before <= wire.port.send(Say.ASK) <= time.monotonic()
    asked = decode_lacpdu(wire.socket.recv(2048))
    assert asked.actor == PF
    assert asked.partner.state == SWITCH.state ^ PortState.TIMEOUT
    assert asked.mark


def test_a_port_that_may_not_speak_now_says_none(wire):
    wire.passes(OWN, OUTGOING)
    assert wire.port.send(Say.REPEAT) is None, "a LACPDU waits to be read"
    at = wire.port.next().at
    sent = [wire.port.send(Say.REPEAT) for _ in range(2)]
    assert all(sent)
    assert wire.port.free_at() == pytest.approx(at + 1)
    assert wire.port.send(Say.REPEAT) is None or time.monotonic() >= at + 1


def test_a_port_without_a_template_says_enodata(wire):
    with pytest.raises(Error) as failed:
        wire.port.send(Say.ASK)
    assert failed.value.errno == errno.ENODATA


def test_a_port_of_no_interface():
    with pytest.raises((LinkNotFoundError, PermissionError)):
        Port(2**31 - 1)


def test_a_closed_port_says_so(wire):
    assert not wire.port.closed
    wire.port.close()
    wire.port.close()
    assert wire.port.closed
    with pytest.raises(ValueError, match="closed"):
        wire.port.next()


def test_a_wire_that_ends_and_frames_that_cannot_be_read(wire):
    wire.socket.send(b"short")
    with pytest.raises(MalformedError):
        wire.port.next()
    wire.socket.send(bytes(20) + b"no LACPDU")
    assert wire.port.next() is None
