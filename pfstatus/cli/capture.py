"""Record what pfstatus and the kernel say, for Wireshark and bug reports.

Watches the PFs, those named or all ports of 802.3ad bonds, reads their VFs at
first and when LACP changes, and writes each rtnetlink message of its sockets to
a new pcapng file, or with - to stdout:

  pfstatus capture bug.pcapng ens5f0 --seconds 60
  pfstatus capture - | wireshark -k -i -

Nothing is set. pfstatus.testing.replay() plays it again elsewhere. The file
tells names, addresses and states of these interfaces and their bonds, and
nothing of traffic. Ends after --seconds, with Ctrl-C or SIGTERM.
Exit status: 0, or 3 if it failed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pfstatus.cli.base import YES, changes, names, open_session
from pfstatus.cli.text import complain
from pfstatus.errors import Error
from pfstatus.monitor import Monitor
from pfstatus.recording.capture import Capture
from pfstatus.relay.program import end_by_signal

if TYPE_CHECKING:
    import argparse

    from pfstatus.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", help="a new file, such as bug.pcapng, or -")
    parser.add_argument("interfaces", nargs="*", metavar="PF")
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="how long; without, until Ctrl-C"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.seconds is not None and not args.seconds > 0:
        msg = f"--seconds must be positive, not {args.seconds:g}"
        raise ValueError(msg)
    with open_session(args) as session:
        _refuse_interface(session, args.file)
        watched = names(session, args.interfaces)
    with _open(args.file) as file:
        try:
            recording = Capture(file, f"pfstatus capture {' '.join(args.interfaces)}".strip())
            _record(args, watched, recording)
            if recording.failure:
                raise recording.failure
        except OSError as exc:
            if not isinstance(exc, Error):
                exc.filename = args.file
            raise
    complain(f"{recording.packets} packets in {args.file}")
    return YES


def _record(args: argparse.Namespace, watched: list[str], recording: Capture) -> None:
    until = None if args.seconds is None else time.monotonic() + args.seconds
    with (
        open_session(args, events=True, tap=recording.tap) as session,
        Monitor(*watched, every_event=True, session=session) as monitor,
    ):
        recording.on_failure = monitor.stop
        end_by_signal(monitor.stop)
        if not recording.failure:
            recording.follow(session, changes(monitor, until))


def _refuse_interface(session: Session, file: str) -> None:
    """`pfstatus capture ens5f0` means a PF, not a file of that name."""
    if "/" in file or file == "-":
        return
    try:
        session.get(file, vfs=False)
    except (Error, ValueError):
        return
    msg = (
        f"{file} is an interface; the file comes first: pfstatus capture bug.pcapng {file} "
        f"(a file of that name is ./{file})"
    )
    raise ValueError(msg)


def _open(name: str) -> BinaryIO:
    """A new file; or what is there, where that is none that would be lost.

    Raises:
        OSError: it is there already, or cannot be written.
        ValueError: it is a terminal.
    """
    if name == "-":
        if sys.stdout.isatty():
            msg = "a recording is no text for a terminal: capture - | wireshark -k -i -"
            raise ValueError(msg)
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    path = Path(name)
    if path.exists() and not path.is_file():
        return path.open("wb", buffering=0)  # a pipe, a device
    try:
        return path.open("xb", buffering=0)
    except FileExistsError as exc:
        exc.strerror = "it is there already: name a new file"
        raise
