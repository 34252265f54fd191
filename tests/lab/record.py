"""Records what the lab's kernel says of PFs, bonds and VFs, a file a datagram: seeds for fuzzing.

python3 tests/lab/vm.py --results build/seeds -- .venv/bin/python tests/lab/record.py
tests/fuzz/run.sh add build/seeds/*
"""

import errno
import hashlib
import os
from pathlib import Path

from topology import Lab, wait_for

import pfstatus
from pfstatus.values import Direction


def main() -> None:
    folder = Path(os.environ["LAB_RESULTS"])

    def keep(direction: Direction, datagram: bytes) -> None:
        if direction is not Direction.REQUEST:
            name = hashlib.sha256(datagram[16:]).hexdigest()[:16]  # whatever its sequence number
            (folder / name).write_bytes(datagram)

    lab = Lab()
    lab.up()
    port = lab.ports[0]
    with (
        pfstatus.Session(events=True, kernel_filter=False, tap=keep) as session,
        pfstatus.Monitor("pf0", "bond0", session=session, every_event=True) as monitor,
    ):
        for count in (0, 4, 40):
            port.nic.num_vfs = count
            session.get("pf0")
        port.nic.fail(2, errno.EBUSY)
        session.set_vf_link_state("pf0", dict.fromkeys(range(4), "disable"))
        port.lacp_block("to-pf")
        wait_for(lambda: monitor.poll(0.1) is not None and not port.lacp_up(), 10, "loss")
        port.lacp_unblock()
        port.wait_lacp(up=True)
        port.delete_bond()
        port.set_master("br1", "bridge")
        monitor.poll(1)
        session.get("pf0")
        session.ports()
        port.remove_pf()
        monitor.poll(1)
    lab.down()
    print(f"{len(list(folder.iterdir()))} datagrams in {folder}")


if __name__ == "__main__":
    main()
