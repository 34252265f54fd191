#!/usr/bin/env python3
"""What a plugin of examples/cni costs a pod: from its start to its exit.

Beside it the interpreter that does nothing, and one that imports what the plugin does. Runs on the
host, without VFs: the ADD is one whose PF is `lo`, so that LACP is unknown and nothing is set. The
static one in C stands beside, if examples/cni/build-static made it; it goes by the host's sysfs,
and so has no ADD here. A plugin in Go, too, if $CNI_PATH has host-device.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "cni" / "pfstatus-cni"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
STATIC = ROOT / "build" / "cni" / f"pfstatus-cni-{ARCHITECTURE}"
VF = "0000:3b:02.0"


class Run(NamedTuple):
    """One process."""

    wall_ms: float
    cpu_ms: float


class Command(NamedTuple):
    """What to run."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    stdin: Path


def run(command: Command, output: Path) -> Run:
    """Runs it once.

    Raises:
        RuntimeError: it failed.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, command.stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    began = time.monotonic()
    pid = os.posix_spawn(command.argv[0], command.argv, command.environment, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    if status:
        raise RuntimeError(f"{command.name}: {output.read_text()}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall * 1e3, cpu * 1e3)


def commands(scratch: Path) -> list[Command]:
    """What is compared, in order."""
    pf, vf = scratch / "devices" / "pf", scratch / "devices" / VF
    (pf / "net" / "lo").mkdir(parents=True)
    vf.mkdir()
    (vf / "physfn").symlink_to("../pf")
    (pf / "virtfn0").symlink_to(f"../{VF}")
    plugin = scratch / "pfstatus-cni"
    text = PLUGIN.read_text()
    devices = '"/sys/bus/pci/devices"'
    assert text.count(devices) == 1
    plugin.write_text(text.replace(devices, repr(str(vf.parent))))
    stdin = scratch / "stdin"
    config = {
        "cniVersion": "1.1.0",
        "name": "bench",
        "dataDir": str(scratch / "records"),
        "deviceID": VF,
        "prevResult": {"cniVersion": "1.1.0"},
    }
    stdin.write_text(json.dumps(config))
    environment = {
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "net1",
        "CNI_PATH": "/opt/cni/bin",
    }
    python = [sys.executable, "-I"]

    def cni(verb: str, *argv: str) -> Command:
        name = f"{Path(argv[-1]).name} {verb}"
        return Command(name, [*argv], environment | {"CNI_COMMAND": verb}, stdin)

    nothing = Path(os.devnull)
    found = [
        Command("python -c pass", [*python, "-c", "pass"], {}, nothing),
        Command("python -c 'import json'", [*python, "-c", "import json"], {}, nothing),
        Command(
            "python -c 'from pfstatus import Session, plan'",
            [*python, "-c", "from pfstatus import Session, plan"],
            {},
            nothing,
        ),
        *(cni(verb, *python, str(plugin)) for verb in ("VERSION", "STATUS", "ADD", "DEL")),
    ]
    if STATIC.exists():
        found += [cni(verb, str(STATIC)) for verb in ("VERSION", "STATUS", "DEL")]
    host_device = shutil.which("host-device", path=os.environ.get("CNI_PATH", "/opt/cni/bin"))
    return [*found, cni("VERSION", host_device)] if host_device else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        todo = commands(scratch)
        runs: dict[str, list[Run]] = {command.name: [] for command in todo}
        for turn in range(args.rounds + 1):  # in turn, so that all meet the same moods
            for command in todo:
                done = run(command, scratch / "output")
                if turn:  # the first one fills the caches
                    runs[command.name].append(done)
    print(f"{'median of ' + str(args.rounds):<48} {'ms':>7} {'more ms':>8} {'CPU ms':>7}")
    base = statistics.median(run.wall_ms for run in runs[todo[0].name])
    for what, all_runs in runs.items():
        wall, cpu = (statistics.median(values) for values in zip(*all_runs, strict=True))
        print(f"{what:<48} {wall:>7.1f} {wall - base:>8.1f} {cpu:>7.1f}")


if __name__ == "__main__":
    main()
