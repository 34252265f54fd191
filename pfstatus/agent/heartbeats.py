"""How a relay's heartbeats do, for Prometheus: counted where they beat, read when asked for."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)

from pfstatus.heartbeat.values import GAPS, HeartbeatState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from pfstatus.relay.loop import Relay

_BOUNDS = [*map(str, GAPS), "+Inf"]


class HeartbeatMetrics:
    """Gives metrics; none where the relay has no heartbeat. May be called from any thread.

    Args:
        relay: whose they are.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def collect(self) -> Iterator[Metric]:
        """What the relay knows now."""
        hearts = self._relay.heartbeats()
        if not hearts:
            return
        state = GaugeMetricFamily(
            "pfstatus_heartbeat_state",
            "1 for what is known of the partner.",
            labels=["pf", "state"],
        )
        gaps = HistogramMetricFamily(
            "pfstatus_heartbeat_gap_seconds",
            "Between two LACPDUs of the partner.",
            labels=["pf"],
        )
        questions = CounterMetricFamily(
            "pfstatus_heartbeat_questions", "LACPDUs that asked the partner.", labels=["pf"]
        )
        answers = SummaryMetricFamily(
            "pfstatus_heartbeat_answer_seconds", "From a question to its answer.", labels=["pf"]
        )
        silences = CounterMetricFamily(
            "pfstatus_heartbeat_silences",
            "Silences by what became of them.",
            labels=["pf", "outcome"],
        )
        repeats = CounterMetricFamily(
            "pfstatus_heartbeat_repeats", "LACPDUs sent again while DEFAULTED.", labels=["pf"]
        )
        revivals = CounterMetricFamily(
            "pfstatus_heartbeat_revivals", "How often LACP came up after such.", labels=["pf"]
        )
        distrusted = GaugeMetricFamily(
            "pfstatus_heartbeat_distrusted",
            "1 while it only watches, after false alarms.",
            labels=["pf"],
        )
        for name, heart in hearts.items():
            counts = heart.counts
            for each in HeartbeatState:
                state.add_metric([name, each], heart.state is each)
            buckets = list(zip(_BOUNDS, accumulate(counts.gaps), strict=True))
            gaps.add_metric([name], buckets, counts.gap_seconds)
            questions.add_metric([name], counts.questions)
            answers.add_metric([name], counts.answers, counts.answer_seconds)
            for outcome, number in counts.silences.items():
                silences.add_metric([name, outcome], number)
            repeats.add_metric([name], counts.repeats)
            revivals.add_metric([name], counts.revivals)
            distrusted.add_metric([name], heart.distrusted)
        yield from (state, gaps, questions, answers, silences, repeats, revivals, distrusted)
