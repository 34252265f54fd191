"""Whatever the dashboard is for, played on a node in two minutes and kept by a real Prometheus.

    python3 tests/lab/vm.py --results results/dashboard -- .venv/bin/python tests/lab/incident.py

Leaves Prometheus' database in `$LAB_RESULTS/data` and what happened when in `incident.json`;
`dashboard.py` makes the picture of them. The alerts' rules are loaded, with each `for:` shortened.
"""

import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from faults.kit import AGENT
from prometheus import Prometheus
from relay_process import RelayProcess
from topology import Lab, Port, wait_for

RULES = Path(__file__).parents[2] / "examples" / "prometheus" / "rules.yaml"
METRICS = "127.0.0.1:9143"
NODE = "node1"
NUM_VFS = 4
SET_SECONDS = 0.0015
"""That the firmware needs for a VF."""
SCRAPE_SECONDS = 1
HURRY = 120
"""An alert's `for:` is divided by that: an hour is half a minute."""
FLAPS = 4
HANG_SECONDS = 8.0

Tell = Callable[[str], None]


def config(rules: Path) -> dict[str, Any]:
    """Prometheus' configuration: the relay alone, often."""
    every = f"{SCRAPE_SECONDS}s"
    target = {"targets": [METRICS], "labels": {"instance": NODE}}
    return {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": every,
        },
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "pfstatus", "static_configs": [target]}],
    }


def hurried(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules, with each `for:` shortened."""
    units = {"m": 60, "h": 3600}
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                seconds = int(rule["for"][:-1]) * units[rule["for"][-1]]
                rule["for"] = f"{seconds * 1000 // HURRY}ms"
    return rules


def follow(port: Port, state: str) -> None:
    """Returns once all VFs that follow LACP are in a state."""
    wait_for(
        lambda: {*port.nic.vf_states().values()} - {"enable"} == {state},
        60,
        f"VFs of {port.pf}: {state}",
    )


def play(lab: Lab, relay: RelayProcess, tell: Tell) -> None:
    """The story."""
    pf0, pf1 = lab.ports
    tell("All is well")
    time.sleep(12)

    tell("pf0's switch falls silent; the cable keeps its link")
    lab.mute([pf0])
    follow(pf0, "disable")
    time.sleep(8)
    tell("It speaks again")
    lab.unmute([pf0])
    follow(pf0, "auto")
    time.sleep(8)

    tell("Somebody sets a VF of pf1 to enable")
    pf1.set_vfs("enable", 3)
    time.sleep(5)

    tell(f"pf0's switch falls silent {FLAPS} times more, for a moment")
    for _ in range(FLAPS):
        lab.mute([pf0])
        follow(pf0, "disable")
        lab.unmute([pf0])
        follow(pf0, "auto")
        time.sleep(2)
    time.sleep(5)

    tell(f"The relay is stopped for {HANG_SECONDS:g} s")
    relay.process.send_signal(signal.SIGSTOP)
    time.sleep(HANG_SECONDS)
    relay.process.send_signal(signal.SIGCONT)
    time.sleep(8)

    tell("pf1's switch falls silent, and a VF of it is busy, three times")
    pf1.nic.fail(2, errno.EBUSY, 3)
    lab.mute([pf1])
    follow(pf1, "disable")
    time.sleep(4)
    tell("So does pf0's: the group's last path is kept")
    lab.mute([pf0])
    relay.wait("last path of a group is kept", 30)
    time.sleep(8)
    tell("Both speak again")
    lab.unmute(lab.ports)
    for port in lab.ports:
        follow(port, "auto")
    time.sleep(12)


def main() -> int:
    results = Path(os.environ["LAB_RESULTS"])
    steps: list[dict[str, Any]] = []

    def tell(text: str) -> None:
        steps.append({"time": time.time(), "text": text})
        print(f"{steps[-1]['time'] - steps[0]['time']:6.1f} s  {text}", flush=True)

    lab = Lab()
    lab.up()
    for port in lab.ports:
        port.nic.num_vfs = NUM_VFS
        port.nic.slow(set_seconds=SET_SECONDS)
    group = ",".join(port.pf for port in lab.ports)
    args = ("--group", group, "--heartbeat", "late", "--metrics", METRICS)
    with (
        tempfile.TemporaryDirectory() as folder,
        RelayProcess(*args, program=AGENT) as relay,
    ):
        rules = Path(folder) / "rules.yaml"
        rules.write_text(yaml.safe_dump(hurried(yaml.safe_load(RULES.read_text()))))
        data = Path(folder) / "data"
        with Prometheus(data, config(rules)) as prometheus:
            for port in lab.ports:
                relay.wait("partner was learned", 120, interface=port.pf)
            wait_for(lambda: prometheus.at("up == 1", time.time()), 30, "the relay scraped")
            play(lab, relay, tell)
            end = time.time()
        (results / "incident.json").write_text(
            json.dumps(
                {
                    "begin": steps[0]["time"],
                    "end": end,
                    "scrape": SCRAPE_SECONDS,
                    "node": NODE,
                    "steps": steps,
                },
                indent=1,
            )
        )
        shutil.rmtree(results / "data", ignore_errors=True)
        shutil.copytree(data, results / "data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
