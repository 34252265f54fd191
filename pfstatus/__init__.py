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
from pfstatus.session import Session
from pfstatus.values import (
    Bond,
    BondMode,
    Cause,
    Change,
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
