"""LACP state of SR-IOV PFs, link state of their VFs, and a relay from one to the other."""

from __future__ import annotations

from pfstatus.errors import (
    Error,
    EventsLostError,
    LinkNotFoundError,
    MalformedError,
    NoAnswerError,
    NotPermittedError,
)
from pfstatus.monitor import Monitor
from pfstatus.policy import Plan, Policy, plan
from pfstatus.relay import Relay
from pfstatus.report import Report, json_lines, to_logging
from pfstatus.session import Session
from pfstatus.values import (
    Bond,
    BondMode,
    Cause,
    Change,
    Direction,
    Lacp,
    LacpRate,
    LacpReason,
    LacpState,
    LacpStatus,
    LinkState,
    LinkStatus,
    OperState,
    Vf,
    VfResult,
)

__all__ = [
    "Bond",
    "BondMode",
    "Cause",
    "Change",
    "Direction",
    "Error",
    "EventsLostError",
    "Lacp",
    "LacpRate",
    "LacpReason",
    "LacpState",
    "LacpStatus",
    "LinkNotFoundError",
    "LinkState",
    "LinkStatus",
    "MalformedError",
    "Monitor",
    "NoAnswerError",
    "NotPermittedError",
    "OperState",
    "Plan",
    "Policy",
    "Relay",
    "Report",
    "Session",
    "Vf",
    "VfResult",
    "json_lines",
    "plan",
    "to_logging",
]


def __getattr__(name: str) -> str:
    """``__version__``, which few ask for and which costs more than the import of all the rest."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - see above

        return version("pfstatus")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
