"""Wait until LACP is up, or down, on one PF."""

from __future__ import annotations

import errno
import math
import time
from typing import TYPE_CHECKING

from pfstatus.monitor import Monitor
from pfstatus.values import LacpStatus, LinkStatus

if TYPE_CHECKING:
    import os

    from pfstatus.session import Session
    from pfstatus.values import Pf


class LacpTimeoutError(TimeoutError):
    """LACP did not become what was waited for. ``str()`` says what it is, and why."""

    status: LinkStatus
    """The PF when the time was over."""

    def __init__(self, status: LinkStatus, up: bool) -> None:
        wanted = LacpStatus.UP if up else LacpStatus.DOWN
        text = f"LACP is {status.lacp}, not {wanted}: {status.lacp.sentence.rstrip('.')}"
        super().__init__(errno.ETIMEDOUT, text, status.name)
        self.status = status
        self._up = up

    def __reduce__(self) -> tuple[type[LacpTimeoutError], tuple[LinkStatus, bool]]:
        return type(self), (self.status, self._up)


def wait_for(
    pf: Pf,
    up: bool = True,
    timeout: float | None = None,
    *,
    interval: float = 1.0,
    session: Session | None = None,
    netns: str | os.PathLike[str] | int | None = None,
) -> LinkStatus:
    """Wait until LACP is up on a PF, or down. Needs no privilege.

    It may be absent at first: a PF that is made, or put into its bond, meanwhile is found.
    ``pfstatus.aio.wait_for()`` is the same for asyncio.

    Args:
        pf: by name or alternative name; a LinkStatus stands for its name.
        up: False waits for down. Unknown is neither: a PF in no bond never becomes down.
        timeout: seconds to wait; 0 looks once, None waits for ever. The kernel's own time to
            answer, at most the session's timeout, comes on top.
        interval: as for Monitor.
        session: as for Monitor; it stays the caller's to close.
        netns: as for Session.

    Returns:
        The PF as it is then.

    Raises:
        LacpTimeoutError: the time is over. It carries the PF's last status.
        Error: the PF could not be asked.
        TypeError: as for Monitor.
        ValueError: ``timeout`` is not a number; or as for Monitor.
    """
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    with Monitor(pf, interval=interval, session=session, netns=netns) as monitor:
        while True:
            told = monitor.poll(None if deadline is None else deadline - time.monotonic())
            status = reached(monitor.status(pf), up, late=not told)
            if status:
                return status


def check_timeout(timeout: float | None) -> None:
    """Refuse a time that never comes to an end, nor ever begins.

    Raises:
        ValueError: it is not a number.
    """
    if timeout is not None and math.isnan(timeout):
        msg = f"timeout must be a number of seconds, not {timeout!r}"
        raise ValueError(msg)


def reached(status: LinkStatus | None, up: bool, *, late: bool) -> LinkStatus | None:
    """The status if it is the one that is waited for.

    Raises:
        LacpTimeoutError: it is not, and it is too late.
    """
    assert status is not None, "it is asked for before anything is told"
    if status.lacp.status is (LacpStatus.UP if up else LacpStatus.DOWN):
        return status
    if late:
        raise LacpTimeoutError(status, up)
    return None
