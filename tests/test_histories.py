"""Random histories: whatever happens in whatever order, the relay keeps its promises."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import hypothesis
import pytest
from history_world import EVENTS, World
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test


class Histories(RuleBasedStateMachine):
    """What happens is hypothesis' choice."""

    def __init__(self, clock, restore) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(clock, restore, Path(self.folder.name))

    def teardown(self) -> None:
        with self.world, self.folder:
            pass


def _rule(event: str):
    choices = {name: st.sampled_from(among) for name, among in EVENTS[event].items()}

    def happen(self, **told) -> None:
        self.world.do(event, **told)

    happen.__name__ = event
    return rule(**choices)(happen)


for _event in EVENTS:
    setattr(Histories, _event, _rule(_event))


@pytest.mark.parametrize("restore", ["all", "owned"])
def test_relay_keeps_its_promises_in_any_history(clock, restore):
    examples = hypothesis.settings().max_examples * 6 // 10
    settings = hypothesis.settings(max_examples=examples, stateful_step_count=30)
    run_state_machine_as_test(partial(Histories, clock, restore), settings=settings)
