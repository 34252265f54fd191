"""Recording what a session says while PFs are watched: what a bug report holds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pfstatus.errors import Error
from pfstatus.recording.pcapng import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pfstatus.session import Session
    from pfstatus.values import Change, Direction, Lacp


class Capture(Writer):
    """A recording under way: ``tap`` is a session's, ``follow()`` has it hold what a replay wants.

    Args:
        file: as for Writer.
        comment: as for Writer.
    """

    failure: OSError | None = None
    """What kept it from writing."""
    on_failure: Callable[[], None] = staticmethod(lambda: None)
    """Called when it cannot write: to end what would be recorded. In the midst of a question."""

    def tap(self, direction: Direction, datagram: bytes) -> None:
        """For ``Session(tap=...)``: raises nothing, since a question is under way."""
        try:
            self.write(direction, datagram)
        except OSError as exc:
            self.failure = exc
            self.on_failure()

    def follow(self, session: Session, changes: Iterable[Change]) -> None:
        """Ask so that the recording tells: whether VFs may be set, and the VFs when LACP changes.

        Args:
            session: the one whose tap this is.
            changes: a monitor's, on that session; it ends when they end.
        """
        session.may_set_vfs()
        known: dict[str, Lacp] = {}
        for change in changes:
            if change.new.ifindex and known.get(change.name) != change.new.lacp:
                with suppress(Error):  # which is recorded, too
                    session.get(change.name)
            known[change.name] = change.new.lacp
