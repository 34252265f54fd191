"""The reference relay: LACP lost on a PF disables its VFs, LACP back gives them back."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Self

from pfstatus._fork import close_in_child
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.monitor import PFS_MAX, Monitor
from pfstatus.relay.checks import Checks
from pfstatus.relay.drills import Drills
from pfstatus.relay.groups import Groups
from pfstatus.relay.narrator import Narrator
from pfstatus.relay.ownership import Ownership
from pfstatus.relay.pace import LOOK_GAP, Budget, Pacer, Urgency
from pfstatus.relay.pf import Pf, Snapshot
from pfstatus.relay.policy import Policy
from pfstatus.relay.report import Kind, Report, deliver, to_logging
from pfstatus.relay.rival import Claims
from pfstatus.relay.setter import Reading
from pfstatus.relay.worker import Worker
from pfstatus.session import name_of
from pfstatus.values import Cause, LacpStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from pfstatus._port import Port
    from pfstatus.heartbeat.values import Partner
    from pfstatus.relay.hearts import Hearts, HeartSnapshot
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus, VfResult

_DEFAULT = Policy()
# An enum's attribute costs as much as a call.
_UP, _DOWN, _UNKNOWN = LacpStatus.UP, LacpStatus.DOWN, LacpStatus.UNKNOWN
_ASKED = Cause.ASKED
_LOST, _BACK = Urgency.LOST, Urgency.BACK
_TAKE_OVER = 0.05
"""Seconds between looks at whether a relay that has a PF still lives."""
_FLUSH = 0.25
"""Seconds into a long batch after which what was done so far is told."""


class Relay:
    """Disables a PF's VFs while LACP is down on it.

    ::

        with Relay("ens5f0", "ens5f1") as relay:
            relay.run()

    Events are acted upon at once; besides, each PF is asked every ``interval`` while LACP is up
    and every 100 ms while it is not. VFs are read when LACP changes, when somebody touched the PF
    or made VFs, after a batch of settings (success is what reading shows), and, during an outage,
    every ``interval`` or second, for no more than a twentieth of the time for all PFs together.
    Only differences are written.

    Used by one thread at a time, but for ``stop()``, which any thread and any signal handler
    may call. Needs CAP_NET_ADMIN, unless it is a dry run.

    Args:
        interfaces: the PFs, by name, alternative name or PCI address.
        interval: seconds between questions while LACP is up.
        policy: what else to do.
        report: is given what there is to tell, in lists, whenever the loop has nothing more
            urgent to do. It is waited for: ``Outbox`` makes of it one that is not. By default it
            goes to the ``pfstatus`` logger.
        session: as for Monitor.
        netns: as for Session.
        open_port: as for Heartbeat; used where the policy has a heartbeat, or revives.
        known: as for Heartbeat.

    Raises:
        ValueError: as for Monitor.
        OSError: a socket could not be opened.
    """

    def __init__(
        self,
        *interfaces: str,
        interval: float = 1.0,
        policy: Policy = _DEFAULT,
        report: Callable[[list[Report]], None] = to_logging,
        session: Session | None = None,
        netns: str | os.PathLike[str] | int | None = None,
        open_port: Callable[[int], Port] | None = None,
        known: Iterable[Partner] = (),
    ) -> None:
        self._policy = policy
        self._interval = interval
        self._report = report
        self._budget = Budget()
        self._pfs = {name: self._new_pf(name) for name in interfaces}
        self._check_due = -math.inf
        self._pulse: Callable[[], object] | None = None
        self._started = False
        self._next: tuple[tuple[str, ...], float, Policy] | None = None  # of reconfigure()
        self._lost_events = 0
        self._monitor = Monitor(
            *interfaces, interval=interval, every_event=True, session=session, netns=netns
        )
        self._session = self._monitor.session
        self._ownership = Ownership(policy.state_file if policy.keeps_record() else None)
        self._narrator = Narrator()
        self._hearts: Hearts | None = None
        if policy.heartbeat != "off" or policy.revive:
            # Its modules are loaded by those who want it.
            from pfstatus.relay.hearts import Hearts  # noqa: PLC0415

            self._hearts = Hearts(
                policy,
                interfaces,
                self._monitor,
                self._narrator,
                open_port=open_port or self._session.open_port,
                known=known,
            )
        netns = None if policy.dry_run else self._session.netns
        self._claims = Claims(netns)
        self._drills = Drills(policy.state_file.parent, netns)
        for mine in (self._claims, self._drills):
            close_in_child(mine)
        self._groups = Groups(self._narrator)
        self._groups.change(policy.groups, self._pfs)
        self._worker = Worker(
            self._session,
            self._ownership,
            self._narrator,
            drills=self._drills,
            groups=self._groups,
            policy=policy,
        )
        self._checks = Checks(
            self._monitor,
            self._ownership,
            self._narrator,
            claims=self._claims,
            drills=self._drills,
        )

    def _new_pf(self, name: str) -> Pf:
        return Pf(name, Pacer(self._budget, self._interval), self._policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have run() return, after the message under way. From any thread or signal handler."""
        self._monitor.stop()

    def close(self) -> None:
        """Close the descriptors. May be called again."""
        if self._hearts:
            self._hearts.close()
        self._monitor.close()
        self._claims.close()
        self._drills.close()

    def may_set_vfs(self) -> bool:
        """Whether the kernel would let this process set VFs (CAP_NET_ADMIN). Changes nothing."""
        return self._session.may_set_vfs()

    def reconfigure(self, *interfaces: str, interval: float, policy: Policy) -> None:
        """Serve these PFs in this way from the next turn on, which comes within an interval.

        What is known of the PFs that stay is kept. The VFs of one that goes are left or given back,
        as the new ``policy.on_exit`` says. From any thread.

        Raises:
            TypeError, ValueError: as for Monitor; or what only another relay could do: ``dry_run``,
                ``heartbeat``, ``heartbeat_slow``, ``revive`` or ``stand_by`` is another. Nothing is
                changed then.
        """
        names = tuple(dict.fromkeys(map(name_of, interfaces)))
        if not 0 < len(names) <= PFS_MAX:
            msg = f"a relay serves 1 to {PFS_MAX} PFs, not {len(names)}"
            raise ValueError(msg)
        if not interval > 0:
            msg = f"interval must be positive, not {interval!r}"
            raise ValueError(msg)
        for name in ("dry_run", "heartbeat", "heartbeat_slow", "revive", "stand_by"):
            if getattr(policy, name) != getattr(self._policy, name):
                msg = f"{name} cannot be changed while it runs: start it anew"
                raise ValueError(msg)
        self._next = names, interval, policy

    def run(
        self,
        pulse: Callable[[], object] | None = None,
        idle: Callable[[], object] | None = None,
    ) -> None:
        """Relay until stop(), then do what the policy says of the end.

        Args:
            pulse: is called after each message to the kernel, and at least every second.
            idle: is called when there is nothing more urgent to do, and then every second.
        """
        self._pulse = pulse
        while not self._monitor.stopped:
            self.turn(1.0 if pulse or idle else None)
            if pulse:
                pulse()
            if idle:
                idle()
        self._end()
        self._flush()

    def turn(self, timeout: float | None = None) -> None:
        """Wait until there may be something to do, and do it: run(), in pieces.

        Args:
            timeout: most seconds to wait; 0 not at all.
        """
        if not self._started:
            self._start()
        if self._next:
            self._reconfigure(*self._next)
        now = time.monotonic()
        wake = min(self._check_due, *(pf.pace.due() for pf in self._pfs.values()))
        if any(pf.waits for pf in self._pfs.values()):
            wake = min(wake, now + _TAKE_OVER)
        self._listen(max(0.0, min(wake - now, math.inf if timeout is None else timeout)))
        self._take_over()
        self._work()
        if time.monotonic() >= self._check_due:
            self._check_due = time.monotonic() + self._interval
            self._checks.check(self._pfs)
            self._work()
        self._flush()

    def heard(self) -> frozenset[str]:
        """PFs whose partner is heard by the policy's heartbeat while LACP is up; none without."""
        return self._hearts.heard() if self._hearts else frozenset()

    def disabled(self, interface: str) -> frozenset[int]:
        """VFs of a PF that this relay disabled and has not given back.

        With a record (see Policy.state_file) also those of PFs that it does not watch any more.
        """
        pf = self._pfs.get(interface)
        ifindex = pf.ifindex if pf else None
        return self._ownership.disabled(ifindex or self._ownership.find(interface))

    def give_back(self, interface: str) -> tuple[VfResult, ...]:
        """Set the VFs of a PF that this relay disabled to ``auto``, whatever LACP says.

        Returns:
            A result for each VF that was still disabled.

        Raises:
            LinkNotFoundError: the PF is gone, and its VFs with it.
            Error: the kernel refused.
        """
        status = self._session.get(interface)
        results: list[VfResult] = []
        for sent in () if self._policy.dry_run else self._worker.give_back(status):
            for result in sent.results:
                self._narrator.result(interface, result, time_ns=sent.time_ns)
            results += sent.results
        return tuple(results)

    @property
    def rtnl_seconds(self) -> float:
        """Seconds that reading and setting VFs took: for most of it the kernel's lock was held."""
        return self._budget.held

    def snapshot(self) -> dict[str, Snapshot]:
        """What is known of each PF. May be called from any thread, at any time."""
        return {pf.name: pf.snapshot() for pf in [*self._pfs.values()]}

    # Beginning, changing, ending

    def _start(self) -> None:
        self._started = True
        self._narrator.say(Kind.STARTED)
        self._narrator.say(Kind.WATCHING, interfaces=list(self._pfs))
        self._ownership.mirror()
        self._checks.strays = dict.fromkeys(
            self._ownership.names(), "it is not configured any more"
        )

    def _reconfigure(self, names: tuple[str, ...], interval: float, policy: Policy) -> None:
        """Do as ``reconfigure()`` was told."""
        self._next = None
        self._policy, self._interval, self._monitor.interval = policy, interval, interval
        self._worker.obey(policy)
        gone = [pf for name, pf in self._pfs.items() if name not in names]
        # One NIC by two names is told of by the first: the other goes on with it.
        stays = {self._monitor.same_as(name) for name in names if name in self._pfs}
        for pf in gone:
            self._worker.settle(pf)
            if pf.name not in stays:
                self._leave(pf, "it is not configured any more")
                self._claims.release(pf.ifindex or 0)
            self._narrator.forget(pf.name)
        self._monitor.remove(*(pf.name for pf in gone))
        self._monitor.add(*names)
        self._pfs = {name: self._pfs.get(name) or self._new_pf(name) for name in names}
        self._ownership.move(policy.state_file if policy.keeps_record() else None)
        if self._hearts:
            self._hearts.change(names, policy.groups)
        self._groups.change(policy.groups, self._pfs)
        for pf in self._pfs.values():
            pf.pace.interval = interval
            pf.hold_down.least, pf.hold_down.most = policy.up_delay, policy.up_delay_max
            pf.fallback &= policy.lacp_fallback
            self._groups.turned(pf)
            if pf.acts is not _UNKNOWN:  # another policy may see it with other eyes
                pf.pace.touched(time.monotonic())
        self._check_due = -math.inf
        self._narrator.say(Kind.RELOADED, interfaces=list(names))

    def _leave(self, pf: Pf, why: str) -> None:
        """Serve a PF no more: its VFs are left or given back, as the policy says."""
        if not self._ownership.disabled(pf.ifindex):
            return
        if self._policy.on_exit == "restore":
            why = "they could not be given back"
            try:
                self.give_back(pf.name)
            except LinkNotFoundError:
                return  # its VFs went with it
            except OSError as exc:
                self._narrator.trouble(pf.name, exc)
        ours = self._ownership.disabled(pf.ifindex)
        if ours:
            self._narrator.left(pf.name, ours, why)

    def _end(self) -> None:
        for pf in self._pfs.values():
            if self._policy.on_exit == "restore" or pf.lacp is not _UP:
                self._leave(pf, "the relay ends")

    def heartbeats(self) -> dict[str, HeartSnapshot]:
        """What is known of each PF's partner; empty without a heartbeat. From any thread."""
        return self._hearts.snapshot() if self._hearts else {}

    # Listening

    def _listen(self, timeout: float) -> None:
        heard: list[tuple[Pf, LinkStatus, Reading | None]] = []
        try:
            if self._hearts:
                self._hearts.wait(timeout)
                timeout = 0.0
            self._hear(timeout, heard)
        except Error as exc:
            if exc.filename is None:
                raise  # not about one PF: the sockets themselves
            self._narrator.trouble(exc.filename, exc)
        lost, self._lost_events = self._lost_events, self._monitor.lost_events
        if lost != self._lost_events:
            self._narrator.say(Kind.EVENTS_LOST)
        for pf, status, reading in heard:
            # What was acted upon at once is told as having come before.
            when = reading.before_ns() if reading else None
            self._narrator.status(status, self._ownership.disabled(pf.ifindex), time_ns=when)
            fallback = pf.fallback and status.lacp.status is _DOWN
            self._narrator.fallback(pf.name, applies=fallback)
        self._listen_to_partners()

    def _hear(self, timeout: float, heard: list[tuple[Pf, LinkStatus, Reading | None]]) -> None:
        """Take what changed, one by one: LACP lost is acted upon before more is listened to."""
        while len(heard) < len(self._pfs):
            changes = self._monitor.poll(timeout, limit=1)
            if not changes:
                return
            old, new, cause = changes[0]
            timeout = 0.0
            pf = self._pfs.get(new.name)
            if pf is None:  # it is watched no more
                continue
            self._on_change(pf, old, new, cause)
            heard.append((pf, new, pf.reading))

    def _listen_to_partners(self) -> None:
        """Take for lost whose partner is silent, and for found who is heard again."""
        if not self._hearts:
            return
        held = self._hearts.turn()
        for pf in self._pfs.values():
            before, pf.held = pf.lacp, pf.name in held
            if pf.lacp is not before:
                self._worker.lacp_changed(pf)

    def _on_change(self, pf: Pf, old: LinkStatus | None, new: LinkStatus, cause: Cause) -> None:
        if self._hearts:
            self._hearts.update(new)
        before = pf.lacp
        if pf.fallback:
            pf.meets(new, self._ownership.disabled(new.ifindex))
        pf.status = new
        moved = old is None or old.ifindex != new.ifindex
        if moved:
            pf.vfs = ()
            self._new_nic(pf, old)
            if self._policy.stand_by and pf.ifindex is not None:
                pf.waits = self._claims.claim(pf.ifindex) is not None
                if pf.waits:
                    self._ownership.leave(pf.ifindex)
        turned = old is None or old.lacp.status is not new.lacp.status
        if moved or turned or before is not pf.lacp:
            self._worker.lacp_changed(pf)
        elif cause is not _ASKED and pf.acts is not _UNKNOWN:
            pf.pace.touched(time.monotonic())

    def _take_over(self) -> None:
        """Serve the PFs of relays that have ended."""
        for pf in self._pfs.values():
            if pf.waits and pf.ifindex is not None and self._claims.claim(pf.ifindex) is None:
                pf.waits = False
                self._ownership.reload(pf.ifindex)
                self._narrator.took_over(pf.name)
                self._worker.lacp_changed(pf)

    def _new_nic(self, pf: Pf, old: LinkStatus | None) -> None:
        """The name is another NIC's: what we know of the old one does not hold for it."""
        if old is not None:
            if old.ifindex is not None:
                self._checks.strays[old.ifindex] = f"{pf.name} is another interface now"
                self._claims.release(old.ifindex)
            self._worker.settle(pf)
            pf.pace = Pacer(self._budget, self._interval)
            pf.num_vfs = pf.signature = pf.checked = pf.bond = None
            self._narrator.forget(pf.name)
        self._check_due = -math.inf

    # Working

    def _work(self) -> None:
        """Look and set until nothing is due: a PF is looked at and served, the quickest first.

        Between the messages of a slow NIC the other PFs are listened to and served.
        """
        listened = told = time.monotonic()
        while not self._monitor.stopped:
            pf = self._first(time.monotonic())
            if pf is None:
                return
            pause = 0.0
            if not pf.pending:
                self._worker.look(pf)
            elif self._policy.dry_run:
                self._narrator.would_set(pf.name, pf.pending)
                pf.pending.clear()
            else:
                pause = self._worker.set_some(pf)
            if self._pulse:
                self._pulse()
            if pause or time.monotonic() - listened > LOOK_GAP:
                self._pause(pause)
                listened = time.monotonic()
            if time.monotonic() - told > _FLUSH:
                self._flush()
                told = time.monotonic()

    def _first(self, now: float) -> Pf | None:
        """The PF to serve next."""
        ranks = [(rank, pf) for pf in self._pfs.values() if (rank := pf.rank(now))]
        return min(ranks, key=lambda ranked: ranked[0])[1] if ranks else None

    def _pause(self, seconds: float) -> None:
        """Leave the lock to others for a while, unless another PF has something due."""
        end = time.monotonic() + seconds
        while not self._monitor.stopped:
            self._listen(max(0.0, end - time.monotonic()))
            now = time.monotonic()
            others = (pf for pf in self._pfs.values() if not pf.pending)
            if now >= end or any(pf.pace.due() <= now for pf in others):
                return

    def _flush(self) -> None:
        """Tell what there is to tell: it can wait for what is to be set, but not for ever."""
        for pf in self._pfs.values():
            if pf.sent:
                self._worker.settle(pf)
        self._ownership.mirror()
        self._narrator.record(self._ownership.error, self._ownership.damaged)
        reports = self._narrator.take()
        if reports:
            deliver(self._report, reports)
