"""What passes between a session and the kernel: shown, recorded, played again."""

from __future__ import annotations

import errno
import io
import logging
import select
import shutil
import socket
import struct
import subprocess
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfstatus import (
    Cause,
    Direction,
    Error,
    LacpReason,
    LinkNotFoundError,
    Monitor,
    Relay,
    VfLinkState,
)
from pfstatus.recording import netlink as wire
from pfstatus.recording.pcapng import Packet, Writer, read
from pfstatus.recording.replay import _Player, _Recording
from pfstatus.testing import replay

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
    assert pf.vfs == {0: VfLinkState.DISABLE}


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


# ---- Files

PACKETS = [
    Packet(1_700_000_000_123_456_789, REQUEST, b"ask me"),
    Packet(1_700_000_000_123_456_790, ANSWER, b"an answer"),
    Packet(1_700_000_001_000_000_000, EVENT, b"an event"),
    Packet(1_700_000_002_000_000_000, EVENT, b""),
]


def written(packets=PACKETS, comment="") -> bytes:
    file = io.BytesIO()
    writer = Writer(file, comment)
    for packet in packets:
        writer.add(packet)
    assert writer.packets == len(packets)
    return file.getvalue()


def test_file_gives_back_what_was_written_to_the_nanosecond():
    assert list(read(io.BytesIO(written(comment="p\u00e9")))) == PACKETS


def test_lost_events_are_an_overrun_to_whoever_opens_the_file():
    lost = written(PACKETS[3:])[len(written([])) :]
    assert wire.nlmsg(wire.NLMSG_OVERRUN, b"") in lost
    assert b"events were lost here" in lost


@given(st.integers(0, len(written()) - 1), st.binary(min_size=1, max_size=8))
def test_damaged_file_is_read_or_refused(at, damage):
    """No error but ValueError, whatever was overwritten."""
    whole = written()
    damaged = io.BytesIO(whole[:at] + damage + whole[at + len(damage) :])
    with suppress(ValueError):
        list(read(damaged))


@pytest.mark.parametrize("kind", [0x0A0D0D0A, 1, 6], ids=["section", "interface", "packet"])
@pytest.mark.parametrize("size", range(0, 28, 4))
def test_block_that_is_too_short_for_what_it_is_is_refused_or_ends_the_file(kind, size):
    block = struct.pack("=II", kind, 12 + size) + bytes(size) + struct.pack("=I", 12 + size)
    with pytest.raises(ValueError, match=r"."):
        list(read(io.BytesIO(written() + block)))


def test_file_that_was_cut_off_ends_with_its_last_whole_packet():
    whole = written()
    counts = {
        len(list(read(io.BytesIO(whole[:end])))) for end in range(len(written([])), len(whole))
    }
    assert counts == {0, 1, 2, 3}


def test_file_is_written_through_one_that_takes_a_part_at_a_time():
    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(data[:7])

    file = Slow()
    Writer(file).add(PACKETS[0])
    assert list(read(io.BytesIO(file.getvalue()))) == PACKETS[:1]


def test_what_another_tool_adds_is_passed_over():
    statistics = struct.pack("=IIIQI", 5, 24, 0, 0, 24)
    assert list(read(io.BytesIO(written() + statistics))) == PACKETS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a recording", "no pcapng file"),
        (written()[::-1][:4][::-1] * 8, "no pcapng file"),
        (written()[:8] + written()[8:12][::-1] + written()[12:], "endian"),
        (written().replace(b"pfstatus-events", b"some-other-card"), "not a recording of pfstatus"),
        (written()[:4] + struct.pack("=I", 8) + written()[8:], "8 bytes"),
        (written() + struct.pack("=IIII", 6, 16, 0, 16), "without its head"),
    ],
    ids=["text", "other-block", "byte-order", "other-capture", "length", "packet"],
)
def test_file_that_is_none_is_refused(data, words):
    with pytest.raises(ValueError, match=words):
        list(read(io.BytesIO(data)))


