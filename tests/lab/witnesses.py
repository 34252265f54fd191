"""Who sees what during the demo: the pings, the pod's bond, the PF; and what that amounts to.

All instants are nanoseconds of CLOCK_MONOTONIC. Nobody needs a thread: `look()` reads what is new.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

from nic import Record
from topology import SWITCH_ADDRESS, Port

import pfstatus

PING_SECONDS = 0.02
_AT_ONCE = ("chrt", "--fifo", "1")
"""Runs a program before all others, so that what it notes is not late."""
_TO_MONOTONIC_NS = time.monotonic_ns() - time.time_ns()


def from_wall(moment: datetime) -> int:
    """An instant of the wall clock on the monotonic one; the guest's wall clock is never set."""
    return round(moment.timestamp() * 1e6) * 1000 + _TO_MONOTONIC_NS


class Change(NamedTuple):
    """Something has had another state since."""

    ns: int
    state: str


class Reply(NamedTuple):
    """A ping was answered."""

    ns: int
    sequence: int


class Output:
    """A process in the pod's namespace, and the lines it writes while it runs."""

    def __init__(self, *command: str) -> None:
        self._fd = os.memfd_create("output")
        self._offset = 0
        self._process = subprocess.Popen(["ip", "netns", "exec", "pod", *command], stdout=self._fd)

    def lines(self) -> list[str]:
        """Whole lines written since the last call."""
        data = os.pread(self._fd, 1 << 20, self._offset)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode().splitlines()

    def close(self) -> None:
        """Ends the process."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        os.close(self._fd)


class Pings:
    """The pod's pings to the switch."""

    _REPLY = re.compile(r"\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+)")

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self._output = Output("ping", "-n", "-D", "-i", str(PING_SECONDS), SWITCH_ADDRESS)

    def look(self) -> list[Reply]:
        """The replies since the last look."""
        found = [
            Reply(from_wall(datetime.fromtimestamp(float(match[1]))), int(match[2]))
            for match in map(self._REPLY.match, self._output.lines())
            if match
        ]
        self.replies += found
        return found

    def close(self) -> None:
        """Ends the ping."""
        self._output.close()


class PodBond:
    """The pod's bond, as `ip monitor` tells of it."""

    _LINE = re.compile(r"\[(\S+)\] \d+: (\w+)[^<]*<([^>]*)>")

    def __init__(self, active: str) -> None:
        self.changes = [Change(time.monotonic_ns(), active)]
        self.links: dict[str, bool] = {}
        """Whether a VF has link; one that never changed is not in it."""
        self._output = Output(*_AT_ONCE, "ip", "-o", "-d", "-ts", "monitor", "link")

    @property
    def active(self) -> str:
        """The VF that the pod's traffic takes."""
        return self.changes[-1].state

    def look(self) -> list[Change]:
        """The active slaves since the last look."""
        found = []
        for line in self._output.lines():
            match = self._LINE.match(line)
            if not match:
                continue
            self.links[match[2]] = "LOWER_UP" in match[3].split(",")
            if " bond_slave state ACTIVE" in line and match[2] != self.active:
                found.append(Change(from_wall(datetime.fromisoformat(match[1])), match[2]))
                self.changes.append(found[-1])
        return found

    def close(self) -> None:
        """Ends the monitor."""
        self._output.close()


class Pf:
    """LACP and the VFs of one PF, as the kernel and the simulated NIC note them."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.lacp = [Change(time.monotonic_ns(), "up")]
        self.sets: list[Record] = []
        self._read = 0
        self.restart(sample=False)

    def restart(self, *, sample: bool) -> None:
        """Empties the trace.

        Args:
            sample: note the port states of every 2 ms too: most recoveries are announced by nobody.
        """
        self.look()
        self.port.nic.sample_lacp(sample)
        self.port.nic.reset_trace()
        self._read = 0

    def look(self) -> list[Change | Record]:
        """Changes of LACP and settings of VFs since the last look."""
        trace = self.port.nic.trace()
        new, self._read = trace[self._read :], len(trace)
        found: list[Change | Record] = []
        for record in new:
            if record.kind == "set":
                self.sets.append(record)
                found.append(record)
            elif (state := lacp_state(record)) != self.lacp[-1].state:
                self.lacp.append(Change(record.ns, state))
                found.append(self.lacp[-1])
        return found

    @property
    def turned_ns(self) -> int:
        """When LACP last went up, or ceased to be up."""
        ups = [change.state == "up" for change in self.lacp]
        turns = [i for i in range(1, len(ups)) if ups[i] != ups[i - 1]]
        return self.lacp[turns[-1] if turns else 0].ns

    def has_link(self) -> bool:
        """Whether the PF's link is up."""
        return Path(f"/sys/class/net/{self.port.pf}/operstate").read_text() == "up\n"


