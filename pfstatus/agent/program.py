"""The agent as a program: its signals, and its life told to systemd."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from pfstatus.agent.http import serve_http
from pfstatus.relay.loop import Relay
from pfstatus.relay.program import end_by_signal, unlocked
from pfstatus.relay.report import Outbox, Report, json_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from pfstatus.agent.metrics import Metrics
    from pfstatus.relay.config import Config
    from pfstatus.relay.policy import Policy
    from pfstatus.session import Session


class Beat:
    """When the loop last did something, for those who ask whether it does, and for systemd.

    The kernel may keep it waiting for a session's timeout, so more than that is allowed.
    """

    ALLOWED = 30.0
    EVERY = 1.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self) -> None:
        """It did; say so every second."""
        now = time.monotonic()
        if now - self._last >= self.EVERY:
            notify("WATCHDOG=1")
            self._last = now

    def lives(self) -> bool:
        """Whether it did lately."""
        return time.monotonic() - self._last < self.ALLOWED


def notify(*lines: str) -> None:
    """Tell systemd, if it wants to know: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
        except OSError:
            return  # it has its own way to find out


def serve(
    config: Config,
    *,
    session: Session | None = None,
    metrics: str | None = None,
    wait: bool = True,
) -> None:
    """Relay until SIGTERM, SIGINT or SIGHUP, with a JSON object a line on standard output.

    Args:
        config: what, and how.
        session: as for Relay.
        metrics: "ADDRESS:PORT" at which to tell of metrics and health.
        wait: whether to stand by where another relay has a PF, or to fail.

    Raises:
        ValueError: as for Relay.
        PermissionError: VFs could not be set.
        OSError: as for Relay; a PF is another relay's; an address cannot be had.
    """
    policy = replace(config.policy, stand_by=True)
    sinks: list[Callable[[list[Report]], object]] = [json_lines(unlocked(sys.stdout), config.level)]

    def tell(reports: list[Report]) -> None:
        for sink in sinks:
            sink(reports)

    with ExitStack() as stack:
        outbox = stack.enter_context(Outbox(tell))
        relay = stack.enter_context(
            Relay(
                *config.interfaces,
                interval=config.interval,
                policy=policy,
                report=outbox,
                session=session,
            )
        )
        end_by_signal(relay.stop)
        if not policy.dry_run and not relay.may_set_vfs():
            msg = (
                "CAP_NET_ADMIN is missing: VFs could be watched but not set (run as root, or try "
                "--dry-run)"
            )
            raise OSError(errno.EPERM, msg)
        beat = Beat()
        if metrics:
            counted = _metrics(relay, policy)
            sinks.append(counted)
            stack.enter_context(serve_http(metrics, counted.text, beat.lives, counted.ready))
        relay.turn(0)
        taken = [name for name, pf in relay.snapshot().items() if pf.waits]
        if taken and not wait:
            msg = f"another relay has {', '.join(taken)}"
            raise OSError(errno.EBUSY, msg)
        notify("READY=1", f"STATUS=relaying {', '.join(config.interfaces)}")
        gc.freeze()  # what lives as long as we do need not be looked through in the hot path
        relay.run(beat)
        notify("STOPPING=1")


def _metrics(relay: Relay, policy: Policy) -> Metrics:
    """Imported by those who want them: they need prometheus-client, and 7 MB."""
    try:
        from pfstatus.agent.metrics import Metrics  # noqa: PLC0415
    except ImportError as exc:
        msg = f"metrics need prometheus-client: pip install 'pfstatus[agent]' ({exc})"
        raise ValueError(msg) from None
    return Metrics(relay, policy.groups)
