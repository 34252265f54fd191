"""Heartbeats of PFs over time, in the words of ``Monitor``."""

from __future__ import annotations

import os
import select
import time
import warnings
from typing import TYPE_CHECKING, Self

from pfstatus._fork import close_in_child
from pfstatus.heartbeat.ports import Ports
from pfstatus.heartbeat.values import HeartbeatMode
from pfstatus.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pfstatus._port import Port
    from pfstatus.heartbeat.values import Beat, Counts, HeartbeatState, Partner
    from pfstatus.session import Session
    from pfstatus.values import LinkStatus


class Heartbeat:
    """Tells when the partner of a PF falls silent, before the kernel can: in 1 to 2 s, not 3 or 90.

    It is asked by LACPDUs that it has to answer at once, and that change nothing at either end;
    before it is believed to be silent, it is learned how it answers. Nothing is set. ::

        with Heartbeat("ens5f0", "ens5f1", mode="late") as heartbeat:
            for beat in heartbeat:
                print(beat)

    Each PF begins as ``idle``, which is not told; that is also how it stays where its LACPDUs
    cannot be seen: the first thing told of it then says why.

    Used by one thread at a time, but for ``stop()``, which any thread and any signal handler may
    call; and by one process: a child of ``fork()`` finds it closed. Needs CAP_NET_RAW. Each frame
    of a watched PF's own netdev passes a filter, see ``docs/heartbeat.md`` for what that costs.

    Args:
        pfs: their names or alternative names.
        mode: when to ask, ``late`` or ``pulse``.
        slow: also conclude where the partner sends at the slow rate. A control plane that restarts
            may then be mute for up to 90 s while it forwards.
        revive: while a port is DEFAULTED and its link up, say twice a second what our kernel said
            last: LACP is back in less than a second instead of up to 30.
        known: what ``partner()`` told before: such partners are not learned again.
        interval: as for Monitor.
        session: as for Monitor, which closes it.
        netns: as for Session; not together with ``session``.
        open_port: makes a port by a PF's ifindex, such as ``FakePartner.open_port``; without, the
            session's.

    Raises:
        ValueError: as for Monitor; there is no such mode.
        Error: a socket could not be opened.
        OSError: the namespace could not be opened.
    """

    def __init__(
        self,
        *pfs: str,
        mode: HeartbeatMode | str = HeartbeatMode.LATE,
        slow: bool = False,
        revive: bool = False,
        known: Iterable[Partner] = (),
        interval: float = 1.0,
        session: Session | None = None,
        netns: str | os.PathLike[str] | int | None = None,
        open_port: Callable[[int], Port] | None = None,
    ) -> None:
        mode = HeartbeatMode(mode)
        self._stopped = False
        self.monitor = Monitor(*pfs, interval=interval, session=session, netns=netns)
        """For ``status()`` and its ``session``; it is polled here, and by nobody else."""
        try:
            self._ports = Ports(
                pfs,
                mode,
                slow=slow,
                revive=revive,
                known=known,
                open_port=open_port or self.monitor.session.open_port,
            )
        except BaseException:
            self.monitor.close()
            raise
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        for fd in (self.monitor.fileno(), self._ports.fileno(), self._wakeup):
            self._epoll.register(fd, select.EPOLLIN)
        close_in_child(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.monitor).replace("Monitor", "Heartbeat", 1)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._epoll.closed

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    def stop(self) -> None:
        """End a wait that is under way, and all later ones. From any thread or signal handler."""
        self._stopped = True
        self.monitor.stop()
        if not self.closed:
            os.eventfd_write(self._wakeup, 1)

    def close(self) -> None:
        """Close all descriptors. May be called again."""
        if self.closed:
            return
        self._epoll.close()
        os.close(self._wakeup)
        self._ports.close()
        self.monitor.close()

    def __del__(self) -> None:
        # Half-made objects have no epoll.
        if hasattr(self, "_epoll") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def status(self, pf: str) -> LinkStatus | None:
        """The last snapshot of a PF; None before the first poll().

        Raises:
            KeyError: the heartbeat does not watch this name.
        """
        return self.monitor.status(pf)

    def state(self, pf: str) -> HeartbeatState:
        """What is known of a PF's partner.

        Raises:
            KeyError: the heartbeat does not watch this name.
        """
        return self._ports.listener(pf).state

    def partner(self, pf: str) -> Partner | None:
        """What was learned of a PF's partner; None where nothing was yet.

        Raises:
            KeyError: the heartbeat does not watch this name.
        """
        return self._ports.listener(pf).partner()

    def counts(self, pf: str) -> Counts:
        """What happened on a PF since it is watched; it goes on counting.

        Raises:
            KeyError: the heartbeat does not watch this name.
        """
        return self._ports.listener(pf).counts

    def fileno(self) -> int:
        """A descriptor that is readable when ``poll(0)`` has something to do."""
        return self._epoll.fileno()

    def __iter__(self) -> Iterator[Beat]:
        """Each beat as it comes, until stop().

        Raises:
            Error: a PF could not be asked for; a new iteration goes on.
        """
        while not self._stopped:
            yield from self.poll()

    def poll(self, timeout: float | None = None) -> list[Beat]:
        """Wait for news, and ask the partners meanwhile: nobody does it between two calls.

        Args:
            timeout: seconds to wait; 0 not at all, None for ever.

        Returns:
            The beats, in order; none when the time is over or after stop().

        Raises:
            Error: a PF could not be asked for. The heartbeat stays usable.
            ValueError: it is closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped:
            for change in self.monitor.poll(0):
                self._ports.update(change.new)
            told = self._ports.turn()
            for pf in self._ports.looks():
                self.monitor.look(pf)
            if told:
                return told
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._epoll.poll(left)
        return []
