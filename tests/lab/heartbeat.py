"""Figures of heartbeats, beside the kernel's own: python3 tests/lab/heartbeat.py, in the lab.

    python3 tests/lab/vm.py --timeout 900 -- .venv/bin/python tests/lab/heartbeat.py

Each round mutes the switch, towards the PF alone, and lets it speak again. All times are seconds,
from the last LACPDU of the switch that reached the PF, as the kernel stamped it.

With --soak nothing is wrong: `pulse` on the first PF and `late` on the second, and a busy loop on
each processor. Its exit status is 1 if anything happened.
"""

import argparse
import ctypes
import os
import random
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from timeline import table
from topology import Lab, Port

from pfstatus import Beat, Heartbeat, HeartbeatMode, HeartbeatState, LacpReason, LacpStatus


def follow(heartbeat: Heartbeat, pf: str, state: HeartbeatState, timeout: float) -> list[Beat]:
    """Polls until the heartbeat is in a state. Returns what it told.

    Raises:
        TimeoutError: not within `timeout` seconds.
    """
    told: list[Beat] = []
    deadline = time.monotonic() + timeout
    while heartbeat.state(pf) is not state:
        if time.monotonic() > deadline:
            came = "\n".join(map(str, told))
            raise TimeoutError(
                f"{pf} is {heartbeat.state(pf)} and not {state} in {timeout} s:\n{came}"
            )
        told += heartbeat.poll(0.2)
    return told


def calm(heartbeat: Heartbeat, seconds: float) -> list[Beat]:
    """Polls for a while. Returns what it told."""
    told: list[Beat] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        told += heartbeat.poll(left)
    return told


def bad_lacpdus(device: str, netns: str | None = None) -> int:
    """How many LACPDUs bonding took for illegal or unknown on a port (BOND_3AD_STAT).

    Asked for here, since `ip link xstats type bond_slave` of Debian 12 dies of it.
    """
    with ThreadPoolExecutor(1) as pool:  # a thread may enter a namespace by itself
        counts = pool.submit(_lacpdu_counts, device, netns).result()
    assert counts[_LACPDU_RX], counts
    return counts[_UNKNOWN_RX] + counts[_ILLEGAL_RX]


_LACPDU_RX, _UNKNOWN_RX, _ILLEGAL_RX = 0, 2, 3  # uapi/linux/if_bonding.h, BOND_3AD_STAT_*
_RTM_GETSTATS = 94
_SLAVE, _BOND, _3AD = (
    3,
    2,
    1,
)  # IFLA_STATS_LINK_XSTATS_SLAVE, LINK_XSTATS_TYPE_BOND, BOND_XSTATS_3AD


def _lacpdu_counts(device: str, netns: str | None) -> dict[int, int]:
    if netns:
        with Path(f"/run/netns/{netns}").open() as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"setns to {netns}")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        question = struct.pack("=IHHII", 28, _RTM_GETSTATS, 1, 1, 0)
        index = socket.if_nametoindex(device)
        asking.send(question + struct.pack("=BxxxII", 0, index, 1 << (_SLAVE - 1)))
        found = asking.recv(65536)[28:]
    for kind in (_SLAVE, _BOND, _3AD):
        found = dict(_attributes(found))[kind]
    return {kind: int.from_bytes(value[:8], sys.byteorder) for kind, value in _attributes(found)}


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


@dataclass
class Calm:
    """What happened in a time in which nothing should."""

    heartbeats: tuple[Heartbeat, ...]
    silences: list[Beat] = field(default_factory=list)
    states: set[tuple[str, int | None, int | None]] = field(default_factory=set)
    events: str = ""
    bad: int = 0

    @property
    def spoiled(self) -> bool:
        """Whether anything happened."""
        wrong = {each for each in self.states if each[1:] != (0x3F, 0x3F)}
        return bool(self.silences or wrong or self.events or self.bad)


