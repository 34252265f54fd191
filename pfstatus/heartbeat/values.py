"""What a heartbeat tells: values that know no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

GAPS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.05, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 90.0)
"""Upper bounds of the histogram of gaps, seconds; one more bucket holds what is longer."""

_USABLE = 3
"""So many of ten questions must be answered: chance does not do that, and who looks twice a second
and minds the newest question alone answers six."""


class HeartbeatMode(StrEnum):
    """When a partner is asked."""

    LATE = "late"
    """After 1.05 s of silence, which a healthy partner at the fast rate seldom reaches."""
    PULSE = "pulse"
    """All the time: half a second after it was heard last, where the standard's limit lets."""


class HeartbeatState(StrEnum):
    """What is known of a PF's partner by its LACPDUs."""

    IDLE = "idle"
    """Nothing is concluded: LACP is not up, there is nothing to ask with, or no use in asking."""
    LEARNING = "learning"
    """It is asked, to learn how it answers. Nothing is concluded yet."""
    HEARD = "heard"
    """It speaks."""
    ASKED = "asked"
    """It is silent, and was asked."""
    SILENT = "silent"
    """It does not answer: longer than it ever was silent while it was being asked."""


class Outcome(StrEnum):
    """What became of a silence."""

    CONFIRMED = "confirmed"
    """The kernel said the same."""
    FALSE = "false"
    """It was heard again, or the kernel went on to call LACP up: a false alarm."""


@dataclass(frozen=True, slots=True)
class Partner:
    """What was learned of the other end of a link. Times are seconds."""

    system: str
    """Its MAC address, as its LACPDUs name it."""
    port: int
    """Its port's number."""
    questions: int
    """How often it was asked, one at a time."""
    answers: int
    """How many of these it answered."""
    copies: int
    """How often it was sent the same without a question in it."""
    copies_answered: int
    """How many of these it answered: some answer everything."""
    answer_time: float
    """The longest that an answer took."""
    gap: float
    """The longest between two of its LACPDUs while it was being asked."""
    missed: int
    """Questions, of all, that went unanswered while it was learned."""

    @property
    def usable(self) -> bool:
        """Whether its silence can mean anything: it answers."""
        return self.answers >= _USABLE

    @property
    def threshold(self) -> float:
        """A silence is not concluded from before it is longer than this."""
        return 1.5 * self.gap + 0.1

    @property
    def needed(self) -> int:
        """So many questions must go unanswered."""
        return 3 if self.missed else 2

    def __str__(self) -> str:
        asked = f"{self.answers} of {self.questions} questions answered"
        if not self.usable:
            return f"{self.system} port {self.port}: {asked}"
        return (
            f"{self.system} port {self.port}: {asked} within {self.answer_time * 1e3:.0f} ms, "
            f"{self.copies_answered} of {self.copies} copies; "
            f"longest gap while asked {self.gap:.2f} s"
        )


@dataclass(frozen=True, slots=True)
class Beat:
    """A PF's heartbeat as it was and as it is."""

    name: str
    """The PF, as it was named to the heartbeat."""
    old: HeartbeatState
    new: HeartbeatState
    why: str
    """One sentence."""
    silence: float | None = None
    """Seconds since the last LACPDU of the partner; None where there was none."""
    partner: Partner | None = None
    """What was learned; None where nothing was yet."""
    outcome: Outcome | None = None
    """Where a silence ended: what it was."""

    def __str__(self) -> str:
        return f"{self.name}: {self.old} -> {self.new}: {self.why}"


@dataclass(slots=True)
class Counts:
    """What happened on one PF since it is watched."""

    questions: int = 0
    answers: int = 0
    """Questions after which a LACPDU came before the next."""
    answer_seconds: float = 0.0
    """Sum of the times that these took."""
    gaps: list[int] = field(default_factory=lambda: [0] * (len(GAPS) + 1))
    """How many gaps between two LACPDUs of the partner were at most so long: by ``GAPS``."""
    gap_seconds: float = 0.0
    """Sum of all gaps."""
    silences: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    repeats: int = 0
    """LACPDUs sent again while the port was DEFAULTED."""
    revivals: int = 0
    """How often LACP came up after such."""
