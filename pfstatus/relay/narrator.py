"""What a relay says, and what it said already."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pfstatus.relay.report import Kind, Report
from pfstatus.values import LacpRate, LacpReason, LacpStatus, Vf, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pfstatus.values import LinkStatus, VfResult

_NEVER = object()
_SILENCE = 30.0
"""Seconds without a failure after which the same one is news again."""
_UNREAD = 2.0
"""Seconds that a VF must have been missing from the list: some drivers leave it out for a moment,
while they reset it."""
_STAYS = 2
"""Settings in a row that succeed; one more, and the VF does not stay as it is set."""

_CURES = {
    LacpReason.ABSENT: "It is served as soon as it appears (ip -br link shows the names).",
    LacpReason.NO_BOND: "Make it a port of a bond in mode 802.3ad (pfstatus explain {} says how).",
    LacpReason.NOT_A_BOND: "Make it a port of a bond in mode 802.3ad (pfstatus explain {} says "
    "how).",
    LacpReason.WRONG_MODE: "Put the bond in mode 802.3ad (pfstatus explain {} says how).",
    LacpReason.LINK_DOWN: "Set it up (ip link set {} up) and look at its cable.",
}
"""What to do where a PF is not ready, by the reason."""

NO_SETTER = (
    "its driver has no setter for VF link states, or is in switchdev mode: there the VFs' "
    "representors have it (devlink dev eswitch show; mode legacy has the setter)"
)


class _Pf:
    """What was said of one PF."""

    def __init__(self) -> None:
        self.topics: dict[str, object] = {}  # what was last said of each
        self.once: set[tuple[Any, ...]] = set()  # said since LACP last changed
        self.failing: dict[int, int | None] = {}  # the errno that was said of a VF
        self.ignored: set[int] = set()  # VFs whose driver said yes and did nothing
        self.others: frozenset[int] = frozenset()  # VFs that were said to be somebody else's
        self.unread: frozenset[int] = frozenset()  # VFs that were in no list since
        self.unread_since = 0.0
        self.had_no_vfs = False
        self.trouble: tuple[int | None, float] = (None, 0.0)  # errno of a failed look, and when


class Narrator:
    """Makes reports, each said once as long as nothing changes."""

    def __init__(self) -> None:
        self._pfs: dict[str, _Pf] = {}
        self._reports: list[Report] = []
        self._record_failed = False
        self._kept: list[list[str]] = []  # groups of which a last path is kept

    def take(self) -> list[Report]:
        """What there is to tell, and that was not taken before."""
        reports, self._reports = self._reports, []
        return reports

    def say(self, kind: Kind, /, time_ns: int | None = None, **fields: Any) -> None:
        """Say it, as of now or of another time (nanoseconds since the epoch)."""
        self._reports.append(Report(time.time_ns() if time_ns is None else time_ns, kind, fields))

    def _of(self, name: str) -> _Pf:
        pf = self._pfs.get(name)
        if pf is None:
            pf = self._pfs[name] = _Pf()
        return pf

    def _say_once(self, name: str, kind: Kind, /, **fields: Any) -> None:
        """Say it, unless it was said since LACP last changed."""
        once = self._of(name).once
        what = (kind, *fields.values())
        if what not in once:
            once.add(what)
            self.say(kind, **fields)

    def _turned(self, name: str, topic: str, value: object) -> bool:
        """Whether a topic now has another value than last time."""
        topics = self._of(name).topics
        if topics.get(topic, _NEVER) == value:
            return False
        topics[topic] = value
        return True

    def record(self, error: OSError | None, damaged: object) -> None:
        """How the state file does: why it could not be written, where a damaged one was put."""
        if self._turned("", "damaged", damaged) and damaged:
            self.say(Kind.RECORD_DAMAGED, file=str(damaged))
        if self._turned("", "record", error and error.errno):
            if error:
                self.say(Kind.RECORD_FAILED, error=error)
            elif self._record_failed:
                self.say(Kind.RECORD_MENDED)
            self._record_failed = error is not None

    # Of PFs

    def lacp_changed(self, name: str) -> None:
        """A new outage, or its end: what was said of VFs is news again."""
        pf = self._of(name)
        pf.once.clear()
        pf.failing.clear()
        pf.ignored.clear()
        pf.unread = frozenset()

    def forget(self, name: str) -> None:
        """The PF is another NIC now, or is watched no more: all that was said is the past's."""
        self._pfs.pop(name, None)

    def status(
        self, status: LinkStatus, ours: Collection[int], *, time_ns: int | None = None
    ) -> None:
        """A PF was asked, or told of.

        Args:
            status: what was found.
            ours: the VFs that we have disabled.
            time_ns: when, nanoseconds since the epoch; None is now.
        """
        name, lacp = status.name, status.lacp
        cure = _CURES.get(lacp.reason)
        # Compared with what was last said, not seen: each is said once per change.
        if cure:
            if self._turned(name, "ready", lacp.reason):
                error = f"{lacp.sentence} {cure.format(name)}"
                self.say(Kind.NOT_READY, interface=name, error=error)
                if ours and lacp.reason not in (LacpReason.LINK_DOWN, LacpReason.ABSENT):
                    self.left(name, ours, lacp.sentence)
            self._turned(name, "lacp", None)
            return
        if self._turned(name, "ready", None):
            self.say(Kind.READY, interface=name)
        self._lacp(status, time_ns)
        bond = status.bond
        if bond is not None:
            slow = bond.lacp_rate is LacpRate.SLOW
            if self._turned(name, "slow", slow) and slow:
                self.say(Kind.SLOW_RATE, interface=name)

    def _lacp(self, status: LinkStatus, time_ns: int | None) -> None:
        name, lacp = status.name, status.lacp
        down = {"reason": lacp.reason, "actor": status.actor, "partner": status.partner}
        if lacp.status is LacpStatus.UP:
            if self._turned(name, "lacp", "up"):
                self.say(Kind.LACP_UP, interface=name)
        elif lacp.status is LacpStatus.DOWN:
            if self._turned(name, "lacp", "down"):
                self._turned(name, "reason", lacp.reason)
                self.say(Kind.LACP_DOWN, time_ns, interface=name, **down)
            elif self._turned(name, "reason", lacp.reason):
                self.say(Kind.LACP_STILL_DOWN, interface=name, **down)
        elif self._turned(name, "lacp", "unknown"):
            self.say(Kind.LACP_UNKNOWN, interface=name, reason=lacp.reason)

    def fallback(self, name: str, *, applies: bool) -> None:
        """The PF is taken for up though it has no partner; or it is not."""
        if self._turned(name, "fallback", applies) and applies:
            self.say(Kind.FALLBACK, interface=name)

    def ports(self, name: str, ports: int) -> None:
        """The PF's bond has so many ports."""
        if self._turned(name, "ports", ports) and ports > 1:
            self.say(Kind.NOT_ALONE, interface=name, ports=ports)

    def alias(self, name: str, other: str | None) -> None:
        """The PF is the one that is called so as well; or it is not any more."""
        if self._turned(name, "alias", other) and other:
            self.say(Kind.ALIAS, interface=name, other=other)

    def rival(self, name: str, pid: int | None) -> None:
        """Another relay has the PF; or none has."""
        if self._turned(name, "rival", pid) and pid:
            self.say(Kind.RIVAL, interface=name, pid=pid)

    def took_over(self, name: str) -> None:
        """The relay that had the PF has ended."""
        self._turned(name, "rival", None)
        self.say(Kind.TOOK_OVER, interface=name)

    def kept(self, group: Iterable[str], name: str | None) -> None:
        """The PF of a group that keeps its VFs, LACP or not; or none does."""
        names = list(group)
        if self._turned("", f"kept {names}", name):
            if name:
                self.say(Kind.PATH_KEPT, interface=name, group=names)
            elif names in self._kept:
                self.say(Kind.PATH_FREED, group=names)
            self._kept = [others for others in self._kept if others != names]
            if name:
                self._kept.append(names)

    def groups(self, groups: Iterable[Iterable[str]]) -> None:
        """There are no other groups any more."""
        left = [list(group) for group in groups]
        self._kept = [names for names in self._kept if names in left]
        topics = self._of("").topics
        for topic in {t for t in topics if t.startswith("kept ")} - {f"kept {n}" for n in left}:
            del topics[topic]

    def trouble(self, name: str, exc: OSError) -> None:
        """The PF could not be asked, or its VFs not be read."""
        pf, now = self._of(name), time.monotonic()
        code, when = pf.trouble
        pf.trouble = exc.errno, now
        if code != exc.errno or now - when > _SILENCE:
            self.say(Kind.FETCH_FAILED, interface=name, error=exc)

    def left(self, name: str, vfs: Iterable[int], why: str) -> None:
        """We leave VFs disabled."""
        self.say(Kind.VFS_LEFT, interface=name, ids=sorted(vfs), reason=why)

    # Of what was read

    def vfs(self, name: str, count: int, vfs: Collection[Vf], lacp: LacpStatus) -> None:
        """The VFs were read: so many there are, and these were in the list."""
        pf = self._of(name)
        if not count:
            if not pf.had_no_vfs:
                self.say(Kind.NO_VFS, interface=name)
        elif pf.had_no_vfs:
            self.say(Kind.VFS_DETECTED, interface=name, count=count)
        pf.had_no_vfs = not count
        if lacp is LacpStatus.DOWN and (count > len(vfs) or pf.unread):
            self._missing(name, pf, frozenset(range(count)) - {vf for vf, _ in vfs})

    def _missing(self, name: str, pf: _Pf, missing: frozenset[int]) -> None:
        now = time.monotonic()
        still = missing & pf.unread
        if not still:
            pf.unread_since = now
        pf.unread = still or missing
        if still and now - pf.unread_since >= _UNREAD:
            ids = sorted(still)
            if (Kind.VFS_UNREAD,) not in pf.once:
                pf.once.add((Kind.VFS_UNREAD,))
                self.say(Kind.VFS_UNREAD, interface=name, ids=ids)

    def unprotected(self, name: str, vfs: Iterable[int]) -> None:
        """VFs in ``enable`` during an outage."""
        for vf in vfs:
            what = {"id": vf, "state": VfLinkState.ENABLE, "interface": name}
            self._say_once(name, Kind.VF_UNPROTECTED, **what)

    def others(self, name: str, vfs: frozenset[int]) -> None:
        """VFs that somebody else disabled, while LACP is up."""
        pf = self._of(name)
        news = vfs - pf.others
        pf.others = vfs
        if news:
            self.say(Kind.VFS_NOT_OURS, interface=name, ids=sorted(news))

    def drill(self, name: str, vfs: Iterable[int]) -> None:
        """A drill has these VFs."""
        ids = sorted(vfs)
        if self._turned(name, "drill", ids) and ids:
            self.say(Kind.DRILL_SEEN, interface=name, ids=ids)

    def returned(self, name: str, vfs: Iterable[int]) -> None:
        """VFs that somebody put back to our ``disable``."""
        for vf in sorted(vfs):
            self.say(Kind.VF_RETURNED, id=vf, interface=name)

    def ignored(self, name: str, settings: Iterable[Vf]) -> None:
        """Settings that a driver accepted and did not carry out."""
        for vf, state in settings:
            self._of(name).ignored.add(vf)
            self._say_once(name, Kind.VF_IGNORED, id=vf, state=state, interface=name)

    # Of what was set

    def would_set(self, name: str, settings: Iterable[Vf]) -> None:
        """A dry run would have set these."""
        for vf, state in settings:
            self._say_once(name, Kind.VF_WOULD_BE_SET, id=vf, state=state, interface=name)

    def cannot_set(self, name: str) -> None:
        """No VF of the PF can be set."""
        self._say_once(name, Kind.CANNOT_SET, interface=name, error=NO_SETTER)

    def reacted(self, name: str, lacp: LacpStatus, seconds: float) -> None:
        """VFs were set because LACP changed, and read back: all are as they must be."""
        self.say(Kind.REACTED, interface=name, lacp=lacp, seconds=round(seconds, 6))

    def result(self, name: str, result: VfResult, *, time_ns: int, times: int = 1) -> None:
        """What became of a VF's setting, which ended so for so many times in a row."""
        pf = self._of(name)
        vf, state, failure = result
        if failure is None:
            done = {"id": vf, "state": state, "interface": name}
            if vf in pf.ignored:
                return  # nobody believes that driver any more
            self._reports.append(Report(time_ns, Kind.VF_SET, done))
            pf.failing.pop(vf, None)
            if times > _STAYS:
                self._say_once(name, Kind.VF_UNSTABLE, **done)
            return
        again = pf.failing.get(vf) == failure.errno
        pf.failing[vf] = failure.errno
        kind = Kind.VF_FAILED_AGAIN if again else Kind.VF_FAILED
        failed = {"id": vf, "interface": name, "error": failure}
        self._reports.append(Report(time_ns, kind, failed))
