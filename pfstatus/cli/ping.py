"""Ask the switch behind a PF for LACPDUs, and tell how it answers: ping for LACP.

Each question is our kernel's own last LACPDU with one bit changed. The switch
has to answer it at once (IEEE 802.1AX-2014 6.4.9), and it changes nothing at
either end. It is asked a moment after a LACPDU of its own (if -i is at least
1), so that what comes next is no periodic one. At most three LACPDUs leave in
a second, our kernel's own among them. Needs CAP_NET_RAW, and LACP to be up on
the PF. Ends after -c questions, with Ctrl-C or SIGTERM.
Exit status, as ping's: 0 it answered, 1 it did not, 2 it could not be asked.
"""

from __future__ import annotations

import math
import os
import select
import statistics
import time
from typing import TYPE_CHECKING

from pfstatus.cli.base import describe_error
from pfstatus.cli.text import DIM, GREEN, YELLOW, Painter, complain, say
from pfstatus.errors import MalformedError, NotPermittedError
from pfstatus.relay.program import end_by_signal
from pfstatus.session import Session
from pfstatus.values import LacpStatus, PortState, Say

if TYPE_CHECKING:
    import argparse

    from pfstatus._port import Port
    from pfstatus.values import Lacpdu

ANSWERED, UNANSWERED, NOT_ASKED = 0, 1, 2

_LEAST_INTERVAL = 0.333
_WITHIN = 0.6  # seconds for an answer
_AFTER = 0.15  # seconds after a LACPDU of the switch to ask
_PATIENCE = 1.5  # seconds to wait for one
_OWN_FAST, _OWN_SLOW = 3.0, 40.0  # seconds within which our kernel speaks
_STATUS = 0.5  # seconds between looks at LACP

_MISSING = """\
A missing answer can mean that
  - the switch answers to other differences than this one: seen in the source of FreeBSD's lagg and
    of Big Switch's;
  - a LACPDU of our kernel's came in between, and the switch looks at the newest alone, twice a
    second: Open vSwitch answers six to eight of ten;
  - the switch limits LACPDUs (a policer of its control plane);
  - LACPDUs are lost, and our kernel has not missed three yet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interface", metavar="PF")
    parser.add_argument("-c", dest="count", type=int, metavar="COUNT", help="stop after so many")
    parser.add_argument(
        "-i",
        dest="interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help=f"between questions (%(default)s; at least {_LEAST_INTERVAL})",
    )


class CannotAskError(OSError):
    """The switch cannot be asked."""


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.count is not None and args.count < 1:
        msg = f"-c must be at least 1, not {args.count}"
        raise ValueError(msg)
    if not args.interval >= _LEAST_INTERVAL:
        msg = (
            f"-i must be at least {_LEAST_INTERVAL}, not {args.interval:g}: that is the standard's"
        )
        raise ValueError(f"{msg} limit")
    try:
        with Session(netns=args.netns) as session:
            ifindex = _check(session, args.interface)
            with _open(session, args.interface, ifindex) as port:
                ping = Ping(session, port, args.interface, args.interval, args.count)
                end_by_signal(ping.stop)
                return ping.run()
    except OSError as exc:
        complain(describe_error(exc))
        return NOT_ASKED


def _check(session: Session, name: str) -> int:
    """The PF's index, if LACP is up."""
    status = session.get(name, vfs=False)
    if status.lacp.status is not LacpStatus.UP or status.ifindex is None:
        msg = (
            f"{name}: nothing is asked while LACP is not up, for a question keeps a dead end "
            f"alive: {status.lacp.sentence}"
        )
        raise CannotAskError(msg)
    return status.ifindex


def _open(session: Session, name: str, ifindex: int) -> Port:
    try:
        return session.open_port(ifindex)
    except NotPermittedError as exc:
        msg = "LACPDUs are seen and sent with CAP_NET_RAW alone: sudo, or setpriv, or systemd's"
        raise CannotAskError(f"{name}: {msg} AmbientCapabilities=") from exc