# ---- Replay


@pytest.fixture
def recording(tmp_path):
    """A path, and the tap that writes to it."""
    path = tmp_path / "bug.pcapng"
    with path.open("wb", buffering=0) as file:
        yield path, Writer(file).write


def changes(session, count) -> list[tuple[Cause, LacpReason]]:
    """What a monitor tells."""
    told = []
    with session, Monitor("ens5f0", session=session) as monitor:
        while len(told) < count and (polled := monitor.poll(30)):
            told += [(change.cause, change.new.lacp.reason) for change in polled]
    return told


def test_replayed_monitor_tells_what_the_recorded_one_told(kernel, recording):
    path, tap = recording
    pf = kernel.add_pf("ens5f0")
    kernel.add_bond("bond0", pf)
    told = []
    with Monitor("ens5f0", session=kernel.session(tap=tap)) as monitor:
        for change in (lambda: None, pf.lacp_expire, pf.lacp_default, pf.lacp_up):
            change()
            told += [(change.cause, change.new.lacp.reason) for change in monitor.poll(30)]
            # More time than a busy machine needs to take up the replay in the midst of this, and
            # between two questions, which come each 0.1 s: one with the event would tell first.
            assert monitor.poll(0.35) == []
    assert [reason.name for _, reason in told] == ["UP", "EXPIRED", "DEFAULTED", "UP"]
    assert changes(replay(path), 4) == told


def test_question_shortly_before_an_event_is_not_answered_as_after_it(kernel, recording):
    path, tap = recording
    pf = kernel.add_pf("ens5f0")
    kernel.add_bond("bond0", pf)
    with kernel.session(tap=tap) as session:
        events = session.listen()
        session.get("ens5f0")
        time.sleep(0.1)
        pf.lacp_expire()
        assert select.select([events], [], [], 10)[0]
        while events.next():
            pass
        session.get("ens5f0")
    with path.open("rb") as file:
        recorded = _Recording(read(file))
    expired = recorded.events[-1][0]
    question, (up, down) = next(iter(recorded.answers.items()))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        player = _Player(recorded, 1.0, ours, theirs)
        for now, answer in ((0.0, up), (expired - 0.001, up), (expired, down)):
            player._now = lambda now=now: now
            player._tell(now)
            assert player._choose(question) is answer


def relayed(session, begun) -> list[tuple[str, int | None, str | None]]:
    """What a relay says until VF 5 is set; not how often it tried, which is a matter of time."""
    said = []
    reports = []
    with session, Relay("ens5f0", session=session, report=reports.extend) as relay:
        relay.turn(0)
        begun()
        for _ in range(100):
            relay.turn(1)
            dicts = [report.to_dict() for report in reports if report.level != "DEBUG"]
            said = [(d["msg"], d.get("id"), d.get("error")) for d in dicts]
            if ("vf link state was set", 5, None) in said:
                break
    return said


def test_replayed_relay_says_what_the_recorded_one_said(kernel, recording):
    path, tap = recording
    pf = kernel.add_pf("ens5f0", vfs=6)
    kernel.add_bond("bond0", pf)
    pf.vf_errors[5] = (errno.EIO, 2)
    said = relayed(kernel.session(tap=tap), pf.lacp_expire)
    assert ("failed to set vf link state", 5) in [words[:2] for words in said]
    assert relayed(replay(path), lambda: None) == said


def test_replayed_setting_may_come_in_other_messages(kernel, recording):
    path, tap = recording
    pf = kernel.add_pf("ens5f0", vfs=4)
    pf.vf_errors[2] = (5, 9)
    settings = dict.fromkeys(range(4), "disable")
    with kernel.session(tap=tap) as session:
        session.set_vf_link_state("ens5f0", settings)
    with replay(path) as session:
        results = session.set_vf_link_state("ens5f0", {1: "disable", 0: "disable"}, chunk=1)
        assert [result.error for result in results] == [None, None]
        (result,) = session.set_vf_link_state("ens5f0", {2: "disable"})
        assert result.error.errno == 5


