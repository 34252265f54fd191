"""A link on a clock of its own: a kernel that speaks, a partner of some make, and a listener."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, replace
from itertools import count

from pfstatus import HeartbeatMode, HeartbeatState, Lacpdu, LacpduEnd, PortState
from pfstatus.heartbeat.listener import Listener
from pfstatus.values import Say

FAST, SLOW = PortState(0x3F), PortState(0x3D)
PF = LacpduEnd("02:00:00:00:00:a0", 65535, 15, 1, 255, FAST)
SWITCH = LacpduEnd("02:00:00:00:00:b0", 32768, 16, 12, 127, FAST)
PER_SECOND = 3


@dataclass(frozen=True)
class Make:
    """How a partner behaves; times in seconds, as docs/kernel.md has them."""

    gaps: tuple[float, ...]  # between its own LACPDUs
    answer: tuple[float, float] = (0.0, 0.0)  # from, to
    answers: str = "questions"
    looks: float = 0.0  # it looks so often, at the newest LACPDU alone
    spacing: float = 0.0  # at least between two that it sends
    slots: float = 0.0  # it sends at these beats alone
    state: PortState = FAST


# Bonding sends at each third tick of its own, which are 105 ms long: ad_tx_machine().
LINUX = Make(gaps=(0.945, 1.26), slots=0.315)
TEAMD = Make(gaps=(1.0,), answer=(0.001, 0.002))
OVS = Make(gaps=(1.0,), looks=0.5)
DPDK = Make(gaps=(0.91,), answer=(0.06, 0.376), spacing=0.5, state=SLOW)
LACPLIB = Make(gaps=(0.95, 1.26), answer=(0.001, 0.003), answers="everything")
LAGG = Make(gaps=(1.0,), answers="nothing")
SLOW_LINUX = Make(gaps=(29.925, 30.24), slots=0.315)
LINUX_ASKS_SLOW = replace(LINUX, state=SLOW)
TEAMD_ASKS_SLOW = replace(TEAMD, state=SLOW)
ANSWERING = {"linux": LINUX, "teamd": TEAMD, "ovs": OVS, "dpdk": DPDK, "lacplib": LACPLIB}


class World:
    """Runs a listener against a make of partner until a time of its clock."""

    def __init__(
        self, make: Make, mode: HeartbeatMode = HeartbeatMode.LATE, seed: int = 0, **options
    ):
        self.make = make
        self.random = random.Random(seed)
        self.listener = Listener("pf0", mode, **options)
        self.now = 1000.0
        self.partner = replace(SWITCH, state=make.state)
        self.actor = PF
        self.mute = False  # nothing of the partner's arrives
        self.deaf = False  # nothing of ours arrives there
        self.kernel_mute = False
        self.delay = lambda: 0.0  # of each of the partner's LACPDUs, on its way
        self.lose = 0  # so many of the next LACPDUs, of either end's, are lost
        self.beats = []
        self.asked: list[tuple[float, Say]] = []  # what we sent
        self.sent: list[float] = []  # all that left our end
        self.arrivals: list[float] = []
        self._queue: list = []
        self._numbers = count()
        self._pending: Lacpdu | None = None  # what a looking partner will look at
        self._last_sent = -10.0  # by the partner
        self._next_sent = -10.0  # what it has to say, and not yet said
        self._own_slow = not make.state & PortState.TIMEOUT
        self._after(0.0, self._kernel_speaks)
        self._first_slot = self.now + self.random.uniform(0, make.slots)
        self._after(self.random.uniform(0, 1), self._partner_speaks, 0)
        if make.looks:
            self._after(self.random.uniform(0, make.looks), self._partner_looks)

    def _after(self, seconds, what, *args):
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), what, args))

    # Our end

    def _kernel_speaks(self):
        if not self.kernel_mute:
            self.listener.sent(self.now, Lacpdu(self.actor.system, 1, self.actor, self.partner, 0))
            self.sent.append(self.now)
            self._at_partner(None)
        own = (
            self.random.uniform(29.9, 30.3) if self._own_slow else self.random.choice((0.95, 1.26))
        )
        self._after(own, self._kernel_speaks)

    def _say(self, what):
        self.listener.said(self.now, what)
        self.asked.append((self.now, what))
        self.sent.append(self.now)
        self._at_partner(what)

    # The other end

    def _at_partner(self, what):
        if self.deaf or self._lost():
            return
        make = self.make
        wants = make.answers == "everything" or (make.answers == "questions" and what is Say.ASK)
        if make.looks:
            self._pending = wants  # the newest alone counts
        elif wants and (what is not None):
            self._after(self.random.uniform(*make.answer), self._partner_wants_to_send)

    def _partner_looks(self):
        if self._pending:
            self._pending = None
            self._partner_wants_to_send()
        self._after(self.make.looks, self._partner_looks)

    def _partner_speaks(self, number):
        self._partner_wants_to_send()
        gap = self.make.gaps[number % len(self.make.gaps)]
        self._after(gap, self._partner_speaks, number + 1)

    def _partner_wants_to_send(self):
        """One LACPDU says all that there is to say."""
        if self._next_sent > self.now:
            return
        at = max(self.now, self._last_sent + self.make.spacing)
        if self.make.slots:
            slot = math.floor((at - self._first_slot) / self.make.slots + 1e-6) + 1
            at = self._first_slot + slot * self.make.slots
        self._next_sent = at
        self._after(at - self.now, self._partner_sends)

    def _partner_sends(self):
        self._last_sent = self.now
        if not self.mute and not self._lost():
            self._after(self.delay(), self._arrives)

    def _arrives(self):
        if not self.mute:
            self.arrivals.append(self.now)
            self.listener.received(self.now, Lacpdu("02:00:00:00:00:b1", 1, self.partner, PF, 0))

    def _lost(self) -> bool:
        self.lose -= 1
        return self.lose >= 0

    # The clock

    def free_at(self) -> float:
        return self.sent[-PER_SECOND] + 1.0 if len(self.sent) >= PER_SECOND else 0.0

    def turn(self):
        for _ in range(4):
            what = self.listener.turn(self.now, self.free_at())
            self.beats += self.listener.told
            self.listener.told.clear()
            if what is None:
                return
            assert self.free_at() <= self.now
            self._say(what)
        raise AssertionError("it wants to speak without end")

    def link(self, *, up: bool, revivable: bool = False):
        self.listener.link(self.now, up=up, revivable=revivable)
        self.turn()

    def run(self, seconds: float, until=lambda: False):
        end = self.now + seconds
        while not until():
            due = self.listener.due
            at = min(self._queue[0][0], max(due, self.now), end)
            assert at >= self.now
            self.now = at
            if self._queue[0][0] <= self.now:
                _, _, what, args = heapq.heappop(self._queue)
                what(*args)
            elif due > self.now:
                return self
            self.turn()
        return self

    def sleep(self, seconds: float):
        """Our process is stopped: what passes waits on the socket, with its stamps."""
        end = self.now + seconds
        while self._queue[0][0] <= end:
            self.now, _, what, args = heapq.heappop(self._queue)
            what(*args)
        self.now = end
        self.turn()
        return self

    def learn(self):
        self.link(up=True)
        self.run(700, until=lambda: self.listener.partner() is not None)
        assert self.listener.partner()
        return self

    def states(self):
        return [beat.new for beat in self.beats]

    @property
    def silent(self):
        return self.listener.state is HeartbeatState.SILENT
