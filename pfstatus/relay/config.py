"""How a relay is configured: arguments, and the environment of the reference."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfstatus.relay.policy import Policy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from pfstatus.relay.report import Level

INTERFACES, POLLING_INTERVAL = "PF_STATUS_RELAY_INTERFACES", "PF_STATUS_RELAY_POLLING_INTERVAL"
"""Environment variables, the reference's own."""

_DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Config:
    """What to relay, and how.

    Raises:
        ValueError: no interface, or an interval below 0.1 s.
    """

    interfaces: tuple[str, ...]
    """The PFs, by name or alternative name, each once."""
    interval: float = 1.0
    """Most seconds between looks at a PF."""
    policy: Policy = _DEFAULT
    """What else to do."""
    level: Level = "INFO"
    """The least level that is told."""

    def __post_init__(self) -> None:
        if not self.interfaces:
            msg = f"no interfaces: name them, or set {INTERFACES}=ens5f0,ens5f1"
            raise ValueError(msg)
        if not self.interval >= 0.1:
            msg = f"the interval is at least 0.1 s, not {self.interval!r}"
            raise ValueError(msg)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``from_arguments()`` reads."""
    parser.add_argument(
        "interfaces",
        nargs="*",
        metavar="INTERFACE",
        help=f"PFs; without, ${INTERFACES} (ens5f0,ens5f1)",
    )
    parser.add_argument(
        "--interval",
        metavar="MS",
        help="most milliseconds between looks at a PF, at least 100; without, "
        f"${POLLING_INTERVAL}, or 1000",
    )
    parser.add_argument(
        "--restore",
        choices=["all", "owned"],
        default=_DEFAULT.restore,
        help="give back all disabled VFs, or those that the relay disabled",
    )
    parser.add_argument(
        "--on-exit",
        choices=["keep", "restore"],
        default=_DEFAULT.on_exit,
        help="at the end leave VFs disabled, or give them back",
    )
    parser.add_argument(
        "--up-delay",
        type=float,
        default=_DEFAULT.up_delay,
        metavar="SECONDS",
        help="how long LACP must be up before VFs are given back",
    )
    parser.add_argument(
        "--state-file",
        type=Path,
        default=_DEFAULT.state_file,
        help="where disabled VFs are noted (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--debug", action="store_true", help="say more")


def from_arguments(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration; what the arguments do not say is taken from the environment.

    Raises:
        ValueError: something is wrong; it says what.
    """
    listed = environ.get(INTERFACES, "").split(",")
    names = args.interfaces or [name.strip() for name in listed if name.strip()]
    return Config(
        tuple(dict.fromkeys(names)),
        _seconds("--interval", args.interval)
        or _seconds(POLLING_INTERVAL, environ.get(POLLING_INTERVAL))
        or 1.0,
        Policy(args.restore, args.up_delay, args.on_exit, args.dry_run, args.state_file),
        "DEBUG" if args.debug else "INFO",
    )


def _seconds(name: str, given: str | None) -> float | None:
    """A number of milliseconds, in seconds; None where there is none."""
    text = (given or "").strip()  # a ConfigMap made from a file ends with a newline
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < 100:
        msg = f"{name} is a number of milliseconds, at least 100, not {given!r}"
        raise ValueError(msg)
    return int(text) / 1000
