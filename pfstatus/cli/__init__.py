"""The command ``pfstatus``, for people: a file for each subcommand, on the public API alone."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import pfstatus
from pfstatus.cli import text
from pfstatus.cli.base import FAILED, INTERRUPTED, UNREAD, WRONG, describe_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

_COMMANDS = {
    "status": "status",
    "watch": "watch",
    "explain": "explain",
    "ping": "ping",
    "set": "vf_set",
    "relay": "relay",
    "drill": "drill",
    "capture": "capture",
}
"""The module of each word, in the order of the help."""
_DESCRIPTION = "LACP of SR-IOV PFs, link states of their VFs, and a relay from one to the other."
_EPILOG = """\
exit status:
  0    the answer is yes: LACP is up on every PF (status), failover would work
       (explain), every VF was set (set); or it ended as it should
  1    the answer is no, for at least one PF or VF
  2    the command line or the configuration is wrong
  3    it failed: no such interface, not permitted, a file that cannot be
       written
  130  Ctrl-C came before the end
  141  nobody read the output to its end

`pfstatus COMMAND --help` tells of each. Colours: NO_COLOR, FORCE_COLOR.
"""


def _width() -> int:
    """Columns for help, as argparse finds them, but without shutil: it loads three compressors."""
    try:
        columns = int(os.environ.get("COLUMNS", "0"))
        return (columns or os.get_terminal_size().columns or 80) - 2
    except (OSError, ValueError):
        return 78


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own keeps quiet where help could not be written.
        if file is sys.stdout:
            text.say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        text.say(f"{parser.prog} {pfstatus.__version__}")
        parser.exit()


def parser(word: str | None = None) -> argparse.ArgumentParser:
    """The command line.

    Args:
        word: what it begins with. Of a command the modules of the others are not loaded: a relay
            runs for months, and they are megabytes.
    """
    layout = partial(argparse.RawDescriptionHelpFormatter, width=_width())
    top = _Parser(
        prog="pfstatus",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=layout,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in [word] if word in _COMMANDS else _COMMANDS:
        command = import_module(f"pfstatus.cli.{_COMMANDS[name]}")
        summary = (command.__doc__ or "").partition("\n")[0]
        sub = commands.add_parser(
            name,
            help=summary,
            description=command.__doc__,
            formatter_class=layout,
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
    text.prepare_streams()
    code = _run(argv)
    try:
        sys.stdout.flush()
    except OSError as exc:
        text.abandon(sys.stdout)
        code = _failed(exc)
    try:
        sys.stderr.flush()
    except OSError:
        text.abandon(sys.stderr)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        words = sys.argv[1:] if argv is None else argv
        args = parser(words[0] if words else None).parse_args(words)
        code: int = args.run(args)
    except SystemExit as exc:  # argparse has told all: help, or what is wrong
        return int(exc.code or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ValueError as exc:
        text.complain(str(exc))
        return WRONG
    except OSError as exc:
        return _failed(exc)
    except Exception as exc:
        if sys.flags.dev_mode:
            raise
        text.complain(
            f"{type(exc).__name__}: {exc}: a fault of pfstatus (PYTHONDEVMODE=1 shows it)"
        )
        return FAILED
    return code


def _failed(exc: OSError) -> int:
    if isinstance(exc, BrokenPipeError):  # `pfstatus watch | head`
        return UNREAD
    text.complain(describe_error(exc))
    return FAILED
