"""How a partner answers: it is asked some ten times, at leisure. Pure: the clock is handed in.

First one at a time, with unchanged copies in between as a control. Each goes out a moment after a
LACPDU of the partner, so that what comes next is no periodic one: those are 0.9 s apart at least.
Then ten in a row, when ``pulse`` would ask: how long is it silent while it is being asked?

Not in doubt: while the partner is late, nothing is asked.
"""

from __future__ import annotations

from pfstatus.heartbeat.values import Partner
from pfstatus.values import Say

PACE = 0.5
"""Seconds between questions: two in a second, and one of the kernel's own."""
THIRD = 1 / 3
"""Seconds between LACPDUs where the limit is used up: three in a second."""
DOUBT = 1.05
"""Seconds of silence from which on a partner is late at the fast rate."""

_ASK, _COPY = Say.ASK, Say.COPY
_SINGLY = (_ASK, _ASK, _COPY) * 4 + (_ASK, _ASK)
_IN_A_ROW = 10
_AFTER, _BEFORE = 0.15, 0.3  # seconds after a LACPDU, in which to ask
_WITHIN = 0.55  # seconds for an answer; with _BEFORE, less than to the next periodic one
_PATIENCE = 2.0  # seconds to wait for such a moment


def next_question(
    said_at: float, heard_at: float, *, answer_time: float, alone: bool, misses: bool
) -> float:
    """When ``pulse`` asks next.

    Args:
        said_at: of the last question.
        heard_at: of the partner's last LACPDU.
        answer_time: the longest that its answers took; sooner, two questions are one.
        alone: the partner asks our kernel for the slow rate, which leaves us the limit of three.
        misses: the partner leaves questions unanswered.
    """
    if alone:
        return said_at + max(THIRD, answer_time)
    if misses:
        return said_at + PACE
    # Whoever was just heard need not be asked: what the limit saves is there for a second question.
    return max(said_at, heard_at) + PACE


class Learner:
    """Learns one partner.

    Args:
        now: the clock.
        system: the partner's MAC address.
        port: its port's number.
        fast: whether it sends at the fast rate.
        alone: whether our kernel sends at the slow rate.
    """

    def __init__(self, now: float, system: str, port: int, *, fast: bool, alone: bool) -> None:
        self.identity = (system, port)
        self._fast = fast
        self._alone = alone
        self._step = 0
        self._asked: float | None = None  # when what is under way was said
        self._answered = False
        self._since = now  # when the present step began
        self._count = {_ASK: [0, 0], _COPY: [0, 0]}  # said, answered
        self._answer_time = 0.0
        self._in_a_row = 0
        self._missed = 0
        self._gap = 0.0
        self._done = False
        self._last: float | None = None  # arrival, or the first question, of the row
        self._open: float | None = None  # first question of the row since that arrival
        self.due = now
        """When turn() has something to do."""

    def received(self, at: float) -> None:
        """A LACPDU of the partner came."""
        if self._last is not None:
            self._end_gap(at)
            self._last = at
        if self._asked is None or self._answered or at < self._asked:
            return
        self._answered = True
        if not self._in_a_row:
            self._answer_time = max(self._answer_time, at - self._asked)

    def said(self, at: float) -> None:
        """What turn() wanted was sent."""
        self._asked = at
        self._answered = False
        if self._step < len(_SINGLY):
            self._count[_SINGLY[self._step]][0] += 1
        else:
            self._in_a_row += 1
            if self._last is None:
                self._last = at
            if self._open is None:
                self._open = at

    def overslept(self, now: float) -> None:
        """We were late ourselves: what is under way tells nothing, and is done again."""
        if self._asked is not None:
            if self._step < len(_SINGLY):
                self._count[_SINGLY[self._step]][0] -= 1
            else:
                self._in_a_row -= 1
        self._asked = self._last = self._open = None
        self._since = now

    def turn(self, now: float, heard_at: float) -> Say | None:
        """What to say now."""
        if self._step < len(_SINGLY):
            return self._turn_singly(now, heard_at)
        return self._turn_in_a_row(now, heard_at)

    def learned(self) -> Partner | None:
        """What came out, once it has."""
        asked, answers = self._count[_ASK]
        copies, copies_answered = self._count[_COPY]
        system, port = self.identity
        found = Partner(
            system=system,
            port=port,
            questions=asked,
            answers=answers,
            copies=copies,
            copies_answered=copies_answered,
            answer_time=self._answer_time,
            gap=self._gap,
            missed=asked - answers + self._missed,
        )
        if self._step < len(_SINGLY) or (found.usable and not self._done):
            return None
        return found

    def _turn_singly(self, now: float, heard_at: float) -> Say | None:
        if self._asked is not None:
            self.due = self._asked + _WITHIN
            if now < self.due:
                return None
            self._count[_SINGLY[self._step]][1] += self._answered
            self._step += 1
            self._since = self._asked + 2 * PACE
            self._asked = None
            if self._step == len(_SINGLY):
                self.due = now
                return None
        self.due = self._since
        if now < self.due or self._doubtful(now, heard_at):
            return None
        self.due = heard_at + _AFTER
        if now < self.due:
            return None
        if self._fast and now > heard_at + _BEFORE:
            self.due = self._since + _PATIENCE
            if now < self.due:
                return None
        return _SINGLY[self._step]

    def _turn_in_a_row(self, now: float, heard_at: float) -> Say | None:
        if self._asked is not None:
            last = self._in_a_row == _IN_A_ROW
            self.due = self._asked + _WITHIN if last else self._next(self._asked, heard_at)
            if now < self.due and not (last and self._open is None):
                return None
            if last:
                self._done = True
                if self._open is not None:
                    self._end_gap(now)
                return None
        self.due = now
        return None if self._doubtful(now, heard_at) else _ASK

    def _next(self, asked: float, heard_at: float) -> float:
        asks, answers = self._count[_ASK]
        misses = bool(self._missed) or answers < asks
        return next_question(
            asked, heard_at, answer_time=self._answer_time, alone=self._alone, misses=misses
        )

    def _end_gap(self, at: float) -> None:
        """It was silent until now, while it was asked in a row."""
        assert self._last is not None
        self._gap = max(self._gap, at - self._last)
        if self._open is None:
            return
        if at < self._open + _WITHIN:
            self._answer_time = max(self._answer_time, at - self._open)
        else:
            self._missed += 1
        self._open = None

    def _doubtful(self, now: float, heard_at: float) -> bool:
        """Whether to wait for the partner first; received() is followed by a turn."""
        if self._fast and now > heard_at + DOUBT:
            self.due = float("inf")
            return True
        return False
