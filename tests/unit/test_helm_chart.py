"""The Helm chart: what it renders, what Kubernetes would say of it, and what it refuses."""

from __future__ import annotations

import copy
import json
import re
import shutil
import tomllib
from collections.abc import Callable
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
from tests.helm import Object, Refused, invalid, lint, notes, render
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

OLDEST, NEWEST = "1.27", "1.37"
"""Versions of Kubernetes; the oldest is that of Chart.yaml."""
VENUES = """
[venues.alpha]
adapter = "binance"
instruments = ["BTC/USDT"]
[venues.beta_1]
adapter = "kraken"
instruments = ["BTC/USDT"]
"""
EVERYTHING = f"""
[bus]
shards = 2
[executor]
mode = "live"
[recorder]
enabled = true
ledger = true
[dashboard]
operator = true
[[notifier.channels]]
name = "phone"
kind = "telegram"
chat = "-1001"
[[notifier.channels]]
name = "desk"
kind = "email"
host = "mail.example"
sender = "arb@example.org"
to = ["ops@example.org"]
{VENUES}
[venues.watched]
adapter = "kraken"
trade = false
instruments = ["ETH/USDT"]
[[strategies]]
id = "mine"
class = "mine.py"
"""
PEER = {"podSelector": {"matchLabels": {"app": "proxy"}}}
WHOLE: dict[str, Any] = {
    "config": EVERYTHING,
    "liveTrading": "yes-trade-real-money",
    "strategyFiles": {"mine.py": "# a strategy\n"},
    "image": {"repository": "images.example:5000/arbstream", "digest": f"sha256:{'ab' * 32}"},
    "redis": {
        "url": "rediss+sentinel://a:26379,b:26379,c:26379/arb/0",
        "tlsCa": {"configMap": "redis-ca"},
    },
    "networkPolicy": {"redis": {"ports": [26379, 6379]}},
    "services": {
        "orderbook": {"replicas": 3, "cpu": "2", "memory": "1Gi"},
        "ingestor": {"replicas": 2},
        "risk": {"secret": "keys-of-risk"},
        "recorder": {
            "storage": {"size": "200Gi", "storageClass": "fast", "accessMode": "ReadWriteMany"},
            "secretFiles": {"ARB_LEDGER_URL": "ledger_url"},
        },
    },
    "dashboard": {"allowedHosts": ["arb.example.com"], "from": [PEER]},
    "priorityClassName": "trading",
    "nodeSelector": {"pool": "trading"},
    "tolerations": [{"key": "trading", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podLabels": {"team": "desk"},
    "podAnnotations": {"note": "a"},
}
ONE: dict[str, Any] = {
    "config": VENUES,
    "services": {name: {"enabled": False} for name in SERVICE_NAMES if name != "risk"},
}
MORE_SHARDS: dict[str, Any] = {"config": f"[bus]\nshards = 4\n{VENUES}"}
PLAIN: dict[str, Any] = {"redis": {"url": "redis://r:6379/0", "allowPlaintext": True}}
CASES = {"default": {}, "whole": WHOLE, "one": ONE, "shards": MORE_SHARDS, "plain": PLAIN}


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {name: render(values) for name, values in CASES.items()}


def deployments(objects: list[Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in of_kind(objects, "Deployment")}


@pytest.mark.parametrize("case", CASES)
def test_it_lints_and_every_object_is_valid(case: str, rendered: dict[str, list[Object]]) -> None:
    assert lint(CASES[case]) == []
    for version in (OLDEST, NEWEST) if case == "whole" else (NEWEST,):
        assert invalid(rendered[case], version) == []


def test_validation_is_strict(rendered: dict[str, list[Object]]) -> None:
    objects = copy.deepcopy(of_kind(rendered["default"], "Deployment")[:1])
    pod_of(objects[0])["enableServiceLink"] = False
    (found,) = invalid(objects, NEWEST)
    assert "enableServiceLink" in found


@pytest.mark.parametrize("case", CASES)
def test_no_object_breaks_a_rule(case: str, rendered: dict[str, list[Object]]) -> None:
    assert findings(rendered[case]) == []


def on_pod(change: Callable[[Object], Any]) -> Callable[[list[Object]], Any]:
    return lambda objects: change(pod_of(deployments(objects)["arb-arbstream-risk"]))


def on_container(change: Callable[[Object], Any]) -> Callable[[list[Object]], Any]:
    return on_pod(lambda pod: change(pod["containers"][0]))


def on_policy(change: Callable[[Object], Any]) -> Callable[[list[Object]], Any]:
    def changed(objects: list[Object]) -> None:
        policies = of_kind(objects, "NetworkPolicy")
        change(next(p for p in policies if p["metadata"]["name"].endswith("-risk"))["spec"])

    return changed


def with_variable(name: str, value: str) -> Callable[[list[Object]], Any]:
    return on_container(lambda c: c["env"].append({"name": name, "value": value}))


EVERYWHERE = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
BROKEN: dict[str, Callable[[list[Object]], Any]] = {
    "may run as root": on_pod(lambda p: p["securityContext"].update(runAsUser=0)),
    "any system call": on_pod(lambda p: p["securityContext"].pop("seccompProfile")),
    "readable by a group": on_pod(lambda p: p["securityContext"].pop("fsGroupChangePolicy")),
    "a token of Kubernetes": on_pod(lambda p: p.pop("automountServiceAccountToken")),
    "may set its variables": on_pod(lambda p: p.pop("enableServiceLinks")),
    "hostNetwork": on_pod(lambda p: p.update(hostNetwork=True)),
    "a volume of {'hostPath'}": on_pod(
        lambda p: p["volumes"].append({"name": "x", "hostPath": {}})
    ),
    "volumes and mounts differ": on_container(lambda c: c["volumeMounts"].pop()),
    "is killed while it drains": on_pod(lambda p: p.update(terminationGracePeriodSeconds=5)),
    "may write to its root": on_container(
        lambda c: c["securityContext"].update(readOnlyRootFilesystem=False)
    ),
    "may gain privileges": on_container(
        lambda c: c["securityContext"].pop("allowPrivilegeEscalation")
    ),
    "has capabilities": on_container(lambda c: c["securityContext"].pop("capabilities")),
    "is not pinned": on_container(lambda c: c.update(image="arbstream:latest")),
    "no readinessProbe": on_container(lambda c: c.pop("readinessProbe")),
    "no livenessProbe": on_container(lambda c: c["livenessProbe"]["httpGet"].update(path="/")),
    "memory is not bounded": on_container(lambda c: c["resources"]["limits"].pop("memory")),
    "no processor is reserved": on_container(lambda c: c["resources"]["requests"].pop("cpu")),
    "not Guaranteed": on_container(lambda c: c["resources"]["requests"].update(cpu="100m")),
    "holds a secret": with_variable("ARB_PLAN_KEY", "x"),
    "set twice": with_variable("ARB_HTTP_PORT", "1"),
    "outside /run/arb/secret/": with_variable("ARB_X_SECRET_FILE", "/tmp/x"),
    "a file that is not there": with_variable("ARB_X_SECRET_FILE", "/run/arb/secret/x"),
    "_API_KEY_FILE is not for it": with_variable("ARB_X_API_KEY_FILE", "/run/arb/secret/plan_key"),
    "other keys than": on_pod(lambda p: p["volumes"][1]["secret"]["items"].pop(1)),
    "select its pods": lambda objects: deployments(objects)["arb-arbstream-risk"]["spec"].update(
        selector={"matchLabels": {"app.kubernetes.io/name": "arbstream"}}
    ),
    "budgets": lambda objects: objects.remove(of_kind(objects, "PodDisruptionBudget")[0]),
    "hold up a node's end": lambda objects: of_kind(objects, "PodDisruptionBudget")[0]["spec"].pop(
        "unhealthyPodEvictionPolicy"
    ),
    "not one policy": lambda objects: objects.remove(of_kind(objects, "NetworkPolicy")[0]),
    "leaves a direction open": on_policy(lambda s: s.update(policyTypes=["Egress"])),
    "is reached by others": on_policy(lambda s: s.update(ingress=[{}])),
    "reaches everything": on_policy(lambda s: s["egress"].append({})),
    "reaches the internet": on_policy(lambda s: s["egress"].append(EVERYWHERE)),
    "reaches 169.254.169.254/32": on_policy(lambda s: s["egress"].append(EVERYWHERE)),
    "no value of a label": lambda objects: objects[0]["metadata"]["labels"].update(x="v" * 64),
    "the chart may not make one": lambda objects: objects.append(
        {"kind": "Secret", "metadata": {"name": "x"}}
    ),
}


@pytest.mark.parametrize("finding", BROKEN)
def test_a_rule_that_is_broken_is_found(finding: str, rendered: dict[str, list[Object]]) -> None:
    objects = copy.deepcopy(rendered["default"])
    BROKEN[finding](objects)
    assert any(finding in each for each in findings(objects)), findings(objects)


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


def test_keys_of_traded_venues_go_to_who_trades(rendered: dict[str, list[Object]]) -> None:
    whole = deployments(rendered["whole"])
    keys = {f"{venue}_api_{part}" for venue in ("alpha", "beta_1") for part in ("key", "secret")}
    for spec in ALL_SERVICES:
        held = {secret for name, each in whole.items() if service_of(each) == spec.name
                for secret in secret_keys_of(each) if "_api_" in secret}  # fmt: skip
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
    secrets = {volume["secret"]["secretName"] for name in ("risk", "executor")
               for volume in pod_of(whole[f"arb-arbstream-{name}"])["volumes"]
               if volume["name"] == "secret"}  # fmt: skip
    assert secrets == {"keys-of-risk", "arbstream-executor"}
    said = notes(WHOLE)
    assert "keys-of-risk: command_key, plan_key, redis_password" in said
    assert "executor.mode live" in said


def test_live_trading_is_not_on_by_default(rendered: dict[str, list[Object]]) -> None:
    for case in ("default", "one", "shards", "plain"):
        assert "yes-trade-real-money" not in json.dumps(rendered[case])
        (config,) = of_kind(rendered[case], "ConfigMap")
        assert parse_config(config["data"]["arb.toml"], "arb.toml").executor.mode == "paper"
    live = [name for name, each in deployments(rendered["whole"]).items()
            if "ARB_LIVE_TRADING" in environment_of(each)]  # fmt: skip
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


def test_a_changed_configuration_restarts_who_reads_it() -> None:
    digests = {
        each["spec"]["template"]["metadata"]["annotations"]["arbstream/config"]
        for config in (VENUES, VENUES + "\n# changed\n")
        for each in of_kind(render({"config": config}), "Deployment")
    }
    assert len(digests) == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no TOML": ({"config": "[bus"}, "config is no TOML"),
    "no venue": ({"config": "[bus]\nshards = 1\n"}, "config has no [venues.NAME]"),
    "password": (
        {"config": '[recorder]\nledger_url = "postgresql://u:hunter2@db/x"\n' + VENUES},
        "an address with a password",
    ),
    "live by half": ({"config": f'[executor]\nmode = "live"\n{VENUES}'}, "must be asked for twice"),
    "no such venue": (
        {"config": VENUES, "services": {"ingestor": {"venues": ["gamma"]}}},
        "names gamma; config has alpha, beta_1",
    ),
    "one name": (
        {"config": VENUES + '[venues.beta-1]\ninstruments = ["A/B"]\n'},
        "would both be named",
    ),
    "not encrypted": ({"redis": {"url": "redis://r:6379/0"}}, "redis.url is not encrypted"),
    "closed port": ({"redis": {"url": "rediss://r:6380/0"}}, "redis.url has port 6380"),
    "two authorities": ({"redis": {"tlsCa": {"secret": "a", "configMap": "b"}}}, "give one"),
    "nobody": ({"dashboard": {"allowedHosts": ["a.example"]}}, "dashboard.from is empty"),
    "login": ({"redis": {"url": "rediss://u:p@r:6379/0"}}, "/redis/url"),
    "latest": ({"image": {"tag": "latest"}}, "/image/tag"),
    "digest": ({"image": {"digest": "sha256:12"}}, "/image/digest"),
    "no such key": ({"replicas": 2}, "replicas"),
    "no such service": ({"services": {"scaner": {}}}, "scaner"),
    "no such part": ({"services": {"risk": {"replica": 2}}}, "replica"),
    "no replica": ({"services": {"risk": {"replicas": 0}}}, "/services/risk/replicas"),
    "two": ({"services": {"sentinel": {"replicas": 2}}}, "/services/sentinel/replicas"),
    "phrase": ({"liveTrading": "yes"}, "/liveTrading"),
    "file of file": (
        {"services": {"recorder": {"secretFiles": {"ARB_LEDGER_URL_FILE": "x"}}}},
        "ARB_LEDGER_URL_FILE",
    ),
    "path": ({"strategyFiles": {"../x.py": ""}}, "../x.py"),
    "no peer": ({"networkPolicy": {"redis": {"to": []}}}, "/networkPolicy/redis/to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_run_is_refused_with_its_place(case: str) -> None:
    values, text = REFUSED[case]
    with pytest.raises(Refused) as caught:
        render(values)
    assert text in str(caught.value)
    assert "nil pointer" not in str(caught.value)


def test_long_names_stay_names() -> None:
    venue = "V_" * 31 + "_."  # 64 characters, the longest
    values = {"config": f'[venues."{venue}"]\nadapter = "binance"\ninstruments = ["BTC/USDT"]\n'}
    assert findings(render(values, release="r" * 53)) == []


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