def lacp_state(record: Record) -> str:
    """What pfstatus would say of these port states."""
    if record.lacp_up:
        return "up"
    both = (record.actor or 0) | (record.partner or 0)
    if both & pfstatus.PortState.EXPIRED:
        return "expired"
    return "defaulted" if both & pfstatus.PortState.DEFAULTED else "negotiating"


class Witnesses:
    """All of them, and what was done to the switch."""

    def __init__(self, port: Port, active: str) -> None:
        self.pf = Pf(port)
        self.bond = PodBond(active)
        self.pings = Pings()
        self.switch = [Change(time.monotonic_ns(), "forwards")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.bond.close()
        self.pings.close()
        self.pf.restart(sample=False)


class Round(NamedTuple):
    """One fault, with what came before and after it."""

    title: str
    begin_ns: int
    mute_ns: int
    speak_ns: int
    end_ns: int
    silent_ns: int | None = None
    """When the heartbeat called the partner silent."""


class Figures(NamedTuple):
    """What a round amounted to, in seconds; None: it did not happen."""

    fault: float
    detection: float | None
    """From the fault to the kernel's announcement that LACP is lost."""
    silent: float | None
    """From the fault to the heartbeat's conclusion that the partner is silent."""
    first_vf: float | None
    """From the earlier of the two to the first VF disabled."""
    last_vf: float | None
    failover: float | None
    """From the earlier of the two to the pod's other path."""
    answered: float | None
    """From the earlier to the first ping answered after that, while the fault lasts."""
    lost: int
    """Pings."""
    silence: float
    """The longest time between two replies."""
    lacp_back: float | None
    """From the end of the fault to LACP up."""
    vfs_back: float | None
    """From LACP up to the last VF in auto."""


def lost(replies: Sequence[Reply]) -> int:
    """How many pings between the first and the last of these were not answered."""
    numbers = {reply.sequence for reply in replies}
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def silence(replies: Sequence[Reply]) -> float:
    """The longest time between two of these, in seconds."""
    return max(((b.ns - a.ns) / 1e9 for a, b in pairwise(replies)), default=0.0)


def measure(seen: Witnesses, fault: Round) -> Figures:
    """Adds a round up from what the witnesses noted."""
    during = range(fault.mute_ns, fault.speak_ns)
    after = range(fault.speak_ns, fault.end_ns)
    replies = [r for r in seen.pings.replies if fault.begin_ns <= r.ns < fault.end_ns]
    lost_ns = _first(c.ns for c in seen.pf.lacp if c.ns in during and c.state != "up")
    back_ns = _first(c.ns for c in seen.pf.lacp if c.ns in after and c.state == "up")
    down = [r.ns for r in seen.pf.sets if r.ns in during and r.state == "disable"]
    up = [r.ns for r in seen.pf.sets if r.ns in after and r.state == "auto"]
    moved_ns = _first(c.ns for c in seen.bond.changes if c.ns in during)
    answered_ns = _first(r.ns for r in replies if down and min(down) < r.ns in during)
    known_ns = _first(ns for ns in (lost_ns, fault.silent_ns) if ns is not None)
    return Figures(
        fault=(fault.speak_ns - fault.mute_ns) / 1e9,
        detection=_since(fault.mute_ns, lost_ns),
        silent=_since(fault.mute_ns, fault.silent_ns),
        first_vf=_since(known_ns, min(down, default=None)),
        last_vf=_since(known_ns, max(down, default=None)),
        failover=_since(known_ns, moved_ns),
        answered=_since(known_ns, answered_ns),
        lost=lost(replies),
        silence=silence(replies),
        lacp_back=_since(fault.speak_ns, back_ns),
        vfs_back=_since(back_ns, max(up, default=None)),
    )


def _first(instants: Iterable[int]) -> int | None:
    return min(instants, default=None)


def _since(begin: int | None, end: int | None) -> float | None:
    return None if begin is None or end is None else (end - begin) / 1e9
