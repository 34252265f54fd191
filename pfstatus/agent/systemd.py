"""The agent's life, as systemd is told of it: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time


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
    """Tell systemd, if it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
        except OSError:
            return  # it has its own way to find out


def reloading() -> None:
    """Tell systemd that the configuration is read again; READY=1 ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
