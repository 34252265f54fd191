"""A recording as a kernel: ``pfstatus capture`` on one machine, the same messages on another."""

from __future__ import annotations

import errno
import math
import select
import socket
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.recording.netlink import (
    IFLA_ALT_IFNAME,
    IFLA_EXT_MASK,
    IFLA_IFNAME,
    IFLA_VF_LINK_STATE,
    IFLA_VFINFO_LIST,
    NLM_F_DUMP,
    NLMSG_ERROR,
    RTEXT_FILTER_VF,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    Message,
    ack,
    messages,
    nlas,
)
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


class _Answer:
    """All messages that answered one request."""

    def __init__(self, at: float, request: Message) -> None:
        self.at = at
        self.request = request
        self.messages: list[Message] = []

    def refuses(self) -> bool:
        """Whether it is an error."""
        return any(m.kind == NLMSG_ERROR and m.body[:4] != bytes(4) for m in self.messages)


def _question(message: Message) -> Question:
    if message.kind != RTM_GETLINK or message.flags & NLM_F_DUMP:
        return message.kind, message.body
    ifindex, attributes = message.link()
    name = attributes.get(IFLA_IFNAME) or attributes.get(IFLA_ALT_IFNAME) or b""
    mask = int.from_bytes(attributes.get(IFLA_EXT_MASK, b"")[:1])
    return RTM_GETLINK, ifindex or name, bool(mask & RTEXT_FILTER_VF)


def _vf_questions(setting: Message) -> list[Question]:
    """One for each VF that is set: another program may put them into other messages."""
    ifindex, attributes = setting.link()
    vfs = [dict(nlas(info)) for _, info in nlas(attributes.get(IFLA_VFINFO_LIST, b""))]
    return [(RTM_SETLINK, ifindex, vf.get(IFLA_VF_LINK_STATE)) for vf in vfs]


def _also_answers(answer: _Answer) -> set[Question]:
    """The same by another name or index, and without its VFs, of which less is told then."""
    request, first = answer.request, answer.messages[0]
    questions = {_question(request)}
    if request.kind == RTM_SETLINK:
        settings = _vf_questions(request)
        if len(settings) == 1 or not answer.refuses():  # which of several it refused, others tell
            questions.update(settings)
    elif first.kind == RTM_NEWLINK and not request.flags & NLM_F_DUMP:
        ifindex, attributes = first.link()
        _, asked, vfs = _question(request)
        for key in (asked, ifindex, attributes.get(IFLA_IFNAME)):
            questions |= {(RTM_GETLINK, key, False), (RTM_GETLINK, key, vfs)}
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
            for message in messages(data):
                if direction is Direction.REQUEST:
                    asked[message.seq] = _Answer(at, message)
                elif message.seq in asked:
                    asked[message.seq].messages.append(message)
        if begin is None:
            msg = "nothing was recorded"
            raise ValueError(msg)
        for answer in asked.values():
            if answer.request.kind == RTM_SETLINK and _vf_questions(answer.request):
                self.settings.append(answer.at)
            for question in _also_answers(answer) if answer.messages else ():
                self.answers[question].append(answer)
        self._accept(asked.values())

    def _accept(self, given: Iterable[_Answer]) -> None:
        """A VF that was not tried again after its message was refused had been set by then."""
        for answer in given:
            if answer.request.kind == RTM_SETLINK and answer.refuses():
                accepted = _Answer(answer.at, answer.request)
                accepted.messages = [ack(answer.request)]
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
                    for message in messages(datagram):
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

    def _coming(self, now: float) -> float:
        """When the next event will be: what was answered after it is no answer before."""
        events = self._recording.events[self._next_event : self._next_event + 1]
        return next((at for at, _ in events if at > now), math.inf)

    def _tell(self, until: float) -> None:
        """Send the events that came until then."""
        events = self._recording.events
        while self._next_event < len(events) and events[self._next_event][0] <= until:
            try:
                self._event.send(events[self._next_event][1], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._next_event += 1

    def _answer(self, request: Message) -> None:
        known = self._recording.answers
        questions = [_question(request)]
        if questions[0] not in known and request.kind == RTM_SETLINK:
            questions = _vf_questions(request)
        if not questions or any(question not in known for question in questions):
            self._request.send(_refusal(request)._replace(seq=request.seq).packed())
            return
        answers = [self._choose(question) for question in questions]
        answer = next((one for one in answers if one.refuses()), answers[-1])
        if request.kind == RTM_SETLINK:
            self._set_until = max(self._set_until, answer.at)
        self._tell(answer.at)  # what was told before this was asked
        for message in answer.messages:
            self._request.send(message._replace(seq=request.seq).packed())

    def _choose(self, question: Question) -> _Answer:
        """The next answer, unless it is too early for that; late ones are left out."""
        answers = self._recording.answers[question]
        now, slack = self._now(), _SLACK * max(1.0, self._speed)
        given = self._given.get(question, -1)
        which = given + 1
        early = min(now + slack, self._coming(now))
        if which == len(answers) or (given >= 0 and answers[which].at > early):
            return answers[given]
        awaited = next((at for at in self._recording.settings if at > self._set_until), now)
        late = max(now - _PATIENCE * max(1.0, self._speed), min(now - slack, awaited))
        while which + 1 < len(answers) and answers[which + 1].at <= late:
            which += 1
        self._given[question] = which
        return answers[which]


def _refusal(request: Message) -> Message:
    code = errno.ENODEV if request.kind == RTM_GETLINK else errno.EOPNOTSUPP
    return ack(request, code, "not in the recording")