def stay_calm(lab: Lab, seconds: float) -> Calm:
    """Has `pulse` ask the first PF's partner and `late` the second's, with nothing wrong."""
    with ExitStack() as stack:
        hearts = tuple(
            stack.enter_context(Heartbeat(port.pf, mode=mode))
            for port, mode in zip(lab.ports, (HeartbeatMode.PULSE, HeartbeatMode.LATE), strict=True)
        )
        names = [port.pf for port in lab.ports]
        _poll_all(hearts, time.monotonic() + 60, names)
        for heartbeat, name in zip(hearts, names, strict=True):
            if heartbeat.state(name) is not HeartbeatState.HEARD:
                raise TimeoutError(f"{name} is {heartbeat.state(name)} after 60 s")
        found = Calm(hearts)
        monitor = stack.enter_context(
            subprocess.Popen(["ip", "monitor", "link"], stdout=subprocess.PIPE, text=True)
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = _poll_all(hearts, min(end, time.monotonic() + 1))
            found.silences += [beat for beat in told if beat.new is HeartbeatState.SILENT]
            found.states |= {(port.pf, *port.port_states()) for port in lab.ports}
        monitor.send_signal(signal.SIGTERM)
        found.events, _ = monitor.communicate()
        for port in lab.ports:
            found.bad += bad_lacpdus(port.pf) + bad_lacpdus(port.switch_port, "sw")
    return found


def _poll_all(hearts: Iterable[Heartbeat], end: float, learn: Iterable[str] = ()) -> list[Beat]:
    """Polls until then, or until these partners are known."""
    names = list(learn)
    told: list[Beat] = []
    waits = select.poll()
    for heartbeat in hearts:
        waits.register(heartbeat.fileno(), select.POLLIN)
    while (left := end - time.monotonic()) > 0:
        for heartbeat in hearts:
            told += heartbeat.poll(0)
        if names and all(
            heartbeat.state(name) is HeartbeatState.HEARD
            for heartbeat, name in zip(hearts, names, strict=True)
        ):
            break
        waits.poll(left * 1e3)
    return told


def soak(lab: Lab, seconds: float) -> int:
    """Stays calm, and tells what happened. Returns the exit status."""
    spin = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            stack.callback(stack.enter_context(subprocess.Popen(spin)).kill)
        found = stay_calm(lab, seconds)
    rows = []
    for port, heartbeat in zip(lab.ports, found.heartbeats, strict=True):
        counts = heartbeat.counts(port.pf)
        print(f"{port.pf}: {heartbeat.partner(port.pf)}", f"gaps {counts.gaps}", sep="\n")
        mode = "pulse" if port is lab.ports[0] else "late"
        said = [str(number) for number in (counts.questions, counts.answers)]
        rows.append((mode, *said, str(sum(counts.silences.values()))))
    print(table(("", "questions", "answers", "silences"), rows))
    print(f"{seconds:g} s; {len(found.events.splitlines())} lines of link events")
    print("port states", sorted(found.states, key=str))
    print("illegal or unknown LACPDUs", found.bad)
    return int(found.spoiled)


def detect(port: Port, mode: HeartbeatMode, rounds: int) -> tuple[list[float], list[float], str]:
    """Mutes the switch again and again. Returns when it was silent, when the kernel said so."""
    noticed, kernel = [], []
    with Heartbeat(port.pf, mode=mode) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.HEARD, 60)
        learned = str(heartbeat.partner(port.pf))
        for _ in range(rounds):
            calm(heartbeat, random.uniform(2, 4))
            port.lacp_block("to-pf")
            began = time.monotonic()
            heard = None
            while time.monotonic() < began + 10:
                for beat in heartbeat.poll(0.05):
                    if beat.new is HeartbeatState.SILENT:
                        assert beat.silence is not None
                        noticed.append(beat.silence)
                        heard = time.monotonic() - beat.silence
                status = heartbeat.status(port.pf)
                if status and status.lacp.status is not LacpStatus.UP:
                    if heard is not None:
                        kernel.append(time.monotonic() - heard)
                    break
            port.lacp_unblock()
            follow(heartbeat, port.pf, HeartbeatState.HEARD, 40)
    return noticed, kernel, learned


def recover(port: Port, rounds: int, *, revive: bool) -> list[float]:
    """Lets both ends fall back to DEFAULTED; how long until LACP is up after the switch speaks."""
    took = []
    with Heartbeat(port.pf, revive=revive) as heartbeat:
        follow(heartbeat, port.pf, HeartbeatState.LEARNING, 20)
        for _ in range(rounds):
            port.lacp_block()
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                heartbeat.poll(0.05)
                status = heartbeat.status(port.pf)
                if status and status.lacp.reason is LacpReason.DEFAULTED:
                    break
            calm(heartbeat, random.uniform(1, 3))
            port.lacp_unblock()
            began = time.monotonic()
            while time.monotonic() < began + 40:
                heartbeat.poll(0.02)
                status = heartbeat.status(port.pf)
                if status and status.lacp.status is LacpStatus.UP:
                    break
            took.append(time.monotonic() - began)
            calm(heartbeat, 2)
    return took


def row(what: str, times: Iterable[float]) -> tuple[str, str, str, str, str]:
    """One line of the table."""
    values = sorted(times)
    if not values:
        return what, "0", "-", "-", "-"
    middle = statistics.median(values)
    return what, str(len(values)), f"{values[0]:.2f}", f"{middle:.2f}", f"{values[-1]:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="faults in each mode")
    parser.add_argument("--recoveries", type=int, default=3, help="recoveries of each kind")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="nothing is wrong so long")
    options = parser.parse_args()
    lab = Lab()
    lab.up()
    if options.soak:
        return soak(lab, options.soak)
    port = lab.ports[0]
    rows, kernels = [], []
    for mode in HeartbeatMode:
        noticed, kernel, learned = detect(port, mode, options.rounds)
        print(f"{mode}: {learned}", flush=True)
        rows.append(row(f"silent, by {mode}", noticed))
        kernels += kernel
    rows.append(row("LACP down, by the kernel", kernels))
    for revive in (False, True):
        lab.reset()
        name = "with our LACPDU twice a second" if revive else "alone"
        took = recover(port, options.recoveries, revive=revive)
        rows.append(row(f"LACP up after DEFAULTED, {name}", took))
    print(table(("", "n", "least", "median", "most"), rows))
    lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
