"""A LACP partner to test against: it answers, or does not, without a network card.

    from pfstatus import Heartbeat, HeartbeatState
    from pfstatus.testing import FakeKernel, FakePartner

    def test_a_mute_switch_is_noticed():
        with FakeKernel() as kernel:
            pf = kernel.add_pf("ens5f0")
            kernel.add_bond("bond0", pf)
            with FakePartner(pf) as partner:
                with Heartbeat(
                    "ens5f0",
                    mode="pulse",
                    session=kernel.session(),
                    open_port=partner.open_port,
                    known=[partner.learned],
                ) as heartbeat:
                    while heartbeat.state("ens5f0") is not HeartbeatState.HEARD:
                        heartbeat.poll(5)
                    partner.mute = True
                    while heartbeat.state("ens5f0") is not HeartbeatState.SILENT:
                        assert heartbeat.poll(5)

It plays both ends of the PF's cable: the kernel's own LACPDUs and the partner's, each second. It
shares no code with the C core but the writing of frames.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pfstatus._port import Port, decode_lacpdu, encode_lacpdu
from pfstatus.errors import error
from pfstatus.heartbeat.values import Partner
from pfstatus.values import Lacpdu, LacpduEnd, PortState

if TYPE_CHECKING:
    from pfstatus.testing.links import FakePf

_PACKET_MULTICAST, _PACKET_OUTGOING = 2, 4
_SOCKADDR_LL = struct.Struct("=HHiHBB8x")
_UP = PortState(0x3F)


class Answers(StrEnum):
    """What a partner answers."""

    QUESTIONS = "questions"
    """LACPDUs that tell something else of it than it is, as the standard has it."""
    EVERYTHING = "everything"
    NOTHING = "nothing"


class FakePartner:
    """A partner of one PF, and the kernel's own LACPDUs; a context manager.

    Attributes may be changed at any time, by any thread.

    Args:
        pf: the PF.
        answers: what it answers.
        delay: seconds that an answer takes.
        interval: seconds between LACPDUs of its own, and between the kernel's own.
    """

    def __init__(
        self,
        pf: FakePf,
        *,
        answers: Answers = Answers.QUESTIONS,
        delay: float = 0.05,
        interval: float = 1.0,
    ) -> None:
        self.pf = pf
        self.answers = answers
        self.delay = delay
        self.interval = interval
        self.mute = False
        """It sends nothing: not by itself, nor as an answer."""
        self.kernel_mute = False
        """The kernel sends nothing."""
        self.permitted = True
        """Whether whoever opens a port holds CAP_NET_RAW."""
        self.asked: list[Lacpdu] = []
        """What the port sent, in order."""
        self.actor = LacpduEnd("02:00:00:00:00:a0", 65535, 15, 1, 255, _UP)
        """The PF's end."""
        self.partner = LacpduEnd("02:00:5e:00:00:01", 32768, 32768, 12, 127, _UP)
        """The partner's end."""
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._serve, name="FakePartner", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End it. May be called again."""
        if self._closed:
            return
        self._closed = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for ours in self._sockets:
            ours.close()
        os.close(self._wake)

    @property
    def learned(self) -> Partner:
        """What a heartbeat would learn of it, for one that shall not need 20 s to."""
        answered = 0 if self.answers is Answers.NOTHING else 10
        return Partner(
            system=self.partner.system,
            port=self.partner.port,
            questions=10,
            answers=answered,
            copies=4,
            copies_answered=4 if self.answers is Answers.EVERYTHING else 0,
            answer_time=self.delay,
            gap=0.5 + self.delay,
            missed=10 - answered,
        )

    def open_port(self, ifindex: int) -> Port:
        """A port on the PF, for ``Heartbeat(open_port=...)``; its caller closes it.

        Raises:
            NotPermittedError: as ``permitted`` says.
            LinkNotFoundError: it is another PF's index.
        """
        if not self.permitted:
            raise error(errno.EPERM)
        if ifindex != self.pf.ifindex:
            raise error(errno.ENODEV)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        with self._lock:
            self._sockets.append(ours)
        os.eventfd_write(self._wake, 1)
        return Port(fd=theirs.detach())

    def kernel_speaks(self) -> None:
        """The kernel sends a LACPDU of its own."""
        self._pass(_PACKET_OUTGOING, self.actor, self.partner)

    def speaks(self) -> None:
        """The partner sends a LACPDU."""
        self._pass(_PACKET_MULTICAST, self.partner, self.actor)

    def _pass(self, kind: int, actor: LacpduEnd, partner: LacpduEnd) -> None:
        frame = encode_lacpdu(Lacpdu(actor.system, 1, actor, partner, 0))
        for ours in self._sockets:
            try:
                ours.send(_SOCKADDR_LL.pack(0, 0, 0, 0, kind, 0) + frame)
            except OSError:  # the port was closed, or does not read
                continue

    def _serve(self) -> None:
        due: list[tuple[float, str]] = [(0.0, "kernel"), (0.0, "partner")]
        while not self._closed:
            with self._lock:
                sockets = list(self._sockets)
            timeout = max(0.0, min(due)[0] - time.monotonic())
            wanted: list[int | socket.socket] = [self._wake, *sockets]
            readable, _, _ = select.select(wanted, [], [], timeout)
            if self._wake in readable:
                os.eventfd_read(self._wake)
                due = [(0.0, "kernel"), (0.0, "partner")]  # so that a new port knows both at once
            for ours in sockets:
                if ours in readable:
                    due += [(at, "answer") for at in self._read(ours)]
            now = time.monotonic()
            for at, who in [each for each in due if each[0] <= now]:
                due.remove((at, who))
                if who == "kernel" and not self.kernel_mute:
                    self.kernel_speaks()
                if who != "kernel" and not self.mute:
                    self.speaks()
                if who != "answer":
                    due.append((now + self.interval, who))

    def _read(self, ours: socket.socket) -> list[float]:
        """What a port sent; when to answer it."""
        try:
            asked = decode_lacpdu(ours.recv(2048))
        except OSError:
            asked = None
        if asked is None:  # it was closed
            with self._lock:
                self._sockets.remove(ours)
            ours.close()
            return []
        self.asked.append(asked)
        differs = asked.partner.state != self.partner.state
        wanted = self.answers is Answers.EVERYTHING or (
            self.answers is Answers.QUESTIONS and differs
        )
        return [time.monotonic() + self.delay] if wanted else []
