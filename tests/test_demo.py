"""`make demo` fits a terminal of 80 columns; that its story is true, the demo itself checks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

COLUMNS = 80
CLOCK = "    0.000 s  switch  "


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "lab"))
    before = set(sys.modules)
    import demo

    yield demo
    for name in sys.modules.keys() - before:
        del sys.modules[name]


def told(demo, tell) -> list[str]:
    """What the demo says beside the clock, in the worst case."""
    texts: list[str] = []
    stage = demo.Demo.__new__(demo.Demo)
    stage._say = lambda _who, text, *_: texts.append(text)
    stage._port = SimpleNamespace(pf="pf0")
    stage._silent = True
    stage._relay = None
    stage.seen = SimpleNamespace(
        pf=SimpleNamespace(turned_ns=0, has_link=lambda: True, lacp=[demo.Change(0, "expired")]),
        bond=SimpleNamespace(active="pf0v0", links={}),
    )
    tell(stage)
    return texts


def test_words_fit_a_terminal(demo):
    none = demo.Figures(*[123.456] * 7, 12345, *[123.456] * 3)
    shown = demo.summary([none] * 3, [12345] * 2)
    texts = [demo.TOPOLOGY, demo.INTRODUCTION, demo.NOTES, shown]
    for line in "\n".join(texts).splitlines():
        assert len(line) <= COLUMNS, line


def test_lines_of_the_clock_fit_a_terminal(demo):
    vf = {"vf": 3, "kind": "set", "ns": 98_765_000_000}
    lines = told(
        demo,
        lambda stage: (
            stage._tell_active(demo.Change(0, "pf1v0")),
            *(
                stage._tell_lacp(demo.Change(ns, state))
                for ns, state in ((0, "negotiating"), (1, "defaulted"), (2, "up"))
            ),
            *(
                stage._tell_vf(demo.Record(**vf, state=state, result=result))
                for state, result in (("disable", 0), ("auto", 0), ("disable", -95))
            ),
            stage._tell_reply([demo.Reply(0, 1)], demo.Reply(98_765_000_000, 5000)),
            stage._tell_state(),
        ),
    )
    assert len(lines) == 9
    for line in lines:
        assert len(CLOCK + line) <= COLUMNS, line
