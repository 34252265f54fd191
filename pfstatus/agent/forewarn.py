"""What will hurt in an outage, said before it, in the words of ``pfstatus explain``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pfstatus import sysfs
from pfstatus.explain import Level, explain
from pfstatus.relay.report import Kind, Report
from pfstatus.values import LacpStatus, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pfstatus.relay.pf import Snapshot

_EVERY = 60.0
"""Seconds after which a PF is looked at again though nothing of it seems to have changed: nobody
tells of its driver, its mode, or other ports of its bond."""

_WORDS = {"lacp-rate": "slow-rate", "vfs-enable": "enable-vf"}
"""Topics of the metric that are older than those of ``explain()``."""

_OUTAGE = frozenset({"lacp", "link", "vfs", "vfs-auto", "vfs-disable", "vfs-missing", "uplink"})
"""Findings that tell of an outage that is there, or of what comes and goes with pods."""

_SAID = frozenset({"absent", "bond", "bond-mode", "kind"})
"""Findings whose PF the relay calls not ready, with the cure."""


class Warnings:
    """Looks at PFs as they change, while they are not in an outage.

    Args:
        may_set_vfs: what ``Session.may_set_vfs()`` said.
        tell: is given what is new.
    """

    def __init__(self, tell: Callable[[list[Report]], object], *, may_set_vfs: bool) -> None:
        self._may_set_vfs = may_set_vfs
        self._tell = tell
        self._seen: dict[str, tuple[object, float]] = {}  # what was looked at, and until when
        self.topics: dict[str, dict[str, bool]] = {}
        """By PF, each topic that ever was, and whether it is one now. Replaced, not changed."""

    def update(self, pfs: Mapping[str, Snapshot]) -> None:
        """Look at those that changed."""
        now = time.monotonic()
        for name in self._seen.keys() - pfs:
            del self._seen[name]
            self.topics = {other: said for other, said in self.topics.items() if other != name}
        for name, pf in pfs.items():
            status = pf.status
            if status is None or status.lacp.status is LacpStatus.DOWN:
                continue
            enabled = [vf for vf, state in pf.vfs if state is VfLinkState.ENABLE]
            what = (status.ifindex, status.ifname, status.bond, status.lacp.reason, enabled)
            seen, until = self._seen.get(name, (None, 0.0))
            if seen != what or now >= until:
                self._seen[name] = what, now + _EVERY
                self._look(name, pf)

    def _look(self, name: str, pf: Snapshot) -> None:
        assert pf.status is not None
        # A PF without VFs is as it should be: they are made later.
        status = pf.status._replace(vfs=pf.vfs, num_vfs=len(pf.vfs) or None)
        facts = sysfs.facts(status, may_set_vfs=self._may_set_vfs)
        found = {
            _WORDS.get(finding.topic, finding.topic): finding
            for finding in explain(status, facts)
            if finding.level in (Level.WARNING, Level.PROBLEM) and finding.topic not in _OUTAGE
        }
        before = self.topics.get(name, {})
        for topic, finding in found.items():
            if not before.get(topic) and topic not in _SAID:
                said = {
                    "interface": name,
                    "topic": topic,
                    "problem": finding.sentence,
                    "remedy": finding.command,
                }
                self._tell([Report(time.time_ns(), Kind.WARNED, said)])
        topics = dict.fromkeys(before, False) | dict.fromkeys(found, True)
        self.topics = self.topics | {name: topics}
