"""A recording as a kernel: ``pfstatus capture`` on one machine, the same messages on another."""

from __future__ import annotations

import errno
import select
import socket
import struct
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.recording.pcapng import read
from pfstatus.session import Session
from pfstatus.values import Direction

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from pfstatus.recording.pcapng import Packet

_SLACK = 0.05
"""Seconds by which a question may come earlier, or later, than it was recorded."""
_PATIENCE = 1.0
"""Seconds by which it may be late where a setting was recorded that did not come yet: what was
read after that would tell of its effect."""
_NLMSG_ERROR = 2
_RTM_NEWLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 18, 19
_F_DUMP, _F_CAPPED, _F_ACK_TLVS = 0x300, 0x100, 0x200
_IFLA_IFNAME, _IFLA_VFINFO_LIST, _IFLA_EXT_MASK, _IFLA_ALT_IFNAME = 3, 22, 29, 53
_IFLA_VF_LINK_STATE = 5
_NLA_TYPE_MASK = 0x3FFF
_MSG_ATTRIBUTE = 1
_FILTER_VF = 0x1
_HEADER = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")

Question = tuple[object, ...]
"""What is asked: the same for two requests that differ in their sequence number alone."""


def replay(path: str | os.PathLike[str], *, speed: float = 1.0) -> Session:
    """A session whose kernel is a recording.

    It begins with the first request. Events come when they came. A question is answered by what
    the kernel answered to it at that time, so that a program may ask more often than the one that
    was recorded, or other questions of the same PF; a setting by what became of it. What was
    never asked gets ENODEV, what was never set EOPNOTSUPP, both saying that it is not in the
    recording. At its end the kernel stays as it was last.

    Args:
        path: as ``pfstatus capture`` or ``pcapng.Writer`` wrote it.
        speed: how many recorded seconds pass in one.

    Returns:
        A session with events; whoever closes it ends the replay.

    Raises:
        OSError: the file could not be read.
        ValueError: it is no recording, or of a machine of the other byte order; or ``speed`` is
            not positive.
    """
    if not speed > 0:
        msg = f"speed must be positive, not {speed!r}"
        raise ValueError(msg)
    with Path(path).open("rb") as file:
        try:
            recording = _Recording(read(file))
        except ValueError as exc:
            msg = f"{path}: {exc}"
            raise ValueError(msg) from None
    ours, request = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours_event, event = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    player = _Player(recording, speed, ours, ours_event)
    threading.Thread(target=player.run, name="replay", daemon=True).start()
    return Session.from_fds(request.detach(), event.detach())


class _Message(NamedTuple):
    """One netlink message."""

    kind: int
    flags: int
    seq: int
    body: bytes

    def packed(self, seq: int) -> bytes:
        """As the kernel would send it to a socketpair, whose port is 0."""
        length = _HEADER.size + len(self.body)
        return _HEADER.pack(length, self.kind, self.flags, seq, 0) + self.body


class _Answer:
    """All messages that answered one request."""

    def __init__(self, at: float, request: _Message) -> None:
        self.at = at
        self.request = request
        self.messages: list[_Message] = []

    def refuses(self) -> bool:
        """Whether it is an error."""
        return any(m.kind == _NLMSG_ERROR and m.body[:4] != bytes(4) for m in self.messages)


