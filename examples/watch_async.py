#!/usr/bin/env python3
"""Print each change of LACP on PFs as it comes, beside other asyncio tasks, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

import pfstatus


async def watch(names: list[str], interval: float) -> None:
    with pfstatus.Monitor(*names, interval=interval) as monitor:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, monitor.stop)
        async for change in pfstatus.AsyncMonitor(monitor):
            print(time.strftime("%H:%M:%S"), change, change.new.lacp.sentence, flush=True)


async def other_work() -> None:
    """What the program is really about."""
    while True:
        await asyncio.sleep(3600)


async def run(names: list[str], interval: float) -> None:
    work = asyncio.create_task(other_work())
    try:
        await watch(names, interval)
    finally:
        work.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interfaces", nargs="+", metavar="INTERFACE")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS",
                        help="between questions while LACP is up (%(default)s)")
    args = parser.parse_args()
    try:
        asyncio.run(run(args.interfaces, args.interval))
    except (OSError, ValueError) as exc:
        print(f"watch_async: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
