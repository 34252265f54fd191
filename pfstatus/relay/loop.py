"""The reference relay: LACP lost on a PF disables its VFs, LACP back gives them back.

``policy.plan()`` is what it decides; this is the loop around it: when to look, how many VFs to set
at once, what to try again, what to say.
"""

from __future__ import annotations

import errno
import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.monitor import Monitor
from pfstatus.relay.ownership import Ledger
from pfstatus.relay.policy import Policy, plan
from pfstatus.relay.report import Report, log, to_logging
from pfstatus.values import (
    Cause,
    Change,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    Vf,
    VfLinkState,
    VfResult,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from pfstatus.relay.report import Level
    from pfstatus.session import Session

_AUTO, _DISABLE = VfLinkState.AUTO, VfLinkState.DISABLE

_DEFAULT = Policy()
_PROBE = 4
"""VFs in the first message of a batch: it finds out what the NIC needs for one, even where that
has changed since the last batch."""
_HOLD = 0.05
"""Seconds that one message may hold the kernel's RTNL lock, as far as a VF allows."""
_GAP = 0.05
"""Part of a slow message's time for which the lock is then left to others: bonding, in the
host and in the pods, only ever tries for it."""
_LOOK_GAP = 0.01
"""Least seconds between a look at a PF's VFs and the next."""
_OUTAGE_LOOK = 1.0
"""Most seconds between looks while LACP is down, however long the interval."""
_LOOK_SHARE = 20
"""A look may take one part in so many of the time: reading VFs holds the lock too."""
_FLUSH = 0.25
"""Seconds into a long batch after which what was done so far is told."""
_RETRY = (0.1, 10.0)
"""Seconds until a VF is tried again: at first, and at most."""
_NEVER = object()
_NOT_READY = frozenset(
    {
        LacpReason.ABSENT,
        LacpReason.NO_BOND,
        LacpReason.NOT_A_BOND,
        LacpReason.WRONG_MODE,
        LacpReason.LINK_DOWN,
    }
)


class _Hold:
    """Why a VF is not set again at once: it failed, or somebody keeps changing it."""

    __slots__ = ("failed", "tries", "until")

    def __init__(self) -> None:
        self.failed = False
        self.tries = 0  # in a row that ended alike
        self.until = 0.0

    def push(self, now: float, *, failed: bool) -> None:
        """Wait longer each time; the first one that succeeds costs nothing."""
        if failed != self.failed or self.until + _RETRY[1] < now:
            self.tries = 0
        self.failed = failed
        self.tries += 1
        over = self.tries - (not failed)
        self.until = now + (min(_RETRY[0] * 2 ** (over - 1), _RETRY[1]) if over > 0 else 0.0)


class _Sent(NamedTuple):
    """A message that was sent, and what became of it."""

    at: float  # on the monotonic clock
    time_ns: int  # since the epoch
    ifindex: int
    owned: frozenset[int]  # VFs noted as ours before it
    results: tuple[VfResult, ...]


class _Pf:
    """What the loop remembers of one PF."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status: LinkStatus | None = None
        self.pending: deque[Vf] = deque()  # settings of the batch under way
        self.done: list[_Sent] = []  # of it, and not yet thought about
        self.look_due = math.inf  # when to read the VFs
        self.look_after = 0.0  # not before
        self.cost = 0.0  # seconds that the NIC took for a VF, last time
        self.probe = False  # the next message is the first of its batch
        self.holds: dict[int, _Hold] = {}
        self.failures = _Hold()  # of looks
        self.topics: dict[str, object] = {}  # what was last said of each
        self.said: set[tuple[Any, ...]] = set()  # of VFs, since LACP last changed
        self.failing: dict[int, int | None] = {}  # the errno that was said of a VF
        self.vf_count: int | None = None
        self.unsupported = False

    def lacp(self) -> LacpStatus:
        return self.status.lacp.status if self.status else LacpStatus.UNKNOWN

    def look_soon(self, now: float) -> None:
        self.look_due = min(self.look_due, max(now, self.look_after))


class Relay:
    """Disables a PF's VFs while LACP is down on it.

    ::

        with Relay("ens5f0", "ens5f1") as relay:
            relay.run()

    Events are acted upon at once; besides, each PF is asked every ``interval`` while LACP is up
    and every 100 ms while it is not. VFs are read when LACP changes, when an event says that
    somebody touched the PF, after a batch of settings (success is what reading shows), and,
    during an outage, every ``interval`` or second (VFs that are made then raise no event), never
    for more than a twentieth of the time. Only differences are written.

    Used by one thread at a time, but for ``stop()``, which any thread and any signal handler
    may call. Needs CAP_NET_ADMIN, unless it is a dry run.

    Args:
        interfaces: the PFs, by name or alternative name.
        interval: seconds between questions while LACP is up.
        policy: what else to do.
        report: is given what there is to tell, in lists, whenever the loop has nothing more
            urgent to do. By default it goes to the ``pfstatus`` logger.
        session: as for Monitor.
        netns: as for Session.

    Raises:
        ValueError: as for Monitor; or the state file is no such file.
        OSError: a socket or the state file could not be opened.
    """

    def __init__(
        self,
        *interfaces: str,
        interval: float = 1.0,
        policy: Policy = _DEFAULT,
        report: Callable[[list[Report]], None] = to_logging,
        session: Session | None = None,
        netns: str | os.PathLike[str] | int | None = None,
    ) -> None:
        self._policy = policy
        self._interval = interval
        self._report = report
        self._reports: list[Report] = []
        self._pfs = {name: _Pf(name) for name in interfaces}
        self._ledger = Ledger(policy.state_file if policy.keeps_record() else None)
        self._started = False
        self._lost_events = 0
        self._monitor = Monitor(
            *interfaces, interval=interval, every_event=True, session=session, netns=netns
        )
        self._session = self._monitor.session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have run() return, after the message under way. From any thread or signal handler."""
        self._monitor.stop()

    def close(self) -> None:
        """Close the descriptors. May be called again."""
        self._monitor.close()

    def may_set_vfs(self) -> bool:
        """Whether the kernel would let this process set VFs (CAP_NET_ADMIN). Changes nothing."""
        return self._session.may_set_vfs()

    def run(self) -> None:
        """Relay until stop(), then do what the policy says of the end."""
        while not self._monitor.stopped:
            self.turn()
        self._end()
        self._flush()

    def turn(self, timeout: float | None = None) -> None:
        """Wait until there is something to do, and do it: run(), in pieces.

        Args:
            timeout: most seconds to wait; 0 not at all, None for ever.
        """
        if not self._started:
            self._start()
        wait = min(pf.look_due for pf in self._pfs.values()) - time.monotonic()
        if timeout is not None:
            wait = min(wait, timeout)
        self._listen(None if wait == math.inf else max(0.0, wait))
        self._work()
        self._flush()

    def disabled(self, interface: str) -> frozenset[int]:
        """VFs of a PF that this relay disabled and has not given back.

        With a record (see Policy.state_file) also those of PFs that it does not watch any more.
        """
        return self._ledger.get(interface)

    def give_back(self, interface: str) -> tuple[VfResult, ...]:
        """Set the VFs of a PF that this relay disabled to ``auto``, whatever LACP says.

        Returns:
            A result for each VF that was still disabled.

        Raises:
            LinkNotFoundError: the PF is gone, and its VFs with it.
            Error: the kernel refused.
        """
        status = self._session.get(interface)
        noted = self._ledger.get(interface, status.ifindex)
        back = [
            Vf(vf, _AUTO) for vf, state in status.vfs or () if vf in noted and state is _DISABLE
        ]
        results: list[VfResult] = []
        cost = 0.0
        while back and not self._policy.dry_run:
            size = _chunk_size(cost)
            began = time.monotonic()
            done = self._session.set_vf_link_state(status, back[:size])
            cost = (time.monotonic() - began) / len(done)
            results += done
            del back[:size]
            for result in done:
                self._say_result(interface, result)
            time.sleep(_gap(cost * len(done)))
        if status.ifindex is not None and not self._policy.dry_run:
            # A list may be sparse: what is not in it was not given back.
            kept = noted - {vf for vf, _ in status.vfs or ()}
            kept |= {result.vf for result in results if result.error}
            self._ledger.set(interface, status.ifindex, kept)
        return tuple(results)

    # ---- Listening

    def _start(self) -> None:
        self._started = True
        self._say("INFO", "interfaces to monitor", interfaces=list(self._pfs))
        for name in sorted(self._ledger.names() - self._pfs.keys()):
            self._say_left(name, "it is not configured any more")

    def _listen(self, timeout: float | None) -> None:
        try:
            changes = self._monitor.poll(timeout)
        except Error as exc:
            if exc.filename is None:
                raise  # not about one PF: the sockets themselves
            self._say_failure(exc.filename, exc)
            return
        finally:
            lost, self._lost_events = self._lost_events, self._monitor.lost_events
            if lost != self._lost_events:
                self._say("WARN", "events were lost, asking for everything")
        for change in changes:
            self._on_change(self._pfs[change.name], change)

    def _on_change(self, pf: _Pf, change: Change) -> None:
        old, pf.status = pf.status, change.new
        lacp = change.new.lacp.status
        now = time.monotonic()
        if old is not None and old.ifindex != change.new.ifindex:
            self._forget_nic(pf)
        if old is None or old.lacp.status is not lacp or old.ifindex != change.new.ifindex:
            self._settle(pf)
            pf.pending.clear()
            pf.holds.clear()
            pf.failing.clear()
            pf.said.clear()
            pf.look_due = math.inf
            pf.look_after = now
            if lacp is LacpStatus.UP:
                pf.look_after += self._policy.up_delay
            if lacp is not LacpStatus.UNKNOWN:
                pf.look_soon(now)
        elif change.cause is not Cause.ASKED and self._minds_touch(lacp):
            pf.look_soon(now)
        self._say_status(pf, change.new)

    def _minds_touch(self, lacp: LacpStatus) -> bool:
        """Whether a VF that somebody else changed may have to be changed back."""
        if lacp is LacpStatus.UP:
            return self._policy.restore == "all"
        return lacp is LacpStatus.DOWN

    def _forget_nic(self, pf: _Pf) -> None:
        """The PF is gone or another: so are its VFs, and what we know of its NIC."""
        pf.unsupported = False
        pf.cost = 0.0
        pf.vf_count = None
        pf.topics.clear()

    # ---- Looking

    def _look(self, pf: _Pf) -> None:
        """Read a PF's VFs and note what is to be set."""
        assert pf.status is not None
        self._settle(pf)  # the last batch has a say in what is tried again
        if pf.unsupported:
            pf.look_due = math.inf
            return
        began = time.monotonic()
        try:
            seen, count, vfs = self._session.vfs(pf.status)
        except LinkNotFoundError:
            pf.look_due = math.inf  # the monitor is about to say so
            return
        except Error as exc:
            pf.failures.push(began, failed=True)
            pf.look_due = pf.look_after = pf.failures.until
            self._say_failure(pf.name, exc)
            return
        now = time.monotonic()
        lacp = pf.lacp()
        self._say_vfs(pf, count)
        pf.look_after = now + max(_LOOK_GAP, (now - began) * _LOOK_SHARE)
        pf.look_due = max(pf.look_after, now + min(self._interval, _OUTAGE_LOOK))
        if seen.status is not lacp:
            return  # it changed under our hands: the monitor is about to say so
        owned = self._owned(pf, pf.status, vfs)
        if self._policy.restore == "all":
            unread = count > len(vfs)
        else:
            unread = not owned <= {vf for vf, _ in vfs}
        if lacp is LacpStatus.UP and not unread:  # a list may be sparse: the rest comes later
            pf.look_due = math.inf
        pf.probe = True
        todo = plan(lacp, vfs, restore=self._policy.restore, owned=owned)
        for vf in todo.unprotected:
            self._say_once(
                pf, "WARN", "vf will not fail over", id=vf, state="enable", interface=pf.name
            )
        if not pf.holds:
            pf.pending.extend(todo.settings)
            return
        for setting in todo.settings:
            hold = pf.holds.get(setting.vf)
            if hold and hold.until > now:
                pf.look_due = min(pf.look_due, max(pf.look_after, hold.until))
            else:
                pf.pending.append(setting)

    def _owned(self, pf: _Pf, status: LinkStatus, vfs: Iterable[Vf]) -> frozenset[int]:
        """What we disabled and nobody changed since."""
        noted = self._ledger.get(pf.name, status.ifindex)
        if noted and status.ifindex is not None:
            noted -= {vf for vf, state in vfs if state is not _DISABLE}
            self._note(pf.name, status.ifindex, noted)
        return noted

    # ---- Setting

    def _work(self) -> None:
        """Look and set until nothing is due, a message at a time, the quickest PF first.

        Between the messages of a slow NIC the other PFs are listened to and served.
        """
        listened = told = time.monotonic()
        while not self._monitor.stopped:
            now = time.monotonic()
            due = [pf for pf in self._pfs.values() if pf.look_due <= now and not pf.pending]
            due.sort(key=lambda pf: pf.lacp() is not LacpStatus.DOWN)
            for pf in due:
                self._look(pf)
            waiting = [pf for pf in self._pfs.values() if pf.pending]
            if not waiting:
                return
            pf = min(waiting, key=lambda pf: pf.cost * len(pf.pending))
            if self._policy.dry_run:
                self._pretend(pf)
                continue
            gap = _gap(self._set_some(pf))
            if gap or time.monotonic() - listened > _LOOK_GAP:
                self._listen_for(gap)
                listened = time.monotonic()
            if time.monotonic() - told > _FLUSH:
                self._flush()
                told = time.monotonic()

    def _listen_for(self, seconds: float) -> None:
        """Leave the lock to others for a while, unless another PF has something due."""
        end = time.monotonic() + seconds
        while not self._monitor.stopped:
            self._listen(max(0.0, end - time.monotonic()))
            now = time.monotonic()
            if now >= end or any(
                pf.look_due <= now and not pf.pending for pf in self._pfs.values()
            ):
                return

    def _set_some(self, pf: _Pf) -> float:
        """Send one message. Returns the seconds it took."""
        assert pf.status is not None
        assert pf.status.ifindex is not None
        size = min(_chunk_size(pf.cost), len(pf.pending))
        if pf.probe:
            size = min(size, _PROBE)
            pf.probe = False
        settings = [pf.pending.popleft() for _ in range(size)]
        ifindex = pf.status.ifindex
        before = self._ledger.get(pf.name, ifindex)
        disabling = {vf for vf, state in settings if state is _DISABLE}
        self._note(pf.name, ifindex, before | disabling)
        began = time.monotonic()
        try:
            results = self._session.set_vf_link_state(pf.status, settings)
        except Error as exc:  # nothing was tried
            results = tuple([VfResult(vf, state, exc) for vf, state in settings])
        now = time.monotonic()
        pf.cost = (now - began) / size
        pf.done.append(_Sent(now, time.time_ns(), ifindex, before, results))
        if not pf.pending:
            pf.look_soon(now + _LOOK_GAP)
        elif any(failure for _, _, failure in results):
            self._settle(pf)  # which may call the rest off
        return now - began

    def _settle(self, pf: _Pf) -> None:
        """Draw the conclusions from messages that were sent: after them, not in between."""
        done, pf.done = pf.done, []
        for message in done:
            not_ours = set()
            for vf, state, failure in message.results:
                pf.holds.setdefault(vf, _Hold()).push(message.at, failed=failure is not None)
                given_back = failure is None and state is _AUTO
                not_taken = failure is not None and state is _DISABLE and vf not in message.owned
                if given_back or not_taken:
                    not_ours.add(vf)
            noted = self._ledger.get(pf.name, message.ifindex)
            self._note(pf.name, message.ifindex, noted - not_ours)
            self._say_set(pf, message)

    def _pretend(self, pf: _Pf) -> None:
        for vf, state in pf.pending:
            self._say_once(
                pf, "INFO", "vf link state would be set", id=vf, state=str(state), interface=pf.name
            )
        pf.pending.clear()

    def _note(self, name: str, ifindex: int, vfs: frozenset[int]) -> None:
        """Keep the record; a full disk must not keep VFs from failing over."""
        try:
            self._ledger.set(name, ifindex, vfs)
        except OSError as exc:
            self._say("ERROR", "failed to record disabled vfs", interface=name, error=str(exc))

    def _end(self) -> None:
        for name, pf in self._pfs.items():
            if not self._ledger.get(name):
                continue
            if self._policy.on_exit == "keep":
                if pf.lacp() is not LacpStatus.UP:
                    self._say_left(name, "the relay ends")
                continue
            try:
                self.give_back(name)
            except LinkNotFoundError:
                continue  # its VFs went with it
            except Error as exc:
                self._say_failure(name, exc)
            if self._ledger.get(name):
                self._say_left(name, "they could not be given back")

    # ---- Saying

    def _say(self, level: Level, message: str, **fields: Any) -> None:
        self._reports.append(Report(time.time_ns(), level, message, fields))

    def _say_once(self, pf: _Pf, level: Level, message: str, **fields: Any) -> None:
        """Say it, unless it was said of this VF since LACP last changed."""
        what = (message, *fields.values())
        if what not in pf.said:
            pf.said.add(what)
            self._say(level, message, **fields)

    def _flush(self) -> None:
        """Tell what there is to tell: it can wait for what is to be set, but not for ever."""
        for pf in self._pfs.values():
            if pf.done:
                self._settle(pf)
        if not self._reports:
            return
        reports, self._reports = self._reports, []
        try:
            self._report(reports)
        except Exception:
            # Whoever listens must not stop the relay: the node's network hangs on it.
            log.exception("the report callback failed")

    def _say_left(self, name: str, why: str) -> None:
        vfs = sorted(self._ledger.get(name))
        self._say("WARN", "vfs were left disabled", interface=name, ids=vfs, reason=why)

    def _say_failure(self, name: str, exc: OSError) -> None:
        self._say("WARN", "failed to fetch interface", interface=name, error=str(exc))

    def _say_status(self, pf: _Pf, status: LinkStatus) -> None:
        lacp = status.lacp
        # Compared with what was last said, not seen: each is said once per change.
        if lacp.reason in _NOT_READY:
            if self._turned(pf, "ready", lacp.reason):
                self._say("ERROR", "pf is not ready", interface=pf.name, error=lacp.sentence)
                if self._ledger.get(pf.name) and lacp.reason is not LacpReason.LINK_DOWN:
                    self._say_left(pf.name, lacp.sentence)
            self._turned(pf, "lacp", None)
            return
        if self._turned(pf, "ready", None):
            self._say("INFO", "pf is ready", interface=pf.name)
        if lacp.status is LacpStatus.UP:
            if self._turned(pf, "lacp", "up"):
                self._say("INFO", "lacp is up", interface=pf.name)
        elif lacp.status is LacpStatus.DOWN:
            if self._turned(pf, "lacp", "down"):
                self._turned(pf, "reason", lacp.reason)
                self._say("INFO", "lacp is down", interface=pf.name, reason=str(lacp.reason))
            elif self._turned(pf, "reason", lacp.reason):
                self._say("DEBUG", "lacp is still down", interface=pf.name, reason=str(lacp.reason))
        elif self._turned(pf, "lacp", "unknown"):
            self._say("WARN", "lacp is unknown", interface=pf.name, reason=str(lacp.reason))
        bond = status.bond
        if bond is not None:
            slow = bond.lacp_rate is LacpRate.SLOW
            if self._turned(pf, "slow", slow) and slow:
                self._say("WARN", "pf is using slow lacp rate", interface=pf.name)
            crowd = bond.num_ports if bond.num_ports and bond.num_ports > 1 else None
            if self._turned(pf, "crowd", crowd) and crowd:
                self._say("WARN", "pf is not alone in its bond", interface=pf.name, ports=crowd)

    @staticmethod
    def _turned(pf: _Pf, topic: str, value: object) -> bool:
        """Whether a topic now has another value than last time."""
        if pf.topics.get(topic, _NEVER) == value:
            return False
        pf.topics[topic] = value
        return True

    def _say_vfs(self, pf: _Pf, count: int) -> None:
        if count != pf.vf_count:
            pf.vf_count = count
            if count:
                self._say("INFO", "VFs detected on interface", interface=pf.name, count=count)
            else:
                self._say("INFO", "pf has no VFs", interface=pf.name)

    def _say_result(self, name: str, result: VfResult, time_ns: int = 0) -> None:
        vf, state, failure = result
        time_ns = time_ns or time.time_ns()
        if failure is None:
            fields = {"id": vf, "state": str(state), "interface": name}
            self._reports.append(Report(time_ns, "INFO", "vf link state was set", fields))
        else:
            fields = {"id": vf, "interface": name, "error": str(failure)}
            self._reports.append(Report(time_ns, "ERROR", "failed to set vf link state", fields))

    def _say_set(self, pf: _Pf, message: _Sent) -> None:
        codes = {failure.errno if failure else 0 for _, _, failure in message.results}
        if codes == {errno.ENODEV}:
            pf.pending.clear()  # the PF is gone; the monitor is about to say so
            return
        if codes == {errno.EOPNOTSUPP}:
            pf.unsupported = True
            pf.pending.clear()
            why = "its driver has no setter, or is in switchdev mode"
            self._say_once(
                pf, "ERROR", "pf cannot set vf link states", interface=pf.name, error=why
            )
            return
        for result in message.results:
            vf, state, failure = result
            hold = pf.holds[vf]
            if failure is None:
                self._say_result(pf.name, result, message.time_ns)
                pf.failing.pop(vf, None)
                if hold.tries > 2:
                    what = {"id": vf, "state": str(state), "interface": pf.name}
                    self._say_once(pf, "WARN", "vf link state does not stay", **what)
            elif pf.failing.get(vf) != failure.errno:
                pf.failing[vf] = failure.errno
                self._say_result(pf.name, result, message.time_ns)
            else:
                what = {"id": vf, "interface": pf.name, "error": str(failure)}
                self._say("DEBUG", "failed to set vf link state again", **what)


def _chunk_size(cost: float) -> int:
    """How many VFs one message may carry, by the seconds that one took last time."""
    return max(1, int(_HOLD / cost)) if cost else _PROBE


def _gap(seconds: float) -> float:
    """How long to leave the lock to others after a message that held it so long."""
    return seconds * _GAP if seconds > _HOLD / 10 else 0.0