def _messages(datagram: bytes) -> Iterator[_Message]:
    while len(datagram) >= _HEADER.size:
        length, kind, flags, seq, _ = _HEADER.unpack_from(datagram)
        if not _HEADER.size <= length <= len(datagram):
            return
        yield _Message(kind, flags, seq, datagram[_HEADER.size : length])
        datagram = datagram[length + -length % 4 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[4:length]
        data = data[length + -length % 4 :]


def _link(message: _Message) -> tuple[int, dict[int, bytes]]:
    """Index and attributes of a link message."""
    _, _, ifindex, _, _ = _IFINFOMSG.unpack_from(message.body)
    return ifindex, dict(_attributes(message.body[_IFINFOMSG.size :]))


def _question(message: _Message) -> Question:
    if message.kind != _RTM_GETLINK or message.flags & _F_DUMP:
        return message.kind, message.body
    ifindex, attributes = _link(message)
    name = attributes.get(_IFLA_IFNAME) or attributes.get(_IFLA_ALT_IFNAME) or b""
    mask = int.from_bytes(attributes.get(_IFLA_EXT_MASK, b"")[:1])
    return _RTM_GETLINK, ifindex or name, bool(mask & _FILTER_VF)


def _vf_questions(setting: _Message) -> list[Question]:
    """One for each VF that is set: another program may put them into other messages."""
    ifindex, attributes = _link(setting)
    vfs = [
        dict(_attributes(info)) for _, info in _attributes(attributes.get(_IFLA_VFINFO_LIST, b""))
    ]
    return [(_RTM_SETLINK, ifindex, vf.get(_IFLA_VF_LINK_STATE)) for vf in vfs]


def _also_answers(answer: _Answer) -> set[Question]:
    """The same by another name or index, and without its VFs, of which less is told then."""
    request, first = answer.request, answer.messages[0]
    questions = {_question(request)}
    if request.kind == _RTM_SETLINK:
        settings = _vf_questions(request)
        if len(settings) == 1 or not answer.refuses():  # which of several it refused, others tell
            questions.update(settings)
    elif first.kind == _RTM_NEWLINK and not request.flags & _F_DUMP:
        ifindex, attributes = _link(first)
        _, asked, vfs = _question(request)
        for key in (asked, ifindex, attributes.get(_IFLA_IFNAME)):
            questions |= {(_RTM_GETLINK, key, False), (_RTM_GETLINK, key, vfs)}
    return questions


class _Recording:
    """What was recorded, by question and by time; seconds from its beginning."""

    def __init__(self, packets: Iterator[Packet]) -> None:
        self.events: list[tuple[float, bytes]] = []
        self.settings: list[float] = []
        self.answers: defaultdict[Question, list[_Answer]] = defaultdict(list)
        begin = None
        asked: dict[int, _Answer] = {}
        for time_ns, direction, data in packets:
            begin = time_ns if begin is None else begin
            at = (time_ns - begin) / 1e9
            if direction is Direction.EVENT:
                # A socketpair cannot say ENOBUFS: what is unreadable was lost.
                self.events.append((at, data or b"lost"))
                continue
            for message in _messages(data):
                if direction is Direction.REQUEST:
                    asked[message.seq] = _Answer(at, message)
                elif message.seq in asked:
                    asked[message.seq].messages.append(message)
        if begin is None:
            msg = "nothing was recorded"
            raise ValueError(msg)
        for answer in asked.values():
            if answer.request.kind == _RTM_SETLINK and _vf_questions(answer.request):
                self.settings.append(answer.at)
            for question in _also_answers(answer) if answer.messages else ():
                self.answers[question].append(answer)
        self._accept(asked.values())

    def _accept(self, given: Iterable[_Answer]) -> None:
        """A VF that was not tried again after its message was refused had been set by then."""
        for answer in given:
            if answer.request.kind == _RTM_SETLINK and answer.refuses():
                accepted = _Answer(answer.at, answer.request)
                accepted.messages = [_Message(_NLMSG_ERROR, 0, 0, bytes(4 + _HEADER.size))]
                for question in _vf_questions(answer.request):
                    self.answers.setdefault(question, [accepted])


class _Player:
    """The kernel's end of a session."""

    def __init__(
        self, recording: _Recording, speed: float, request: socket.socket, event: socket.socket
    ) -> None:
        self._recording = recording
        self._speed = speed
        self._request = request
        self._event = event
        self._given: dict[Question, int] = {}  # which of its answers a question got last
        self._set_until = -1.0  # the recorded time of the last setting that came
        self._next_event = 0
        self._began = 0.0

    def run(self) -> None:
        """Until the session is closed."""
        with self._request, self._event:
            try:
                select.select([self._request], [], [])
                self._began = time.monotonic()
                while datagram := self._wait():
                    for message in _messages(datagram):
                        self._answer(message)
            except (BrokenPipeError, ConnectionResetError):
                return

    def _wait(self) -> bytes:
        """The next request; meanwhile events come when it is time."""
        while True:
            wait = self._until_event()
            full = [self._event] if wait == 0.0 else []  # whose reader is late
            readable, _, _ = select.select([self._request], full, [], None if full else wait)
            self._tell(self._now())
            if readable:
                return self._request.recv(1 << 18)

    def _now(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    def _until_event(self) -> float | None:
        if self._next_event == len(self._recording.events):
            return None
        at, _ = self._recording.events[self._next_event]
        return max(0.0, (at - self._now()) / self._speed)

    def _tell(self, until: float) -> None:
        """Send the events that came until then."""
        events = self._recording.events
        while self._next_event < len(events) and events[self._next_event][0] <= until:
            try:
                self._event.send(events[self._next_event][1], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._next_event += 1

    def _answer(self, request: _Message) -> None:
        known = self._recording.answers
        questions = [_question(request)]
        if questions[0] not in known and request.kind == _RTM_SETLINK:
            questions = _vf_questions(request)
        if not questions or any(question not in known for question in questions):
            self._request.send(_refusal(request).packed(request.seq))
            return
        answers = [self._choose(question) for question in questions]
        answer = next((one for one in answers if one.refuses()), answers[-1])
        if request.kind == _RTM_SETLINK:
            self._set_until = max(self._set_until, answer.at)
        self._tell(answer.at)  # what was told before this was asked
        for message in answer.messages:
            self._request.send(message.packed(request.seq))

    def _choose(self, question: Question) -> _Answer:
        """The next answer, unless it is too early for that; late ones are left out."""
        answers = self._recording.answers[question]
        now, slack = self._now(), _SLACK * max(1.0, self._speed)
        given = self._given.get(question, -1)
        which = given + 1
        if which == len(answers) or (given >= 0 and answers[which].at > now + slack):
            return answers[given]
        awaited = next((at for at in self._recording.settings if at > self._set_until), now)
        late = max(now - _PATIENCE * max(1.0, self._speed), min(now - slack, awaited))
        while which + 1 < len(answers) and answers[which + 1].at <= late:
            which += 1
        self._given[question] = which
        return answers[which]


def _refusal(request: _Message) -> _Message:
    code = errno.ENODEV if request.kind == _RTM_GETLINK else errno.EOPNOTSUPP
    text = b"not in the recording\0"
    header = _HEADER.pack(_HEADER.size + len(request.body), request.kind, request.flags, 0, 0)
    attribute = struct.pack("=HH", 4 + len(text), _MSG_ATTRIBUTE) + text + bytes(-len(text) % 4)
    body = struct.pack("=i", -code) + header + attribute
    return _Message(_NLMSG_ERROR, _F_CAPPED | _F_ACK_TLVS, request.seq, body)
