"""Alerts and dashboard: metrics that exist, expressions that are taken, pages that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from xml.sax.saxutils import escape

import pytest
import yaml

from pfstatus.agent.heartbeats import HeartbeatMetrics
from pfstatus.agent.lacpdus import Lacpdus
from pfstatus.agent.metrics import Metrics
from pfstatus.heartbeat.values import Counts, HeartbeatState

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "examples" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((PROMETHEUS / "dashboard.json").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    panel["title"]: "\n".join(target["expr"] for target in panel["targets"])
    for panel in DASHBOARD["panels"]
}


@pytest.fixture
def promtool():
    found = shutil.which("promtool")
    if not found:
        pytest.skip("no promtool here: apt-get install prometheus")

    def run(*words, cwd=PROMETHEUS):
        ran = subprocess.run([found, *words], cwd=cwd, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    return run


def test_alerts_fire_when_they_should_and_else_do_not(promtool):
    promtool("check", "rules", "rules.yaml")
    promtool("test", "rules", "rules.test.yaml")


def test_expressions_of_the_dashboard_are_taken(promtool, tmp_path):
    exprs = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "5m")}
        for n, expr in enumerate(exprs)
    ]
    (tmp_path / "panels.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]})
    )
    promtool("check", "rules", "panels.yaml", cwd=tmp_path)


def test_picture_has_each_panel():
    picture = (ROOT / "docs" / "diagrams" / "dashboard.svg").read_text()
    for panel in DASHBOARD["panels"]:
        assert f">{escape(panel['title'])}</text>" in picture, "make dashboard"


@pytest.fixture
def names(rig):
    """Every metric that an agent has."""
    rig.pf()
    relay = rig.relay(groups=(("ens5f0", "ens5f1"),))
    metrics = Metrics(
        relay, [("ens5f0", "ens5f1")], lacpdus=lambda pfs: dict.fromkeys(pfs, Lacpdus(1, 1))
    )
    heart = SimpleNamespace(counts=Counts(), state=HeartbeatState.HEARD, distrusted=False)
    hearts = HeartbeatMetrics(SimpleNamespace(heartbeats=lambda: {"ens5f0": heart}))
    families = [*metrics.collect(), *hearts.collect()]
    found = set(re.findall(r"^# TYPE (\w+)", metrics.text().decode(), re.MULTILINE))
    for family in families:
        found |= {sample.name for sample in family.samples} | {family.name}
    return found | {f"{name}_bucket" for name in found}


@pytest.mark.parametrize("what", EXPRESSIONS)
def test_expression_goes_by_metrics_that_there_are(names, what):
    used = set(re.findall(r"pfstatus_\w+", EXPRESSIONS[what]))
    assert used <= names
    assert used or 'job="pfstatus"' in EXPRESSIONS[what]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_has_a_page(rule):
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]
    assert anchor == rule["alert"].lower()
    assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_page_lists_the_metrics_that_there_are(names):
    page = (ROOT / "docs" / "howto" / "relay.md").read_text()
    told = set(re.findall(r"`(pfstatus_\w+)", page))
    assert told - names == set()
