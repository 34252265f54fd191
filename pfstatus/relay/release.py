"""Gives back what a relay that is dead left disabled."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pfstatus.errors import Error
from pfstatus.relay.drills import Drills
from pfstatus.relay.narrator import Narrator
from pfstatus.relay.ownership import Ownership
from pfstatus.relay.rival import Claims
from pfstatus.relay.setter import Setter
from pfstatus.values import Vf, VfLinkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pfstatus.relay.policy import Policy
    from pfstatus.relay.report import Report
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus


def release(
    session: Session,
    names: Iterable[str],
    policy: Policy,
    report: Callable[[list[Report]], object],
) -> bool:
    """Set VFs to ``auto``, whatever LACP says.

    All that are disabled; with ``restore="owned"`` those in the record, or of a drill that was
    killed.

    Args:
        session: of the PFs.
        names: the PFs.
        policy: its ``restore``, ``state_file`` and ``dry_run``.
        report: is told of each VF.

    Returns:
        Whether each PF was there, and no such VF is disabled any more.

    Raises:
        OSError: EBUSY, a relay or a drill that lives has one of the PFs.
        ValueError: a name that can be none.
    """
    ownership = Ownership(policy.state_file)
    setter, narrator = Setter(session, ownership), Narrator()
    whole = True
    with (
        Claims(session.netns, believes_all=True) as claims,
        Drills(policy.state_file.parent, session.netns) as drills,
    ):
        for name in names:
            try:
                status = session.get(name)
            except Error as exc:
                narrator.trouble(name, exc)
                whole = False
                continue
            assert status.ifindex is not None
            drill = drills.find(status.ifindex)
            busy = claims.claim(status.ifindex) or (drill and drill.pid)
            if busy:
                msg = f"process {busy} serves it: end that first"
                raise OSError(errno.EBUSY, msg, name)
            ours = ownership.seen(status.ifindex, status.vfs or ()).ours
            ours |= drill.vfs if drill else frozenset()
            settings = [
                Vf(vf, VfLinkState.AUTO)
                for vf, state in status.vfs or ()
                if state is VfLinkState.DISABLE and (policy.restore == "all" or vf in ours)
            ]
            if policy.dry_run:
                narrator.would_set(name, settings)
            elif settings:
                whole &= _give_back(setter, narrator, status, settings)
            if drill and not policy.dry_run:
                drills.forget(status.ifindex)
            report(narrator.take())
    ownership.mirror()
    narrator.record(ownership.error, ownership.damaged)
    report(narrator.take())
    return whole


def _give_back(setter: Setter, narrator: Narrator, status: LinkStatus, settings: list[Vf]) -> bool:
    """Whether reading shows that it was done."""
    for sent in setter.set_all(status, settings):
        for result in sent.results:
            narrator.result(status.name, result, time_ns=sent.time_ns)
    try:
        vfs = setter.read_back(status)
    except Error as exc:  # another PF may still be given back
        narrator.trouble(status.name, exc)
        return False
    wanted = {vf for vf, _ in settings}
    left = [vf for vf, state in vfs if vf in wanted and state is VfLinkState.DISABLE]
    if left:
        narrator.left(status.name, left, "they could not be given back")
    return not left
