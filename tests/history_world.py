"""Random histories: whatever happens in whatever order, the relay keeps its promises.

The model knows only what it did itself: who touched a VF last, and what it made of LACP.
"""

from __future__ import annotations

import errno
import tempfile
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pfstatus import LacpStatus, Policy, Relay, VfLinkState
from pfstatus.testing import FakeKernel, FakePf

AUTO, ENABLE, DISABLE = VfLinkState
UP, DOWN, UNKNOWN = LacpStatus
VFS = 6
QUIET = 25.0  # seconds: longer than twice the longest pause between tries

link_states = st.sampled_from(VfLinkState)
vf_numbers = st.integers(0, VFS - 1)
which = st.integers(0, 1)


class WatchedPf:
    """A PF of the model."""

    def __init__(self, name: str, pf: FakePf) -> None:
        self.name = name
        self.pf = pf
        self.exists = True
        self.carrier = True
        self.bonded = True
        self.heard = UP  # what the LACP rules made of it
        self.theirs: set[int] = set()  # VFs that somebody else disabled
        self.lent: set[int] = set()  # VFs that somebody changed while the relay had them disabled

    @property
    def lacp(self) -> LacpStatus:
        return self.heard if self.exists and self.carrier and self.bonded else UNKNOWN


class Histories(RuleBasedStateMachine):
    """One relay, two PFs, and the world."""

    def __init__(self, clock, restore) -> None:
        super().__init__()
        self.clock = clock
        self.restore = restore
        self.folder = tempfile.TemporaryDirectory()
        self.kernel = FakeKernel()
        self.wrong: list[str] = []
        self.pfs = [self.make(name) for name in ("ens5f0", "ens5f1")]
        self.relay = self.start()

    def teardown(self) -> None:
        self.relay.close()
        self.kernel.close()
        self.folder.cleanup()

    # The rig

    def make(self, name: str) -> WatchedPf:
        pf = self.kernel.add_pf(name, vfs=VFS)
        watched = WatchedPf(name, pf)
        self.kernel.add_bond(f"bond-{name}", pf)
        driver = pf.set_vf

        def set_vf(vf: int, state: VfLinkState) -> int:
            self.judge(watched, vf, state)
            return driver(vf, state)

        pf.set_vf = set_vf
        return watched

    def judge(self, watched: WatchedPf, vf: int, state: VfLinkState) -> None:
        """Each setting, at the moment when the driver gets it."""
        before = watched.pf.vfs[vf]
        self.wrong += [
            words
            for words, bad in {
                f"VF {vf} was in enable": before is ENABLE,
                f"VF {vf} was set to {state} already": before is state,
                f"VF {vf} was set to enable": state is ENABLE,
                f"VF {vf} was disabled, LACP {watched.lacp}": (
                    state is DISABLE and watched.lacp is not DOWN
                ),
                f"VF {vf} was given back, LACP {watched.lacp}": (
                    state is AUTO and watched.lacp is not UP
                ),
                f"VF {vf} is somebody else's": (self.restore == "owned" and vf in watched.theirs),
            }.items()
            if bad
        ]

    def start(self) -> Relay:
        policy = Policy(self.restore, state_file=Path(self.folder.name) / "disabled-vfs.json")
        return Relay(
            *(watched.name for watched in self.pfs),
            policy=policy,
            report=lambda _reports: None,
            session=self.kernel.session(),
        )

    def wait(self, seconds: float) -> None:
        end = self.clock.now + seconds
        turns = 0
        while self.clock.now < end:
            self.relay.turn(timeout=end - self.clock.now)
            turns += 1
            assert turns < 200 + 200 * seconds, "it spins"

    def existing(self, i: int) -> WatchedPf:
        hypothesis.assume(self.pfs[i].exists)
        return self.pfs[i]

    # The world

    @initialize()
    def begin(self) -> None:
        self.wait(0.1)

    @rule(i=which, announce=st.booleans())
    def lacp_goes(self, i, announce) -> None:
        watched = self.existing(i)
        watched.heard = DOWN
        watched.pf.lacp_expire(announce=announce)

    @rule(i=which, announce=st.booleans())
    def lacp_defaults(self, i, announce) -> None:
        watched = self.existing(i)
        watched.heard = DOWN
        watched.pf.lacp_default(announce=announce)

    @rule(i=which, announce=st.booleans())
    def lacp_comes(self, i, announce) -> None:
        watched = self.existing(i)
        watched.heard = UP
        watched.pf.lacp_up(announce=announce)

    @rule(i=which)
    def partner_stops_collecting(self, i) -> None:
        watched = self.existing(i)
        watched.heard = DOWN
        watched.pf.lacp_set(0x3F, 0x0F, announce=False)

    @rule(i=which, up=st.booleans())
    def cable(self, i, up) -> None:
        watched = self.existing(i)
        watched.carrier = up
        watched.pf.set_carrier(up)

    @rule(i=which)
    def bond_is_left_or_joined(self, i) -> None:
        watched = self.existing(i)
        watched.bonded = not watched.bonded
        bond = next(link for link in self.kernel.links if link.name == f"bond-{watched.name}")
        self.kernel.enslave(watched.pf, bond if watched.bonded else None)

    @rule(i=which, vf=vf_numbers, state=link_states)
    def somebody_sets_a_vf(self, i, vf, state) -> None:
        watched = self.existing(i)
        if watched.pf.vfs[vf] is not DISABLE and state is DISABLE:
            if vf not in watched.lent:  # else it may be what a CNI plugin found and puts back
                watched.theirs.add(vf)
        elif state is not DISABLE:
            if watched.pf.vfs[vf] is DISABLE and vf not in watched.theirs:
                watched.lent.add(vf)
            watched.theirs.discard(vf)
        self.kernel.set_vf(watched.pf, vf, state)
        # What is set and set again within one look cannot be told from what was never touched.
        self.wait(2.0)

    @rule(i=which)
    def vfs_are_made_anew(self, i) -> None:
        watched = self.existing(i)
        watched.lent |= {vf for vf, state in watched.pf.vfs.items() if state is DISABLE}
        watched.theirs.clear()
        self.kernel.create_vfs(watched.pf, VFS)
        self.wait(2.0)

    @rule(i=which)
    def driver_is_reloaded(self, i) -> None:
        watched = self.pfs[i]
        if watched.exists:
            watched.exists = False
            self.kernel.remove(watched.pf)
        else:
            for link in [link for link in self.kernel.links if link.name == f"bond-{watched.name}"]:
                self.kernel.remove(link)
            self.pfs[i] = self.make(watched.name)

    @rule(i=which, vf=vf_numbers, times=st.integers(1, 3))
    def driver_is_busy(self, i, vf, times) -> None:
        self.existing(i).pf.vf_errors[vf] = (errno.EBUSY, times)

    @rule(i=which, hidden=st.sets(vf_numbers, max_size=3))
    def driver_cannot_read(self, i, hidden) -> None:
        self.existing(i).pf.hidden = hidden

    @rule()
    def events_are_lost(self) -> None:
        self.kernel.lose_events()

    @rule()
    def relay_dies_and_is_started_again(self) -> None:
        self.relay.close()
        self.relay = self.start()

    # The relay

    @rule()
    def turn(self) -> None:
        self.relay.turn(timeout=0)

    @rule(seconds=st.sampled_from([0.05, 0.15, 1.1, 12.0]))
    def time_passes(self, seconds) -> None:
        self.wait(seconds)

    @rule()
    def all_is_quiet(self) -> None:
        """No driver is busy any more, and time passes: then the table holds."""
        for watched in self.pfs:
            watched.pf.vf_errors.clear()
            watched.pf.hidden = set()
        self.wait(QUIET)
        for watched in self.pfs:
            if not watched.exists:
                continue
            states = watched.pf.vfs
            if watched.lacp is DOWN:
                assert AUTO not in states.values(), "it did not fail over"
            elif watched.lacp is UP:
                kept = {vf for vf, state in states.items() if state is DISABLE}
                theirs = watched.theirs | watched.lent
                assert kept <= (theirs if self.restore == "owned" else set())

    @invariant()
    def each_setting_was_right(self) -> None:
        assert self.wrong == []


@pytest.mark.parametrize("restore", ["all", "owned"])
def test_relay_keeps_its_promises_in_any_history(clock, restore):
    examples = hypothesis.settings().max_examples * 6 // 10
    settings = hypothesis.settings(max_examples=examples, stateful_step_count=30)
    run_state_machine_as_test(partial(Histories, clock, restore), settings=settings)
