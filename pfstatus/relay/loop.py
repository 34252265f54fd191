"""The reference relay: LACP lost on a PF disables its VFs, LACP back gives them back."""

from __future__ import annotations

import errno
import math
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from pfstatus._fork import close_in_child
from pfstatus._wire import absent
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.monitor import PFS_MAX, Monitor
from pfstatus.relay.drills import Drills
from pfstatus.relay.narrator import Narrator
from pfstatus.relay.numvfs import NumVfs, Signature, agrees
from pfstatus.relay.ownership import Ownership, Seen
from pfstatus.relay.pace import LOOK_GAP, Budget, HoldDown, Pacer, Urgency
from pfstatus.relay.policy import Member, Policy, last_path, plan
from pfstatus.relay.report import Kind, Report, deliver, to_logging
from pfstatus.relay.rival import Claims
from pfstatus.relay.setter import Reading, Setter
from pfstatus.session import name_of
from pfstatus.values import Cause, LacpReason, LacpStatus

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable

    from pfstatus._port import Port
    from pfstatus.heartbeat.values import Partner
    from pfstatus.relay.hearts import Hearts, HeartSnapshot
    from pfstatus.relay.setter import Sent
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus, Vf, VfResult

_DEFAULT = Policy()
# An enum's attribute costs as much as a call.
_UP, _DOWN, _UNKNOWN = LacpStatus.UP, LacpStatus.DOWN, LacpStatus.UNKNOWN
_ASKED = Cause.ASKED
_LOST, _BACK = Urgency.LOST, Urgency.BACK
_TAKE_OVER = 0.05
"""Seconds between looks at whether a relay that has a PF still lives."""
_FLUSH = 0.25
"""Seconds into a long batch after which what was done so far is told."""


class Snapshot(NamedTuple):
    """What a relay knows of one PF."""

    status: LinkStatus | None
    """As it was asked or told of last; None before the first time."""
    vfs: tuple[Vf, ...]
    """Its VFs, as they were read last."""
    usable: bool
    """Whether pods can use it: LACP is up, and its VFs were given back."""
    kept: bool
    """Whether it is the last path of its group, with LACP down."""
    waits: bool
    """Whether another relay has it."""
    silent: bool
    """Whether it is taken for lost by its heartbeat, while the kernel calls LACP up."""
    fallback: bool
    """Whether it is taken for up because it has met no partner yet."""
    unsupported: bool
    """Whether its driver said that it has no setter, since LACP last changed."""