class Ping:
    """Asks and tells."""

    def __init__(
        self, session: Session, port: Port, name: str, interval: float, count: int | None
    ) -> None:
        self._session = session
        self._port = port
        self._name = name
        self._interval = interval
        self._left = math.inf if count is None else count
        self._paint = Painter()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._stopped = False
        self._own: Lacpdu | None = None
        self._heard_at = -math.inf
        self._partner_is_fast = True
        self._asked_at: float | None = None  # the question that waits for its answer
        self._asked = 0
        self._times: list[float] = []

    def stop(self) -> None:
        """End it, from a signal handler."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> int:
        """Ask until it is enough. Returns the exit status."""
        self._wait_for_template()
        began = time.monotonic()
        due, look_at = began, began
        while not self._stopped and (self._left or self._asked_at is not None):
            now = time.monotonic()
            if now >= look_at:
                try:
                    _check(self._session, self._name)
                except OSError as exc:
                    complain(describe_error(exc))
                    break
                look_at = now + _STATUS
            if self._asked_at is not None and now >= self._asked_at + self._within():
                self._miss()
            wake = look_at
            if self._asked_at is not None:
                wake = min(wake, self._asked_at + self._within())
            elif self._left:
                ask_at = self._moment(due, now)
                if now >= ask_at and self._ask():
                    due = now + self._interval
                    continue
                wake = min(wake, max(ask_at, self._port.free_at()))
            self._read(wake)
        return self._sum_up(time.monotonic() - began)

    def _wait_for_template(self) -> None:
        """Our kernel's own LACPDU is what is sent, so one must have been seen."""
        end = time.monotonic() + _OWN_SLOW
        patient = time.monotonic() + _OWN_FAST
        while not self._stopped and (self._own is None or self._heard_at < 0):
            now = time.monotonic()
            if now >= end:
                msg = "neither our kernel nor the switch sent a LACPDU in 40 s: nothing to ask with"
                raise CannotAskError(f"{self._name}: {msg}")
            if now >= patient:
                patient = math.inf
                say(self._paint(("waiting for our kernel's own LACPDU: up to 31 s", DIM)))
            self._read(min(patient, end))

    def _within(self) -> float:
        return min(_WITHIN, self._interval)

    def _moment(self, due: float, now: float) -> float:
        """When to ask."""
        if self._interval < 1 or not self._partner_is_fast or now >= due + _PATIENCE:
            return due
        if self._heard_at + 2 * _AFTER < max(now, due):
            return due + _PATIENCE  # or sooner, after the next LACPDU
        return max(due, self._heard_at + _AFTER)

    def _ask(self) -> bool:
        self._asked_at = self._port.send(Say.ASK)
        if self._asked_at is None:
            return False
        self._asked += 1
        self._left -= 1
        return True

    def _miss(self) -> None:
        self._asked_at = None
        say(self._paint((f"no answer to question {self._asked}", YELLOW)))

    def _read(self, until: float) -> None:
        """Wait for LACPDUs, or until then."""
        timeout = max(0.0, until - time.monotonic())
        select.select([self._port.fileno(), self._wake], [], [], timeout)
        while True:
            try:
                passed = self._port.next()
            except MalformedError:
                continue
            if passed is None:
                return
            if passed.sent:
                self._own = self._own if passed.lacpdu.mark else passed.lacpdu
                continue
            self._heard(passed.at, passed.lacpdu)

    def _heard(self, at: float, lacpdu: Lacpdu) -> None:
        actor = lacpdu.actor
        where = f"{lacpdu.source}  port {actor.port}  key {actor.key}"
        if self._heard_at < 0:
            say(f"LACP PING {self._name}: system {actor.system}, from {where}")
        self._heard_at = at
        if self._own is not None:
            self._partner_is_fast = PortState.TIMEOUT in self._own.actor.state
        if self._asked_at is None or at < self._asked_at:
            return
        self._times.append((at - self._asked_at) * 1e3)
        self._asked_at = None
        text = f"answer from {where}  time {_milliseconds(self._times[-1])} ms"
        say(self._paint((text, GREEN)))

    def _sum_up(self, seconds: float) -> int:
        if self._asked_at is not None:  # it was stopped while it waited
            self._asked -= 1
        answered = len(self._times)
        lost = 100 * (self._asked - answered) / self._asked if self._asked else 0
        say(f"\n--- {self._name} LACP ping statistics ---")
        say(
            f"{self._asked} questions, {answered} answered, {lost:.4g}% unanswered, "
            f"time {seconds * 1e3:.0f}ms"
        )
        if answered:
            figures = (
                min(self._times),
                statistics.fmean(self._times),
                max(self._times),
                statistics.pstdev(self._times),
            )
            say(f"time min/avg/max/mdev = {'/'.join(map(_milliseconds, figures))} ms")
        if answered < self._asked:
            say(_MISSING)
        return ANSWERED if answered else UNANSWERED


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
