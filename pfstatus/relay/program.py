"""A relay as a program: signals, standard output."""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.relay.loop import Relay
from pfstatus.relay.rehearsal import rehearse
from pfstatus.relay.report import Outbox, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from pfstatus.relay.config import Config
    from pfstatus.relay.policy import Policy
    from pfstatus.relay.report import Stream
    from pfstatus.session import Session

_GIVE_WAY = 1e-4
"""Seconds that a thread goes on while another waits for it."""


def serve(config: Config, *, session: Session | None = None) -> None:
    """Relay until SIGTERM, SIGINT or SIGHUP, with a JSON object a line on standard output.

    Nobody has to read that: what does not fit into a queue is dropped and counted.

    Args:
        config: what, and how.
        session: as for Relay.

    Raises:
        ValueError: as for Relay.
        PermissionError: VFs could not be set.
        OSError: as for Relay, or its sockets failed.
    """
    with (
        Outbox(json_lines(unlocked(sys.stdout), config.level)) as outbox,
        Relay(
            *config.interfaces,
            interval=config.interval,
            policy=config.policy,
            report=outbox,
            session=session,
        ) as relay,
    ):
        end_by_signal(relay.stop)
        check_permitted(config.policy, may_set_vfs=relay.may_set_vfs())
        be_quick()
        relay.run()


def check_permitted(policy: Policy, *, may_set_vfs: bool) -> None:
    """See whether a relay could do what it is there for.

    Raises:
        PermissionError: VFs could not be set.
    """
    if not policy.dry_run and not may_set_vfs:
        msg = (
            "CAP_NET_ADMIN is missing: VFs could be watched but not set (run as root, or try "
            "--dry-run)"
        )
        raise OSError(errno.EPERM, msg)


def be_quick() -> None:
    """Have a process that relays act at once, from the first outage on."""
    with suppress(OSError):  # no descriptor may be left for it: then it is slower at first
        rehearse()
    gc.collect()
    gc.freeze()  # what lives as long as we do need not be looked through in the hot path
    # The thread that reports gives way to the one that acts: by default it would after 5 ms.
    sys.setswitchinterval(_GIVE_WAY)


def end_by_signal(stop: Callable[[], None]) -> None:
    """Have signals that end a process call this instead."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup
        signal.signal(number, lambda *_: stop())


def unlocked(stream: TextIO | None) -> Stream:
    """Standard output without a buffer, whose lock a thread that waits for a reader would keep.

    The interpreter takes that lock at its end.
    """
    if stream is None:  # closed by who started us: its number may be another file's by now
        return Path(os.devnull).open("w")
    try:
        return _Unbuffered(stream.fileno())
    except (AttributeError, io.UnsupportedOperation):  # no descriptor's
        return stream


class _Unbuffered:
    """Text for a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def flush(self) -> None:
        """Nothing is kept back."""
