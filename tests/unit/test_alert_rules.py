"""The table of alerts: current, of metrics that exist, and judged by Debian's promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from deploy.alert_rules import COMMAND, RULES, RUNBOOK, annotations, generated, promtool_cases
from services.exporter.engine import ExporterEngine
from services.exporter.exposition import exposition
from services.exporter.metrics_page import ALL
from shared.alerting.rule import AlertRule, AlertSeverity
from shared.alerting.table import ALERT_RULES, RECORDING_RULES
from shared.config_sections import Config
from shared.services import CORE_SERVICES
from tests.support import ROOT

SUFFIXES = ("_bucket", "_count", "_sum", "")


def promtool(*arguments: str, given: bytes = b"") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_generated_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], f"run: {COMMAND}"


@pytest.mark.parametrize("rule", ALERT_RULES, ids=lambda rule: rule.name)
def test_a_rule_is_of_metrics_that_exist_and_its_runbook_as_well(rule: AlertRule) -> None:
    told = {f"{row.name}{suffix}" for row in ALL for suffix in SUFFIXES}
    recorded = {each.name for each in RECORDING_RULES}
    texts = [rule.expression, *rule.fires, *rule.quiet]
    for text in texts:
        bare = re.sub(r'"[^"]*"', "", text)
        used = set(re.findall(r"(?:\w+:)?arb_\w+(?::\w+)?", bare))
        assert used <= told | recorded, "an alert on a metric that does not exist never fires"
    page, _, anchor = annotations(rule)["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


def test_names_are_unique_and_the_watchdog_has_no_severity() -> None:
    assert len({rule.name for rule in ALERT_RULES}) == len(ALERT_RULES)
    quiet = [rule.name for rule in ALERT_RULES if rule.severity is AlertSeverity.NONE]
    assert quiet == ["ArbWatchdog"]
    assert {spec.name for spec in CORE_SERVICES} >= {
        labels["service"] for rule in ALERT_RULES if "service" in (labels := rule.labels)
    }


@pytest.mark.promtool
def test_promtool_reads_the_rules() -> None:
    assert f"{len(ALERT_RULES) + len(RECORDING_RULES)} rules found" in promtool(
        "check", "rules", str(RULES)
    )


@pytest.mark.promtool
@pytest.mark.parametrize("rule", ALERT_RULES, ids=lambda rule: rule.name)
def test_each_alert_fires_once_and_is_quiet_once(rule: AlertRule, tmp_path: Path) -> None:
    cases = tmp_path / "cases.yml"
    cases.write_text(promtool_cases(rule, RULES))
    promtool("test", "rules", str(cases))


@pytest.mark.promtool
def test_a_rule_that_does_not_fire_is_found(tmp_path: Path) -> None:
    rule = next(rule for rule in ALERT_RULES if rule.name == "ArbFeedSilent")
    broken, cases = tmp_path / "rules.yml", tmp_path / "cases.yml"
    broken.write_text(RULES.read_text().replace("arb_feed_up == 0", "arb_feed_up == 2"))
    cases.write_text(promtool_cases(rule, broken))
    with pytest.raises(AssertionError, match="ArbFeedSilent"):
        promtool("test", "rules", str(cases))


@pytest.mark.promtool
def test_promtool_has_no_complaint_about_the_metrics() -> None:
    _, text = exposition(ExporterEngine(Config()).samples(1, "1.2"), "text/plain")
    assert not promtool("check", "metrics", given=text)


def test_the_documents_name_each_other() -> None:
    assert "alerts.md" in (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert RUNBOOK.name in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
