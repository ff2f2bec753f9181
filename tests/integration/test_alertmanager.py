"""Alertmanager's configuration: current, right, and what it does with alerts, by Debian's own."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from deploy.alertmanager import (
    COMMAND,
    FILE,
    SECRETS,
    WATCHER,
    inhibition,
    receivers,
    render,
    route,
)
from services.cli.silence import ALERTMANAGER, NAMES
from services.cli.stack import free_port
from shared.alerting.routing import INHIBITIONS, ROUTES
from shared.alerting.rule import AlertSeverity
from shared.alerting.table import ALERT_RULES, RULE_OF
from shared.services import SERVICE_NAMES
from tests.fake_channels import Providers, providers
from tests.integration.test_watch import watching
from tests.support import eventually


def amtool(*arguments: str) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode().strip()


def test_the_file_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), f"run: {COMMAND}"


def test_every_severity_has_a_route_to_somebody_and_every_secret_is_in_a_file() -> None:
    assert {each.severity for each in ROUTES} == set(AlertSeverity)
    assert {each.receiver for each in ROUTES} == {each["name"] for each in receivers()}
    assert [rule.name for rule in ALERT_RULES if rule.severity is AlertSeverity.NONE] == [
        "ArbWatchdog"
    ]
    assert render().count(SECRETS) == 4


def test_what_inhibits_and_is_inhibited_exists_and_no_cause_hides_itself() -> None:
    for each in INHIBITIONS:
        assert {each.cause, *each.consequences} <= RULE_OF.keys()
        assert {*each.services, *each.consumers} <= set(SERVICE_NAMES)
        assert each.cause not in each.consequences
        assert RULE_OF[each.cause].severity is AlertSeverity.CRITICAL, "or nobody may be told"


@pytest.mark.amtool
def test_amtool_reads_it() -> None:
    assert f"{len(INHIBITIONS)} inhibit rules" in amtool("check-config", str(FILE))


@pytest.mark.amtool
@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "page"), ("warning", "chat"), ("info", "digest"), ("none", "watchdog")],
)
def test_amtool_sends_each_severity_where_it_belongs(severity: str, receiver: str) -> None:
    found = amtool("config", "routes", "test", f"--config.file={FILE}", f"severity={severity}")
    assert found == receiver


@asynccontextmanager
async def alertmanager(folder: Path, there: Providers, watcher: str) -> AsyncIterator[str]:
    """Alertmanager with our routes and rules, whose receivers are on loopback; its URL."""
    hooks = [
        {"name": name, "webhook_configs": [{"url": f"{there.url}/{name}"}]}
        for name in ("page", "chat", "digest")
    ]
    hooks.append(
        {
            "name": "watchdog",
            "webhook_configs": [{"url": WATCHER.replace("http://watcher:9466", watcher)}],
        }
    )
    told = {
        "route": route(),
        "inhibit_rules": list(map(inhibition, INHIBITIONS)),
        "receivers": hooks,
    }
    config = folder / "alertmanager.yml"
    # As soon as this test wants to look. JSON is YAML.
    config.write_text(json.dumps(told).replace('"10s"', '"1s"').replace('"5m"', '"1s"'))
    address = f"127.0.0.1:{free_port()}"
    options = (f"--config.file={config}", f"--storage.path={folder / 'data'}")
    with (folder / "alertmanager.log").open("wb") as log:
        running = subprocess.Popen(
            [
                "prometheus-alertmanager",
                *options,
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        running.kill()
        running.wait()


async def fire(url: str, *alerts: dict[str, str]) -> bool:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    told = [{"labels": labels, "startsAt": now} for labels in alerts]
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/api/v2/alerts", json=told) as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def alert(name: str, **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": RULE_OF[name].severity.value, **labels}


@pytest.mark.amtool
async def test_alerts_arrive_where_they_belong_and_consequences_do_not(tmp_path: Path) -> None:
    async with providers() as there:
        with watching(tmp_path) as watcher:
            async with alertmanager(tmp_path, there, await watcher.url()) as url:
                alerts = (
                    alert("ArbWatchdog"),
                    alert("ArbDown", service="ingestor", proc="ingestor-0"),
                    alert("ArbHalted", state="HALTED"),
                    alert("ArbFeedSilent", venue="venue-a"),
                    alert("ArbClock", venue="venue-a"),
                )
                await eventually(lambda: fire(url, *alerts), timeout_s=30)

                def names(receiver: str) -> set[str]:
                    posts = [each.fields for each in there.of(f"/{receiver}")]
                    return {a["labels"]["alertname"] for post in posts for a in post["alerts"]}

                await eventually(lambda: names("page") == {"ArbDown", "ArbHalted"}, timeout_s=30)
                await eventually(lambda: names("chat") == {"ArbClock"}, timeout_s=30)
                heard = f"{NAMES[ALERTMANAGER]} is heard"
                await eventually(lambda: heard in watcher.said(), timeout_s=30)
                assert "ArbFeedSilent" not in names("chat")
