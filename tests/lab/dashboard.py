"""The dashboard as a picture: its own queries, put to a real Prometheus that has seen an incident.

    python tests/lab/dashboard.py results/dashboard

The folder is what `incident.py` left. The picture is `dashboard.svg` in it. Exit status: 0 each
panel has something to show, and those alerts fired that had to; 1 otherwise, and says which.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from panels import Answer, draw
from prometheus import Prometheus, Series

DASHBOARD = Path(__file__).parents[2] / "examples" / "prometheus" / "dashboard.json"
FIRED = {
    "PfstatusFlapping",
    "PfstatusGroupWithoutPath",
    "PfstatusLacpDown",
    "PfstatusRelayAbsent",
    "PfstatusVfEnabled",
    "PfstatusVfsNotSet",
}
"""All but those for a slow rate and for what is not set up to fail over, which it was."""
UNIT_PIXELS = 50
"""Width of a column of Grafana's grid of 24, in a window of usual size."""
_ROUND_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)
"""What Grafana rounds an interval to, as far as an incident lasts."""


class Window(NamedTuple):
    """The time that the dashboard shows, in seconds as Unix counts them."""

    begin: float
    end: float
    scrape: float

    def interval(self, panel: dict[str, Any]) -> float:
        """`$__interval` of a panel: one point a pixel, or `maxDataPoints`; rounded."""
        points = panel.get("maxDataPoints", panel["gridPos"]["w"] * UNIT_PIXELS)
        wanted = max((self.end - self.begin) / points, self.scrape)
        return float(min(_ROUND_SECONDS, key=lambda each: abs(each - wanted)))

    def fill_in(self, text: str, interval: float) -> str:
        """An expression as Grafana sends it, with all nodes chosen.

        Raises:
            ValueError: it has a variable that is not known here.
        """
        rate = max(interval + self.scrape, 4 * self.scrape)
        filled = text.replace("$__rate_interval", f"{rate:g}s").replace("$instance", ".*")
        if "$" in filled:
            raise ValueError(f"a variable that nobody fills in: {filled}")
        return filled


def legend(pattern: str, labels: dict[str, str]) -> str:
    """A series' name."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), pattern)


def ask(prometheus: Prometheus, panel: dict[str, Any], window: Window) -> list[list[Series]]:
    """What a panel's queries give, one after the other."""
    step = window.interval(panel)
    found = []
    for target in panel["targets"]:
        expr = window.fill_in(target["expr"], step)
        if target.get("instant"):
            found.append(prometheus.at(expr, window.end))
        else:  # whole steps, as Grafana asks
            begin, end = (when // step * step for when in (window.begin, window.end))
            found.append(prometheus.over(expr, begin, end, step))
    return found


def shortcomings(
    prometheus: Prometheus,
    asked: list[tuple[dict[str, Any], list[list[Series]]]],
    window: Window,
    node: str,
) -> list[str]:
    """What should be there and is not."""
    said = [
        f"panel {panel['title']!r} has nothing to show but zeros: {target['expr']}"
        for panel, found in asked
        for target, series in zip(panel["targets"], found, strict=True)
        if not any(value > 0 for one in series for _, value in one.points)
    ]
    variable = {"match[]": "pfstatus_build_info", "start": window.begin, "end": window.end}
    if (nodes := prometheus.get("label/instance/values", **variable)) != [node]:
        said.append(f"the dashboard can choose among {nodes}, and not {node}")
    firing = prometheus.over('ALERTS{alertstate="firing"}', window.begin, window.end, window.scrape)
    fired = {one.labels["alertname"] for one in firing}
    said += [f"{name} did not fire" for name in sorted(FIRED - fired)]
    said += [f"{name} fired" for name in sorted(fired - FIRED)]
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what incident.py left")
    folder = parser.parse_args().folder
    if not (folder / "incident.json").exists():
        parser.error(f"no incident in {folder}: `make dashboard` without AGAIN plays one")
    incident = json.loads((folder / "incident.json").read_text())
    dashboard = json.loads(DASHBOARD.read_text())
    window = Window(incident["begin"], incident["end"], incident["scrape"])
    with Prometheus(folder / "data", {}) as prometheus:
        asked = [(panel, ask(prometheus, panel, window)) for panel in dashboard["panels"]]
        missing = shortcomings(prometheus, asked, window, incident["node"])
    answers = {
        panel["id"]: [
            Answer(legend(target["legendFormat"], one.labels), one.labels, one.points)
            for target, series in zip(panel["targets"], found, strict=True)
            for one in series
        ]
        for panel, found in asked
    }
    picture = folder / "dashboard.svg"
    picture.write_text(draw(dashboard, answers, incident))
    for sentence in missing:
        print(sentence)
    print(f"{picture}: {len(asked)} panels, {len(FIRED)} alerts looked for, {len(missing)} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
