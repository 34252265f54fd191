"""A fire drill: disable VFs of a PF as a loss of LACP would, and give them back.

  pfstatus drill ens5f0 --vfs 0,1 --for 10s

Says before what it will touch, and asks. It refuses where no other PF is up
that pods could go on by: those of the PF's group, or else any other port of
an 802.3ad bond here. It looks at them all along and ends when none is up any
more; Ctrl-C ends it, too. A relay that runs leaves the VFs to it. If the drill
is killed, that relay gives them back within its interval, or else the next
drill does, or pfstatus relay --release.

Exit status: 0 every VF did as it was told, 1 one did not, 3 nothing was
touched, 130 it was ended before its time, and gave back.
"""

from __future__ import annotations

import errno
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.agent.config import load
from pfstatus.cli.base import (
    FAILED,
    INTERRUPTED,
    NO,
    YES,
    describe_error,
    open_session,
    vf_numbers,
)
from pfstatus.cli.text import complain, paragraph, say
from pfstatus.errors import Error
from pfstatus.explain import ranges
from pfstatus.relay.config import group_of
from pfstatus.relay.drills import Drills
from pfstatus.relay.ownership import Ownership
from pfstatus.relay.policy import Policy
from pfstatus.relay.rival import Claims
from pfstatus.relay.setter import Setter
from pfstatus.values import BondMode, LacpStatus, Vf, VfLinkState

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from pfstatus.session import Session
    from pfstatus.values import LinkStatus

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_LONGEST = 3600.0
_LOOK = 0.2  # seconds between looks at the PFs that pods go on by, and at the clock
_TRIES, _PAUSE = 20, 0.5  # what could not be given back is tried again


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("interface", metavar="PF")
    parser.add_argument("--vfs", metavar="0,2-5", help="these alone; without, all that are in auto")
    parser.add_argument(
        "--for", dest="time", default="10s", metavar="TIME", help="500ms, 10s, 2m; without, 10s"
    )
    parser.add_argument(
        "--group", action="append", metavar="PF,PF", help="PFs that stand for each other"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the relay's, for its groups")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Policy().state_file.parent,
        help="where the relay's state file is (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    seconds = _seconds(args.time)
    wanted = vf_numbers(args.vfs) if args.vfs else None
    said = load(args.config) if args.config else {}
    group = group_of(args.interface, args.group or said.get("group", []))
    with open_session(args) as session, Drills(args.folder, session.netns) as drills:
        if not session.may_set_vfs():
            msg = "CAP_NET_ADMIN is missing: VFs can not be set (run as root)"
            raise OSError(errno.EPERM, msg)
        _end_killed(session, drills, session.get(args.interface))
        drill = _Drill(session, drills, session.get(args.interface), wanted, group)
        for line in drill.describe(seconds):
            say("\n".join(paragraph(line)))
        if not args.yes and not _agreed():
            complain("nothing was touched")
            return FAILED
        with _Signals() as signals:
            return drill.run(seconds, signals)


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST:
        msg = f"--for is a time such as 500ms, 10s or 2m, at most an hour, not {text!r}"
        raise ValueError(msg)
    return seconds


def _agreed() -> bool:
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _end_killed(session: Session, drills: Drills, status: LinkStatus) -> None:
    """Give back what an earlier drill could not.

    Raises:
        OSError: that drill lives.
    """
    assert status.ifindex is not None
    killed = drills.find(status.ifindex)
    if killed is None:
        return
    if killed.pid is not None:
        msg = f"process {killed.pid} drills it already"
        raise OSError(errno.EBUSY, msg, status.name)
    back = [Vf(vf, VfLinkState.AUTO) for vf in _disabled(status.vfs, killed.vfs)]
    list(Setter(session, Ownership()).set_all(status, back))
    if _disabled(session.vfs(status).vfs, killed.vfs):
        msg = f"VFs {ranges(killed.vfs)} of a drill that was killed cannot be given back"
        raise OSError(errno.EIO, msg, status.name)
    drills.forget(status.ifindex)
    if back:
        say(f"VFs {ranges(vf.vf for vf in back)} of a drill that was killed were given back.")


def _disabled(vfs: Iterable[Vf] | None, among: Iterable[int]) -> list[int]:
    wanted = set(among)
    return [vf for vf, state in vfs or () if vf in wanted and state is VfLinkState.DISABLE]


class _Signals:
    """What would end us ends the drill; says which it was."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.came: int | None = None

    def __enter__(self) -> _Signals:
        self._before = {number: signal.signal(number, self._note) for number in self.NUMBERS}
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.came = number


class _Drill:
    """One drill.

    Raises:
        OSError: it would cut pods off; LACP is not up on the PF; no VF is left to drill.
        ValueError: a VF does not exist.
    """

    def __init__(
        self,
        session: Session,
        drills: Drills,
        status: LinkStatus,
        wanted: list[int] | None,
        group: Sequence[str],
    ) -> None:
        self._session, self._drills, self._status = session, drills, status
        if status.lacp.status is not LacpStatus.UP:
            msg = f"LACP is {status.lacp}, and a drill wants a PF that is in use"
            raise OSError(errno.ENETDOWN, msg, status.name)
        states = dict(status.vfs or ())
        missing = [vf for vf in wanted or () if vf not in states]
        if missing:
            msg = f"{status.name} has no VF {ranges(missing)}"
            raise ValueError(msg)
        named = {vf: state for vf, state in states.items() if wanted is None or vf in wanted}
        self._vfs = [vf for vf, state in named.items() if state is VfLinkState.AUTO]
        self._enabled = [vf for vf, state in named.items() if state is VfLinkState.ENABLE]
        self._already = [vf for vf, state in named.items() if state is VfLinkState.DISABLE]
        if not self._vfs:
            msg = "none of these VFs is in auto, so an outage would not touch them either"
            raise OSError(errno.ENODATA, msg, status.name)
        others = [name for name in group if name != status.name] or self._other_ports()
        self._others = others
        if not self._ways():
            those = ", ".join(others) or "no other port of an 802.3ad bond is here"
            msg = f"no other PF is up that pods could go on by ({those})"
            raise OSError(errno.ENETUNREACH, msg, status.name)
        self._setter = Setter(session, Ownership())
        self._began = 0.0
        self._good = True

    def _other_ports(self) -> list[str]:
        ports = self._session.ports(BondMode.IEEE_802_3AD)
        return [port.name for port in ports if port.ifindex != self._status.ifindex]

    def _ways(self) -> list[str]:
        """The other PFs that are up now."""
        up = []
        for name in self._others:
            try:
                if self._session.get(name, vfs=False).lacp.status is LacpStatus.UP:
                    up.append(name)
            except Error as exc:
                complain(describe_error(exc))
        return up

    def describe(self, seconds: float) -> Iterator[str]:
        """What it will touch."""
        name, ifindex = self._status.name, self._status.ifindex or 0
        yield (
            f"VFs {ranges(self._vfs)} of {name} will be disabled for {seconds:g} s, as when LACP "
            f"is lost, and then be set to auto again. Who uses them must go on by "
            f"{' or '.join(self._ways())}, where LACP is up."
        )
        if self._enabled:
            yield f"VFs {ranges(self._enabled)} are in enable: they do not fail over, nor now."
        if self._already:
            yield f"VFs {ranges(self._already)} are disabled already, and stay so."
        with Claims(self._session.netns, believes_all=True) as claims:
            pid = claims.holder(ifindex)
        if pid:
            yield f"The relay (process {pid}) will leave them alone meanwhile."
        else:
            yield f"No pfstatus relay serves {name} here: a real outage would disable nothing."

    def run(self, seconds: float, signals: _Signals) -> int:
        """Do it. Gives back whatever happens."""
        ifindex, name = self._status.ifindex or 0, self._status.name
        other = self._drills.begin(ifindex, self._vfs)
        if other is not None:
            msg = f"process {other} drills it already"
            raise OSError(errno.EBUSY, msg, name)
        why = ""
        self._began = time.monotonic()
        try:
            self._set(VfLinkState.DISABLE, self._vfs)
            self._read_back()
            why = self._hold(seconds, signals)
        finally:
            whole = self._give_back()
        if why:
            complain(f"{name}: ended before its time: {why}")
        if not whole:
            complain(f"{name}: a relay, or the next drill, will give back what is left")
        if not self._good:
            return NO
        return INTERRUPTED if why else YES

    def _hold(self, seconds: float, signals: _Signals) -> str:
        """Wait. Returns why it was no longer."""
        end = self._began + seconds
        while (left := end - time.monotonic()) > 0:
            if signals.came is not None:
                return signal.Signals(signals.came).name
            if not self._ways():
                return f"LACP is up no more on {', '.join(self._others)}"
            time.sleep(min(_LOOK, left))
        states = self._states()
        changed = [vf for vf in self._vfs if states.get(vf) is not VfLinkState.DISABLE]
        if self._good and changed:
            self._fail(f"VFs {ranges(changed)} are disabled no more: somebody else set them")
        return ""

    def _step(self, words: str, began: float | None = None) -> None:
        """Say what was done, and how long it took."""
        now = time.monotonic()
        took = "" if began is None else f" ({(now - began) * 1e3:.1f} ms)"
        with suppress(OSError):  # nobody reads: that must not keep us from giving back
            say(f"{now - self._began:9.3f} s  {words}{took}")

    def _fail(self, words: str) -> None:
        self._good = False
        self._step(words)

    def _set(self, state: VfLinkState, vfs: list[int]) -> None:
        began = time.monotonic()
        sent = list(self._setter.set_all(self._status, [Vf(vf, state) for vf in vfs]))
        messages = f"{len(sent)} message{'s' * (len(sent) > 1)}"
        self._step(f"VFs {ranges(vfs)} set to {state} by {messages}", began)
        for vf, _, failure in (result for each in sent for result in each.results):
            if failure:
                self._fail(f"VF {vf} failed: {failure.strerror}")

    def _states(self) -> dict[int, VfLinkState]:
        try:
            return dict(self._session.vfs(self._status).vfs)
        except Error as exc:
            self._step(describe_error(exc))
            return {}

    def _read_back(self) -> None:
        """See that the driver did what it accepted."""
        began = time.monotonic()
        states = self._states()
        wrong = [vf for vf in self._vfs if states.get(vf) is not VfLinkState.DISABLE]
        self._step("read again", began)
        if wrong:
            self._fail(f"VFs {ranges(wrong)} are not in disable")

    def _give_back(self) -> bool:
        """Whether none is disabled any more; else whoever finds our file goes on."""
        left = self._vfs
        for _ in range(_TRIES):
            self._set(VfLinkState.AUTO, left)
            began = time.monotonic()
            states = self._states()
            left = [vf for vf in left if states.get(vf, VfLinkState.DISABLE) is VfLinkState.DISABLE]
            if not left:
                self._step("read again", began)
                self._drills.forget(self._status.ifindex or 0)
                return True
            self._fail(f"VFs {ranges(left)} are still disabled")
            time.sleep(_PAUSE)
        return False
