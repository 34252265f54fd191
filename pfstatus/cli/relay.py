"""The reference relay: VFs go from auto to disable when LACP is lost, and back.

Writes a JSON object a line. Options and environment are those of
examples/relay.py. Exit status: 0 ended by SIGTERM, SIGINT or SIGHUP,
2 bad configuration, 3 something failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfstatus.cli.base import YES, open_session
from pfstatus.relay import config
from pfstatus.relay.program import serve

if TYPE_CHECKING:
    import argparse

NAME = "relay"

add_arguments = config.add_arguments


def run(args: argparse.Namespace) -> int:
    """Run it."""
    configured = config.from_arguments(args)
    with open_session(args, events=True) as session:
        serve(configured, session=session)
    return YES
