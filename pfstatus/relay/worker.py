"""Looks at a PF and sets its VFs: where decisions become messages."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.relay.numvfs import agrees
from pfstatus.relay.ownership import Seen
from pfstatus.relay.policy import plan
from pfstatus.relay.setter import Reading, Setter
from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfstatus.relay.drills import Drills
    from pfstatus.relay.groups import Groups
    from pfstatus.relay.narrator import Narrator
    from pfstatus.relay.ownership import Ownership
    from pfstatus.relay.pf import Pf
    from pfstatus.relay.policy import Policy
    from pfstatus.relay.setter import Sent
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus, Vf

# An enum's attribute costs as much as a call.
_UP, _DOWN = LacpStatus.UP, LacpStatus.DOWN


class Worker:
    """Serves PFs, one at a time.

    Args:
        session: to read and set by.
        ownership: of their VFs.
        narrator: is told what becomes of them.
        drills: whose VFs are left alone.
        groups: whose last path keeps its VFs.
        policy: what else to do.
    """

    def __init__(
        self,
        session: Session,
        ownership: Ownership,
        narrator: Narrator,
        *,
        drills: Drills,
        groups: Groups,
        policy: Policy,
    ) -> None:
        self._session = session
        self._ownership = ownership
        self._setter = Setter(session, ownership)
        self._narrator = narrator
        self._drills = drills
        self._groups = groups
        self.obey(policy)

    def obey(self, policy: Policy) -> None:
        """Work by this policy."""
        self._policy = policy
        # Elsewhere what is disabled has to be known beforehand.
        self._may_be_quick = not (policy.dry_run or policy.keeps_record())

    def give_back(self, status: LinkStatus) -> Iterator[Sent]:
        """As ``Setter.give_back()``."""
        return self._setter.give_back(status)

    def lacp_changed(self, pf: Pf) -> None:
        """LACP changed: what was under way belongs to the past."""
        if pf.sent:
            self.settle(pf)
        pf.pending.clear()
        pf.reading = pf.doubtful = None
        pf.unsupported = False
        acts, now, pace = pf.acts, time.monotonic(), pf.pace
        pf.reacts_since, pf.reacted = now, False
        pf.served = pf.kept and acts is _UP  # then nothing was taken from it
        pf.down_since = now
        if acts is _UP:
            up_delay = pf.hold_down.found(now)
            pace.lacp_changed(now, acts, up_delay)
            pf.reacts_since = now + up_delay
        else:
            pf.hold_down.lost(now)
            pace.lacp_changed(now, acts)
        if self._groups:
            self._groups.turned(pf)
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

    def look(self, pf: Pf) -> None:
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
                self._groups.serve(pf)
        if not todo.settings and not unread:
            self._read_back(pf, acting, ended)

    def _read_back(self, pf: Pf, lacp: LacpStatus, now: float) -> None:
        """The VFs are as LACP wants them. It is told of if that took setting some."""
        if pf.reacted and pf.reacts_since is not None:
            self._narrator.reacted(pf.name, lacp, now - pf.reacts_since)
        pf.reacts_since, pf.reacted = None, False

    def _read(self, pf: Pf) -> Reading | None:
        """Read a PF's VFs, where it makes sense."""
        assert pf.status is not None
        self.settle(pf)  # the last batch has a say in what is tried again
        if pf.unsupported:
            pf.pace.look_no_more()
            self._groups.serve(pf)
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

    def _without_drill(
        self, pf: Pf, vfs: tuple[Vf, ...], owners: Seen
    ) -> tuple[tuple[Vf, ...], Seen]:
        """A drill's VFs are left to it while it lives."""
        drill = self._drills.find(pf.ifindex or 0) if any(owners) else None
        if drill is None or drill.pid is None:
            self._narrator.drill(pf.name, ())
            return vfs, owners
        self._narrator.drill(pf.name, drill.vfs)
        ours, returned, others = (each - drill.vfs for each in owners)
        return tuple([vf for vf in vfs if vf.vf not in drill.vfs]), Seen(ours, returned, others)

    def set_some(self, pf: Pf) -> float:
        """Send one message. Returns the seconds for which to leave the lock to others."""
        assert pf.status is not None
        size = min(pf.pace.message_size(), len(pf.pending))
        settings = [pf.pending.popleft() for _ in range(size)]
        sent = self._setter.send(pf.status, settings)
        pf.sent.append(sent)
        return self._note(pf, sent)

    def _note(self, pf: Pf, sent: Sent) -> float:
        """A message was sent. Returns the seconds for which to leave the lock to others."""
        pf.reacted = True
        failed = any(failure for _, _, failure in sent.results)
        pause = pf.pace.sent(sent.began, sent.ended, len(sent.results), failed=failed)
        if not pf.pending:
            pf.pace.batch_ended(sent.ended)
        elif failed:
            self.settle(pf)  # which may call the rest off
        return pause

    def settle(self, pf: Pf) -> None:
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

    def _say_results(self, pf: Pf, sent: Sent) -> None:
        for result in sent.results:
            vf, state, failure = result
            times = pf.pace.became(vf, state, sent.ended, failed=failure is not None)
            self._narrator.result(pf.name, result, time_ns=sent.time_ns, times=times)
