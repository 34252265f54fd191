"""A relay in the fake kernel, in time that only waiting moves."""

from __future__ import annotations

import json
import logging

from pfstatus import Policy, Relay

DRIVER = 1e-5  # seconds that a quick driver needs for a VF


class Rig:
    """A relay, what it said, and its time."""

    def __init__(self, kernel, clock, tmp_path):
        self.kernel = kernel
        self.clock = clock
        self.state_file = tmp_path / "disabled-vfs.json"
        self.netns = None
        self.relays = []
        self.reports = []

    def pf(self, name="ens5f0", vfs=2, **bond):
        """One in a bond of its own, LACP up."""
        pf = self.kernel.add_pf(name, vfs=vfs)
        pf.delay = DRIVER
        self.kernel.add_bond(f"bond-{name}", pf, **bond)
        return pf

    def relay(self, *names, interval=1.0, report=None, settled=True, **policy):
        """A relay that has seen the present."""
        relay = Relay(
            *(names or ["ens5f0"]),
            interval=interval,
            policy=Policy(state_file=self.state_file, **policy),
            report=report or self.reports.extend,
            session=self.session(),
        )
        self.relays.append(relay)
        if settled:
            self.pass_time(relay, 0.1)
            self.forget()
        return relay

    def session(self):
        session = self.kernel.session()
        session.netns = self.netns
        return session

    def forget(self):
        self.reports.clear()
        self.kernel.writes.clear()
        self.kernel.requests.clear()

    def pass_time(self, relay, seconds):
        end = self.clock.now + seconds
        turns = 0
        while self.clock.now < end:
            relay.turn(timeout=end - self.clock.now)
            turns += 1
            assert turns < 100 + 100 * seconds, "it spins"

    def said(self, level="INFO"):
        """(message, fields) of what was said at this level or above, as it is written."""
        levels = logging.getLevelNamesMapping()
        lines = [json.loads(r.to_json()) for r in self.reports if levels[r.level] >= levels[level]]
        return [(line.pop("msg"), dict(list(line.items())[2:])) for line in lines]

    def count(self, message):
        return sum(report.message == message for report in self.reports)
