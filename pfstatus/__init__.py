"""LACP state of SR-IOV PFs, link state of their VFs, and a relay from one to the other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pfstatus import _built as _built
from pfstatus.errors import (
    Error,
    EventsLostError,
    LinkNotFoundError,
    MalformedError,
    NoAnswerError,
    NotPermittedError,
)
from pfstatus.monitor import Monitor
from pfstatus.session import Session
from pfstatus.values import (
    Bond,
    BondMode,
    Cause,
    Change,
    Direction,
    Lacp,
    Lacpdu,
    LacpduEnd,
    LacpRate,
    LacpReason,
    LacpStatus,
    LinkStatus,
    OperState,
    PortState,
    Say,
    Vf,
    VfLinkState,
    VfResult,
)

if TYPE_CHECKING:
    from pfstatus._port import Port
    from pfstatus.aio import AsyncMonitor
    from pfstatus.heartbeat.aio import AsyncHeartbeat
    from pfstatus.heartbeat.values import Beat, HeartbeatMode, HeartbeatState, Outcome, Partner
    from pfstatus.heartbeat.watch import Heartbeat
    from pfstatus.observer import Observer
    from pfstatus.relay.loop import Relay
    from pfstatus.relay.policy import Plan, Policy, plan
    from pfstatus.relay.report import Kind, Outbox, Report, json_lines, text_lines, to_logging
    from pfstatus.wait import LacpTimeoutError, wait_for

    __version__: str

__all__ = [
    "AsyncHeartbeat",
    "AsyncMonitor",
    "Beat",
    "Bond",
    "BondMode",
    "Cause",
    "Change",
    "Direction",
    "Error",
    "EventsLostError",
    "Heartbeat",
    "HeartbeatMode",
    "HeartbeatState",
    "Kind",
    "Lacp",
    "LacpRate",
    "LacpReason",
    "LacpStatus",
    "LacpTimeoutError",
    "Lacpdu",
    "LacpduEnd",
    "LinkNotFoundError",
    "LinkStatus",
    "MalformedError",
    "Monitor",
    "NoAnswerError",
    "NotPermittedError",
    "Observer",
    "OperState",
    "Outbox",
    "Outcome",
    "Partner",
    "Plan",
    "Policy",
    "Port",
    "PortState",
    "Relay",
    "Report",
    "Say",
    "Session",
    "Vf",
    "VfLinkState",
    "VfResult",
    "json_lines",
    "plan",
    "text_lines",
    "to_logging",
    "wait_for",
]

# What a program that only watches does without is imported when it is first asked for: half of
# the import's time, a tenth of the memory.
_LATER = {
    "AsyncHeartbeat": "heartbeat.aio",
    "AsyncMonitor": "aio",
    "Beat": "heartbeat.values",
    "Heartbeat": "heartbeat.watch",
    "HeartbeatMode": "heartbeat.values",
    "HeartbeatState": "heartbeat.values",
    "Kind": "relay.report",
    "LacpTimeoutError": "wait",
    "Observer": "observer",
    "Outbox": "relay.report",
    "Outcome": "heartbeat.values",
    "Partner": "heartbeat.values",
    "Plan": "relay.policy",
    "Policy": "relay.policy",
    "Port": "_port",
    "Relay": "relay.loop",
    "Report": "relay.report",
    "json_lines": "relay.report",
    "plan": "relay.policy",
    "text_lines": "relay.report",
    "to_logging": "relay.report",
    "__version__": "_version",
    "wait_for": "wait",
}

if not TYPE_CHECKING:  # to which an attribute that is missing must stay so

    def __getattr__(name: str) -> Any:
        if name in _LATER:
            value = getattr(import_module(f"pfstatus.{_LATER[name]}"), name)
        else:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
