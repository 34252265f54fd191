#!/usr/bin/env python3
"""Watch PFs in an event loop of one's own: a line on stdin asks how they are, its end ends it.

A monitor has a fileno(): when that is readable, poll(0) has something to do. This is all that
selectors, select, epoll and other people's loops need. In trio::

    async def watch(*names):
        with pfstatus.Monitor(*names) as monitor:
            while True:
                await trio.lowlevel.wait_readable(monitor)
                for change in monitor.poll(0):
                    print(change)
"""

from __future__ import annotations

import argparse
import os
import selectors
import sys

import pfstatus


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("interfaces", nargs="+", metavar="INTERFACE")
    args = parser.parse_args()
    try:
        with pfstatus.Monitor(*args.interfaces) as monitor, selectors.PollSelector() as selector:
            selector.register(monitor, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is monitor:
                        for change in monitor.poll(0):
                            print(change, flush=True)
                    elif os.read(sys.stdin.fileno(), 4096):
                        for name in args.interfaces:
                            print(monitor.status(name), flush=True)
                    else:
                        return 0
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as exc:
        print(f"own_loop: {exc}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
