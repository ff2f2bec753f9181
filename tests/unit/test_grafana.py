"""Grafana's dashboards: current, whole, and of expressions that Prometheus understands."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.dashboard_tables import DASHBOARDS, Dashboard
from deploy.grafana import COMMAND, SOURCE_UID, dashboard_json, generated, provisioning, uid_of
from services.exporter.metrics_page import ALL
from shared.alerting.table import RECORDING_RULES


def expressions(dashboard: Dashboard) -> list[str]:
    return [query.expression for panel in dashboard.panels for query in panel.queries]


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_generated_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], f"run: {COMMAND}"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_a_dashboard_is_whole(dashboard: Dashboard) -> None:
    made: dict[str, Any] = json.loads(json.dumps(dashboard_json(dashboard)))
    assert made["uid"] == uid_of(dashboard)
    assert len(made["uid"]) <= 40, "Grafana's limit"
    panels = made["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(dashboard.panels) + 1))
    for panel in panels:
        assert panel["datasource"]["uid"] == SOURCE_UID
        assert panel["fieldConfig"]["defaults"]["noValue"] == "unknown", "absent is not 0"
        assert {target["refId"] for target in panel["targets"]} <= set("ABCDEF")
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        assert not overlap(one, other)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )


def test_what_grafana_is_given_names_the_same_source_and_folder() -> None:
    source, folder = provisioning().values()
    assert source["datasources"][0]["uid"] == SOURCE_UID
    assert folder["providers"][0]["type"] == "file"
    assert len({uid_of(each) for each in DASHBOARDS}) == len(DASHBOARDS) == 6


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda each: each.name)
def test_panels_are_of_metrics_and_labels_that_exist(dashboard: Dashboard) -> None:
    labels = {row.name: set(row.labels) for row in ALL}
    recorded = {rule.name for rule in RECORDING_RULES}
    for expression in expressions(dashboard):
        used = set(re.findall(r"(?:\w+:)?arb_\w+(?::\w+)?", re.sub(r'"[^"]*"', "", expression)))
        for name in used - recorded:
            base = name if name in labels else re.sub(r"_(bucket|count|sum)$", "", name)
            assert base in labels, f"{name} does not exist"
    for panel in dashboard.panels:
        for query in panel.queries:
            told = re.findall(r"{{(\w+)}}", query.legend)
            names = re.findall(r"arb_\w+", query.expression)
            known = {
                label for name in names for label in labels.get(re.sub(r"_bucket$", "", name), ())
            }
            assert set(told) <= known | {"alertname"} | ({"venue"} if not known else set())


@pytest.mark.promtool
def test_promtool_understands_every_expression(tmp_path: Path) -> None:
    every = [text for each in DASHBOARDS for text in expressions(each)]
    rules = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(every)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(every)} rules found" in done.stdout
