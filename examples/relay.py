#!/usr/bin/env python3
"""The reference relay: when LACP is lost on a PF, its VFs go from auto to disable, and back.

Exit status: 0 ended by SIGTERM or SIGINT, 1 something failed, 2 bad configuration.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import pfstatus


class Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"relay: {message}\n")


def configuration() -> argparse.Namespace:
    """Read the arguments; what they do not say is taken from the environment."""
    parser = Parser(description=__doc__, usage="%(prog)s [OPTIONS] [INTERFACE...]")
    parser.add_argument("interfaces", nargs="*", metavar="INTERFACE",
                        help="PFs; without, $PF_STATUS_RELAY_INTERFACES (ens5f0,ens5f1)")
    parser.add_argument("--interval", metavar="MS",
                        help="most milliseconds between looks at a PF, at least 100; without, "
                        "$PF_STATUS_RELAY_POLLING_INTERVAL, or 1000")
    parser.add_argument("--restore", choices=["all", "owned"], default="all",
                        help="give back all disabled VFs, or those that the relay disabled")
    parser.add_argument("--on-exit", choices=["keep", "restore"], default="keep",
                        help="at the end leave VFs disabled, or give them back")
    parser.add_argument("--up-delay", type=float, default=0.0, metavar="SECONDS",
                        help="how long LACP must be up before VFs are given back")
    parser.add_argument("--state-file", type=Path, default=pfstatus.Policy().state_file,
                        help="where disabled VFs are noted (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--debug", action="store_true", help="say more")
    args = parser.parse_args()
    if not args.interfaces:
        listed = os.environ.get("PF_STATUS_RELAY_INTERFACES", "")
        args.interfaces = [name.strip() for name in listed.split(",") if name.strip()]
    if not args.interfaces:
        parser.error("no interfaces: name them, or set PF_STATUS_RELAY_INTERFACES=ens5f0,ens5f1")
    text = args.interval or os.environ.get("PF_STATUS_RELAY_POLLING_INTERVAL") or "1000"
    if not (text.isascii() and text.isdigit()) or int(text) < 100:
        parser.error(f"the polling interval is a number of milliseconds, at least 100, not {text}")
    args.interval = int(text) / 1000
    return args


def main() -> int:
    args = configuration()
    say = pfstatus.json_lines(sys.stdout, "DEBUG" if args.debug else "INFO")
    try:
        policy = pfstatus.Policy(args.restore, args.up_delay, args.on_exit, args.dry_run,
                                 args.state_file)
        relay = pfstatus.Relay(*args.interfaces, interval=args.interval, policy=policy, report=say)
    except (ValueError, OSError) as exc:
        print(f"relay: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ValueError) else 1
    with relay:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        if not args.dry_run and not relay.may_set_vfs():
            print("relay: CAP_NET_ADMIN is missing: VFs could be watched but not set (try "
                  "--dry-run)", file=sys.stderr)
            return 1
        gc.freeze()  # what lives as long as we do need not be looked through in the hot path
        relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
