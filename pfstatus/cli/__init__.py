"""The command ``pfstatus``, for people: a file for each subcommand, on the public API alone."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from pfstatus.cli import capture, explain, relay, status, vf_set, watch
from pfstatus.cli.base import FAILED, describe_error

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = "LACP of SR-IOV PFs, link states of their VFs, and a relay from one to the other."
_EPILOG = """\
exit status:
  0  the answer is yes: LACP is up on every PF (status), failover would work
     (explain), every VF was set (set); or it ended as it should
  1  the answer is no, for at least one PF or VF
  2  the command line or the configuration is wrong
  3  it failed: no such interface, not permitted, a file that cannot be written

`pfstatus COMMAND --help` tells of each. Colours: NO_COLOR, FORCE_COLOR.
"""


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="pfstatus",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in (status, watch, explain, vf_set, relay, capture):
        summary = (command.__doc__ or "").partition("\n")[0]
        sub = commands.add_parser(
            command.NAME,
            help=summary,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument(
            "--netns",
            metavar="PATH",
            help="look into another network namespace, such as /run/netns/blue",
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit status."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `pfstatus watch | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as exc:
        print(f"pfstatus: {exc}", file=sys.stderr)
        return 2
    except OSError as exc:
        print(f"pfstatus: {describe_error(exc)}", file=sys.stderr)
        return FAILED
    return code