def test_replay_answers_by_index_what_was_asked_by_name(kernel, recording):
    path, tap = recording
    kernel.add_bond("bond0", kernel.add_pf("ens5f0", vfs=2))
    with kernel.session(tap=tap) as session:
        recorded = session.get("ens5f0")
        ports = session.ports()
    with replay(path) as session:
        assert session.get("ens5f0") == recorded
        assert session.vfs(recorded) == (recorded.lacp, 2, recorded.vfs)
        assert session.ports() == ports


def test_replay_says_what_was_not_recorded(kernel, recording):
    path, tap = recording
    kernel.add_pf("ens5f0", vfs=1)
    with kernel.session(tap=tap) as session:
        session.get("ens5f0")
    with replay(path) as session:
        with pytest.raises(LinkNotFoundError, match="not in the recording"):
            session.get("ens5f1")
        (result,) = session.set_vf_link_state("ens5f0", {0: "disable"})
        assert isinstance(result.error, Error)
        assert result.error.extack == "not in the recording"


def test_replay_loses_the_events_that_were_lost(kernel, recording):
    path, tap = recording
    kernel.add_pf("ens5f0")
    with Monitor("ens5f0", session=kernel.session(tap=tap)) as monitor:
        monitor.poll(1)
        tap(EVENT, b"")
    with replay(path) as session, Monitor("ens5f0", session=session) as monitor:
        while not monitor.lost_events:
            monitor.poll(0.1)
    assert monitor.lost_events == 1


def test_replay_keeps_events_for_a_reader_that_is_late(kernel, recording):
    path, tap = recording
    pf = kernel.add_pf("ens5f0")
    with kernel.session(tap=tap) as session:
        session.get("ens5f0")
        pf.lacp_expire()
        assert session._wire.next_event()
    event = list(read(io.BytesIO(path.read_bytes())))[-1].data
    for _ in range(5000):
        tap(EVENT, event)
    with replay(path, speed=1000) as session:
        seen = 0
        while seen < 5001:
            session.get("ens5f0")  # which is answered, however many wait
            while session._wire.next_event():
                seen += 1


@pytest.mark.parametrize("speed", [0, -1])
def test_replay_goes_forward(tmp_path, speed):
    with pytest.raises(ValueError, match="speed"):
        replay(tmp_path, speed=speed)


def test_replay_of_nothing_is_refused(tmp_path):
    path = tmp_path / "empty.pcapng"
    path.write_bytes(written([]))
    with pytest.raises(ValueError, match=r"empty\.pcapng: nothing was recorded"):
        replay(path)


# ---- Wireshark


def test_tshark_reads_what_a_session_said(kernel, recording):
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed")
    path, tap = recording
    pf = kernel.add_pf("ens5f0", vfs=2)
    with kernel.session(tap=tap) as session:
        session.get("ens5f0")
        session.set_vf_link_state("ens5f0", {0: "disable"})
        pf.lacp_expire()
        while session._wire.next_event():
            pass
    types = "netlink-route.nltype", "netlink.hdr_type"
    fields = ("frame.interface_name", *types, "netlink-route.ifi_index", "_ws.malformed")
    arguments = [word for field in fields for word in ("-e", field)]
    command = [
        "tshark",
        "-r",
        str(path),
        "-T",
        "fields",
        "-E",
        "separator=,",
        "-E",
        "occurrence=f",
        *arguments,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = [line.split(",") for line in ran.stdout.splitlines()]
    asks, tells = ("pfstatus-requests", "pfstatus-events")
    assert [line[0] for line in lines] == [asks] * 6 + [tells] * 2
    assert [int(line[1] or line[2], 0) for line in lines] == [18, 16, 18, 16, 19, 2, 16, 16]
    assert [line[3] for line in lines] == ["0", "2", "0", "2", "2", "", "2", "2"]
    assert {line[4] for line in lines} == {""}
