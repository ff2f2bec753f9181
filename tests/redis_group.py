"""Three Redis servers and three Sentinels on loopback, as real processes that can be hurt."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import redis

from shared.embedded import find_server
from tests.ports import free_ports
from tests.support import eventually_sync

SERVICE = "arb"
DOWN_AFTER_MS = 1_000
PASSWORD, SENTINEL_PASSWORD = "sesame", "simsim"
SERVERS = SENTINELS = 3
GROUP_S = 30.0


class Process:
    """One server; ``start`` after ``kill`` goes on with its data.

    Args:
        image: Run it in a container of this image, on the machine's own loopback; else the
            embedded program.
    """

    def __init__(self, directory: Path, port: int, config: str, kind: str, image: str) -> None:
        self.directory, self.port = directory, port
        self._kind, self._image = kind, image
        self._name = f"arb-group-{port}"
        directory.mkdir(parents=True)
        self._config = directory / "redis.conf"
        self._config.write_text(f"port {port}\nbind 127.0.0.1\ndir {directory}\n{config}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        arguments = [str(self._config), *(["--sentinel"] if self._kind == "sentinel" else more)]
        program = [find_server()]
        if self._image:
            user, mount = f"{os.getuid()}:{os.getgid()}", f"{self.directory}:{self.directory}"
            program = ["docker", "run", "--rm", "--network=host", "--name", self._name]
            program += ["--user", user, "--volume", mount, self._image, "redis-server"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([*program, *arguments], stdout=log, stderr=log)

    def check_runs(self) -> None:
        """Check that it has not ended; its log says why it has."""
        if self._process is not None and self._process.poll() is not None:
            log = (self.directory / "log").read_text(errors="replace")
            raise RuntimeError(f"{self.directory.name} on port {self.port} ended: {log[-500:]}")

    def freeze(self) -> None:
        self._hurt("pause", signal.SIGSTOP)

    def wake(self) -> None:
        self._hurt("unpause", signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._hurt("kill", signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _hurt(self, verb: str, number: signal.Signals) -> None:
        assert self._process is not None
        if self._image:
            subprocess.run(["docker", verb, self._name], check=False, capture_output=True)
        else:
            self._process.send_signal(number)

    def client(self, password: str) -> redis.Redis:
        return redis.Redis(
            port=self.port, password=password, protocol=2, socket_timeout=2, retry=None
        )


class RedisGroup:
    """A primary with two replicas, watched by three Sentinels."""

    def __init__(self, directory: Path, image: str = "") -> None:
        ports = free_ports(SERVERS + SENTINELS)
        first = ports[0]
        server = (
            f"requirepass {PASSWORD}\nmasterauth {PASSWORD}\nappendonly yes\nsave ''\n"
            "repl-diskless-sync-delay 0\nmin-replicas-to-write 1\nmin-replicas-max-lag 10\n"
        )
        self.servers = [
            Process(
                directory / f"redis-{n}",
                port,
                server + (f"replicaof 127.0.0.1 {first}\n" if port != first else ""),
                "server",
                image,
            )
            for n, port in enumerate(ports[:SERVERS])
        ]
        sentinel = (
            f"requirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {first} 2\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 5000\nsentinel parallel-syncs {SERVICE} 2\n"
        )
        self.sentinels = [
            Process(directory / f"sentinel-{n}", port, sentinel, "sentinel", image)
            for n, port in enumerate(ports[SERVERS:])
        ]

    @property
    def url(self) -> str:
        return self.url_of(SERVICE)

    def url_of(self, service: str) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return (
            f"redis+sentinel://:{PASSWORD}@{hosts}/{service}/0?sentinel_password="
            f"{SENTINEL_PASSWORD}"
        )

    def start(self) -> None:
        """Start all and wait until every Sentinel knows of everybody."""
        for each in (*self.servers, *self.sentinels):
            each.start()
        self.wait_until_whole()

    def allow_silence(self, silence_ms: int) -> None:
        """Set how long a server may be silent before the Sentinels replace it."""
        for each in self.sentinels:
            with each.client(SENTINEL_PASSWORD) as client:
                client.execute_command(
                    "SENTINEL", "SET", SERVICE, "down-after-milliseconds", silence_ms
                )

    def wait_until_whole(self) -> None:
        """Wait until one is the primary, two follow it, and the Sentinels know that."""
        eventually_sync(self._is_whole, timeout_s=GROUP_S, every_s=0.05, what="the group is whole")

    def _is_whole(self) -> bool:
        for each in (*self.servers, *self.sentinels):
            each.check_runs()
        try:
            known = [self._told_by(each) for each in self.sentinels]
            replication = self.primary().client(PASSWORD).info("replication")
        except (redis.exceptions.RedisError, StopIteration):
            return False
        states = [replication.get(f"slave{n}", {}).get("state") for n in range(SERVERS - 1)]
        return (
            len({(told["ip"], told["port"]) for told in known}) == 1
            and all(told["num-other-sentinels"] == SENTINELS - 1 for told in known)
            and all(told["num-slaves"] == SERVERS - 1 for told in known)
            and replication["role"] == "master"
            and states == ["online"] * (SERVERS - 1)
        )

    @staticmethod
    def _told_by(sentinel: Process) -> dict[str, object]:
        with sentinel.client(SENTINEL_PASSWORD) as client:
            return dict(client.sentinel_master(SERVICE))

    def primary(self) -> Process:
        """The server that the first Sentinel that answers names."""
        for sentinel in self.sentinels:
            try:
                with sentinel.client(SENTINEL_PASSWORD) as client:
                    _, port = client.sentinel_get_master_addr_by_name(SERVICE)
            except redis.exceptions.RedisError:
                continue
            return next(each for each in self.servers if each.port == int(port))
        raise AssertionError("no Sentinel answers")

    def wait_for_another(self, before: Process) -> Process:
        """Wait until another server than ``before`` is the primary, for every Sentinel."""
        eventually_sync(
            lambda: all(
                self._told_by(each)["port"] not in {0, before.port} for each in self.sentinels
            ),
            timeout_s=GROUP_S,
            every_s=0.05,
            what="another primary",
        )
        return self.primary()

    def fail_over(self) -> None:
        """Kill the primary, wait for the next one, and let the dead one follow that."""
        before = self.primary()
        before.kill()
        self.join(before, self.wait_for_another(before))

    def join(self, dead: Process, primary: Process) -> None:
        """Start a dead server as a replica, and wait until the group is whole."""
        dead.start("--replicaof", f"127.0.0.1 {primary.port}")
        self.wait_until_whole()

    def close(self) -> None:
        for each in (*self.sentinels, *self.servers):
            each.kill()
            shutil.rmtree(each.directory, ignore_errors=True)
