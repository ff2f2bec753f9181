"""A real Prometheus scrapes a system that trades: alerts are quiet and say who is dead, and every
panel of the dashboards has data.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.alert_rules import RULES
from deploy.dashboard_tables import DASHBOARDS
from services.cli.stack import free_port
from shared.alerting.table import RECORDING_RULES
from tests.e2e.up import arb, prepared, trading
from tests.support import eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.promtool, pytest.mark.timeout(300)]

CONFIG = """
global: {scrape_interval: 2s, evaluation_interval: 2s}
rule_files: [RULES]
scrape_configs:
  - {job_name: arbstream, honor_labels: true, static_configs: [{targets: ["TARGET"]}]}
"""


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus with our rules that scrapes ``target``; its URL."""
    rules = folder / "rules.yml"
    # As often as this test wants to look; alerts last as long as they are to.
    rules.write_text(RULES.read_text().replace("interval: 15s", "interval: 2s"))
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.replace("RULES", str(rules)).replace("TARGET", target))
    address = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}")
    with (folder / "prometheus.log").open("wb") as log:
        running = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address={address}"], stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        running.kill()
        running.wait()


def ask(url: str, query: str) -> list[dict[str, Any]]:
    asked = urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{asked}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except OSError as error:
        raise AssertionError(f"Prometheus does not answer: {error}") from error
    return found


def firing(url: str) -> set[tuple[str, str]]:
    """The alerts that fire, each with the service that it is about."""
    found = [each["metric"] for each in ask(url, 'ALERTS{alertstate="firing"}')]
    return {(each["alertname"], each.get("service", "")) for each in found}


def test_alerts_are_quiet_while_all_is_well_and_name_the_dead(tmp_path: Path) -> None:
    with prepared(tmp_path) as folder, trading(folder):
        services = {s["service"]: s for s in arb(folder, "status")[1]["services"]}
        target = urllib.parse.urlsplit(services["exporter"]["notes"]["metrics"]).netloc
        with prometheus(tmp_path, target) as url:
            enough = "count_over_time(arb_up[5m]) >= 20 and on () max_over_time(arb_up[5m]) == 1"
            eventually_sync(lambda: ask(url, enough), timeout_s=90, every_s=1, what="40 s")
            assert firing(url) == {("ArbWatchdog", "")}
            for rule in RECORDING_RULES:
                assert ask(url, rule.name), rule.name
            eventually_sync(lambda: has_data(url), timeout_s=60, every_s=2, what="panels")
            with_stopped(services["scanner"]["pid"], url)


def has_data(url: str) -> bool:
    """Tell whether every panel shows something that should; some are rightly empty here."""
    empty = [
        f"{dashboard.name}: {panel.title}: {query.expression}"
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
        if not panel.absent and not ask(url, query.expression)
    ]
    assert not empty, "\n".join(empty)
    return True


def with_stopped(pid: int, url: str) -> None:
    """Stop the scanner, so that it sends no heartbeats, and let it go on again."""
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually_sync(
            lambda: ("ArbDown", "scanner") in firing(url), timeout_s=60, every_s=1, what="ArbDown"
        )
    finally:
        os.kill(pid, signal.SIGCONT)
