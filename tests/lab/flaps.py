"""Real flaps of LACP, one after the other, and what they leave: a part of `make soak`.

    python3 tests/lab/vm.py --timeout 900 -- .venv/bin/python tests/lab/flaps.py

pf0's partner goes out of sync and back, as a switch does that is configured; pf1's falls silent and
speaks again, which takes 5 s. Exit status: 0 all VFs followed each time, and the relay has the
memory and the descriptors that it had after the first tenth; 1 otherwise.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from faults import partner
from faults.kit import AGENT, descriptors, resident_kib, share_of_a_cpu
from faults.partner import Forger
from relay_process import RelayProcess
from topology import Lab, Port, wait_for

VFS = 16
LEAK_KIB = 1024


def follow(port: Port, state: str) -> float:
    """Seconds until all VFs are in a state."""
    began = time.monotonic()
    wait_for(lambda: set(port.nic.vf_states().values()) == {state}, 20, f"{port.pf}: {state}")
    return time.monotonic() - began


def footprint(pid: int) -> tuple[int, int]:
    """KiB resident and descriptors, at rest: a state file that is being written is one more."""
    time.sleep(1)
    return resident_kib(pid), descriptors(pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--flaps", type=int, default=200)
    parser.add_argument("--silences", type=int, default=10, help="of these, by silence")
    options = parser.parse_args()
    lab = Lab()
    lab.up()
    synced, silent = lab.ports
    for port in lab.ports:
        port.nic.num_vfs = VFS
    took: list[float] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        switch = stack.enter_context(Forger(synced))
        args = ("--restore", "owned", "--state-file", str(Path(folder) / "vfs.json"))
        process = RelayProcess(*args, "--metrics", "127.0.0.1:9143", "pf0", "pf1", program=AGENT)
        relay = stack.enter_context(process)
        pid = relay.process.pid
        relay.wait_up("pf0", "pf1", timeout=60)
        early = None
        every = max(1, options.flaps // options.silences) if options.silences else 0
        for number in range(1, options.flaps + 1):
            if every and not number % every:
                lab.mute([silent])
                follow(silent, "disable")
                lab.unmute([silent])
                follow(silent, "auto")
            else:
                switch.say(partner.NOT_IN_SYNC)
                took.append(follow(synced, "disable"))
                switch.say(partner.UP)
                follow(synced, "auto")
            if early is None and number >= options.flaps / 10:
                early = footprint(pid)
        late = footprint(pid)
        idle = share_of_a_cpu(pid, 30)
        assert relay.process.poll() is None
        status, _ = relay.terminate()
    lab.down()
    assert early
    print(
        f"{options.flaps} flaps, {options.silences} of them by silence: "
        f"{2 * options.flaps * VFS} VFs were set as they must; "
        f"from out of sync to the last VF {statistics.median(took) * 1e3:.0f} ms, median\n"
        f"resident {early[0]} KiB after a tenth, {late[0]} at the end; descriptors {early[1]}, "
        f"{late[1]}; then {idle:.3%} of a CPU at rest; exit {status}"
    )
    return int(late[0] - early[0] > LEAK_KIB or late[1] > early[1] or status != 0)


if __name__ == "__main__":
    sys.exit(main())
