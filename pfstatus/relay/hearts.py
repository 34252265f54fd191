"""The heartbeats of a relay's PFs: their ports, and what is made of what they tell."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.heartbeat.listener import LACP_DOWN, NOT_YET
from pfstatus.heartbeat.ports import Ports
from pfstatus.heartbeat.values import HeartbeatMode, HeartbeatState, Outcome
from pfstatus.relay.report import Kind
from pfstatus.relay.trust import Trust
from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pfstatus._port import Port
    from pfstatus.heartbeat.values import Beat, Counts, Partner
    from pfstatus.monitor import Monitor
    from pfstatus.relay.narrator import Narrator
    from pfstatus.relay.policy import Policy
    from pfstatus.values import LinkStatus

_OWN_WORDS = {NOT_YET, LACP_DOWN}  # what the relay itself tells, too


class HeartSnapshot(NamedTuple):
    """What is known of one PF's heartbeat."""

    state: HeartbeatState
    """What is known of its partner."""
    partner: Partner | None
    """What was learned of that; None where nothing was yet."""
    counts: Counts
    """What happened since the relay listens; it goes on counting."""
    distrusted: bool
    """Whether it raised so many false alarms that it only watches."""


class Hearts:
    """Listens, and says which PFs are to be taken for lost.

    Args:
        policy: its ``heartbeat``, ``heartbeat_slow`` and ``revive``.
        names: the PFs.
        monitor: of the relay.
        narrator: of the relay.
        open_port: makes a port by a PF's ifindex.
        known: what was learned of partners before.
    """

    def __init__(
        self,
        policy: Policy,
        names: Collection[str],
        monitor: Monitor,
        narrator: Narrator,
        *,
        open_port: Callable[[int], Port],
        known: Iterable[Partner] = (),
    ) -> None:
        self._asks = policy.heartbeat != "off"
        pulse = policy.heartbeat == "pulse"
        self._ports = Ports(
            names,
            HeartbeatMode.PULSE if pulse else HeartbeatMode.LATE,
            slow=policy.heartbeat_slow,
            ask=self._asks,
            revive=policy.revive,
            known=known,
            open_port=open_port,
        )
        self._trust = Trust(names, acts=policy.heartbeat in ("late", "pulse"), groups=policy.groups)
        self._monitor = monitor
        self._narrator = narrator
        self._up: set[str] = set()
        self._revivals = dict.fromkeys(names, 0)
        self._poll = select.poll()
        for fd in (monitor.fileno(), self._ports.fileno()):
            self._poll.register(fd, select.POLLIN)

    def change(self, names: Collection[str], groups: Iterable[Iterable[str]]) -> None:
        """Listen on these PFs from now on; those that stay are not touched."""
        for name in self._revivals.keys() - names:
            self._ports.remove(name)
            self._up.discard(name)
        for name in names:
            if name not in self._revivals:
                self._ports.add(name)
        self._revivals = {name: self._revivals.get(name, 0) for name in names}
        self._trust.change(names, groups)

    def close(self) -> None:
        """Close the descriptors. May be called again."""
        self._ports.close()

    def wait(self, timeout: float) -> None:
        """Wait until the monitor or a port has something to do, but no longer."""
        left = min(timeout, self._trust.due(time.monotonic()) - time.monotonic(), 3600.0)
        self._poll.poll(max(0.0, left) * 1e3)

    def update(self, status: LinkStatus) -> None:
        """What the monitor says of a PF."""
        if status.lacp.status is LacpStatus.UP:
            self._up.add(status.name)
        else:
            self._up.discard(status.name)
        self._ports.update(status)
        self._tell_revivals(status.name)

    def heard(self) -> frozenset[str]:
        """PFs that the kernel calls up, and whose partner is heard."""
        return frozenset(
            name for name in self._up if self._ports.listener(name).state is HeartbeatState.HEARD
        )

    def snapshot(self) -> dict[str, HeartSnapshot]:
        """What is known of each PF. May be called from any thread."""
        now = time.monotonic()
        found = {}
        for name in [*self._revivals]:
            listener = self._ports.listener(name)
            distrusted = self._trust.distrusts(name, now)
            found[name] = HeartSnapshot(
                listener.state, listener.partner(), listener.counts, distrusted
            )
        return found

    def turn(self) -> frozenset[str]:
        """Do what is due. Returns the PFs that are to be taken for lost."""
        beats = self._ports.turn()
        for name in self._ports.looks():
            self._monitor.look(name)
        now = time.monotonic()
        alarms = [(beat, self._trust.take(beat, now)) for beat in beats]
        held = self._trust.held(now, self.heard())
        for beat, alarm in alarms:
            if self._asks:
                self._tell(beat, held)
            if alarm:
                self._narrator.say(Kind.FALSE_ALARM, interface=beat.name, hold=alarm.hold)
                if alarm.distrusted:
                    self._narrator.say(Kind.HEARTBEAT_WATCHES, interface=beat.name)
        return held

    def _tell(self, beat: Beat, held: frozenset[str]) -> None:
        name, say = beat.name, self._narrator.say
        if beat.outcome is Outcome.CONFIRMED:
            say(Kind.SILENCE_CONFIRMED, interface=name)
        elif beat.new is HeartbeatState.SILENT:
            silence = round(beat.silence or 0.0, 3)
            say(Kind.PARTNER_SILENT, interface=name, silence=silence, acted_upon=name in held)
        elif beat.old is HeartbeatState.LEARNING and beat.partner:
            say(Kind.PARTNER_LEARNED, interface=name, partner=str(beat.partner))
        elif beat.new is HeartbeatState.IDLE and beat.why not in _OWN_WORDS:
            say(Kind.HEARTBEAT_IDLE, interface=name, reason=beat.why)

    def _tell_revivals(self, name: str) -> None:
        revivals = self._ports.listener(name).counts.revivals if name in self._revivals else 0
        if revivals > self._revivals.get(name, 0):
            self._revivals[name] = revivals
            self._narrator.say(Kind.REVIVED, interface=name)
