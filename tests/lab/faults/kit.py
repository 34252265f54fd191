"""What a fault is, and the world that it happens in."""

import json
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from relay_process import PFSTATUS, RelayProcess
from topology import Lab, Port, wait_for

AGENT = (*PFSTATUS, "relay")
BOTH = ("pf0", "pf1")
LOST_SECONDS = 30.0
"""Limit for a relay to disable VFs after its partner fell silent, 3 s of which are LACP's own: for
an emulated machine on a busy one."""
_STAYS_SECONDS = 0.5
_LINES = 30
"""Of each relay, that are shown where a fault ends otherwise."""


class World:
    """The lab, and the relays that run in it.

    Args:
        lab: as `Lab.reset()` left it.
        folder: for files of this fault.
        stack: ends what was begun.
    """

    def __init__(self, lab: Lab, folder: Path, stack: ExitStack) -> None:
        self.lab = lab
        self.pf0, self.pf1 = lab.ports[:2]
        self.folder = folder
        self.stack = stack
        self._relays: list[RelayProcess] = []
        self.note = ""
        """What is worth a word beside the state that it ended in."""

    @property
    def owned(self) -> tuple[str, ...]:
        """Arguments of a relay that gives back its own alone."""
        return ("--restore", "owned", "--state-file", str(self.folder / "vfs.json"))

    def relay(
        self,
        *args: str,
        pfs: Sequence[str] = BOTH,
        up: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: Sequence[str] = AGENT,
    ) -> RelayProcess:
        """A relay that runs until the fault has ended.

        Args:
            args: its arguments.
            pfs: what it watches.
            up: of which it is waited for that it says that LACP is up; by default all.
            env: as for RelayProcess.
            prefix: as for RelayProcess.
            program: as for RelayProcess.
        """
        process = RelayProcess(*args, *pfs, env=env, prefix=prefix, program=program)
        relay = self.stack.enter_context(process)
        self._relays.append(relay)
        relay.wait_up(*(pfs if up is None else up), timeout=60)
        return relay

    def silence(self, *ports: Port) -> None:
        """Has the switch fall silent towards these PFs: LACP expires within 4 s."""
        self.lab.mute(ports or self.lab.ports[:1])

    def speak(self, *ports: Port) -> None:
        """Has it speak again: LACP is up within 2 s, if it expired just now."""
        self.lab.unmute(ports or self.lab.ports[:1])

    def outage(self, port: Port) -> None:
        """LACP is lost on a PF, and the relay has disabled all its VFs that were in `auto`."""
        self.silence(port)
        wait_for(lambda: "auto" not in port.nic.vf_states().values(), LOST_SECONDS, "VFs disabled")

    def begun(self, port: Port) -> None:
        """The relay is disabling the PF's VFs: the first one is."""
        wait_for(
            lambda: "disable" in port.nic.vf_states().values(), LOST_SECONDS, "the first VF set"
        )

    def said(self) -> str:
        """What the relays said last, a line each."""
        return "\n".join(
            f"  {relay.process.pid}: {json.dumps(line)}"
            for relay in self._relays
            for line in relay.lines[-_LINES:]
        )

    def states(self) -> str:
        """The VFs' link states as the NICs have them."""
        found = {port.pf: _summary(port) for port in self.lab.ports}
        if len(found) > 2 and len(set(found.values())) == 1:
            return f"all {len(found)} PFs: {found.popitem()[1]}"
        return ", ".join(f"{pf}: {states}" for pf, states in found.items() if states)


def _summary(port: Port) -> str:
    counted = Counter(port.nic.vf_states().values())
    return " ".join(f"{n} {state}" for state, n in sorted(counted.items()))


Deed = Callable[[World], Iterator[None]]
"""Brings the fault about, and yields when that is done; looks then at what else must be so."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and how it must end."""

    name: str
    """In words. W and a number: the reference relay has this fault."""
    ends: str
    """As `World.states()` has it."""
    besides: str
    """What else must be so; empty where nothing is."""
    deed: Deed
    vfs: tuple[int, ...]
    """VFs of each PF at the start; the last number is that of all further PFs."""
    within: float
    """Seconds from the deed to the end state."""
    limit: float
    """Seconds for all."""
    quick: bool
    """Whether it is one of those that each test run has."""
    ports: int
    """PFs of the lab that it needs; above 2 they are in one bond."""


class Outcome(NamedTuple):
    """How a fault ended."""

    ended: str
    """The state, and the note; else what was wrong."""
    seconds: float
    """From the deed to the end state."""
    right: bool


FAULTS: list[Fault] = []
"""All of them, in the order of the table."""


def fault(
    name: str,
    ends: str,
    besides: str = "",
    *,
    vfs: tuple[int, ...] = (4, 2),
    within: float = LOST_SECONDS,
    limit: float = 180.0,
    quick: bool = False,
    ports: int = 2,
) -> Callable[[Deed], Deed]:
    """Enters a function into the list; the arguments are those of Fault."""

    def enter(deed: Deed) -> Deed:
        FAULTS.append(Fault(name, ends, besides, deed, vfs, within, limit, quick, ports))
        return deed

    return enter


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def over(*_: object) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    others = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *others)  # pytest's


def _reset(lab: Lab) -> None:
    try:
        lab.reset()
    except (OSError, RuntimeError) as exc:  # the fault before has left it in no state for that
        print(f"the lab is made anew: {exc}", flush=True)
        lab.up()


def happen(fault: Fault, lab: Lab) -> Outcome:
    """Bring a fault about and see how it ends."""
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(lab, Path(folder), stack)
        try:
            with _limit(fault.limit):
                _reset(lab)
                for index, port in enumerate(lab.ports):
                    port.nic.num_vfs = fault.vfs[min(index, len(fault.vfs) - 1)]
                    port.nic.reset_trace()
                deed = fault.deed(world)
                next(deed)
                began = time.monotonic()
                wait_for(lambda: world.states() == fault.ends, fault.within, fault.ends)
                seconds = time.monotonic() - began
                time.sleep(_STAYS_SECONDS)
                assert world.states() == fault.ends, "it did not stay so"
                assert next(deed, "the end") == "the end", "a deed yields once"
        except Exception as exc:
            first = str(exc).strip().partition("\n")[0]
            ended = f"**{world.states()}; {type(exc).__name__}: {first}**"
            print(f"{fault.name}: {type(exc).__name__}: {exc}\n{world.said()}", flush=True)
            return Outcome(ended, seconds, False)
        return Outcome(f"{world.states()}{world.note and f'; {world.note}'}", seconds, True)


def cpu_seconds(pid: int) -> float:
    """What a process has taken of the CPUs."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def share_of_a_cpu(pid: int, seconds: float) -> float:
    """What part of one CPU a process takes, over a while."""
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.monotonic() - began)


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - they come and go


def resident_kib(pid: int) -> int:
    """Memory that a process has."""
    found = re.search(r"VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])
