"""What Kubernetes and our own rules say of every object of the Helm chart; each rule can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.helm import Object, invalid, lint, render
from tests.helm_cases import CASES, deployments
from tests.helm_policy import findings, of_kind, pod_of

pytestmark = pytest.mark.helm

OLDEST, NEWEST = "1.27", "1.37"
"""Versions of Kubernetes; the oldest is that of Chart.yaml."""


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {name: render(values) for name, values in CASES.items()}


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
