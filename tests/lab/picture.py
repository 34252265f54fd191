"""The demo as a picture: an SVG that needs nothing else, for light and dark pages."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape

from timeline import milliseconds, seconds
from witnesses import Change, Figures, Reply, Round, Witnesses, lost

WIDTH, MARGIN = 1200, 32
LEFT, RIGHT = 176, WIDTH - MARGIN
"""Of the lanes."""
LANES_TOP, LANE_STEP, LANE_HEIGHT = 172, 44, 28
STEPS_LEFT, STEPS_RIGHT, STEP = 300, WIDTH - 120, 24
"""Of the enlarged reaction, and the height of a row there."""
GAP_PINGS = 5
"""So many lost in a row are drawn as a gap."""
TICK_SECONDS = 2

STYLE = """
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif;
       font-size: 13px; fill: #1f2328 }
.page { fill: #ffffff; stroke: #d1d9e0 }
.title { font-size: 21px; font-weight: 600 }
.head { font-size: 15px; font-weight: 600 }
.faint { fill: #59636e }
.small { font-size: 12px }
.big { font-size: 17px; font-weight: 600 }
.in { fill: #ffffff; font-size: 12px; font-weight: 600 }
.line { stroke: #d1d9e0 }
.fault { fill: #cf222e; opacity: .09 }
.edge { stroke: #cf222e; stroke-dasharray: 3 3 }
.card { fill: #f6f8fa }
.good { fill: #1a7f37 } .bad { fill: #cf222e } .warn { fill: #9a6700 }
.off { fill: #6e7781 } .one { fill: #0969da } .two { fill: #8250df }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #0d1117; stroke: #3d444d }
  .faint { fill: #9198a1 }
  .in { fill: #ffffff }
  .line { stroke: #3d444d }
  .fault { fill: #f85149; opacity: .16 }
  .edge { stroke: #f85149 }
  .card { fill: #151b23 }
  .good { fill: #238636 } .bad { fill: #da3633 } .warn { fill: #9e6a03 }
  .off { fill: #656c76 } .one { fill: #1f6feb } .two { fill: #8957e5 }
  text.good { fill: #3fb950 } text.bad { fill: #f85149 }
}
"""


LOOKS = {
    **dict.fromkeys(("forwards", "up", "auto", "answered"), "good"),
    **dict.fromkeys(("mute", "defaulted"), "bad"),
    **dict.fromkeys(("expired", "negotiating"), "warn"),
    "disable": "off",
    "pf0v0": "one",
    "pf1v0": "two",
}
"""CSS classes of states."""
RADII = {"page": 10, "card": 6, "fault": 0}
FOOTNOTE = (
    "Made by `make demo` in a virtual machine. Kernel, bonding, LACP and netlink are real; "
    "the NIC and the cables are simulated, the switch is a Linux bridge."
)


class Span(NamedTuple):
    """A stretch of a lane."""

    begin_ns: int
    end_ns: int
    label: str
    look: str


class Lane(NamedTuple):
    """What one of them went through; several stripes where there are several of its kind."""

    name: str
    detail: str
    stripes: list[list[Span]]


class Step(NamedTuple):
    """One part of the reaction."""

    name: str
    ns: int
    look: str


class Scale(NamedTuple):
    """Where an instant is: these stretches of time side by side, what is between them left out."""

    stretches: Sequence[tuple[int, int]]
    left: float = LEFT
    right: float = RIGHT

    @property
    def end_ns(self) -> int:
        """The last instant."""
        return self.stretches[-1][1]

    def x(self, ns: int) -> float:
        """In pixels from the left."""
        whole = sum(end - begin for begin, end in self.stretches)
        passed = sum(min(max(ns, begin), end) - begin for begin, end in self.stretches)
        return self.left + (self.right - self.left) * passed / whole


def draw(seen: Witnesses, rounds: Sequence[Round], figures: Sequence[Figures]) -> str:
    """The whole picture."""
    scale = Scale([(one.begin_ns, one.end_ns) for one in rounds])
    lanes = _lanes(scale, seen)
    bottom = LANES_TOP + LANE_STEP * len(lanes) - LANE_STEP + LANE_HEIGHT
    steps = _steps(seen, rounds[1], figures[1])
    zoom = bottom + 76
    height = zoom + 18 + STEP * max(len(steps), 1) + 58
    subtitle = (
        "Its cable keeps the link, so the pod notices nothing by itself. LACP does, and the relay "
        "takes the link from the VFs; with its heartbeat it need not wait for the kernel."
    )
    return _page(
        height,
        [
            _text(MARGIN, 44, "A switch port goes mute", "title"),
            _text(MARGIN, 68, subtitle, "faint"),
            *(
                part
                for one, its in zip(rounds, figures, strict=True)
                for part in _round(scale, one, its, bottom)
            ),
            *(part for one in rounds for part in _axis(scale, one, bottom)),
            *(
                part
                for number, lane in enumerate(lanes)
                for part in _lane(scale, LANES_TOP + LANE_STEP * number, lane)
            ),
            *_reaction(zoom, steps),
            _text(MARGIN, height - 22, FOOTNOTE, "faint small"),
        ],
    )


# What there is to see


def _lanes(scale: Scale, seen: Witnesses) -> list[Lane]:
    vfs = sorted({record.vf for record in seen.pf.sets if record.vf is not None})
    vfs = vfs or [0]
    stripes = [
        [Change(0, "auto")]
        + [Change(r.ns, str(r.state)) for r in seen.pf.sets if r.vf == vf and r.result == 0]
        for vf in vfs
    ]
    return [
        Lane("Switch", "port of pf0", [_spans(scale, seen.switch)]),
        Lane("LACP", "on pf0", [_spans(scale, seen.pf.lacp)]),
        Lane("VFs of pf0", "link state", [_spans(scale, changes) for changes in stripes]),
        Lane("Pod", "active slave", [_spans(scale, seen.bond.changes)]),
        Lane("Pings", "pod to switch", [list(_ping_spans(seen.pings.replies))]),
    ]


def _spans(scale: Scale, changes: Sequence[Change]) -> list[Span]:
    return [
        Span(change.ns, after.ns, change.state, LOOKS[change.state])
        for change, after in pairwise([*changes, Change(scale.end_ns, "")])
    ]


def _ping_spans(replies: Sequence[Reply]) -> Iterator[Span]:
    begin = replies[0]
    for before, after in pairwise(replies):
        missed = lost([before, after])
        if missed >= GAP_PINGS:
            yield Span(begin.ns, before.ns, "answered", "good")
            yield Span(before.ns, after.ns, f"{missed} lost", "bad")
            begin = after
    yield Span(begin.ns, replies[-1].ns, "answered", "good")


def _steps(seen: Witnesses, fault: Round, its: Figures) -> list[Step]:
    """The reaction, from the kernel's announcement on."""
    during = range(fault.mute_ns, fault.speak_ns)
    steps = [
        Step("Kernel announces: LACP lost", change.ns, "bad")
        for change in seen.pf.lacp
        if change.ns in during and change.state != "up"
    ][:1]
    steps += [
        Step(f"VF {record.vf} disabled", record.ns, "off")
        for record in seen.pf.sets
        if record.ns in during and record.result == 0
    ]
    moved = [change for change in seen.bond.changes if change.ns in during][:1]
    steps += [Step(f"Pod's bond takes {change.state}", change.ns, "two") for change in moved]
    if its.answered is not None:
        steps.append(Step("First ping answered", steps[0].ns + round(its.answered * 1e9), "good"))
    return sorted(steps, key=lambda step: step.ns)


# Its parts


def _round(scale: Scale, one: Round, its: Figures, bottom: float) -> Iterator[str]:
    left, right = scale.x(one.begin_ns), scale.x(one.end_ns)
    mute, speak = scale.x(one.mute_ns), scale.x(one.speak_ns)
    over = its.answered is not None
    yield _rect(left + 2, 90, right - left - 4, 62, "card")
    yield _text(left + 12, 113, one.title.capitalize(), "head")
    result = f"{seconds(its.silence)} cut off, {its.lost} pings lost"
    yield _text(left + 12, 138, result, "good big" if over else "bad big")
    yield _rect(mute, 152, speak - mute, bottom + 10 - 152, "fault")
    for x in (mute, speak):
        yield _line(x, 152, x, bottom + 10, "edge")


def _axis(scale: Scale, one: Round, bottom: float) -> Iterator[str]:
    """Seconds since the switch went mute."""
    yield _line(scale.x(one.begin_ns), bottom + 10, scale.x(one.end_ns), bottom + 10)
    for second in range(0, int((one.end_ns - one.mute_ns) / 1e9) + 1, TICK_SECONDS):
        x = scale.x(one.mute_ns + second * 10**9)
        yield _line(x, bottom + 10, x, bottom + 16)
        yield _text(x, bottom + 32, f"{second} s", "faint small", "middle")


def _lane(scale: Scale, top: float, lane: Lane) -> Iterator[str]:
    yield _text(MARGIN, top + 12, lane.name, "head")
    yield _text(MARGIN, top + 27, lane.detail, "faint small")
    height = LANE_HEIGHT / len(lane.stripes)
    for number, stripe in enumerate(lane.stripes):
        for span in stripe:
            x, end = scale.x(span.begin_ns), scale.x(span.end_ns)
            gap = 1 if len(lane.stripes) > 1 else 0
            yield _rect(x, top + number * height, end - x - 1, height - gap, span.look)
    for span in lane.stripes[0]:
        x, end = scale.x(span.begin_ns), scale.x(span.end_ns)
        width = 8.5 * len(span.label) + 4
        if end - x > width:
            middle = (x + end) / 2
            yield _rect(middle - width / 2, top + 5, width, LANE_HEIGHT - 11, span.look)
            yield _text(middle, top + LANE_HEIGHT / 2 + 4, span.label, "in", "middle")


def _reaction(top: float, steps: Sequence[Step]) -> Iterator[str]:
    """A row for each step, its bar reaching from the step before."""
    yield _text(MARGIN, top, "The relay's reaction, enlarged", "head")
    explained = "milliseconds since the kernel's announcement; each bar begins where the last ended"
    yield _text(STEPS_LEFT, top, explained, "faint small")
    if len(steps) < 2:
        yield _text(MARGIN, top + 30, "There was none.", "bad")
        return
    zero = steps[0].ns
    scale = Scale([(zero, max(step.ns for step in steps))], STEPS_LEFT, STEPS_RIGHT)
    begin = zero
    for number, step in enumerate(steps):
        y = top + 18 + STEP * number
        x, end = scale.x(begin), scale.x(step.ns)
        yield _text(MARGIN, y + 14, step.name)
        yield _rect(x, y + 2, max(end - x, 3), STEP - 8, step.look)
        delay = milliseconds((step.ns - zero) / 1e9)
        yield _text(max(end, x + 3) + 8, y + 14, delay, "small")
        begin = step.ns


def _page(height: float, body: Iterable[str]) -> str:
    parts = "\n".join(body)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">
<title>A switch port goes mute: without the relay, with it, and with its heartbeat</title>
<style>{STYLE}</style>
{_rect(0.5, 0.5, WIDTH - 1, height - 1, "page")}
{parts}
</svg>"""


def _text(x: float, y: float, words: str, look: str = "", anchor: str = "start") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {where} class="{look}">{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, look: str) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}"'
    return f'<rect {where} rx="{RADII.get(look, 2)}" class="{look}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, look: str = "line") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{look}"/>'
