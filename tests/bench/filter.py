"""What a heartbeat's socket costs the PF's own frames: nanoseconds each, by this machine's kernel.

    python tests/bench/filter.py

A pair of veths in a network namespace of its own stands for the PF's cable. Frames of UDP size are
sent through it as fast as one thread can; rounds with and without a socket take turns, and the
quickest of each counts. Root, or a user namespace (`unshare -r`), is needed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time

from pfstatus import Session

ROUNDS, FRAMES = 400, 1000
_CLONE_NEWNET = 0x40000000
_ETHER = bytes.fromhex("0200000000b0 0200000000a0 0800") + bytes(64)  # nobody's address, IPv4


def spent(sender: socket.socket) -> float:
    """Seconds for a frame."""
    send = sender.send
    began = time.perf_counter()
    for _ in range(FRAMES):
        send(_ETHER)
    return (time.perf_counter() - began) / FRAMES


def main() -> int:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        print("no network namespace can be made here:", os.strerror(ctypes.get_errno()))
        return 1
    commands = "link add pf0 type veth peer name sw0\nlink set pf0 up\nlink set sw0 up\n"
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True)
    best = dict.fromkeys(("none", "pf0", "sw0"), float("inf"))
    with Session() as session, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(("sw0", 0))
        indices = {name: session.get(name, vfs=False).ifindex or 0 for name in ("pf0", "sw0")}
        for _ in range(ROUNDS):
            best["none"] = min(best["none"], spent(sender))
            for name, ifindex in indices.items():
                with session.open_port(ifindex):
                    best[name] = min(best[name], spent(sender))
    bare = best["none"]
    print(f"without a heartbeat {bare * 1e9:.0f} ns a frame, system calls and Python included")
    for name, what in (("pf0", "received"), ("sw0", "sent")):
        print(f"a frame that is {what}: {(best[name] - bare) * 1e9:.0f} ns more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
