"""How a relay does, for Prometheus: counted from what it reports, and from what it knows."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Total
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

import pfstatus
from pfstatus.agent.heartbeats import HeartbeatMetrics
from pfstatus.relay.report import Kind
from pfstatus.values import LacpRate, LacpStatus, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from pfstatus.agent.lacpdus import Lacpdus
    from pfstatus.relay.loop import Relay
    from pfstatus.relay.pf import Snapshot
    from pfstatus.relay.report import Report

_TURNS = {Kind.LACP_UP: "up", Kind.LACP_DOWN: "down", Kind.LACP_UNKNOWN: "unknown"}
_REACTION = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Takes reports, and gives metrics as text. Each may be called from another thread.

    Args:
        relay: whose they are.
        groups: PFs that stand for each other.
        warnings: what the agent warns of, by PF and topic.
        lacpdus: gives the LACPDUs of ifindexes; None where that is not to be had.
    """

    def __init__(
        self,
        relay: Relay,
        groups: Iterable[Sequence[str]] = (),
        *,
        warnings: Callable[[], Mapping[str, Mapping[str, bool]]] = dict,
        lacpdus: Callable[[Collection[int]], Mapping[int, Lacpdus]] | None = None,
    ) -> None:
        self._relay = relay
        self._warnings = warnings
        self._lacpdus = lacpdus
        self.groups = tuple(tuple(group) for group in groups)
        """As given; may be changed."""
        self._since: dict[str, float] = {}  # when LACP turned, by PF
        self._registry = CollectorRegistry(auto_describe=False)
        self._transitions = Total(
            "pfstatus_lacp_transitions", "Changes of LACP.", ["pf", "to"], registry=self._registry
        )
        self._sets = Total(
            "pfstatus_vf_sets",
            "VF link states that were set, or failed to be.",
            ["pf", "state", "result"],
            registry=self._registry,
        )
        self._resyncs = Total(
            "pfstatus_resyncs", "How often events were lost.", registry=self._registry
        )
        self._dropped = Total(
            "pfstatus_reports_dropped", "Lines that nobody read.", registry=self._registry
        )
        self._reaction = Histogram(
            "pfstatus_reaction_seconds",
            "From a change of LACP, as it was seen, until all VFs were read to be as they must be.",
            buckets=_REACTION,
            registry=self._registry,
        )
        self._registry.register(self)
        self._registry.register(HeartbeatMetrics(relay))

    def __call__(self, reports: Iterable[Report]) -> None:
        """Count what was reported."""
        for report in reports:
            kind, fields = report.kind, report.fields
            if kind in _TURNS or kind is Kind.NOT_READY:
                pf = fields["interface"]
                self._since[pf] = report.time_ns / 1e9
                self._transitions.labels(pf, _TURNS.get(kind, "unknown")).inc()
            elif kind is Kind.VF_SET:
                pf = fields["interface"]
                self._sets.labels(pf, str(fields["state"]), "ok").inc()
            elif kind is Kind.REACTED:
                self._reaction.observe(fields["seconds"])
            elif kind in (Kind.VF_FAILED, Kind.VF_FAILED_AGAIN):
                pf = self._relay.snapshot().get(fields["interface"])
                down = pf and pf.status and pf.status.lacp.status is LacpStatus.DOWN
                state = VfLinkState.DISABLE if down else VfLinkState.AUTO
                self._sets.labels(fields["interface"], str(state), "error").inc()
            elif kind is Kind.EVENTS_LOST:
                self._resyncs.inc()
            elif kind is Kind.DROPPED:
                self._dropped.inc(fields["count"])

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        # A counter that is first seen at 1 has not grown, as Prometheus counts: it begins at 0.
        for pf in self._relay.snapshot():
            for turn in _TURNS.values():
                self._transitions.labels(pf, turn)
            for state, result in product((VfLinkState.DISABLE, VfLinkState.AUTO), ("ok", "error")):
                self._sets.labels(pf, str(state), result)
        return generate_latest(self._registry)

    def ready(self) -> bool:
        """Whether each PF was looked at; whether LACP is up does not matter."""
        return all(pf.status is not None for pf in self._relay.snapshot().values())

    def collect(self) -> Iterator[Metric]:
        """What the relay knows now."""
        pfs = self._relay.snapshot()
        up = GaugeMetricFamily("pfstatus_pf_lacp_up", "1 if LACP is up.", labels=["pf"])
        reason = GaugeMetricFamily(
            "pfstatus_pf_lacp_reason", "1 for the reason that holds.", labels=["pf", "reason"]
        )
        since = GaugeMetricFamily(
            "pfstatus_pf_state_since_timestamp_seconds",
            "When LACP changed last.",
            labels=["pf"],
        )
        vfs = GaugeMetricFamily(
            "pfstatus_vfs", "VFs, as they were read last.", labels=["pf", "state"]
        )
        warning = GaugeMetricFamily(
            "pfstatus_warning", "1 for what will hurt in an outage.", labels=["pf", "topic"]
        )
        warnings = self._warnings()
        for name, pf in pfs.items():
            if pf.status is None:
                continue
            up.add_metric([name], pf.status.lacp.status is LacpStatus.UP)
            reason.add_metric([name, str(pf.status.lacp.reason)], 1)
            if name in self._since:
                since.add_metric([name], self._since[name])
            states = Counter(state for _, state in pf.vfs)
            for state in VfLinkState:
                vfs.add_metric([name, str(state)], states[state])
            bond = pf.status.bond
            slow = bond is not None and bond.lacp_rate is LacpRate.SLOW
            topics = {
                **warnings.get(name, {}),
                "slow-rate": slow,
                "enable-vf": states[VfLinkState.ENABLE] > 0,
                "last-path": pf.kept,
                "stands-by": pf.waits,
                "lacp-fallback": pf.fallback,
                "no-setter": pf.unsupported,
            }
            for topic, holds in topics.items():
                warning.add_metric([name, topic], holds)
        paths = GaugeMetricFamily(
            "pfstatus_group_paths_up", "PFs of a group that pods can use.", labels=["group"]
        )
        for group in self.groups:
            usable = sum(pfs[name].usable for name in group if name in pfs)
            paths.add_metric([",".join(group)], usable)
        build = InfoMetricFamily("pfstatus_build", "What runs.", {"version": pfstatus.__version__})
        rtnl = CounterMetricFamily(
            "pfstatus_rtnl_seconds", "Seconds that reading and setting VFs took."
        )
        rtnl.add_metric([], self._relay.rtnl_seconds)
        yield from (up, reason, since, vfs, warning, paths, rtnl, build)
        if self._lacpdus:
            yield from self._collect_lacpdus(self._lacpdus, pfs)

    @staticmethod
    def _collect_lacpdus(
        read: Callable[[Collection[int]], Mapping[int, Lacpdus]], pfs: Mapping[str, Snapshot]
    ) -> Iterator[Metric]:
        received = CounterMetricFamily(
            "pfstatus_lacpdus_received", "LACPDUs, by the kernel's count.", labels=["pf"]
        )
        sent = CounterMetricFamily(
            "pfstatus_lacpdus_sent", "LACPDUs, by the kernel's count.", labels=["pf"]
        )
        there = {
            name: pf.status.ifindex
            for name, pf in pfs.items()
            if pf.status and pf.status.ifindex is not None
        }
        counts = read(there.values())
        for name, ifindex in there.items():
            if ifindex in counts:
                received.add_metric([name], counts[ifindex].received)
                sent.add_metric([name], counts[ifindex].sent)
        yield from (received, sent)
