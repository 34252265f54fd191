#!/usr/bin/env python3
"""Print each change of LACP on PFs as it comes, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time

import pfstatus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interfaces", nargs="+", metavar="INTERFACE")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS",
                        help="between questions while LACP is up (%(default)s)")
    args = parser.parse_args()
    try:
        with pfstatus.Monitor(*args.interfaces, interval=args.interval) as monitor:
            for change in monitor:
                print(time.strftime("%H:%M:%S"), change, change.new.lacp.sentence, flush=True)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as exc:
        print(f"watch: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
