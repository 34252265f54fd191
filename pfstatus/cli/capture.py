"""Record what passes between pfstatus and the kernel, for Wireshark and for bug reports.

Watches the PFs, those named or all ports of 802.3ad bonds, reads their VFs at first and when LACP
changes, and writes each rtnetlink message of its sockets to a pcapng file; nothing is set.
pfstatus.testing.replay() plays it again elsewhere. The file tells names, addresses and states of
these interfaces and their bonds, and nothing of traffic.
Ends after --seconds, with Ctrl-C or SIGTERM. Exit status: 0, or 3 if it failed.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.cli.base import YES, names, open_session, stop_by_signal
from pfstatus.errors import Error
from pfstatus.monitor import Monitor
from pfstatus.recording.pcapng import Writer

if TYPE_CHECKING:
    import argparse

    from pfstatus.values import Direction

NAME = "capture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="to write, such as bug.pcapng")
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="how long; without, until Ctrl-C"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.seconds is not None and not args.seconds > 0:
        msg = f"--seconds must be positive, not {args.seconds:g}"
        raise ValueError(msg)
    failures: list[OSError] = []
    with args.file.open("wb", buffering=0) as file:
        writer = Writer(file, comment=f"pfstatus capture {' '.join(args.interfaces)}".strip())

        def tap(direction: Direction, data: bytes) -> None:
            # Not raised here, in the midst of a question, but when that is over.
            try:
                writer.write(direction, data)
            except OSError as exc:
                failures.append(exc)

        with open_session(args, events=True, tap=tap) as session:
            session.may_set_vfs()  # so that the recording tells
            watched = names(session, args.interfaces)
            monitor = Monitor(*watched, every_event=True, session=session)
            stop_by_signal(monitor.stop)
            with monitor:
                _watch(monitor, args.seconds, failures)
    if failures:
        failures[0].filename = str(args.file)
        raise failures[0]
    print(f"pfstatus: {writer.packets} packets in {args.file}", file=sys.stderr)
    return YES


def _watch(monitor: Monitor, seconds: float | None, failures: list[OSError]) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    lacp: dict[str, object] = {}
    while not monitor.stopped and not failures:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            return
        for change in monitor.poll(left if left is not None else 1.0):
            if change.new.ifindex and lacp.get(change.name) != change.new.lacp:
                with suppress(Error):  # which is recorded, too
                    monitor.session.get(change.name)
            lacp[change.name] = change.new.lacp
