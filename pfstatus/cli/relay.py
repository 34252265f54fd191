"""The reference relay: VFs go from auto to disable when LACP is lost, and back.

Writes a JSON object a line. Options and environment are those of
examples/relay.py, and these: a file to configure it; metrics and health.
Where another relay has a PF, it stands by. SIGHUP has it read its file
again, if it has one. Exit status: 0 ended by SIGTERM, SIGINT or SIGHUP,
2 bad configuration, 3 something failed.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.agent.config import load, outlets, placed
from pfstatus.agent.program import Settings, serve
from pfstatus.cli.base import NO, YES, open_session
from pfstatus.relay import config
from pfstatus.relay.program import unlocked
from pfstatus.relay.report import json_lines, text_lines

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    config.add_arguments(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML; environment and arguments go before it"
    )
    parser.add_argument(
        "--check-config", action="store_true", help="say what is wrong with it, and end"
    )
    parser.add_argument(
        "--metrics",
        metavar="ADDRESS:PORT",
        help="tell of metrics and health there (needs prometheus-client)",
    )
    for flag, words in (
        ("--metrics-cert", "speak TLS there, with this certificate"),
        ("--metrics-key", "its key"),
        ("--metrics-ca", "who must have signed the certificate of whoever reads metrics"),
        ("--textfile", "keep metrics there for node_exporter, such as DIRECTORY/pfstatus.prom"),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=words)
    parser.add_argument(
        "--metrics-open",
        action="store_true",
        default=None,
        help="let whoever reaches that address read them, where it is not the loopback's",
    )
    parser.add_argument(
        "--log", choices=["json", "text"], help="lines for programs (json) or for people"
    )
    parser.add_argument(
        "--health-file",
        type=Path,
        metavar="FILE",
        help="tell others of each PF's health there, such as /run/pfstatus/health.json",
    )
    parser.add_argument(
        "--release",
        action="store_true",
        help="give back what a dead relay left disabled (see --restore), and end: status 1 if some "
        "stays",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="fail where another relay has a PF or the address"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    settings = _read(args)
    if args.check_config:
        print(f"{', '.join(settings.config.interfaces)}: the configuration is good")
        return YES
    if args.release:
        from pfstatus.relay.release import release  # noqa: PLC0415 - for those who give back

        with open_session(args) as session:
            lines = text_lines if settings.outlets.log == "text" else json_lines
            told = lines(unlocked(sys.stdout), settings.config.level)
            done = release(session, settings.config.interfaces, settings.config.policy, told)
        return YES if done else NO
    read = partial(_read, args) if args.config else None
    with open_session(args, events=True) as session:
        serve(settings, session=session, wait=not args.no_wait, read=read)
    return YES


def _read(args: argparse.Namespace) -> Settings:
    said = load(args.config) if args.config else {}
    try:
        return Settings(config.from_arguments(args, file=said), outlets(args, said))
    except ValueError as exc:
        raise (placed(args.config, args, exc) if args.config else exc) from None
