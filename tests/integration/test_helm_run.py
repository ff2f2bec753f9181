"""The pods of the Helm chart, run here: what each is told and given is what its service needs.

A pod is a process with the container's command, and with its variables and files and no others.
Redis asks for the users and passwords that ``deploy.prepare`` made, and speaks TLS.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.acl import HEALTH
from services.cli.settings import config_for_venues, to_toml
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.config_sections import ExecutorConfig, RecorderConfig
from shared.embedded import EmbeddedServer
from shared.runner import EXIT_CONFIG
from shared.services import SERVICE_NAMES, SERVICES
from tests.helm import Object, render
from tests.helm_policy import container_of, of_kind, pod_of, service_of
from tests.support import ROOT, eventually_sync
from tests.tls_proxy import tls_in_front_of

pytestmark = [pytest.mark.helm, pytest.mark.slow, pytest.mark.timeout(400)]

READY_S = 150
OF_THE_IMAGE = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
PROXY = {"podSelector": {"matchLabels": {"app": "proxy"}}}


class GuardedServer(EmbeddedServer):
    """An embedded server with the users that ``deploy.prepare`` made."""

    probe = f"AUTH {HEALTH} any\r\nPING\r\n".encode()

    def command(self) -> list[str]:
        return [*super().command(), "--aclfile", str(self.directory.parent / "run/acl/users.acl")]


class Pod:
    """One replica of a Deployment."""

    def __init__(self, deployment: Object, number: int, place: Path) -> None:
        self.name = f"{deployment['metadata']['name']}-{number}"
        self.service = service_of(deployment)
        self.container, self.spec = container_of(deployment), pod_of(deployment)
        self.address = ""
        self.folder = place / "pods" / self.name
        self.log = self.folder / "log"
        self.variables: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, address: str, objects: list[Object], place: Path) -> None:
        """Mount its volumes and start its command."""
        self.address = address
        folders: dict[str, str] = {}
        sources = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            target = self.folder / mount["mountPath"].strip("/")
            target.mkdir(parents=True)
            folders[mount["mountPath"]] = str(target)
            for name, text in contents(sources[mount["name"]], objects, place).items():
                (target / name).write_text(text)
        self.variables = variables = {**OF_THE_IMAGE, "HOME": folders["/tmp"]}
        for each in self.container["env"]:
            value = each.get("value") or self._field(each["valueFrom"]["fieldRef"]["fieldPath"])
            inside = next((m for m in folders if f"{value}/".startswith(f"{m}/")), "")
            variables[each["name"]] = folders.get(inside, "") + value.removeprefix(inside)
        self.run()

    def run(self) -> None:
        """Run its command, as the kubelet does once more where it ended."""
        program, *arguments = self.container["command"]
        assert program == "python"
        command = [sys.executable, *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.variables, cwd=self.folder, stdout=log, stderr=log
            )

    def end(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _field(self, path: str) -> str:
        return {"metadata.name": self.name, "status.podIP": self.address}[path]

    def problem(self, probe: str) -> str:
        """Return why the kubelet would not be content with a probe; empty if it is."""
        asked = self.container[probe]["httpGet"]
        ports = {each["name"]: each["containerPort"] for each in self.container["ports"]}
        url = f"http://{self.address}:{ports[asked['port']]}{asked['path']}"
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:
                return "" if answer.status == 200 else str(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return f"{self.name}: {error.read().decode().strip()}"
        except OSError as error:
            assert self.process is not None
            code = self.process.poll()
            if code == EXIT_CONFIG:
                pytest.fail(f"{self.name} is told something wrong: {self.log.read_text()[-500:]}")
            if code is not None:  # where processors are short, leases are lost
                self.run()
            return f"{self.name}: {error}"


def contents(volume: Object, objects: list[Object], place: Path) -> dict[str, str]:
    """Return the files of a volume, by name."""
    if "secret" in volume:
        service = volume["secret"]["secretName"].removeprefix("arbstream-")
        folder = place / "run" / "secrets" / service
        return {
            each["path"]: (folder / each["key"]).read_text() for each in volume["secret"]["items"]
        }
    if "configMap" in volume:
        if volume["configMap"]["name"] == "redis-ca":
            return {"ca.crt": (place / "ca.crt").read_text()}
        (config,) = of_kind(objects, "ConfigMap")
        assert config["metadata"]["name"] == volume["configMap"]["name"]
        return dict(config["data"])
    return {}


@contextmanager
def venues() -> Iterator[dict[str, Any]]:
    """Simulated venues that run, and where they are."""
    command = [sys.executable, "-m", "services.cli.main", "run", "venuesim", "--seed", "4"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def prepare(place: Path, credentials: dict[str, dict[str, str]]) -> None:
    """Make the Secrets as deploy/helm/README.md says, as folders of files."""
    environ = {"PATH": os.environ["PATH"], "ARB_RUN_DIR": str(place / "run")}
    command = [sys.executable, "-m", "deploy.prepare"]
    subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True)
    secrets = place / "run" / "secrets"
    for venue, keys in credentials.items():
        for service, key in (("executor", "apiKey"), ("sentinel", "secondKey")):
            value = keys.get(key) or keys["apiKey"]
            (secrets / service / f"{venue}_api_key").write_text(f"{value}\n")
            (secrets / service / f"{venue}_api_secret").write_text(f"{keys['secret']}\n")
    (secrets / "notifier" / "desk").write_text("a key\n")


def values(ready: dict[str, Any], port: int) -> dict[str, Any]:
    """Return values with every service on, and a venue with two feeds."""
    addresses = [(one["venue"], one["instrument"]) for one in ready["instruments"]]
    name = min(venue for venue, _ in addresses)
    config = config_for_venues(
        [each for each in addresses if each[0] == name],
        ready["http"],
        ready["ws"],
        "",
        executor=ExecutorConfig(mode="simulated"),
        recorder=RecorderConfig(enabled=True, ledger=True),
        notifier=NotifierConfig(
            channels=[NotifyChannel(name="desk", kind="webhook", url="http://127.0.0.1:9/")]
        ),
    )
    venue = msgspec.structs.replace(config.venues[name], two_feeds=True)
    config = msgspec.structs.replace(config, venues={name: venue})
    return {
        "config": to_toml(config),
        "redis": {"url": f"rediss://localhost:{port}/0", "tlsCa": {"configMap": "redis-ca"}},
        "networkPolicy": {"redis": {"ports": [port]}},
        "dashboard": {"allowedHosts": ["arb.example.com"], "from": [PROXY]},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def objects(place: Path) -> Iterator[list[Object]]:
    """What the chart makes for a Redis and venues that run; the Secrets are there."""
    with ExitStack() as stack:
        ready = stack.enter_context(venues())
        prepare(place, ready["credentials"])
        server = stack.enter_context(GuardedServer(place / "bus"))
        socket = Path(server.url.removeprefix("unix://"))
        port = stack.enter_context(tls_in_front_of(socket, place))
        yield render(values(ready, port))


@contextmanager
def running(services: set[str], objects: list[Object], place: Path) -> Iterator[list[Pod]]:
    """Run the pods of some services until each is ready; at the end they must end in time."""
    pods = [
        Pod(each, number, place)
        for each in of_kind(objects, "Deployment")
        if service_of(each) in services
        for number in range(each["spec"]["replicas"])
    ]
    assert {pod.service for pod in pods} == services
    # Each has its own address, and listens there alone: that is where the kubelet asks.
    prefix = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
    with ExitStack() as stack:
        for number, pod in enumerate(pods, 1):
            pod.start(f"{prefix}.{number}", objects, place)
            stack.callback(pod.end)

        def all_ready() -> bool:
            problems = [problem for pod in pods if (problem := pod.problem("readinessProbe"))]
            assert not problems, " | ".join(problems)
            return True

        eventually_sync(all_ready, timeout_s=READY_S, every_s=0.3)
        yield pods
        asked = [pod for pod in pods if pod.process is not None and pod.process.poll() is None]
        for pod in asked:
            pod.process.send_signal(signal.SIGTERM)
        for pod in asked:
            code = pod.process.wait(pod.spec["terminationGracePeriodSeconds"])
            assert code == 0, f"{pod.name} ended with {code}: {pod.log.read_text()[-500:]}"


def test_pods_that_trade_become_ready_standbys_too(objects: list[Object], place: Path) -> None:
    with running(set(SERVICES), objects, place) as pods:
        assert sum(pod.service == "ingestor" for pod in pods) == 2, "feeds a and b of one venue"
        for service in ("risk", "executor"):
            logs = [pod.log.read_text() for pod in pods if pod.service == service]
            assert len(logs) == 2 and any('"standby"' in text for text in logs)


def test_pods_that_watch_become_ready(objects: list[Object], place: Path) -> None:
    with running(set(SERVICE_NAMES) - set(SERVICES), objects, place) as pods:
        assert [problem for pod in pods if (problem := pod.problem("livenessProbe"))] == []
        (exporter,) = (pod for pod in pods if pod.service == "exporter")
        with urllib.request.urlopen(f"http://{exporter.address}:9465/metrics", timeout=5) as answer:
            assert "\narb_up 1" in answer.read().decode()
        (recorder,) = (pod for pod in pods if pod.service == "recorder")
        assert (recorder.folder / "var/lib/arbstream/ledger.sqlite").exists()
