"""A bar chart as SVG, logarithmic: contenders that differ by three decades fit one picture."""

from __future__ import annotations

import math
from html import escape

Series = dict[str, list[tuple[str, float]]]
"""Values by group, for each contender."""

_COLOURS = ("#6b7280", "#2563eb", "#059669", "#d97706", "#dc2626", "#7c3aed")
_LEFT, _TOP, _HEIGHT, _BAR, _GROUP_GAP = 70, 60, 300, 26, 30


def bars(title: str, x: str, y: str, series: Series) -> str:
    """Draw groups of bars, one bar a contender.

    Args:
        title: above the picture.
        x: what the groups are.
        y: what the values are.
        series: the values, all positive.
    """
    values = [value for points in series.values() for _, value in points]
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    groups = [group for group, _ in next(iter(series.values()))]
    step = _BAR * len(series) + _GROUP_GAP
    width = _LEFT + step * len(groups) + 20
    legend = 18 * len(series)
    height = _TOP + _HEIGHT + 50 + legend

    def level(value: float) -> float:
        return _TOP + _HEIGHT * (high - math.log10(value)) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="44" fill="#4b5563">{escape(y)}</text>',
    ]
    for decade in range(low, high + 1):
        at = level(10.0**decade)
        parts.append(
            f'<line x1="{_LEFT}" x2="{width - 10}" y1="{at}" y2="{at}" stroke="#e5e7eb"/>'
            f'<text x="{_LEFT - 6}" y="{at + 4}" text-anchor="end">{_seconds(10.0**decade)}</text>'
        )
    for place, group in enumerate(groups):
        left = _LEFT + _GROUP_GAP / 2 + step * place
        middle = left + _BAR * len(series) / 2
        parts.append(
            f'<text x="{middle}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">'
            f"{escape(group)} {escape(x)}</text>"
        )
        for index, points in enumerate(series.values()):
            if group not in dict(points):
                continue  # it could not do that much
            top = level(dict(points)[group])
            parts.append(
                f'<rect x="{left + _BAR * index}" y="{top}" width="{_BAR - 3}" '
                f'height="{_TOP + _HEIGHT - top}" fill="{_COLOURS[index % len(_COLOURS)]}"/>'
            )
    for index, who in enumerate(series):
        at = _TOP + _HEIGHT + 44 + 18 * index
        parts.append(
            f'<rect x="{_LEFT}" y="{at - 10}" width="12" height="12" '
            f'fill="{_COLOURS[index % len(_COLOURS)]}"/>'
            f'<text x="{_LEFT + 18}" y="{at}">{escape(who)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:g} {unit}"
    return f"{value * 1e9:g} ns"
