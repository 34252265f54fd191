#!/usr/bin/env python3
"""How fast examples/relay.py reacts, in the lab: `make bench`.

For each number of VFs and each cost that the NIC takes for one, the time from the first instant at
which any program could see LACP change (the kernel's own notification; for a recovery, which
raises none, the port states, sampled every 2 ms) to the last VF set. Both are noted by the
simulated NIC's module on one clock. Beside it the figures of the Go relay, which was measured
in a lab like this one; and the floor: the same questions and settings by the bare session, with
nothing decided, and the NIC's own time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from nic import reaction
from relay_process import RelayProcess
from topology import Lab, Port

import pfstatus

# VFs, NIC cost in seconds: median of the Go relay, ms, down and up; None where none was measured.
REFERENCE = {
    (4, 0.0): (554.0, 690.0),
    (64, 0.0): (320.0, 359.0),  # with its least interval, 100 ms
    (64, 0.0015): (1054.0, 780.0),
}


def floor(port: Port, rounds: int) -> float:
    """Median seconds to read all VFs and set them, two messages, on a session that knows the PF."""
    times = []
    with pfstatus.Session() as session:
        for turn in range(rounds):
            state = ("disable", "auto")[turn % 2]
            began = time.monotonic()
            status = session.get(port.pf)
            session.set_vf_link_state(status, {vf.vf: state for vf in status.vfs or ()})
            times.append(time.monotonic() - began)
        session.set_vf_link_state(status, {vf.vf: "auto" for vf in status.vfs or ()})
    return statistics.median(times)


def measure(port: Port, vfs: int, rounds: int) -> dict[bool, list[float]]:
    """Seconds of each reaction, by whether LACP came up."""
    found: dict[bool, list[float]] = {False: [], True: []}
    with RelayProcess(port.pf) as relay:
        relay.wait_up(port.pf)
        relay.wait("VFs detected on interface", interface=port.pf)
        for _ in range(rounds):
            for up, state in ((False, "disable"), (True, "auto")):
                time.sleep(0.5)
                port.nic.reset_trace()
                port.nic.sample_lacp(on=up)  # the way down is announced
                relay.mark()
                port.lacp_unblock() if up else port.lacp_block("to-pf")
                # By what it says, when it is done: looking would compete for the processors.
                relay.wait("vf link state was set", 40, count=vfs, state=state)
                time.sleep(0.2)
                done = reaction(port.nic.trace(), up=up)
                port.nic.sample_lacp(on=False)
                assert done.sets == vfs
                found[up].append(done.seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vfs", type=int, nargs="+", default=[4, 64, 400])
    parser.add_argument("--cost", type=float, nargs="+", default=[0.0, 1.5], help="ms a VF")
    args = parser.parse_args()
    lab = Lab()
    lab.up()
    port = lab.ports[0]
    head = f"{'VFs':>4} {'NIC ms/VF':>9} {'':>5} {'median ms':>10} {'worst ms':>9}"
    lines = [f"{head} {'Go relay':>9} {'ratio':>6} {'floor ms':>10}"]
    print(lines[0], flush=True)
    for cost in args.cost:
        for vfs in args.vfs:
            lab.reset()
            port.nic.num_vfs = vfs
            port.nic.slow(set_seconds=cost / 1e3)
            base = floor(port, 2 * args.rounds) * 1e3
            found = measure(port, vfs, args.rounds)
            for up in (False, True):
                median = statistics.median(found[up]) * 1e3
                worst = max(found[up]) * 1e3
                peer = REFERENCE.get((vfs, cost / 1e3), (None, None))[up]
                row = (
                    f"{vfs:>4} {cost:>9g} {'up' if up else 'down':>5} {median:>10.2f} {worst:>9.2f}"
                )
                row += f" {peer:>9.0f} {peer / median:>6.0f}" if peer else f" {'-':>9} {'-':>6}"
                row += f" {base:>10.2f}"
                lines.append(row)
                print(row, flush=True)
    lab.down()
    results = os.environ.get("LAB_RESULTS")
    if results:
        (Path(results) / "reaction.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
