#!/usr/bin/env python3
"""Have functions called when LACP changes on PFs, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter

import pfstatus


def say(change: pfstatus.Change) -> None:
    print(change, flush=True)


def failed(exc: Exception) -> None:
    """Hear of what a listener raised, or of a PF that could not be asked. It is logged, too."""
    print(f"callback: {exc}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interfaces", nargs="+", metavar="INTERFACE")
    args = parser.parse_args()
    changes: Counter[str] = Counter()

    def count(change: pfstatus.Change) -> None:
        changes[change.name] += 1

    # Blocked before the thread is made, which inherits it: the signals are for sigwait() alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    try:
        with pfstatus.Observer(args.interfaces, say, count, on_error=failed):
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
    except (OSError, ValueError) as exc:
        print(f"callback: {exc}", file=sys.stderr)
        return 1
    # Nothing is called any more: what the thread counted is ours.
    print(*(f"{name}: told {told} times" for name, told in changes.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
