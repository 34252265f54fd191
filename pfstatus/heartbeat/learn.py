"""What there is to learn of partners, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pfstatus.heartbeat.listener import NO_TEMPLATE, NOT_YET, NOTHING_HEARD, OWN_STOPPED
from pfstatus.heartbeat.values import HeartbeatState
from pfstatus.heartbeat.watch import Heartbeat

if TYPE_CHECKING:
    from pfstatus.heartbeat.values import Partner

PATIENCE = 120.0
"""Seconds: two LACPDUs at the slow rate, and what learning takes after them."""

_PASSING = {NOT_YET, NO_TEMPLATE, NOTHING_HEARD, OWN_STOPPED}


def learn(*pfs: str, timeout: float = PATIENCE, **options: Any) -> dict[str, Partner | str]:
    """Ask the partner of each PF how it answers, which takes some 25 s for all together.

    At the slow rate it can take a minute more, until both ends have spoken.

    Args:
        pfs: their names, alternative names or PCI addresses.
        timeout: seconds after which what was not learned by then is given up.
        options: as for Heartbeat.

    Returns:
        Of each PF, what was learned of its partner; a sentence where nothing could be: why.

    Raises:
        ValueError: as for Heartbeat.
        Error: a socket could not be opened, or a PF not be asked for.
    """
    found: dict[str, Partner | str] = {}
    why = dict.fromkeys(pfs, NOT_YET)
    deadline = time.monotonic() + timeout
    with Heartbeat(*pfs, slow=True, **options) as heartbeat:
        while why and (left := deadline - time.monotonic()) > 0:
            for beat in heartbeat.poll(min(left, 0.5)):
                if beat.name in why:
                    why[beat.name] = beat.why
            for name in list(why):
                partner = heartbeat.partner(name)
                if heartbeat.state(name) is HeartbeatState.IDLE:
                    if why[name] in _PASSING:
                        continue
                    if partner and partner.usable:
                        partner = None  # of before
                elif not partner:
                    continue
                found[name] = partner or why[name]
                del why[name]
    return found | why
