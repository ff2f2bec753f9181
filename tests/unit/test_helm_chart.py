"""The Helm chart: what it makes of values, and that this follows from the table of services."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.chart import ASKED_BY, SCHEMA, TABLE, row, schema, table
from shared.config import parse_config
from shared.services import (
    ALL_SERVICES,
    SERVICE_NAMES,
    SERVICE_OF,
    SERVICES,
    USUAL_SERVICES,
    Instances,
    Network,
)
from shared.venues.registry import EVERY, load_account_feed, load_feed
from tests.helm import Object, notes, render
from tests.helm_cases import CASES, PEER, VENUES, WHOLE, deployments
from tests.helm_policy import (
    container_of,
    environment_of,
    findings,
    of_kind,
    pod_of,
    secret_keys_of,
    service_of,
)
from tests.support import ROOT

pytestmark = pytest.mark.helm


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {name: render(values) for name, values in CASES.items()}


def test_what_runs_follows_from_the_table(rendered: dict[str, list[Object]]) -> None:
    for case, expected in (("default", USUAL_SERVICES), ("whole", SERVICE_NAMES)):
        found = {service_of(each) for each in of_kind(rendered[case], "Deployment")}
        assert found == set(expected), case
    (only,) = of_kind(rendered["one"], "Deployment")
    assert service_of(only) == "risk"
    assert container_of(only)["command"] == ["python", "-m", "services.risk"]


@pytest.mark.parametrize("service", [s.name for s in ALL_SERVICES if s.is_optional])
def test_an_optional_service_runs_where_its_section_asks_for_it(service: str) -> None:
    """As `arb up` does: by the keys of ``ASKED_BY`` and no others."""
    for key in ASKED_BY.get(service, ("enabled",)):
        text = f'[[notifier.channels]]\nname = "x"\nkind = "slack"\n{VENUES}'
        if key != "channels":
            text = f"[{service}]\n{key} = true\n{VENUES}"
        parse_config(text, "arb.toml")
        assert f"arb-arbstream-{service}" in deployments(render({"config": text}))
    none = f"[{service}]\nenabled = false\n{VENUES}" if service != "notifier" else VENUES
    parse_config(none, "arb.toml")
    assert f"arb-arbstream-{service}" not in deployments(render({"config": none}))


def test_replicas_follow_from_leases_and_shards(rendered: dict[str, list[Object]]) -> None:
    for case, shards in (("default", 1), ("shards", 4)):
        for each in of_kind(rendered[case], "Deployment"):
            spec = SERVICE_OF[service_of(each)]
            usual = {Instances.SHARDED: shards, Instances.LEASED: 1 if spec.is_optional else 2}
            assert each["spec"]["replicas"] == usual.get(spec.instances, 1), spec.name
    whole = deployments(rendered["whole"])
    assert whole["arb-arbstream-orderbook"]["spec"]["replicas"] == 3
    assert whole["arb-arbstream-scanner"]["spec"]["replicas"] == 2


def test_an_ingestor_for_each_venue() -> None:
    found = deployments(render({"config": VENUES}))
    served = {
        name: environment_of(each)["ARB_INGESTOR_VENUES"]
        for name, each in found.items()
        if service_of(each) == "ingestor"
    }
    assert served == {
        "arb-arbstream-ingestor-alpha": "alpha",
        "arb-arbstream-ingestor-beta-1": "beta_1",
    }
    only = {"config": VENUES, "services": {"ingestor": {"venues": ["alpha"]}}}
    assert sum("-ingestor-" in name for name in deployments(render(only))) == 1


def test_two_ingestors_of_a_venue_with_two_feeds(rendered: dict[str, list[Object]]) -> None:
    whole = deployments(rendered["whole"])
    feeds = {
        name: (each["spec"]["replicas"], environment_of(each)["ARB_INGESTOR_FEED"])
        for name, each in whole.items()
        if "-ingestor-alpha" in name
    }
    first, second = "arb-arbstream-ingestor-alpha", "arb-arbstream-ingestor-alpha-b"
    assert feeds == {first: (1, "a"), second: (1, "b")}
    budgets = {
        each["metadata"]["name"] for each in of_kind(rendered["whole"], "PodDisruptionBudget")
    }
    assert first in budgets and second not in budgets
    for name in feeds:
        (spread,) = pod_of(whole[name])["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"]["arbstream/group"] == first
    assert environment_of(whole["arb-arbstream-ingestor-beta-1"])["ARB_INGESTOR_FEED"] == "a"


def test_keys_of_traded_venues_go_to_who_trades(rendered: dict[str, list[Object]]) -> None:
    whole = deployments(rendered["whole"])
    keys = {f"{venue}_api_{part}" for venue in ("alpha", "beta_1") for part in ("key", "secret")}
    for spec in ALL_SERVICES:
        held = {
            secret
            for name, each in whole.items()
            if service_of(each) == spec.name
            for secret in secret_keys_of(each)
            if "_api_" in secret
        }
        assert held == (keys if spec.holds_secrets else set()), spec.name
    paper = deployments(rendered["default"])["arb-arbstream-executor"]
    assert secret_keys_of(paper) == {"redis_password", "plan_key", "command_key"}
    variables = environment_of(whole["arb-arbstream-executor"])
    assert variables["ARB_BETA_1_API_SECRET_FILE"] == "/run/arb/secret/beta_1_api_secret"


def test_what_a_service_alone_is_given(rendered: dict[str, list[Object]]) -> None:
    whole = deployments(rendered["whole"])
    assert secret_keys_of(whole["arb-arbstream-notifier"]) == {"redis_password", "phone"}
    assert secret_keys_of(whole["arb-arbstream-recorder"]) == {"redis_password", "ledger_url"}
    dashboard = environment_of(whole["arb-arbstream-dashboard"])
    assert dashboard["ARB_DASHBOARD_REDIS_USERNAME"] == "operator"
    assert dashboard["ARB_DASHBOARD_ALLOWED_HOSTS"] == "arb.example.com"
    secrets = {
        volume["secret"]["secretName"]
        for name in ("risk", "executor")
        for volume in pod_of(whole[f"arb-arbstream-{name}"])["volumes"]
        if volume["name"] == "secret"
    }
    assert secrets == {"keys-of-risk", "arbstream-executor"}
    said = notes(WHOLE)
    assert "keys-of-risk: command_key, plan_key, redis_password" in said
    assert "executor.mode live" in said


def test_live_trading_is_not_on_by_default(rendered: dict[str, list[Object]]) -> None:
    for case in ("default", "one", "shards", "plain"):
        assert "yes-trade-real-money" not in json.dumps(rendered[case])
        (config,) = of_kind(rendered[case], "ConfigMap")
        assert parse_config(config["data"]["arb.toml"], "arb.toml").executor.mode == "paper"
    live = [
        name
        for name, each in deployments(rendered["whole"]).items()
        if "ARB_LIVE_TRADING" in environment_of(each)
    ]
    assert live == ["arb-arbstream-executor"]


def test_the_dashboard_is_reached_by_a_named_proxy_alone(rendered: dict[str, list[Object]]) -> None:
    hidden = environment_of(deployments(rendered["default"])["arb-arbstream-dashboard"])
    assert hidden["ARB_DASHBOARD_HOST"] == "127.0.0.1"
    services = [each["metadata"]["name"] for each in of_kind(rendered["default"], "Service")]
    assert services == ["arb-arbstream-exporter"]
    policies = of_kind(rendered["whole"], "NetworkPolicy")
    (policy,) = [p for p in policies if p["metadata"]["name"].endswith("-dashboard")]
    assert policy["spec"]["ingress"] == [
        {"from": [PEER], "ports": [{"protocol": "TCP", "port": 9470}]}
    ]


def test_files_are_shared_only_where_the_volume_can_be(rendered: dict[str, list[Object]]) -> None:
    mounts = {
        name: {m["name"]: m.get("readOnly", False) for m in container_of(each)["volumeMounts"]}
        for name, each in deployments(rendered["whole"]).items()
    }
    assert mounts["arb-arbstream-recorder"]["files"] is False
    assert mounts["arb-arbstream-scanner"]["files"] is True
    assert "files" not in mounts["arb-arbstream-risk"]
    apart = copy.deepcopy(WHOLE)
    apart["services"]["recorder"]["storage"]["accessMode"] = "ReadWriteOnce"
    scanner = deployments(render(apart))["arb-arbstream-scanner"]
    assert "ARB_RECORDER_DIR" not in environment_of(scanner)
    claims = of_kind(rendered["whole"], "PersistentVolumeClaim")
    sizes = {c["metadata"]["name"]: c["spec"]["resources"]["requests"]["storage"] for c in claims}
    assert sizes == {"arb-arbstream-recorder": "200Gi", "arb-arbstream-dashboard": "1Gi"}


def test_where_pods_run_is_as_given(rendered: dict[str, list[Object]]) -> None:
    pod = pod_of(deployments(rendered["whole"])["arb-arbstream-orderbook"])
    assert pod["affinity"] == WHOLE["affinity"]
    assert pod["nodeSelector"] == WHOLE["nodeSelector"]
    assert pod["priorityClassName"] == "trading"
    assert pod["imagePullSecrets"] == [{"name": "images"}]
    lost = [each["tolerationSeconds"] for each in pod["tolerations"] if "effect" in each]
    assert (lost, pod["tolerations"][-1:]) == ([20, 20], WHOLE["tolerations"])
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["arbstream/group"] == "arb-arbstream-orderbook"
    single = pod_of(deployments(rendered["default"])["arb-arbstream-orderbook"])
    assert "topologySpreadConstraints" not in single


def test_labels_are_added_to_pods(rendered: dict[str, list[Object]]) -> None:
    for each in of_kind(rendered["whole"], "Deployment"):
        metadata = each["spec"]["template"]["metadata"]
        assert metadata["labels"]["team"] == "desk"
        assert metadata["annotations"]["note"] == "a"


def test_the_authority_of_redis_is_mounted(rendered: dict[str, list[Object]]) -> None:
    apart = render({"redis": {"tlsCa": {"secret": "ca", "key": "tls.crt"}}})
    expected = {"secretName": "ca", "items": [{"key": "tls.crt", "path": "ca.crt"}]}
    for each in of_kind(apart, "Deployment"):
        assert [v["secret"] for v in pod_of(each)["volumes"] if v["name"] == "tls"] == [expected]
        assert environment_of(each)["ARB_REDIS_TLS_CA_FILE"] == "/run/arb/tls/ca.crt"
    assert findings(apart) == []
    default = deployments(rendered["default"])["arb-arbstream-risk"]
    assert "ARB_REDIS_TLS_CA_FILE" not in environment_of(default)


def test_a_way_that_is_asked_for_is_open_to_that_service_alone() -> None:
    rule = {
        "to": [{"podSelector": {"matchLabels": {"app": "postgres"}}}],
        "ports": [{"port": 5432}],
    }
    values = {"services": {"risk": {"extraEgress": [rule]}}, "dashboard": {"from": [PEER]}}
    policies = of_kind(render(values), "NetworkPolicy")
    names = [p["metadata"]["name"] for p in policies if rule in p["spec"]["egress"]]
    assert names == ["arb-arbstream-risk"]
    (hidden,) = [p for p in policies if p["metadata"]["name"].endswith("-dashboard")]
    assert "ingress" not in hidden["spec"], "it listens on its pod's loopback"
    assert of_kind(render({"networkPolicy": {"enabled": False}}), "NetworkPolicy") == []


def test_what_must_outlive_a_release_and_a_lost_redis(rendered: dict[str, list[Object]]) -> None:
    for claim in of_kind(rendered["whole"], "PersistentVolumeClaim"):
        assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for service in of_kind(rendered["whole"], "Service"):
        assert service["spec"]["publishNotReadyAddresses"] is True


def test_a_changed_configuration_restarts_who_reads_it() -> None:
    digests = {
        each["spec"]["template"]["metadata"]["annotations"]["arbstream/config"]
        for config in (VENUES, VENUES + "\n# changed\n")
        for each in of_kind(render({"config": config}), "Deployment")
    }
    assert len(digests) == 2


def test_long_names_stay_names() -> None:
    venue = "V_" * 31 + "_."  # 64 characters, the longest
    values = {"config": f'[venues."{venue}"]\nadapter = "binance"\ntwo_feeds = true\n'}
    assert findings(render(values, release="r" * 53)) == []
    assert findings(render(release="team.arb")) == []


@pytest.mark.parametrize("url", ["rediss://[2001:db8::1]:6379/0", "rediss://[2001:db8::1234]"])
def test_redis_may_have_an_address_of_ipv6(url: str) -> None:
    risk = deployments(render({"redis": {"url": url}}))["arb-arbstream-risk"]
    assert environment_of(risk)["ARB_REDIS_URL"] == url


def test_ports_of_every_venue_are_open(rendered: dict[str, list[Object]]) -> None:
    policies = of_kind(rendered["default"], "NetworkPolicy")
    (policy,) = [p for p in policies if p["metadata"]["name"].endswith("-ingestor")]
    opened = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    for adapter in EVERY:
        feed = load_feed(adapter)
        texts = [feed.ws_url, feed.rest_url, str(vars(load_account_feed(adapter) or object))]
        ports = {int(port) for text in texts for port in re.findall(r"//[a-z0-9.-]+:(\d+)", text)}
        assert ports <= opened, adapter


def test_the_table_and_the_schema_are_of_every_service() -> None:
    written = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert tuple(written["properties"]["services"]["properties"]) == SERVICE_NAMES
    for spec in ALL_SERVICES:
        assert f"{spec.name}:\n" in TABLE.read_text(encoding="utf-8")
        assert bool(row(spec)["asked"]) == (spec.name not in SERVICES)


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = (SCHEMA.parent / "Chart.yaml").read_text(encoding="utf-8")
    assert f'\nappVersion: "{project["version"]}"' in chart
    image = container_of(deployments(render())["arb-arbstream-risk"])["image"]
    assert image == f"arbstream:{project['version']}"


def test_a_new_service_is_deployed_by_its_row_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting the places: no template names it, and the table and the schema are written."""
    watcher = replace(SERVICE_OF["risk"], name="watcher", network=Network.VENUES)
    monkeypatch.setattr("deploy.chart.ALL_SERVICES", (*ALL_SERVICES, watcher))
    monkeypatch.setitem(SERVICE_OF, "watcher", watcher)
    chart = tmp_path / "arbstream"
    shutil.copytree(SCHEMA.parent, chart)
    (chart / TABLE.name).write_text(table(), encoding="utf-8")
    (chart / SCHEMA.name).write_text(schema(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")
    objects = render({"services": {"watcher": {"replicas": 3}}}, chart=chart)
    assert findings(objects) == []
    deployed = deployments(objects)["arb-arbstream-watcher"]
    assert deployed["spec"]["replicas"] == 3
    assert container_of(deployed)["command"] == ["python", "-m", "services.watcher"]


def test_the_manual_installs_what_the_chart_takes() -> None:
    manual = (SCHEMA.parents[1] / "README.md").read_text(encoding="utf-8")
    values: dict[str, Any] = {}
    for path, value in re.findall(r"--set ([\w.]+)=([^\s`]+)", manual.partition("## What runs")[0]):
        *parents, name = path.split(".")
        part = values
        for parent in parents:
            part = part.setdefault(parent, {})
        part[name] = value
    assert set(values) == {"image", "redis", "liveTrading"}
    assert findings(render(values)) == []
    (names,) = re.findall(r"^for name in (.*); do$", manual, re.MULTILINE)
    assert set(names.split()) == set(SERVICE_NAMES)
