#!/usr/bin/env python3
"""What a program that watches one link costs before it does anything: part of `make bench`.

Besides, what a relay has resident, without metrics and with them, once they were read. Its own is
what is no page of a file: those the kernel shares among processes, and takes back.

Processes of their own, by turns; figures are medians. Any machine will do, without root: the link
is ``lo``. The interpreter alone is the floor, with prometheus-client that of a relay with metrics;
pyroute2 is the peer.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

IMPORT_MS, RESIDENT_MB = 40.0, 16.0
"""What pfstatus may take."""

CONTENDERS = {  # what is imported; how it watches, and how it ends
    "python alone": ("sys", "", ""),
    "pfstatus": ("pfstatus", "monitor = pfstatus.Monitor('lo'); monitor.poll()", "monitor.close()"),
    "prometheus": ("prometheus_client", "", ""),
    "pyroute2": (
        "pyroute2",
        "ipr = pyroute2.IPRoute(); ipr.bind(); list(ipr.link('get', index=1))",
        "ipr.close()",
    ),
}

_REST = 1.0
"""Seconds in which a relay that has begun comes to rest."""

PROGRAM = """
import time
began = time.perf_counter()
import {module}
print(time.perf_counter() - began)
{watch}
for line in open("/proc/self/status"):
    if line.startswith("VmRSS:"):
        print(line.split()[1])
{end}
"""


class Footprint(NamedTuple):
    """Of one process, or the medians of many."""

    import_ms: float
    """Milliseconds that the import took."""
    process_ms: float
    """Milliseconds from start to end of the process."""
    resident_mb: float
    """MB (10^6 bytes) that are resident while it watches."""


def footprint(module: str, watch: str, end: str) -> Footprint:
    """Run one process, with the byte code cached as an installed package has it."""
    program = PROGRAM.format(module=module, watch=watch, end=end)
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    began = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program], env=env, capture_output=True, text=True, check=True
    )
    took = time.perf_counter() - began
    seconds, kib = ran.stdout.split()
    return Footprint(float(seconds) * 1e3, took * 1e3, int(kib) * 1024 / 1e6)


def medians(runs: int) -> dict[str, Footprint]:
    """Of each contender, after one run that fills the caches."""
    seen: dict[str, list[Footprint]] = {who: [] for who in CONTENDERS}
    for run in range(runs + 1):
        for who, program in CONTENDERS.items():
            taken = footprint(*program)
            if run:
                seen[who].append(taken)
    return {
        who: Footprint(*map(statistics.median, zip(*taken, strict=True)))
        for who, taken in seen.items()
    }


class Memory(NamedTuple):
    """Of a relay at rest, in MB (10^6 bytes), or the medians of many."""

    resident: float
    own: float
    """Of these: what is no page of a file."""


def relay_memory(*, metrics: bool) -> Memory:
    """Of one relay."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-P", "-m", "pfstatus.cli", "relay", "--dry-run", "lo"]
    with subprocess.Popen(
        [*command, *(("--metrics", address) if metrics else ())],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        while b"pf is not ready" not in process.stdout.readline():
            assert process.poll() is None, "it ended"
        time.sleep(_REST)
        for _ in range(3 if metrics else 0):
            urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read()
        time.sleep(_REST)
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()
    kib = dict(re.findall(r"(VmRSS|RssAnon):\s*(\d+)", status))
    return Memory(int(kib["VmRSS"]) * 1024 / 1e6, int(kib["RssAnon"]) * 1024 / 1e6)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=21, help="processes of each (21)")
    found = medians(parser.parse_args().runs)
    print(f"{'':14}{'import':>10}{'process':>10}{'resident':>11}")
    for who, each in found.items():
        print(
            f"{who:14}{each.import_ms:7.1f} ms{each.process_ms:7.1f} ms{each.resident_mb:8.1f} MB"
        )
    print(f"What pfstatus may take: {IMPORT_MS:g} ms to import, {RESIDENT_MB:g} MB")
    for what, metrics in (("a relay", False), ("with metrics", True)):
        taken = [relay_memory(metrics=metrics) for _ in range(5)]
        relay = Memory(*map(statistics.median, zip(*taken, strict=True)))
        print(f"{what:14}{relay.resident:28.1f} MB, {relay.own:.1f} MB its own")


if __name__ == "__main__":
    main()
