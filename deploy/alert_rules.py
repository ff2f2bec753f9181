"""Prometheus' rules and the runbook of alerts, from the table in ``shared/alerting/table.py``.

``python -m deploy.alert_rules`` rewrites both; a test says when they are not current.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.alerting.rule import AlertRule, Series
from shared.alerting.table import ALERT_RULES, RECORDING_RULES

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RUNBOOK = ROOT / "docs" / "alerts.md"
COMMAND = "python -m deploy.alert_rules"
INTERVAL = "15s"


def annotations(rule: AlertRule) -> dict[str, str]:
    """Return what travels with an alert."""
    return {"summary": rule.summary, "runbook_url": f"docs/alerts.md#{rule.name.lower()}"}


def rules_file() -> str:
    """Return the file of rules."""
    recording = [{"record": rule.name, "expr": rule.expression} for rule in RECORDING_RULES]
    alerts: list[dict[str, Any]] = [
        {
            "alert": rule.name,
            "expr": rule.expression,
            "for": rule.lasts,
            "labels": {"severity": rule.severity.value},
            "annotations": annotations(rule),
        }
        for rule in ALERT_RULES
    ]
    groups = {"arbstream-recording": recording, "arbstream-alerts": alerts}
    lines = [f"# From shared/alerting/table.py by {COMMAND}", "groups:"]
    for name, rules in groups.items():
        lines += [f"  - name: {name}", f"    interval: {INTERVAL}", "    rules:"]
        lines += [line for rule in rules for line in _item(rule)]
    return "\n".join(lines) + "\n"


def _item(rule: Any) -> Iterable[str]:
    """Yield an item of a list in YAML; JSON's strings are YAML's."""
    lead = "      - "
    for name, value in rule.items():
        if isinstance(value, dict):
            yield f"{lead}{name}:"
            yield from (f"          {key}: {json.dumps(text)}" for key, text in value.items())
        else:
            yield f"{lead}{name}: {json.dumps(value)}"
        lead = "        "


def promtool_cases(rule: AlertRule, rules: Path) -> str:
    """Return a file for ``promtool test rules``: the alert fires in one case, not in the other."""
    labels = {"severity": rule.severity.value, **rule.labels}
    firing = {"exp_labels": labels, "exp_annotations": annotations(rule)}
    cases = [_case(rule, rule.fires, [firing])]
    if rule.expression != "vector(1)":
        cases.append(_case(rule, rule.quiet, []))
    # JSON is YAML.
    return json.dumps({"rule_files": [str(rules)], "evaluation_interval": INTERVAL, "tests": cases})


def _case(rule: AlertRule, series: Series, expected: list[Any]) -> dict[str, Any]:
    return {
        "interval": rule.interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": rule.at, "alertname": rule.name, "exp_alerts": expected},
        ],
    }


def runbook() -> str:
    """Return the runbook of alerts."""
    lines = [
        "# Alerts",
        "",
        f"Generated from `shared/alerting/table.py` by `{COMMAND}`; a test keeps it current, and",
        "Debian's `promtool` shows that each alert fires and is quiet when it should. Prometheus",
        "reads [deploy/prometheus/rules.yml](../deploy/prometheus/rules.yml); the metrics are in",
        "[metrics.md](metrics.md). critical wakes somebody, warning is read, info is a digest.",
        "",
    ]
    for rule in ALERT_RULES:
        lasts = "" if rule.lasts == "0s" else f", for {rule.lasts}"
        lines += [
            f"## {rule.name}",
            "",
            f"{rule.summary}. **{rule.severity}**{lasts}: `{rule.expression}`",
            "",
            f"- First: `{rule.first}`",
            f"- Causes: {rule.causes}",
            f"- Remedy: {rule.remedy}",
            *([f"- Halt trading: {rule.halt}"] if rule.halt else []),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def generated() -> dict[Path, str]:
    """Return both files as they are to be."""
    return {RULES: rules_file(), RUNBOOK: runbook()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
