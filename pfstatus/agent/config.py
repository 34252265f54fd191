"""The agent's configuration file, weaker than the environment, which is weaker than arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping


class FileError(ValueError):
    """What is wrong in a file, and where."""

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(f"{place}: {message}")


def _names(value: object) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return value
    msg = 'a list of interface names is needed, like ["ens5f0", "ens5f1"]'
    raise ValueError(msg)


def _groups(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(group, list) for group in value):
        return [",".join(_names(group)) for group in value]
    msg = 'a list of lists of interface names is needed, like [["ens5f0", "ens5f1"]]'
    raise ValueError(msg)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    msg = "a number is needed"
    raise ValueError(msg)


def _milliseconds(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 100:
        return str(value)
    msg = "a whole number of milliseconds is needed, at least 100"
    raise ValueError(msg)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    msg = "true or false is needed"
    raise ValueError(msg)


def _text(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    msg = 'a text is needed, in quotes: "..."'
    raise ValueError(msg)


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value in words:
            return str(value)
        msg = f"one of {', '.join(map(repr, words))} is needed"
        raise ValueError(msg)

    return read


def address_of(text: str) -> tuple[str, int]:
    """Read "ADDRESS:PORT"; without an address it is the loopback's.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        msg = f"an address is ADDRESS:PORT, like 127.0.0.1:9143, not {text!r}"
        raise ValueError(msg)
    return host.strip("[]") or "127.0.0.1", int(port)


def _address(value: object) -> str:
    text = _text(value)
    address_of(text)
    return text


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 - for those who have metrics

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


KEYS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "interfaces": ("interfaces", _names),
    "polling_interval": ("interval", _milliseconds),
    "restore": ("restore", _one_of("all", "owned")),
    "heartbeat": ("heartbeat", _one_of("off", "watch", "late", "pulse")),
    "heartbeat_slow": ("heartbeat_slow", _switch),
    "revive": ("revive", _switch),
    "on_exit": ("on_exit", _one_of("keep", "restore")),
    "up_delay": ("up_delay", _number),
    "up_delay_max": ("up_delay_max", _number),
    "lacp_fallback": ("lacp_fallback", _switch),
    "state_file": ("state_file", lambda value: Path(_text(value))),
    "groups": ("group", _groups),
    "metrics": ("metrics", _address),
    "metrics_cert": ("metrics_cert", lambda value: Path(_text(value))),
    "metrics_key": ("metrics_key", lambda value: Path(_text(value))),
    "metrics_ca": ("metrics_ca", lambda value: Path(_text(value))),
    "metrics_open": ("metrics_open", _switch),
    "textfile": ("textfile", lambda value: Path(_text(value))),
    "log": ("log", _one_of("json", "text")),
    "health_file": ("health_file", lambda value: Path(_text(value))),
    "dry_run": ("dry_run", _switch),
    "debug": ("debug", _switch),
}
"""What the file may say: the argument that says the same, and what reads the value."""


def load(path: Path) -> dict[str, Any]:
    """What a file says, by the names of the arguments.

    Raises:
        FileError: it says something that it cannot, in a line.
        OSError: it could not be read.
    """
    import tomllib  # noqa: PLC0415 - a megabyte, for those who have a file

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise FileError(path, line, "this is no TOML: it is not encoded as UTF-8") from None
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(exc))
        line = int(found[1]) if found else text.count("\n") + 1
        raise FileError(path, line, f"this is no TOML: {exc}") from None
    values = {}
    for key, value in said.items():
        if key not in KEYS:
            msg = f"there is no key {key!r}; there are {', '.join(KEYS)}"
            raise FileError(path, _line(text, key), msg)
        name, read = KEYS[key]
        try:
            values[name] = read(value)
        except ValueError as exc:
            msg = f"{key} cannot be {value!r}: {exc}"
            raise FileError(path, _line(text, key), msg) from None
    return values


def placed(path: Path, args: argparse.Namespace, exc: ValueError) -> ValueError:
    """An error about keys, with its place if it names one that the file says, and no argument."""
    text = path.read_text(encoding="utf-8")
    for key in re.findall(r"\w+", str(exc)):
        name, _ = KEYS.get(key, (None, None))
        if name and getattr(args, name) in (None, []):
            line = _line(text, key)
            if line:
                return FileError(path, line, str(exc))
    return exc


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where an agent tells others how it does."""

    metrics: str | None = None
    """"ADDRESS:PORT" that answers with metrics and health."""
    metrics_cert: Path | None = None
    """The certificate that it shows there; with the other two, /metrics is for those alone who
    show one of theirs."""
    metrics_key: Path | None = None
    """Its key."""
    metrics_ca: Path | None = None
    """Who must have signed theirs."""
    metrics_open: bool | None = None
    """Whether others than this node's may read it without a certificate, unencrypted."""
    textfile: Path | None = None
    """A file for node_exporter, with the same metrics."""
    health_file: Path | None = None
    """The file that tells others of each PF's health."""
    log: Literal["json", "text"] | None = None
    """What standard output is for: programs, or people; None for programs."""

    def __post_init__(self) -> None:
        tls = (self.metrics_cert, self.metrics_key, self.metrics_ca)
        if any(tls) and not (all(tls) and self.metrics):
            msg = "metrics_cert, metrics_key, metrics_ca and metrics go together"
            raise ValueError(msg)
        if self.textfile and self.textfile.suffix != ".prom":
            msg = f"textfile is read by node_exporter if it ends with .prom, not {self.textfile}"
            raise ValueError(msg)
        elsewhere = self.metrics and not _is_loopback(address_of(self.metrics)[0])
        if elsewhere and not self.metrics_open and not any(tls):
            msg = (
                f"metrics at {self.metrics} would be for whoever reaches this node: give "
                "metrics_cert, metrics_key and metrics_ca, or say metrics_open if they may be"
            )
            raise ValueError(msg)
        if self.metrics_open and (any(tls) or not elsewhere):
            msg = "metrics_open is for an address that is not the loopback's, without TLS"
            raise ValueError(msg)

    def tls(self) -> tuple[Path, Path, Path] | None:
        """Certificate, key, CA."""
        if self.metrics_cert and self.metrics_key and self.metrics_ca:
            return self.metrics_cert, self.metrics_key, self.metrics_ca
        return None

    def refuse_change(self, old: Outlets) -> None:
        """See that a running agent need not tell elsewhere.

        Raises:
            ValueError: it would.
        """
        for field in fields(self):
            if getattr(self, field.name) != getattr(old, field.name):
                msg = f"{field.name} cannot be changed while it runs: start it anew"
                raise ValueError(msg)


def outlets(args: argparse.Namespace, said: Mapping[str, Any]) -> Outlets:
    """What arguments, or else a file, say of them."""
    names = [field.name for field in fields(Outlets)]
    return Outlets(**{name: getattr(args, name) or said.get(name) for name in names})


def _line(text: str, key: str) -> int | None:
    """Where a key stands."""
    start = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[\].=]")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if start.match(line)), None)
