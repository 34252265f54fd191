"""The reference relay: VFs go from auto to disable when LACP is lost, and back.

Writes a JSON object a line. Options and environment are those of
examples/relay.py. Exit status: 0 ended by SIGTERM, SIGINT or SIGHUP,
2 bad configuration, 3 something failed.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.cli.base import FAILED, YES, open_session, stop_by_signal
from pfstatus.relay.loop import Relay
from pfstatus.relay.policy import Policy
from pfstatus.relay.report import json_lines

if TYPE_CHECKING:
    import argparse

NAME = "relay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    default = Policy()
    parser.add_argument(
        "interfaces",
        nargs="*",
        metavar="PF",
        help="without, $PF_STATUS_RELAY_INTERFACES (ens5f0,ens5f1)",
    )
    parser.add_argument(
        "--interval",
        metavar="MS",
        help="most milliseconds between looks at a PF, at least 100; without, "
        "$PF_STATUS_RELAY_POLLING_INTERVAL, or 1000",
    )
    parser.add_argument(
        "--restore",
        choices=["all", "owned"],
        default=default.restore,
        help="give back all disabled VFs, or those that the relay disabled",
    )
    parser.add_argument(
        "--on-exit",
        choices=["keep", "restore"],
        default=default.on_exit,
        help="at the end leave VFs disabled, or give them back",
    )
    parser.add_argument(
        "--up-delay",
        type=float,
        default=default.up_delay,
        metavar="SECONDS",
        help="how long LACP must be up before VFs are given back",
    )
    parser.add_argument(
        "--state-file",
        type=Path,
        default=default.state_file,
        help="where disabled VFs are noted (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--debug", action="store_true", help="say more")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    interfaces, interval = _interfaces(args.interfaces), _interval(args.interval)
    policy = Policy(args.restore, args.up_delay, args.on_exit, args.dry_run, args.state_file)
    report = json_lines(sys.stdout, "DEBUG" if args.debug else "INFO")
    with (
        open_session(args, events=True) as session,
        Relay(
            *interfaces, interval=interval, policy=policy, report=report, session=session
        ) as relay,
    ):
        stop_by_signal(relay.stop)
        if not args.dry_run and not relay.may_set_vfs():
            print(
                "pfstatus: CAP_NET_ADMIN is missing: VFs could be watched but not set (run as "
                "root, or try --dry-run)",
                file=sys.stderr,
            )
            return FAILED
        gc.freeze()  # what lives as long as we do need not be looked through in the hot path
        relay.run()
    return YES


def _interfaces(given: list[str]) -> list[str]:
    listed = os.environ.get("PF_STATUS_RELAY_INTERFACES", "")
    found = given or [name.strip() for name in listed.split(",") if name.strip()]
    if not found:
        msg = "no interfaces: name them, or set PF_STATUS_RELAY_INTERFACES=ens5f0,ens5f1"
        raise ValueError(msg)
    return found


def _interval(given: str | None) -> float:
    text = given or os.environ.get("PF_STATUS_RELAY_POLLING_INTERVAL") or "1000"
    if not (text.isascii() and text.isdigit()) or int(text) < 100:
        msg = f"the polling interval is a number of milliseconds, at least 100, not {text}"
        raise ValueError(msg)
    return int(text) / 1000
