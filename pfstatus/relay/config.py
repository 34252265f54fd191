"""How a relay is configured: arguments, and the environment of the reference."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfstatus.monitor import PFS_MAX
from pfstatus.relay.policy import Policy
from pfstatus.session import name_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from pfstatus.relay.report import Level

INTERFACES, POLLING_INTERVAL = "PF_STATUS_RELAY_INTERFACES", "PF_STATUS_RELAY_POLLING_INTERVAL"
"""Environment variables, the reference's own."""

_DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Config:
    """What to relay, and how.

    Raises:
        ValueError: no interface, too many, a name that can be none, or an interval below 0.1 s.
    """

    interfaces: tuple[str, ...]
    """The PFs, by name, alternative name or PCI address, each once."""
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
        for name in self.interfaces:
            name_of(name)
        if len(self.interfaces) > PFS_MAX:
            msg = f"interfaces are {PFS_MAX} at most, not {len(self.interfaces)}"
            raise ValueError(msg)
        if not self.interval >= 0.1:
            msg = f"the interval is at least 0.1 s, not {self.interval!r}"
            raise ValueError(msg)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``from_arguments()`` reads. None is what was not given."""
    parser.add_argument(
        "interfaces",
        nargs="*",
        metavar="INTERFACE",
        help="PFs by name, alternative name or PCI address; without, "
        f"${INTERFACES} (ens5f0,ens5f1)",
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
        help=f"give back all disabled VFs, or those that the relay disabled ({_DEFAULT.restore})",
    )
    parser.add_argument(
        "--on-exit",
        choices=["keep", "restore"],
        help=f"at the end leave VFs disabled, or give them back ({_DEFAULT.on_exit})",
    )
    parser.add_argument(
        "--up-delay",
        type=float,
        metavar="SECONDS",
        help=f"how long LACP must be up before VFs are given back ({_DEFAULT.up_delay:g})",
    )
    parser.add_argument(
        "--up-delay-max",
        type=float,
        metavar="SECONDS",
        help="have that double with each loss that comes soon after, up to so long; 0, it stays",
    )
    parser.add_argument(
        "--group",
        action="append",
        metavar="PF,PF",
        help="PFs that stand for each other: the last of them to fail keeps its VFs; several times",
    )
    parser.add_argument(
        "--state-file",
        type=Path,
        metavar="FILE",
        help=f"where disabled VFs are noted ({_DEFAULT.state_file})",
    )
    parser.add_argument(
        "--heartbeat",
        choices=["off", "watch", "late", "pulse"],
        help="ask a switch that falls silent, tell of it (watch), and take it for lost before the "
        f"kernel does (late, pulse); without, {_DEFAULT.heartbeat}",
    )
    for flag, words in (
        ("--dry-run", "say what would be done"),
        ("--debug", "say more"),
        ("--lacp-fallback", "take a PF that has met no partner since the start for up"),
        ("--heartbeat-slow", "conclude where our bond asks for the slow rate (lacp_rate), too"),
        ("--revive", "send our kernel's last LACPDU twice a second while a PF is DEFAULTED"),
    ):
        parser.add_argument(flag, action="store_true", default=None, help=words)


def from_arguments(
    args: argparse.Namespace,
    environ: Mapping[str, str] = os.environ,
    file: Mapping[str, Any] | None = None,
) -> Config:
    """The configuration: arguments before the environment, and that before a file.

    Args:
        args: as ``add_arguments()`` has them.
        environ: the environment.
        file: what a file said, by the names of the arguments.

    Raises:
        ValueError: something is wrong; it says what.
    """
    said: dict[str, Any] = dict(file or {})
    names = _names(environ.get(INTERFACES, ""))
    interval = _seconds("--interval", args.interval)
    interval = interval or _seconds(POLLING_INTERVAL, environ.get(POLLING_INTERVAL))
    interval = interval or _seconds("polling_interval", said.get("interval"))
    said |= {"interfaces": names} if names else {}
    said |= {key: value for key, value in vars(args).items() if value not in (None, [])}
    groups = [_names(group) for group in said.get("group", [])]
    interfaces = [*said.get("interfaces", []), *(name for group in groups for name in group)]
    return Config(
        tuple(dict.fromkeys(interfaces)),
        interval or 1.0,
        Policy(
            restore=said.get("restore", _DEFAULT.restore),
            up_delay=said.get("up_delay", _DEFAULT.up_delay),
            up_delay_max=said.get("up_delay_max", _DEFAULT.up_delay_max),
            lacp_fallback=said.get("lacp_fallback", False),
            on_exit=said.get("on_exit", _DEFAULT.on_exit),
            dry_run=said.get("dry_run", False),
            state_file=said.get("state_file", _DEFAULT.state_file),
            groups=tuple(groups),
            heartbeat=said.get("heartbeat", _DEFAULT.heartbeat),
            heartbeat_slow=said.get("heartbeat_slow", False),
            revive=said.get("revive", False),
        ),
        "DEBUG" if said.get("debug") else "INFO",
    )


def group_of(name: str, groups: Iterable[str]) -> tuple[str, ...]:
    """The group, as ``--group`` has them, that a PF is in; none if it is in none."""
    return next((group for group in map(_names, groups) if name in group), ())


def _names(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))


def _seconds(name: str, given: str | None) -> float | None:
    """A number of milliseconds, in seconds; None where there is none."""
    text = (given or "").strip()  # a ConfigMap made from a file ends with a newline
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < 100:
        msg = f"{name} is a number of milliseconds, at least 100, not {given!r}"
        raise ValueError(msg)
    return int(text) / 1000
