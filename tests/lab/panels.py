"""Panels of a Grafana dashboard, drawn as one SVG: as much of Grafana's language as ours speaks."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WIDTH, MARGIN, ROW, GAP = 1200, 20, 30, 8
"""Pixels; ROW is the height of a row of the grid, GAP what is between two panels."""
COLUMN = (WIDTH - 2 * MARGIN) / 24
TICK_SECONDS = 30
STORY_COLUMNS = 3
LEGEND, TITLE, AXIS = 34, 34, 20
"""Heights within a panel."""
PALETTE = ("#1a7f37", "#bf8700", "#0969da", "#bc4c00", "#8250df", "#cf222e")
NAMED = {"green": "#1a7f37", "red": "#cf222e", "orange": "#bc4c00"}
STYLE = """
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif;
       font-size: 12px; fill: #1f2328 }
.page { fill: #f3f5f7 }
.card { fill: #ffffff; stroke: #d1d9e0 }
.name { font-size: 21px; font-weight: 600 }
.title { font-size: 13px; font-weight: 600 }
.faint { fill: #59636e }
.small { font-size: 11px }
.big { font-size: 40px; font-weight: 600 }
.in { fill: #ffffff; font-weight: 600 }
.grid { stroke: #e6eaef }
.mark { stroke: #8c959f; stroke-dasharray: 2 3 }
.badge { fill: #57606a }
.letter { fill: #ffffff; font-size: 10px; font-weight: 600 }
"""

Point = tuple[float, float]


class Answer(NamedTuple):
    """A series that a panel shows."""

    legend: str
    labels: Mapping[str, str]
    points: Sequence[Point]
    """Unix time and value; NaN where there is none."""


class Box(NamedTuple):
    """Where something is drawn, in pixels, and the time that its width stands for."""

    x: float
    y: float
    width: float
    height: float
    begin: float
    end: float

    def at(self, when: float) -> float:
        """Where an instant is."""
        share = (when - self.begin) / (self.end - self.begin)
        return self.x + self.width * min(max(share, 0.0), 1.0)

    def within(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """What is left of it without these edges."""
        width, height = self.width - left - right, self.height - top - bottom
        return self._replace(x=self.x + left, y=self.y + top, width=width, height=height)

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height


def draw(
    dashboard: Mapping[str, Any],
    answers: Mapping[int, Sequence[Answer]],
    incident: Mapping[str, Any],
) -> str:
    """The whole picture.

    Args:
        dashboard: as Grafana reads it.
        answers: what the queries gave, by the panel's id.
        incident: its `begin` and `end`, and `steps`, each with `time` and `text`.
    """
    begin, end = incident["begin"], incident["end"]
    steps = [(chr(ord("A") + n), step) for n, step in enumerate(incident["steps"])]
    lines = math.ceil(len(steps) / STORY_COLUMNS)
    top = 74 + 20 * lines
    parts = [_text(MARGIN + 4, 36, dashboard["title"], "name")]
    told = f"{_clock(end - begin)} minutes of one node; what happened, at the dashed lines:"
    parts.append(_text(MARGIN + 108, 36, told, "faint"))
    for number, (letter, step) in enumerate(steps):
        x = MARGIN + 12 + number // lines * (WIDTH - 2 * MARGIN) / STORY_COLUMNS
        y = 60 + 20 * (number % lines)
        parts.append(_badge(x, y, letter))
        parts.append(_text(x + 14, y + 4, _clock(step["time"] - begin), "faint small"))
        parts.append(_text(x + 44, y + 4, step["text"], "small"))
    bottom = top
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        box = Box(
            MARGIN + grid["x"] * COLUMN + GAP / 2,
            top + grid["y"] * ROW,
            grid["w"] * COLUMN - GAP,
            grid["h"] * ROW - GAP,
            begin,
            end,
        )
        bottom = max(bottom, box.bottom)
        parts.append(_rect(box.x, box.y, box.width, box.height, 'class="card" rx="4"'))
        parts.append(_text(box.x + 12, box.y + 22, panel["title"], "title"))
        marks = [(letter, step["time"]) for letter, step in steps]
        parts.extend(DRAW[panel["type"]](panel, box, answers[panel["id"]], marks))
    height = bottom + MARGIN
    body = "\n".join(parts)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">
<title>The dashboard, after {_clock(end - begin)} minutes in which LACP came and went</title>
<style>{STYLE}</style>
{_rect(0, 0, WIDTH, height, 'class="page"')}
{body}
</svg>
"""


# Kinds of panels

Marks = Sequence[tuple[str, float]]


def _stat(panel: Any, box: Box, answers: Sequence[Answer], _marks: Marks) -> Iterator[str]:
    """The last value, and how it came to that."""
    (answer,) = answers
    last = answer.points[-1][1]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = NAMED[[s for s in steps if s["value"] is None or s["value"] <= last][-1]["color"]]
    inner = box.within(1, 70, 1, 1)
    top = max(value for _, value in answer.points) or 1.0
    runs = [[(inner.at(t), inner.bottom - (inner.height - 8) * v / top) for t, v in answer.points]]
    yield _area(runs[0], [(x, inner.bottom) for x, _ in runs[0]], colour, 0.15)
    yield from _curve(runs, colour)
    middle = box.x + box.width / 2
    where = f'x="{middle:.0f}" y="{box.y + 64:.0f}" text-anchor="middle"'
    yield f'<text {where} class="big" style="fill:{colour}">{last:g}</text>'


def _states(panel: Any, box: Box, answers: Sequence[Answer], marks: Marks) -> Iterator[str]:
    """A stripe for each series, its states by the panel's mapping."""
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    plot = box.within(90, TITLE + 14, 14, AXIS + LEGEND + 6)
    yield from _time_axis(plot, marks, letters=True)
    height = plot.height / len(answers)
    step = _step(answers)
    for number, answer in enumerate(answers):
        y = plot.y + height * number + 4
        yield _text(plot.x - 10, y + height / 2, answer.legend, "", "end")
        for first, last, value in _spans(answer.points, step):
            state = options[f"{value:g}"]
            x, end = plot.at(first), plot.at(last)
            paint = f'fill="{NAMED[state["color"]]}" fill-opacity="0.85"'
            yield _rect(x, y, end - x, height - 8, paint)
            if end - x > 8 * len(state["text"]):
                yield _text((x + end) / 2, y + height / 2, state["text"], "in", "middle")
    names = [(state["text"], NAMED[state["color"]]) for state in options.values()]
    yield from _legend(box, names)


def _series(panel: Any, box: Box, answers: Sequence[Answer], marks: Marks) -> Iterator[str]:
    """Lines, stacked areas, bars or points over time."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    style = custom.get("drawStyle", "line")
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    step = _step(answers)
    lower: dict[float, float] = {}
    stacks = []
    for answer in answers:
        known = [(t, v) for t, v in answer.points if not math.isnan(v)]
        base = [(t, lower.get(t, 0.0) if stacked else 0.0) for t, _ in known]
        upper = [(t, v + b) for (t, v), (_, b) in zip(known, base, strict=True)]
        if stacked:
            lower.update(upper)
        stacks.append((answer.legend, base, upper))
    top = max((v for _, _, upper in stacks for _, v in upper), default=0.0)
    ticks = _ticks(top, whole=defaults.get("decimals") == 0)
    plot = box.within(54, TITLE + 4, 14, AXIS + LEGEND + 6)

    def place(points: Iterable[Point]) -> list[Point]:
        return [(plot.at(t), plot.bottom - plot.height * v / ticks[-1]) for t, v in points]

    for tick in ticks:
        y = plot.bottom - plot.height * tick / ticks[-1]
        yield f'<path d="M{plot.x:.1f},{y:.1f}h{plot.width:.1f}" class="grid"/>'
        yield _text(plot.x - 6, y + 4, _value(tick, defaults.get("unit", "")), "faint small", "end")
    yield from _time_axis(plot, marks)
    opacity = custom.get("fillOpacity", 0) / 100
    for colour, (_, base, upper) in zip(PALETTE, stacks, strict=False):
        if style == "bars":
            wide = 0.6 * (plot.at(plot.begin + step) - plot.x)
            for x, y in place(upper):
                if y < plot.bottom:
                    paint = f'fill="{colour}" fill-opacity="{opacity:g}" stroke="{colour}"'
                    yield _rect(x - wide / 2, y, wide, plot.bottom - y, paint)
        elif style == "points":
            radius = custom.get("pointSize", 5) / 2
            yield from (_dot(x, y, radius, colour) for x, y in place(upper))
        else:
            runs = _runs(upper, step)
            if opacity:
                for above, below in zip(runs, _runs(base, step), strict=True):
                    yield _area(place(above), place(below), colour, opacity)
            yield from _curve([place(run) for run in runs], colour)
    yield from _legend(box, list(zip([name for name, _, _ in stacks], PALETTE, strict=False)))


def _table(panel: Any, box: Box, answers: Sequence[Answer], _marks: Marks) -> Iterator[str]:
    """The labels that the panel does not hide."""
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({name for answer in answers for name in answer.labels if name not in hidden})
    wide = (box.width - 24) / max(len(columns), 1)
    for number, column in enumerate(columns):
        x = box.x + 12 + wide * number
        yield _text(x, box.y + 52, column, "faint")
        for row, answer in enumerate(answers):
            yield _text(x, box.y + 78 + 26 * row, answer.labels.get(column, ""))
    for row in range(len(answers) + 1):
        y = box.y + 60 + 26 * row
        yield f'<path d="M{box.x + 12:.1f},{y:.1f}h{box.width - 24:.1f}" class="grid"/>'


DRAW = {"stat": _stat, "state-timeline": _states, "timeseries": _series, "table": _table}


# What is in a panel


def _step(answers: Sequence[Answer]) -> float:
    """Seconds between two points."""
    times = sorted({when for answer in answers for when, _ in answer.points})
    return min((b - a for a, b in pairwise(times)), default=1.0)


def _runs(points: Sequence[Point], step: float) -> list[list[Point]]:
    """Stretches without a gap."""
    runs: list[list[Point]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] < 1.5 * step:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _spans(points: Sequence[Point], step: float) -> Iterator[tuple[float, float, float]]:
    """Begin, end and value of what stays the same."""
    for run in _runs(points, step):
        first = run[0]
        for point in [*run[1:], (run[-1][0] + step, math.nan)]:
            if point[1] != first[1]:
                yield first[0], point[0], first[1]
                first = point


def _ticks(top: float, *, whole: bool) -> list[float]:
    """From 0 to no less than `top`, four or so."""
    if top <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(top / 4))
    size = next(power * n for n in (1, 2, 5, 10) if power * n >= top / 4)
    if whole:
        size = max(1.0, math.ceil(size))
    return [n * size for n in range(math.ceil(top / size - 1e-9) + 1)]


def _value(value: float, unit: str) -> str:
    """With its unit, as an axis has it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and value:
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.3g}{' /s' if unit == 'cps' else ''}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _time_axis(plot: Box, marks: Marks, *, letters: bool = False) -> Iterator[str]:
    for second in range(0, int(plot.end - plot.begin) + 1, TICK_SECONDS):
        x = plot.at(plot.begin + second)
        yield _text(x, plot.bottom + 16, _clock(second), "faint small", "middle")
    for letter, when in marks:
        x = plot.at(when)
        yield f'<path d="M{x:.1f},{plot.y:.1f}V{plot.bottom:.1f}" class="mark"/>'
        if letters:
            yield _badge(x, plot.y - 10, letter)


def _legend(box: Box, names: Sequence[tuple[str, str]]) -> Iterator[str]:
    x, y = box.x + 14, box.bottom - 26
    for name, colour in names:
        if x + 17 + 6.4 * len(name) > box.x + box.width:
            x, y = box.x + 14, box.bottom - 10
        yield _rect(x, y - 7, 12, 4, f'fill="{colour}" rx="2"')
        yield _text(x + 17, y, name, "small")
        x += 34 + 6.4 * len(name)


# What SVG has


def _curve(runs: Iterable[Sequence[Point]], colour: str) -> Iterator[str]:
    path = ""
    for run in runs:
        if len(run) == 1:
            yield _dot(*run[0], 2, colour)
        else:
            path += "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in _plain(run))
    if path:
        yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _area(above: Sequence[Point], below: Sequence[Point], colour: str, opacity: float) -> str:
    corners = "L".join(f"{x:.1f},{y:.1f}" for x, y in [*_plain(above), *_plain(below)[::-1]])
    return f'<path d="M{corners}Z" fill="{colour}" fill-opacity="{opacity:g}"/>'


def _plain(points: Sequence[Point]) -> list[Point]:
    """Without those in the midst of a level stretch."""
    return [
        point
        for n, point in enumerate(points)
        if not 0 < n < len(points) - 1 or not points[n - 1][1] == point[1] == points[n + 1][1]
    ]


def _dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def _badge(x: float, y: float, letter: str) -> str:
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" class="badge"/>'
    return circle + _text(x, y + 3.5, letter, "letter", "middle")


def _text(x: float, y: float, words: str, look: str = "", anchor: str = "start") -> str:
    where = f'x="{x:.1f}" y="{y:.1f}"' + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text {where} class="{look}">{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, paint: str) -> str:
    size = f'width="{max(width, 1):.1f}" height="{height:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} {paint}/>'