class _Pf:
    """What the loop remembers of one configured name."""

    def __init__(self, name: str, pace: Pacer, policy: Policy) -> None:
        self.name = name
        self.hold_down = HoldDown(policy.up_delay, policy.up_delay_max)
        self.fallback = policy.lacp_fallback  # until it meets a partner
        self.pace = pace
        self.status: LinkStatus | None = None
        self.vfs: tuple[Vf, ...] = ()  # as read last
        self.pending: deque[Vf] = deque()  # settings of the batch under way
        self.sent: list[Sent] = []  # of it, and not yet thought about
        self.reading: Reading | None = None  # likewise
        self.doubtful: Sent | None = None  # all ENODEV: the PF may be gone
        self.unsupported = False  # since LACP last changed
        self.held = False  # its partner is silent: taken for lost, before the kernel says so
        self.num_vfs: NumVfs | None = None
        self.signature: Signature | None = None  # of its VFs at the last look
        self.checked: Signature | None = None  # at the last check
        self.bond: tuple[int, int | None] | None = None  # whose ports were counted
        self.waits = False  # another relay has it
        self.served = False  # LACP is up, and all VFs that were disabled were given back
        self.down_since = 0.0  # monotonic
        self.kept = False  # LACP is down, and it is the last path of its group

    @property
    def ifindex(self) -> int | None:
        return self.status.ifindex if self.status else None

    @property
    def lacp(self) -> LacpStatus:
        """What counts for its VFs. Of a PF by two names the monitor tells under one."""
        if self.status is None:
            return _UNKNOWN
        lacp = self.status.lacp.status
        if self.held and lacp is _UP:
            return _DOWN
        return _UP if self.fallback and lacp is _DOWN else lacp

    def meets(self, status: LinkStatus, ours: Collection[int]) -> None:
        """See whether it has met a partner: VFs that we have disabled say so, too."""
        if status.lacp.reason in (LacpReason.UP, LacpReason.NEGOTIATING) or ours:
            self.fallback = False

    @property
    def acts(self) -> LacpStatus:
        """LACP, as far as it is ours to act upon: not where another relay has the PF."""
        return _UNKNOWN if self.waits else self.lacp

    def rank(self, now: float) -> tuple[int, float] | None:
        """What to do first, the smallest: what was lost, and of that what is quickly done."""
        if self.pending:
            urgency = _LOST if self.lacp is _DOWN else _BACK
            return urgency, self.pace.vf_cost * len(self.pending)
        due = self.pace.due()
        if due > now:
            return None
        urgency = self.pace.urgency
        return urgency, self.pace.look_cost if urgency <= _BACK else due


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
        self._may_be_quick = not (policy.dry_run or policy.keeps_record())
        self._interval = interval
        self._report = report
        self._budget = Budget()
        self._pfs = {name: self._new_pf(name) for name in interfaces}
        self._strays: dict[int, str] = {}  # NICs with VFs that are noted, and why nobody has them
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
        self._setter = Setter(self._session, self._ownership)
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

    def _new_pf(self, name: str) -> _Pf:
        return _Pf(name, Pacer(self._budget, self._interval), self._policy)

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
                ``heartbeat``, ``revive`` or ``stand_by`` is another. Nothing is changed then.
        """
        names = tuple(dict.fromkeys(map(name_of, interfaces)))
        if not 0 < len(names) <= PFS_MAX:
            msg = f"a relay serves 1 to {PFS_MAX} PFs, not {len(names)}"
            raise ValueError(msg)
        if not interval > 0:
            msg = f"interval must be positive, not {interval!r}"
            raise ValueError(msg)
        for name in ("dry_run", "heartbeat", "revive", "stand_by"):
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
            self._check()
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
        for sent in () if self._policy.dry_run else self._setter.give_back(status):
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
        return {
            pf.name: Snapshot(
                pf.status,
                pf.vfs,
                usable=pf.served,
                kept=pf.kept,
                waits=pf.waits,
                silent=pf.held,
                fallback=pf.fallback and pf.lacp is LacpStatus.UP,
                unsupported=pf.unsupported,
            )
            for pf in [*self._pfs.values()]
        }

    # Beginning, changing, ending

    def _start(self) -> None:
        self._started = True
        self._narrator.say(Kind.STARTED)
        self._narrator.say(Kind.WATCHING, interfaces=list(self._pfs))
        self._ownership.mirror()
        self._strays = dict.fromkeys(self._ownership.names(), "it is not configured any more")

    def _reconfigure(self, names: tuple[str, ...], interval: float, policy: Policy) -> None:
        """Do as ``reconfigure()`` was told."""
        self._next = None
        self._policy, self._interval, self._monitor.interval = policy, interval, interval
        self._may_be_quick = not (policy.dry_run or policy.keeps_record())
        gone = [pf for name, pf in self._pfs.items() if name not in names]
        # One NIC by two names is told of by the first: the other goes on with it.
        stays = {self._monitor.same_as(name) for name in names if name in self._pfs}
        for pf in gone:
            self._settle(pf)
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
        self._narrator.groups(policy.groups)
        for pf in self._pfs.values():
            pf.pace.interval = interval
            pf.hold_down.least, pf.hold_down.most = policy.up_delay, policy.up_delay_max
            pf.fallback &= policy.lacp_fallback
            self._regroup(pf)
            if pf.acts is not _UNKNOWN:  # another policy may see it with other eyes
                pf.pace.touched(time.monotonic())
        self._check_due = -math.inf
        self._narrator.say(Kind.RELOADED, interfaces=list(names))

    def _leave(self, pf: _Pf, why: str) -> None:
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
        heard: list[tuple[_Pf, LinkStatus, Reading | None]] = []
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

    def _hear(self, timeout: float, heard: list[tuple[_Pf, LinkStatus, Reading | None]]) -> None:
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
                self._turn_over(pf)

    def _on_change(self, pf: _Pf, old: LinkStatus | None, new: LinkStatus, cause: Cause) -> None:
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
            self._turn_over(pf)
        elif cause is not _ASKED and pf.acts is not _UNKNOWN:
            pf.pace.touched(time.monotonic())

    def _turn_over(self, pf: _Pf) -> None:
        """LACP changed: what was under way belongs to the past."""
        if pf.sent:
            self._settle(pf)
        pf.pending.clear()
        pf.reading = pf.doubtful = None
        pf.unsupported = False
        acts, now, pace = pf.acts, time.monotonic(), pf.pace
        pf.served = pf.kept and acts is _UP  # then nothing was taken from it
        pf.down_since = now
        if acts is _UP:
            pace.lacp_changed(now, acts, pf.hold_down.found(now))
        else:
            pf.hold_down.lost(now)
            pace.lacp_changed(now, acts)
        if self._policy.groups:
            self._regroup(pf)
        if acts is _DOWN and self._may_be_quick and not pf.kept and pace.at_once():
            assert pf.status is not None
            try:
                pf.reading = self._setter.disable(pf.status, pace.urgent_size(), now)
            except Error:
                pass  # it is looked at again, and said
            else:
                if pf.reading.sent:
                    pf.sent.append(pf.reading.sent)
        self._narrator.lacp_changed(pf.name)

    def _regroup(self, pf: _Pf) -> None:
        """A PF's group may have another last path, or need none."""
        for names in self._policy.groups:
            if pf.name in names:
                group = [self._pfs[name] for name in names if name in self._pfs]
                break
        else:
            self._keep(pf, kept=False)
            return
        members = {one.name: Member(one.acts, one.served, one.down_since) for one in group}
        kept = last_path(members, next((one.name for one in group if one.kept), None))
        for one in group:
            self._keep(one, kept=one.name == kept)
        self._narrator.kept(names, kept)

    def _keep(self, pf: _Pf, *, kept: bool) -> None:
        """A PF is the last path of its group, or is it no more."""
        if pf.kept != kept:
            pf.kept = kept
            pf.pending.clear()
            if pf.acts is _DOWN:
                pf.pace.lacp_changed(time.monotonic(), pf.acts)

    def _take_over(self) -> None:
        """Serve the PFs of relays that have ended."""
        for pf in self._pfs.values():
            if pf.waits and pf.ifindex is not None and self._claims.claim(pf.ifindex) is None:
                pf.waits = False
                self._ownership.reload(pf.ifindex)
                self._narrator.took_over(pf.name)
                self._turn_over(pf)

    def _new_nic(self, pf: _Pf, old: LinkStatus | None) -> None:
        """The name is another NIC's: what we know of the old one does not hold for it."""
        if old is not None:
            if old.ifindex is not None:
                self._strays[old.ifindex] = f"{pf.name} is another interface now"
                self._claims.release(old.ifindex)
            self._settle(pf)
            pf.pace = Pacer(self._budget, self._interval)
            pf.num_vfs = pf.signature = pf.checked = pf.bond = None
            self._narrator.forget(pf.name)
        self._check_due = -math.inf

    # Looking

    def _look(self, pf: _Pf) -> None:
        """Read a PF's VFs and note what is to be set."""
        reading, pf.reading = pf.reading or self._read(pf), None
        if reading is None:
            return
        assert pf.status is not None
        assert pf.status.ifindex is not None
        seen, count, vfs, began, ended, sent = reading
        pf.vfs = vfs
        if not agrees(pf.signature, count):
            pf.signature = None  # the one is ahead of the other: look again
        lacp = pf.lacp
        owners = self._ownership.seen(pf.status.ifindex, vfs)
        unread = count > len(vfs)
        if self._policy.restore == "owned":
            unread = not self._ownership.disabled(pf.status.ifindex) <= {vf for vf, _ in vfs}
        up = lacp is _UP
        pf.pace.looked(began, ended, again=not up or unread, slower=up)
        if pf.doubtful:  # it is there: so it was the driver who said that it was not
            self._say_results(pf, pf.doubtful)
            pf.doubtful = None
        self._narrator.vfs(pf.name, count, vfs, lacp)
        if seen.status is not pf.status.lacp.status:
            return  # it changed under our hands: the monitor is about to say so
        if up:
            vfs, owners = self._without_drill(pf, vfs, owners)
        acting = _UP if pf.kept else lacp
        todo = plan(acting, vfs, restore=self._policy.restore, owned=owners.ours)
        settings = todo.settings[len(sent.results) :] if sent else todo.settings
        allowed, ignored = pf.pace.allowed(ended, settings)
        pf.pending.extend(allowed)
        if sent:
            self._note(pf, sent)
        self._narrator.unprotected(pf.name, todo.unprotected)
        self._narrator.ignored(pf.name, ignored)
        if up:
            self._narrator.others(pf.name, owners.others)
            self._narrator.returned(pf.name, owners.returned)
            if not todo.settings and not unread:
                self._serve(pf)

    def _without_drill(
        self, pf: _Pf, vfs: tuple[Vf, ...], owners: Seen
    ) -> tuple[tuple[Vf, ...], Seen]:
        """A drill's VFs are left to it while it lives."""
        drill = self._drills.find(pf.ifindex or 0) if any(owners) else None
        if drill is None or drill.pid is None:
            self._narrator.drill(pf.name, ())
            return vfs, owners
        self._narrator.drill(pf.name, drill.vfs)
        ours, returned, others = (each - drill.vfs for each in owners)
        return tuple([vf for vf in vfs if vf.vf not in drill.vfs]), Seen(ours, returned, others)

    def _end_drill(self, pf: _Pf, ifindex: int) -> None:
        """Take over the VFs of a drill that was killed: they are given back as ours are."""
        drill = self._drills.find(ifindex)
        if drill is None or drill.pid is not None or pf.waits:
            return
        self._ownership.about_to_disable(pf.name, ifindex, drill.vfs)
        self._drills.forget(ifindex)
        self._narrator.say(Kind.DRILL_KILLED, interface=pf.name, ids=sorted(drill.vfs))
        if pf.acts is not _UNKNOWN:
            pf.pace.touched(time.monotonic())

    def _read(self, pf: _Pf) -> Reading | None:
        """Read a PF's VFs, where it makes sense."""
        assert pf.status is not None
        self._settle(pf)  # the last batch has a say in what is tried again
        if pf.unsupported:
            pf.pace.look_no_more()
            self._serve(pf)
            return None
        if pf.num_vfs:  # before: what changes while we read is found at the next check
            pf.checked = pf.num_vfs.signature()
        pf.signature = pf.checked
        began = time.monotonic()
        try:
            seen, count, vfs = self._session.vfs(pf.status)
        except LinkNotFoundError:
            pf.pace.look_no_more()  # the monitor is about to say so
            return None
        except Error as exc:
            pf.pace.look_failed(time.monotonic())
            self._narrator.trouble(pf.name, exc)
            return None
        return Reading(seen, count, vfs, began, time.monotonic(), None)

    def _serve(self, pf: _Pf) -> None:
        """Pods can use the PF, if LACP is up on it."""
        if not pf.served and pf.acts is _UP:
            pf.served = True
            self._regroup(pf)

    def _check(self) -> None:
        """What no event tells of and costs nobody anything, every interval."""
        now = time.monotonic()
        self._check_due = now + self._interval
        for pf in self._pfs.values():
            self._narrator.alias(pf.name, self._monitor.same_as(pf.name))
            if pf.status is None or pf.ifindex is None:
                continue
            self._narrator.rival(pf.name, self._claims.claim(pf.ifindex))
            self._end_drill(pf, pf.ifindex)
            if pf.num_vfs is None:
                pf.num_vfs = NumVfs(pf.status.ifname or pf.name, pf.ifindex)
            pf.checked = pf.num_vfs.signature()
            if pf.acts is not _UNKNOWN and pf.signature != pf.checked:
                pf.pace.touched(now)
        self._count_ports()
        if self._strays:
            self._look_for_strays()

    def _count_ports(self) -> None:
        """A bond's own count leaves out the ports that are idle: one look at all links."""
        bonds = {
            pf.name: (pf.status.bond.ifindex, pf.status.bond.num_ports)
            for pf in self._pfs.values()
            if pf.status and pf.status.bond
        }
        if all(self._pfs[name].bond == bond for name, bond in bonds.items()):
            return
        try:
            masters = [port.master for port in self._session.ports()]
        except Error:
            return  # links come and go: at the next check
        for name, bond in bonds.items():
            self._pfs[name].bond = bond
            self._narrator.ports(name, masters.count(bond[0]))

    def _look_for_strays(self) -> None:
        """Say what VFs we had disabled on NICs that nobody serves any more."""
        strays, self._strays = self._strays, {}
        names = self._ownership.names()
        watched = {pf.ifindex for pf in self._pfs.values()}
        for ifindex, why in strays.items():
            if ifindex in watched or ifindex not in names or self._claims.claim(ifindex):
                continue
            self._claims.release(ifindex)
            try:
                _, _, vfs = self._session.vfs(absent(names[ifindex])._replace(ifindex=ifindex))
            except LinkNotFoundError:
                continue
            except Error as exc:
                self._narrator.trouble(names[ifindex], exc)
                continue
            ours = self._ownership.seen(ifindex, vfs).ours
            if ours:
                self._narrator.left(names[ifindex], ours, why)

    # Setting

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
                self._look(pf)
            elif self._policy.dry_run:
                self._narrator.would_set(pf.name, pf.pending)
                pf.pending.clear()
            else:
                pause = self._set_some(pf)
            if self._pulse:
                self._pulse()
            if pause or time.monotonic() - listened > LOOK_GAP:
                self._pause(pause)
                listened = time.monotonic()
            if time.monotonic() - told > _FLUSH:
                self._flush()
                told = time.monotonic()

    def _first(self, now: float) -> _Pf | None:
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

    def _set_some(self, pf: _Pf) -> float:
        """Send one message. Returns the seconds for which to leave the lock to others."""
        assert pf.status is not None
        size = min(pf.pace.message_size(), len(pf.pending))
        settings = [pf.pending.popleft() for _ in range(size)]
        sent = self._setter.send(pf.status, settings)
        pf.sent.append(sent)
        return self._note(pf, sent)

    def _note(self, pf: _Pf, sent: Sent) -> float:
        """A message was sent. Returns the seconds for which to leave the lock to others."""
        failed = any(failure for _, _, failure in sent.results)
        pause = pf.pace.sent(sent.began, sent.ended, len(sent.results), failed=failed)
        if not pf.pending:
            pf.pace.batch_ended(sent.ended)
        elif failed:
            self._settle(pf)  # which may call the rest off
        return pause

    def _settle(self, pf: _Pf) -> None:
        """Draw the conclusions from messages that were sent: after them, not in between."""
        done, pf.sent = pf.sent, []
        for sent in done:
            self._setter.settle(sent)
            codes = {failure.errno if failure else 0 for _, _, failure in sent.results}
            if codes == {errno.ENODEV}:
                pf.pending.clear()
                pf.doubtful = sent
            elif codes == {errno.EOPNOTSUPP}:
                pf.pending.clear()
                pf.unsupported = True
                self._narrator.cannot_set(pf.name)
            else:
                self._say_results(pf, sent)

    def _say_results(self, pf: _Pf, sent: Sent) -> None:
        for result in sent.results:
            vf, state, failure = result
            times = pf.pace.became(vf, state, sent.ended, failed=failure is not None)
            self._narrator.result(pf.name, result, time_ns=sent.time_ns, times=times)

    def _flush(self) -> None:
        """Tell what there is to tell: it can wait for what is to be set, but not for ever."""
        for pf in self._pfs.values():
            if pf.sent:
                self._settle(pf)
        self._ownership.mirror()
        self._narrator.record(self._ownership.error, self._ownership.damaged)
        reports = self._narrator.take()
        if reports:
            deliver(self._report, reports)
