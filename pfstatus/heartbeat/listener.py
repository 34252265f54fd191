"""What one partner's LACPDUs and its silence mean. Pure: the clock is handed in, nothing is sent.

Silence alone proves nothing, nor does one unanswered question. A silence that is longer than this
partner has ever been silent while it was being asked does. docs/heartbeat.md has the clauses.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

from pfstatus.heartbeat.learner import DOUBT, THIRD, Learner, next_question
from pfstatus.heartbeat.values import (
    GAPS,
    Beat,
    Counts,
    HeartbeatMode,
    HeartbeatState,
    Outcome,
    Partner,
)
from pfstatus.values import PortState, Say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfstatus.values import Lacpdu

_LEAST_LATE = 1.75  # seconds of silence before which late concludes nothing
_LEAST_ANSWER_TIME = 0.1  # bonding's own tick, and that of a busy switch
_LATE = 0.25  # seconds that a turn may be late without being our own lateness
_OWN_FAST, _OWN_SLOW = 2.5, 40.0  # seconds after which our kernel's own LACPDUs have stopped
_REVIVE = 0.5  # seconds between repeats while the port is DEFAULTED
_CONFIRM_FAST, _CONFIRM_SLOW = 3.5, 90.5  # seconds that the kernel has to say the same
_OWN_DUE = (0.9, 1.05)  # seconds after its last one at which our kernel speaks, every other time

NOT_YET = "it is not known yet whether LACP is up"
LACP_DOWN = "LACP is not up"
NOT_ASKED = "nobody is asked"
NO_TEMPLATE = "our kernel has sent no LACPDU since we listen, which could be sent again"
OWN_STOPPED = "our kernel's own LACPDUs have stopped"
NOTHING_HEARD = "no LACPDU of the partner has come since we listen"
SLOW = "the partner is asked for the slow rate (bond option lacp_rate), where silence is normal"
NO_ANSWERS = "the partner answers no question: the kernel alone tells when it is silent"
DEAF = "the kernel calls LACP up though we hear nothing: a false alarm"


class Listener:
    """One PF's heartbeat.

    Its caller tells it what passes, in order, then calls ``turn()``, and again at ``due``.

    Args:
        name: the PF's, for what is told.
        mode: when to ask.
        slow: also conclude where the partner sends at the slow rate.
        revive: while the port is DEFAULTED, say twice a second what our kernel said last.
        ask: False asks nobody, and concludes nothing: for ``revive`` alone.
        known: what was learned of partners before.
    """

    def __init__(
        self,
        name: str,
        mode: HeartbeatMode,
        *,
        slow: bool = False,
        revive: bool = False,
        ask: bool = True,
        known: Iterable[Partner] = (),
    ) -> None:
        self._name = name
        self._ask = ask
        self._mode = mode
        self._slow = slow
        self._revive = revive
        self.state = HeartbeatState.IDLE
        self.why = NOT_YET
        self.due = math.inf
        """When turn() has something to do, unless something passes before."""
        self.told: list[Beat] = []
        """What is news. Its reader empties it."""
        self.counts = Counts()
        self._partners = {(partner.system, partner.port): partner for partner in known}
        self._learner: Learner | None = None
        self._failed = ""
        self._up: bool | None = None
        self._revivable = False
        self._own: Lacpdu | None = None
        self._own_at = -math.inf
        self._heard: Lacpdu | None = None
        self._heard_at = -math.inf
        self._asked: deque[float] = deque(maxlen=8)  # questions since the partner was heard
        self._said_at = -math.inf
        self._waited = 0.0  # longest from a first question to a LACPDU, where late asks
        self._silent_at = -math.inf
        self._repeated = False

    # What passes

    def failed(self, why: str) -> None:
        """The PF cannot be listened to; empty: it can."""
        self._failed = why

    def link(self, at: float, *, up: bool, revivable: bool) -> None:
        """What the kernel says of the PF.

        Args:
            at: now.
            up: LACP is up.
            revivable: it is DEFAULTED, with its link up.
        """
        self._revivable = revivable
        if up == self._up:
            return
        was, self._up = self._up, up
        self._asked.clear()
        if self.state is HeartbeatState.SILENT and not up:
            self._end_silence(at, HeartbeatState.IDLE, LACP_DOWN, Outcome.CONFIRMED)
        if up and was is not None and self._repeated:
            self.counts.revivals += 1
        self._repeated = False
        self._learner = None

    def received(self, at: float, lacpdu: Lacpdu) -> None:
        """A LACPDU of the partner."""
        if self._heard and self._identity(self._heard) != self._identity(lacpdu):
            self._learner = None
            self._heard_at = -math.inf
        gap = at - self._heard_at
        if gap < math.inf:
            self.counts.gaps[bisect_left(GAPS, gap)] += 1
            self.counts.gap_seconds += gap
        if self._asked:
            self.counts.answers += 1
            self.counts.answer_seconds += max(0.0, at - self._asked[-1])
        if self._learner:
            self._learner.received(at)
        else:
            self._widen(at, gap)
        self._heard, self._heard_at = lacpdu, at
        self._asked.clear()
        if self.state is HeartbeatState.SILENT:
            why = f"it speaks again after {gap:.2f} s, and the kernel had not missed it"
            self._end_silence(at, HeartbeatState.HEARD, why, Outcome.FALSE)

    def sent(self, at: float, lacpdu: Lacpdu) -> None:
        """A LACPDU of our kernel's own."""
        self._own, self._own_at = lacpdu, at

    def forget(self) -> None:
        """What our kernel and the partner said was for another bond, MAC or link."""
        self._own, self._own_at = None, -math.inf
        self._heard, self._heard_at = None, -math.inf
        self._learner = None
        self._asked.clear()

    def said(self, at: float, what: Say) -> None:
        """What turn() wanted was sent."""
        self._said_at = at
        if what is Say.REPEAT:
            self.counts.repeats += 1
            self._repeated = True
            return
        if what is Say.ASK:
            self.counts.questions += 1
            self._asked.append(at)
        if self._learner:
            self._learner.said(at)

    def postpone(self, until: float) -> None:
        """What turn() wanted could not be sent; there is no use in another try before."""
        self.due = until

    # What it means

    def turn(self, now: float, free_at: float = 0.0) -> Say | None:
        """Conclude what can be concluded.

        Args:
            now: the clock.
            free_at: when the limit lets the next LACPDU through.

        Returns:
            What to say now; ``said()`` is to follow where it was sent.
        """
        # Who was late himself concludes from nothing that was asked before.
        if now > self.due + _LATE:
            self._asked.clear()
            if self._learner:
                self._learner.overslept(now)
        what = self._turn(now)
        if what is None:
            return None
        if free_at > now:
            self.due = min(self.due, free_at) if self.due > now else free_at
            return None
        self.due = now
        return what

    def partner(self) -> Partner | None:
        """What was learned of who is heard; None where nothing was yet."""
        return self._partners.get(self._identity(self._heard)) if self._heard else None

    def silence(self, now: float) -> float | None:
        """Seconds since the partner's last LACPDU."""
        return now - self._heard_at if self._heard_at > -math.inf else None

    @property
    def fast(self) -> bool:
        """Whether we ask the partner for the fast rate."""
        return self._own is not None and bool(self._own.actor.state & PortState.TIMEOUT)

    def _turn(self, now: float) -> Say | None:
        self.due = math.inf
        why = self._idle_because(now)
        if why:
            if self.state is not HeartbeatState.IDLE or why != self.why:
                self._become(now, HeartbeatState.IDLE, why)
            return self._turn_revive(now)
        partner = self.partner()
        if partner is None:
            return self._turn_learner(now)
        if not partner.usable:
            self._become(now, HeartbeatState.IDLE, f"{NO_ANSWERS} ({partner})")
            return None
        self.due = self._own_ends()
        if self.state is HeartbeatState.SILENT:
            self._turn_silent(now)
            return None
        if self._is_silent(now, partner):
            self._silent_at = now
            why = (
                f"{now - self._heard_at:.2f} s without a LACPDU, {len(self._asked)} questions "
                f"unanswered; never longer than {partner.gap:.2f} s while asked before"
            )
            self._become(now, HeartbeatState.SILENT, why)
            self._turn_silent(now)
            return None
        return self._turn_ask(now, partner)

    def _idle_because(self, now: float) -> str:
        if self._failed:
            return self._failed
        if not self._up:
            return NOT_YET if self._up is None else LACP_DOWN
        if not self._ask:
            return NOT_ASKED
        if self._own is None:
            return NO_TEMPLATE
        if self._heard is None:
            return NOTHING_HEARD
        if not self.fast and not self._slow:
            return SLOW
        if now >= self._own_ends() and self.state is not HeartbeatState.SILENT:
            return OWN_STOPPED
        return ""

    def _own_ends(self) -> float:
        """When our kernel's own LACPDUs have stopped."""
        return self._own_at + (_OWN_SLOW if self._alone else _OWN_FAST)

    @property
    def _alone(self) -> bool:
        """Whether the partner asks our kernel for the slow rate."""
        return self._heard is None or not self._heard.actor.state & PortState.TIMEOUT

    def _turn_revive(self, now: float) -> Say | None:
        if not (self._revive and self._revivable) or now >= self._own_at + _OWN_SLOW:
            return None
        self.due = self._said_at + _REVIVE
        return Say.REPEAT if now >= self.due else None

    def _turn_learner(self, now: float) -> Say | None:
        assert self._heard is not None
        if self._learner is None:
            identity = self._identity(self._heard)
            self._learner = Learner(now, *identity, fast=self.fast, alone=self._alone)
            self._asked.clear()
            self._become(now, HeartbeatState.LEARNING, "the partner is asked, to learn its answers")
        what = self._learner.turn(now, self._heard_at)
        learned = self._learner.learned()
        if learned is None:
            self.due = min(self._learner.due, self._own_ends())
            return what
        self._partners[self._learner.identity] = learned
        self._learner = None
        self._asked.clear()
        self.due = now
        if learned.usable:
            self._become(now, HeartbeatState.HEARD, f"learned: {learned}")
        return None

    def _turn_silent(self, now: float) -> None:
        self.due = self._silent_at + (_CONFIRM_FAST if self.fast else _CONFIRM_SLOW)
        if now >= self.due:
            self._end_silence(now, HeartbeatState.IDLE, DEAF, Outcome.FALSE)
            # Our ears are at fault: they begin anew.
            self.forget()
            self.due = now

    def _is_silent(self, now: float, partner: Partner) -> bool:
        limit = max(partner.answer_time, _LEAST_ANSWER_TIME)
        if len(self._asked) < partner.needed:
            return False
        ripe = max(self._asked[partner.needed - 1] + limit, self._heard_at + partner.threshold)
        if self._mode is HeartbeatMode.LATE:
            # It was asked for a part of the time alone, and there is more time to be sure.
            ripe = max(
                ripe, self._heard_at + _LEAST_LATE, self._asked[0] + 1.5 * self._waited + 0.1
            )
        if now >= ripe:
            return True
        self.due = min(self.due, ripe)
        return False

    def _turn_ask(self, now: float, partner: Partner) -> Say | None:
        ripe = self.due  # when the silence could be concluded from, if not heard of
        doubtful = bool(self._asked) and now >= self._asked[0] + max(
            partner.answer_time, _LEAST_ANSWER_TIME
        )
        if doubtful:
            why = f"no answer yet; {now - self._heard_at:.2f} s without a LACPDU"
            self._become(now, HeartbeatState.ASKED, why)
        elif not self._asked:
            self._become(now, HeartbeatState.HEARD, "it speaks")
        if doubtful:
            ask_at = self._said_at + THIRD
        elif self._mode is HeartbeatMode.PULSE:
            ask_at = next_question(
                self._said_at,
                self._heard_at,
                answer_time=partner.answer_time,
                alone=self._alone,
                misses=partner.missed > 0,
            )
        else:
            ask_at = max(self._heard_at + DOUBT, self._said_at + THIRD)
        ask_at = self._after_own(ask_at, now, partner)
        if now >= ask_at:
            return Say.ASK
        self.due = min(ripe, ask_at)
        if self._asked and not doubtful:
            limit = max(partner.answer_time, _LEAST_ANSWER_TIME)
            self.due = min(self.due, self._asked[0] + limit)
        return None

    def _after_own(self, ask_at: float, now: float, partner: Partner) -> float:
        """When to ask who misses questions: not just before our kernel speaks.

        Some look at the newest LACPDU alone, twice a second: what our kernel says in between
        erases the question.
        """
        begin, end = (self._own_at + seconds for seconds in _OWN_DUE)
        if not partner.missed or not begin <= max(now, ask_at) < end:
            return ask_at
        return end

    def _widen(self, at: float, gap: float) -> None:
        """A gap longer than any before, while the partner was asked, proved healthy."""
        partner = self.partner()
        if partner is None or not partner.usable or not self._asked:
            return
        if self._mode is HeartbeatMode.LATE:
            self._waited = max(self._waited, at - self._asked[0])
        elif gap > partner.gap:
            wider = dataclasses.replace(partner, gap=gap)
            self._partners[partner.system, partner.port] = wider

    def _end_silence(self, at: float, new: HeartbeatState, why: str, outcome: Outcome) -> None:
        self.counts.silences[outcome] += 1
        self._become(at, new, why, outcome)

    def _become(
        self, now: float, new: HeartbeatState, why: str, outcome: Outcome | None = None
    ) -> None:
        old, self.state = self.state, new
        if old is new and (new is not HeartbeatState.IDLE or why == self.why):
            return
        self.why = why
        self.told.append(
            Beat(self._name, old, new, why, self.silence(now), self.partner(), outcome)
        )

    @staticmethod
    def _identity(lacpdu: Lacpdu) -> tuple[str, int]:
        return lacpdu.actor.system, lacpdu.actor.port
