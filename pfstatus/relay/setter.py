"""Sets VFs, a message at a time, and notes beforehand what it takes."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from pfstatus.errors import Error
from pfstatus.relay.pace import PROBE, QUICK, Budget, Pacer
from pfstatus.values import LacpStatus, Vf, VfLinkState, VfResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pfstatus.relay.ownership import Ownership
    from pfstatus.session import Session
    from pfstatus.values import Lacp, LinkStatus

_AUTO, _DISABLE = VfLinkState.AUTO, VfLinkState.DISABLE
_DOWN = LacpStatus.DOWN
_result: Callable[[Iterable[object]], VfResult] = partial(tuple.__new__, VfResult)  # a quick one


class Sent(NamedTuple):
    """A message that was sent, and what became of it."""

    began: float
    """On the monotonic clock, seconds."""
    ended: float
    """Likewise."""
    time_ns: int
    """When it ended, nanoseconds since the epoch."""
    name: str
    """Of the PF."""
    ifindex: int
    """Of the PF."""
    results: tuple[VfResult, ...]
    """A result for each VF."""


class Reading(NamedTuple):
    """A PF's VFs as they were, and what was sent with the same look."""

    lacp: Lacp
    """LACP, judged, at the moment at which they were read."""
    num_vfs: int
    """VFs that exist."""
    vfs: tuple[Vf, ...]
    """Those that were listed."""
    began: float
    """On the monotonic clock, seconds."""
    ended: float
    """Likewise."""
    sent: Sent | None
    """None where nothing was to be set."""

    def before_ns(self) -> int | None:
        """A moment before the message was sent, nanoseconds since the epoch."""
        sent = self.sent
        return sent and sent.time_ns - int((sent.ended - self.began) * 1e9)


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
        now, now_ns = time.monotonic(), time.time_ns()
        return Sent(began, now, now_ns, status.name, status.ifindex, results)

    def disable(self, status: LinkStatus, first: int, now: float) -> Reading:
        """Read a PF's VFs, and disable those in ``auto`` if LACP is down, with nothing in between.

        Not where disabled VFs are to be noted in a file beforehand: that takes knowing them.

        Args:
            status: of the PF.
            first: VFs in the first message. There is another if that was quick.
            now: the time.

        Raises:
            LinkNotFoundError: it is gone.
            Error: the VFs could not be read; nothing was set.
        """
        done = self._session.switch_vfs(status, _DOWN, _AUTO, _DISABLE, first=first, quick=QUICK)
        sent = None
        if done.changed:
            ended, ended_ns = time.monotonic(), time.time_ns()
            failures = done.errors or repeat(None)
            results = tuple(map(_result, zip(done.changed, repeat(_DISABLE), failures)))
            sent = Sent(done.read_at, ended, ended_ns, status.name, status.ifindex or 0, results)
        return Reading(done.lacp, done.num_vfs, done.vfs, now, done.read_at, sent)

    def settle(self, sent: Sent) -> None:
        """Note who has the VFs now. One that failed may be set all the same: a look will tell."""
        disabling = [vf for vf, state, _ in sent.results if state is _DISABLE]
        if disabling:  # which send() noted beforehand, and disable() did not
            self._ownership.about_to_disable(sent.name, sent.ifindex, disabling)
        done = [(vf, state) for vf, state, failure in sent.results if failure is None]
        self._ownership.took(sent.ifindex, [vf for vf, state in done if state is _DISABLE])
        self._ownership.gave_back(sent.ifindex, [vf for vf, state in done if state is _AUTO])

    def give_back(self, status: LinkStatus) -> Iterator[Sent]:
        """Set the VFs that we disabled to ``auto``, at the pace that the NIC allows, and read them.

        Args:
            status: of the PF, with its VFs.
        """
        assert status.ifindex is not None
        ours = self._ownership.seen(status.ifindex, status.vfs or ()).ours
        yield from self.set_all(status, [Vf(vf, _AUTO) for vf in sorted(ours)])
        if ours:
            with suppress(Error):  # they stay noted until they can be read
                self.read_back(status)

    def read_back(self, status: LinkStatus) -> tuple[Vf, ...]:
        """Read a PF's VFs after they were set: only that tells whose they are now.

        Raises:
            LinkNotFoundError: it is gone.
            Error: the VFs could not be read.
        """
        assert status.ifindex is not None
        vfs = self._session.vfs(status).vfs
        self._ownership.seen(status.ifindex, vfs)
        return vfs

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
