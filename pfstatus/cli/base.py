"""What the subcommands share: sessions, names, exit statuses, errors, signals."""

from __future__ import annotations

import errno
import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pfstatus.cli.text import GREEN, RED, YELLOW, complain
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.session import Session
from pfstatus.values import BondMode, LacpStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from pfstatus.monitor import Monitor
    from pfstatus.values import Change, Direction, LinkStatus

YES, NO, WRONG, FAILED, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141
"""Exit statuses. The last two are a shell's words for a death by SIGINT and by SIGPIPE."""

TONES = {LacpStatus.UP: GREEN, LacpStatus.DOWN: RED, LacpStatus.UNKNOWN: YELLOW}

VFS = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", re.ASCII)
"""VF numbers as people write them: 0,2-5."""

_Read = TypeVar("_Read")

_SAY_AGAIN = 60.0  # seconds until an error that stays is said once more


def open_session(
    args: argparse.Namespace,
    *,
    events: bool = False,
    tap: Callable[[Direction, bytes], object] | None = None,
) -> Session:
    """A session where the command line wants it."""
    return Session(netns=args.netns, events=events, tap=tap)


def vf_numbers(text: str) -> list[int]:
    """The VFs of a text that VFS matches.

    Raises:
        ValueError: it does not, or a range runs backwards.
    """
    if not VFS.fullmatch(text):
        msg = f"VFs are a number, a range 0-7 or a list 0,2-5, not {text!r}"
        raise ValueError(msg)
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        run = range(int(first), int(last or first) + 1)
        if not run:
            msg = f"{part} is no range"
            raise ValueError(msg)
        numbers += run
    return numbers


def names(session: Session, given: list[str]) -> list[str]:
    """The PFs that were named, or else all ports of 802.3ad bonds.

    Raises:
        OSError: there are none.
    """
    if given:
        return list(dict.fromkeys(given))
    found = [
        port.name
        for port in session.ports()
        if port.bond is not None and port.bond.mode == BondMode.IEEE_802_3AD
    ]
    if not found:
        msg = "no interface here is a port of an 802.3ad bond: name one"
        raise OSError(msg)
    return found


def look(session: Session, name: str) -> LinkStatus:
    """One PF with its VFs, or without where the kernel cannot fit them into an answer."""
    try:
        return session.get(name)
    except Error as exc:
        if exc.errno != errno.EMSGSIZE:
            raise
        return session.get(name, vfs=False)


def read_each(
    session: Session, given: list[str], read: Callable[[str], _Read]
) -> tuple[list[_Read], bool]:
    """What ``read`` gives of each PF, and whether one could not be read, which is said."""
    found = []
    failed = False
    for name in names(session, given):
        try:
            found.append(read(name))
        except Error as exc:
            complain(describe_error(exc))
            failed = True
    return found, failed


def changes(monitor: Monitor, until: float | None = None) -> Iterator[Change]:
    """Each change, until the monitor is stopped.

    A PF that cannot be asked is said, and asked again by and by: the others go on.

    Args:
        monitor: what to watch.
        until: when to end, on the monotonic clock.

    Raises:
        Error: something failed that is no PF's alone.
    """
    said: dict[str, tuple[str, float]] = {}
    while not monitor.stopped:
        now = time.monotonic()
        if until is not None and now >= until:
            return
        try:
            yield from monitor.poll(None if until is None else until - now)
        except Error as exc:
            if exc.filename is None:
                raise
            text, now = describe_error(exc), time.monotonic()
            before, when = said.get(exc.filename, ("", now))
            if text != before or now - when >= _SAY_AGAIN:
                complain(f"{text} (asking again)")
                said[exc.filename] = text, now


def describe_error(exc: OSError) -> str:
    """One line: the cause and, where there is one, the cure."""
    if isinstance(exc, LinkNotFoundError):
        return f"{exc.filename}: there is no such interface here (ip -br link shows them)"
    if exc.filename and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return exc.strerror or str(exc)


@contextmanager
def interrupt_held() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits until what is being done can be told; gives what says that it was typed."""
    typed = False

    def note(*_: object) -> None:
        nonlocal typed
        typed = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: typed
    finally:
        signal.signal(signal.SIGINT, before)
