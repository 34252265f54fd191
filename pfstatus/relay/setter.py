"""Sets VFs, a message at a time, and notes beforehand what it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.errors import Error
from pfstatus.relay.pace import PROBE, Budget, Pacer
from pfstatus.values import Vf, VfLinkState, VfResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfstatus.relay.ownership import Ownership
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus

_AUTO, _DISABLE = VfLinkState.AUTO, VfLinkState.DISABLE


class Sent(NamedTuple):
    """A message that was sent, and what became of it."""

    began: float
    """On the monotonic clock, seconds."""
    ended: float
    """Likewise."""
    time_ns: int
    """When it ended, nanoseconds since the epoch."""
    ifindex: int
    """Of the PF."""
    results: tuple[VfResult, ...]
    """A result for each VF."""


class Setter:
    """Sets link states of a PF's VFs.

    Args:
        session: to set by.
        ownership: what is noted before a VF is disabled.
    """

    def __init__(self, session: Session, ownership: Ownership) -> None:
        self._session = session
        self._ownership = ownership

    def send(self, status: LinkStatus, settings: Sequence[Vf]) -> Sent:
        """Send one message. Never raises for the kernel's sake: each VF has its own error."""
        assert status.ifindex is not None
        disabling = [vf for vf, state in settings if state is _DISABLE]
        if disabling:
            self._ownership.about_to_disable(status.name, status.ifindex, disabling)
        began = time.monotonic()
        try:
            results = self._session.set_vf_link_state(status, settings)
        except Error as exc:  # nothing was tried
            results = tuple([VfResult(vf, state, exc) for vf, state in settings])
        return Sent(began, time.monotonic(), time.time_ns(), status.ifindex, results)

    def settle(self, sent: Sent) -> None:
        """Note who has the VFs now. One that failed may be set all the same: a look will tell."""
        done = [(vf, state) for vf, state, failure in sent.results if failure is None]
        self._ownership.took(sent.ifindex, [vf for vf, state in done if state is _DISABLE])
        self._ownership.gave_back(sent.ifindex, [vf for vf, state in done if state is _AUTO])

    def give_back(self, status: LinkStatus) -> Iterator[Sent]:
        """Set the VFs that we disabled to ``auto``, at the pace that the NIC allows.

        Args:
            status: of the PF, with its VFs.
        """
        assert status.ifindex is not None
        ours = self._ownership.seen(status.ifindex, status.vfs or ()).ours
        return self.set_all(status, [Vf(vf, _AUTO) for vf in sorted(ours)])

    def set_all(self, status: LinkStatus, settings: Sequence[Vf]) -> Iterator[Sent]:
        """Set VFs, a message at a time, at the pace that the NIC allows."""
        left = list(settings)
        pace = Pacer(Budget(), 1.0)
        size = PROBE
        while left:
            sent = self.send(status, left[:size])
            self.settle(sent)
            yield sent
            del left[:size]
            if left:
                time.sleep(pace.sent(sent.began, sent.ended, len(sent.results)))
                size = pace.message_size()
        self._ownership.mirror()
