"""What must hold of every object that the Helm chart makes, judged on the objects alone."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.services import SERVICE_OF, Network
from shared.streams import keys_of

Object = dict[str, Any]

KINDS = {
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
}
"""No Secret: the chart makes none. No role and no account: nothing here talks to Kubernetes."""
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
SECRET_FOLDER = "/run/arb/secret/"
IS_SECRET = re.compile(r"(KEY|KEY_FORMER|SECRET|PASSWORD|TOKEN|LEDGER_URL)$")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
TAG = re.compile(r"[^:@]+(:[0-9]+/[^:@]+)?:(?!latest$)[A-Za-z0-9_.-]+")
INSIDE = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "169.254.169.254/32", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
]
"""Addresses of clusters, and of clouds' metadata: no way for what may reach the internet."""


def of_kind(objects: Sequence[Object], kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def service_of(deployment: Object) -> str:
    """Return the service that a Deployment runs."""
    return str(deployment["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_of(deployment: Object) -> Object:
    """Return the specification of its pods."""
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def container_of(deployment: Object) -> Object:
    """Return the one container of its pods."""
    (container,) = pod_of(deployment)["containers"]
    return dict(container)


def environment_of(deployment: Object) -> dict[str, Any]:
    """Return variable -> value, or where it is taken from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in _env(deployment)}


def secret_keys_of(deployment: Object) -> set[str]:
    """Return the keys of its Secret that its pods are given."""
    for volume in pod_of(deployment)["volumes"]:
        if volume["name"] == "secret":
            return {item["key"] for item in volume["secret"]["items"]}
    return set()


def _env(deployment: Object) -> list[Object]:
    return list(container_of(deployment)["env"])


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector["matchLabels"].items())


def findings(objects: Sequence[Object]) -> list[str]:
    """Return everything that must not be so, named by its object."""
    found = [f"{o['kind']}: the chart may not make one" for o in objects if o["kind"] not in KINDS]
    names = [f"{each['kind']} {each['metadata']['name']}" for each in objects]
    found += [f"{name}: twice" for name in sorted({n for n in names if names.count(n) > 1})]
    found += [f"{n}: not a name" for n in names if not NAME.fullmatch(n.partition(" ")[2])]
    for each in objects:
        own = each["metadata"].get("labels", {})
        labels = (
            own | each.get("spec", {}).get("template", {}).get("metadata", {"labels": {}})["labels"]
        )
        found += [f"{v!r}: no value of a label" for v in labels.values() if not LABEL.fullmatch(v)]
    for each in of_kind(objects, "ConfigMap"):
        for name in each["data"]:
            if name != "arb.toml" and not name.endswith(".py"):
                found.append(f"ConfigMap: {name} is neither the configuration nor a strategy")
    for each in of_kind(objects, "Deployment"):
        judged = (_confined(each), _measured(each), _told(each), _alone(each, objects))
        name = each["metadata"]["name"]
        found += [f"{name}: {finding}" for part in judged for finding in part]
    for each in of_kind(objects, "NetworkPolicy"):
        found += [f"{each['metadata']['name']}: {finding}" for finding in _reaches(each)]
    return found


def _confined(deployment: Object) -> Iterator[str]:
    """Kubernetes' own profile "restricted", and more."""
    pod, container = pod_of(deployment), container_of(deployment)
    whole, own = pod.get("securityContext", {}), container.get("securityContext", {})
    if not (whole.get("runAsNonRoot") and whole.get("runAsUser", 0) > 0):
        yield "may run as root"
    if whole.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "any system call"
    if whole.get("fsGroupChangePolicy") != "OnRootMismatch":
        yield "its files become readable by a group"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "may gain privileges"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "has capabilities"
    if pod.get("automountServiceAccountToken") is not False:
        yield "is given a token of Kubernetes"
    if pod.get("enableServiceLinks") is not False:
        yield "Services beside it may set its variables"
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.get(name):
            yield name
    for volume in pod["volumes"]:
        if kinds := set(volume) - {"name"} - VOLUMES:
            yield f"a volume of {kinds}"
    volumes = {volume["name"] for volume in pod["volumes"]}
    if missing := {mount["name"] for mount in container["volumeMounts"]} ^ volumes:
        yield f"volumes and mounts differ by {sorted(missing)}"
    if "@sha256:" not in container["image"] and not TAG.fullmatch(container["image"]):
        yield f"the image {container['image']} is not pinned"


def _measured(deployment: Object) -> Iterator[str]:
    """Probes, processor and memory, and time to end."""
    pod, container = pod_of(deployment), container_of(deployment)
    spec = SERVICE_OF[service_of(deployment)]
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        if container.get(probe, {}).get("httpGet") != {"path": path, "port": "health"}:
            yield f"no {probe} at {path}"
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    if not limits.get("memory") or requests.get("memory") != limits["memory"]:
        yield "memory is not bounded, or not reserved"
    if not requests.get("cpu"):
        yield "no processor is reserved"
    if not spec.is_optional and requests.get("cpu") != limits.get("cpu"):
        yield "on the trading path, and not Guaranteed"
    if pod["terminationGracePeriodSeconds"] < spec.drain_timeout_s + 10:
        yield "is killed while it drains"


def _told(deployment: Object) -> Iterator[str]:
    """Variables: no secret in one, and files of the service's own Secret alone."""
    service = service_of(deployment)
    spec, env = SERVICE_OF[service], environment_of(deployment)
    if len(env) != len(_env(deployment)):
        yield "a variable is set twice"
    if env.get("ARB_REDIS_USERNAME") != service:
        yield "is another user of Redis"
    for name, value in env.items():
        if IS_SECRET.search(name):
            yield f"{name} holds a secret; give {name}_FILE"
        if isinstance(value, dict) and set(value) != {"fieldRef"}:
            yield f"{name} is taken from {set(value)}"
        if IS_SECRET.search(name.removesuffix("_FILE")):
            if not str(value).startswith(SECRET_FOLDER):
                yield f"{name} is a file outside {SECRET_FOLDER}"
            elif str(value).removeprefix(SECRET_FOLDER) not in secret_keys_of(deployment):
                yield f"{name} is a file that is not there"
        if "_API_" in name and not spec.holds_secrets:
            yield f"{name} is not for it"
        if spec.own_secrets != "ARB_NOTIFY_" and name.startswith("ARB_NOTIFY_"):
            yield f"{name} is not for it"
    own = {f"{name}_key" for name in keys_of(service)}
    if service != "dashboard" and {"plan_key", "command_key"} & secret_keys_of(deployment) != own:
        yield "signs or verifies with other keys than the map of streams says"
    if env.get("ARB_HTTP_HOST") != {"fieldRef": {"fieldPath": "status.podIP"}}:
        yield "is not heard by the kubelet"


def _alone(deployment: Object, objects: Sequence[Object]) -> Iterator[str]:
    """Its pods are its own, one policy is for them, and a budget where there are several."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    owners = [d for d in of_kind(objects, "Deployment") if _selects(d["spec"]["selector"], labels)]
    if owners != [deployment]:
        yield f"{len(owners)} Deployments select its pods"
    policies = of_kind(objects, "NetworkPolicy")
    if sum(_selects(each["spec"]["podSelector"], labels) for each in policies) != 1:
        yield "not one policy is for its pods"
    group = labels["arbstream/group"]
    pods = sum(
        each["spec"]["replicas"]
        for each in of_kind(objects, "Deployment")
        if each["spec"]["template"]["metadata"]["labels"]["arbstream/group"] == group
    )
    budgets = of_kind(objects, "PodDisruptionBudget")
    budgets = [each for each in budgets if _selects(each["spec"]["selector"], labels)]
    if len(budgets) != (pods > 1):
        yield f"{pods} pods stand in for each other, with {len(budgets)} budgets"
    for each in budgets:
        if each["spec"].get("maxUnavailable") != 1 or "minAvailable" in each["spec"]:
            yield "its budget would hold up a node's end, or lets all go"
        if each["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield "a venue that is down would hold up a node's end"
    surge = {"maxSurge": 1, "maxUnavailable": 0}
    expected: Object = {"type": "RollingUpdate", "rollingUpdate": surge}
    if SERVICE_OF[service_of(deployment)].is_optional:
        expected = {"type": "Recreate"}
        if deployment["spec"]["replicas"] != 1:
            yield "two of it"
    if deployment["spec"]["strategy"] != expected:
        yield "is replaced otherwise than leases allow"


def _reaches(policy: Object) -> Iterator[str]:
    """Nothing beyond names, Redis and what the table of services says."""
    spec = policy["spec"]
    reach = SERVICE_OF[policy["metadata"]["labels"]["app.kubernetes.io/component"]].network
    if spec["policyTypes"] != ["Ingress", "Egress"]:
        yield "leaves a direction open"
    for rule in spec.get("ingress", []):
        if reach is not Network.SCRAPERS:
            yield "is reached by others"
        if not rule.get("from") or len(rule.get("ports", [])) != 1:
            yield "is reached by everybody, or at any port"
    outside = False
    for rule in spec["egress"]:
        if not rule.get("to") or not rule.get("ports"):
            yield "reaches everything"
        for peer in rule.get("to", []):
            if "ipBlock" not in peer:
                continue
            outside = True
            yield from _leads_inside(peer["ipBlock"])
    if outside != (reach in {Network.VENUES, Network.CHANNELS}):
        yield f"reaches the internet: {outside}, and its row says {reach.value}"


def _leads_inside(block: Object) -> Iterator[str]:
    whole = ipaddress.ip_network(block["cidr"])
    excepted = [ipaddress.ip_network(text) for text in block.get("except", [])]
    for inside in INSIDE:
        if inside.version != whole.version or not inside.subnet_of(whole):  # type: ignore[arg-type]
            continue
        if not any(inside.subnet_of(each) for each in excepted):  # type: ignore[arg-type]
            yield f"reaches {inside}"
