"""What processes ask of the kernel, by the kernel's own tracing: system calls, and how long they
hold the RTNL lock. As root, with tracefs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/kernel/tracing")
_PROBES = ("p:rtnl/want mutex_lock lock=$arg1:x64", "p:rtnl/gave mutex_unlock lock=$arg1:x64")
"""rtnl_lock() is inlined where rtnetlink takes it, and dumps take the mutex by another name."""
_EVENTS = {"rtnl/want": "lock", "rtnl/gave": "lock", "lock/contention_end": "lock_addr"}
"""What tells of a mutex, and the field that says of which one."""
_CALLS = "events/raw_syscalls/sys_enter"
_HISTOGRAM = "hist:keys=common_pid:size=4096"
_ENTRY = re.compile(r"\{ common_pid:\s*(\d+) \} hitcount:\s*(\d+)")
_LINE = re.compile(r"-(\d+)\s+\[\d+\].*? ([\d.]+): (\w+): ")


def _write(file: str, text: object) -> None:
    (_ROOT / file).write_text(f"{text}\n")


def _change_probe(line: str) -> None:
    """Define one, or take it away; the others stay. The file cannot be sought in."""
    fd = os.open(_ROOT / "kprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


class Traced:
    """What was seen; filled when the tracing has ended."""

    calls = 0
    """System calls."""
    rtnl_seconds = 0.0
    """For which RTNL was held."""
    rtnl_holds = 0
    """How often it was."""


def _histogram() -> dict[int, int]:
    return {int(p): int(n) for p, n in _ENTRY.findall((_ROOT / _CALLS / "hist").read_text())}


@contextmanager
def tracing(tasks: Iterable[int]) -> Iterator[Traced]:
    """Trace these tasks, and what they start, for as long as the context lasts.

    Args:
        tasks: thread ids.
    """
    traced = Traced()
    watched = set(tasks)
    if not (_ROOT / "trace").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", _ROOT], check=True)
    _write("tracing_on", 0)
    _write("trace_clock", "mono")
    _write("options/event-fork", 1)
    _write("buffer_size_kb", 16384)
    for probe in _PROBES:
        _change_probe(probe)
    for event, field in _EVENTS.items():
        _write(f"events/{event}/filter", f"{field} == {_rtnl_mutex():#x}")
    _write("set_event_pid", " ".join(map(str, watched)))
    _write("trace", "")
    _write(f"{_CALLS}/trigger", _HISTOGRAM)
    before = _histogram()
    for event in _EVENTS:
        _write(f"events/{event}/enable", 1)
    _write("tracing_on", 1)
    try:
        yield traced
    finally:
        _write("tracing_on", 0)
        after = _histogram()
        watched |= {int(pid) for pid in (_ROOT / "set_event_pid").read_text().split()}
        for event in _EVENTS:
            _write(f"events/{event}/enable", 0)
        _write(f"{_CALLS}/trigger", f"!{_HISTOGRAM}")
        text = (_ROOT / "trace").read_text()
        for probe in _PROBES:
            _change_probe(f"-:{probe.split()[0].partition(':')[2]}")
        _write("set_event_pid", "")
    traced.calls = sum(after.get(pid, 0) - before.get(pid, 0) for pid in watched)
    _read(traced, text)


def _rtnl_mutex() -> int:
    """Its address."""
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, _, name = line.split()[:3]
        if name == "rtnl_mutex":
            return int(address, 16)
    raise RuntimeError("the kernel does not tell where rtnl_mutex is")


def _read(traced: Traced, text: str) -> None:
    """Add up for how long the mutex was held: where it was waited for, from the end of the wait."""
    since: dict[str, float] = {}
    for pid, stamp, what in _LINE.findall(text):
        if what != "gave":
            since[pid] = float(stamp)
        elif pid in since:
            traced.rtnl_seconds += float(stamp) - since.pop(pid)
            traced.rtnl_holds += 1
