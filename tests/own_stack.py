"""The whole system on simulated venues, each service a process under its own user of Redis.

Secrets are files, as in a deployment: each process is told where its own lie, and reads them when
it starts.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.settings import config_for_venues, to_toml
from shared.config_sections import ExecutorConfig, RecorderConfig
from shared.messages.base import TradingState
from shared.services import SERVICE_OF
from shared.streams import EXEC_PLAN, keys_of
from shared.watch.venue_comparison import Account, read_accounts
from tests.rotation import CLEAN, Deployment
from tests.stack_view import GOOD, StackView
from tests.support import ROOT, eventually_sync

if TYPE_CHECKING:
    from redis import Redis

RECORDER = "recorder"
RUNNING = ("ingestor", "orderbook", "scanner", "risk", "executor", "sentinel", "exporter", RECORDER)
WELL_S, STOP_S = 150, 60


class OwnStack(StackView):
    """A deployment whose services trade; one that ends by itself is started again."""

    def __init__(self, directory: Path, deployment: Deployment, seed: int = 7) -> None:
        self.directory, self.deployment = directory, deployment
        self.ended: list[tuple[str, int]] = []
        """Which services ended without being asked, with their exit codes."""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._venues = subprocess.Popen(
            [sys.executable, "-m", "services.venuesim", "--seed", str(seed), "--json"],
            cwd=ROOT,
            env=CLEAN,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._venues.stdout is not None
        self.venues: dict[str, Any] = json.loads(self._venues.stdout.readline())
        self.before = self.accounts()
        config = config_for_venues(
            [(one["venue"], one["instrument"]) for one in self.venues["instruments"]],
            self.venues["http"],
            self.venues["ws"],
            deployment.server.url,
            executor=ExecutorConfig(mode="simulated", account_streams=True),
            recorder=RecorderConfig(ledger=True, dir=str(directory)),
        )
        (directory / "arb.toml").write_text(to_toml(config))
        self.ledger_file = directory / config.recorder.ledger_file
        self.give_venue_keys("apiKey")
        self.redis = self.login()

    def give_venue_keys(self, name: str) -> None:
        """Give who trades one of the keys of its account at each venue."""
        for venue, known in self.venues["credentials"].items():
            for user in RUNNING:
                if not SERVICE_OF[user].holds_secrets:
                    continue
                key = known.get("secondKey", known["apiKey"]) if user == "sentinel" else known[name]
                self.deployment.secret(user, f"{venue}_api_key").write_text(key)
                self.deployment.secret(user, f"{venue}_api_secret").write_text(known["secret"])

    def change_venue_key(self, user: str, venue: str, name: str) -> None:
        """Give a service another key of its account, and the id of the one that it has now."""
        path = self.deployment.secret(user, f"{venue}_api_key")
        self.deployment.secret(user, f"{venue}_api_key_former").write_text(path.read_text())
        path.write_text(self.venues["credentials"][venue][name])

    def environ(self, name: str) -> dict[str, str]:
        """Return what a service is told: where its own secrets lie, and no other's."""
        environ = {
            **CLEAN,
            "ARB_CONFIG": str(self.directory / "arb.toml"),
            "ARB_INSTANCE": f"{name}-1",
            "ARB_REDIS_USERNAME": name,
            "ARB_REDIS_PASSWORD_FILE": str(self.deployment.secret(name, "redis_password")),
        }
        for path in self.deployment.secret(name, "x").parent.glob("*_api_key_former"):
            environ[f"ARB_{path.name.upper()}_FILE"] = str(path)
        for key in keys_of(name):
            path = self.deployment.secret(name, f"{key}_key")
            environ[f"ARB_{key.upper()}_KEY_FILE"] = str(path)
        for venue in self.venues["credentials"] if SERVICE_OF[name].holds_secrets else ():
            for part in ("key", "secret"):
                path = self.deployment.secret(name, f"{venue}_api_{part}")
                environ[f"ARB_{venue.upper()}_API_{part.upper()}_FILE"] = str(path)
        return environ

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                cwd=ROOT,
                env=self.environ(name),
                stdout=log,
                stderr=log,
            )

    def restart(self, name: str) -> None:
        """Restart a service as a supervisor does, and wait until everything is well again."""
        process = self._processes[name]
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0, self.log(name)
        began_ns = time.time_ns()
        self.start(name)
        self.wait_until_well(began_ns)

    def kill_with_orders_out(self, name: str) -> None:
        """Kill a service while a plan is carried out, and wait until everything is well again."""

        def is_at_work() -> bool:
            done = {each.plan_id for each in self.plans_done_since(0)}
            return self.newest(EXEC_PLAN, 1)[-1].plan_id not in done

        eventually_sync(is_at_work, timeout_s=WELL_S, every_s=0.01, what="a plan is carried out")
        self._processes[name].kill()
        began_ns = time.time_ns()
        self._processes[name].wait(10)
        self.wait_until_well(began_ns)

    def wait_until_well(self, after_ns: int = 0) -> None:
        """Wait until every service is ready, risk lets trade, and a plan has ended since."""

        def is_well() -> bool:
            self.tend()
            ready = {name for name, beat in self.ready().items() if beat.ts_ns > after_ns}
            assert set(RUNNING) <= ready, f"not ready: {sorted(set(RUNNING) - ready)}"
            told = self.report()
            assert told is not None
            assert told.ts_ns > after_ns
            assert told.state is TradingState.ACTIVE, self.trading_state()
            return any(done.outcome in GOOD for done in self.plans_done_since(after_ns))

        eventually_sync(is_well, timeout_s=WELL_S, every_s=0.2, what="well, and it trades")

    def tend(self) -> None:
        """Start again what has ended by itself, as systemd and Docker do."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                self.ended.append((name, code))
                self.start(name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()[-3_000:]

    def login(self) -> Redis:
        return self.deployment.client("operator", self.deployment.passwords()["operator"])

    def command_key(self) -> bytes:
        text = self.deployment.secret("operator", "command_key").read_text()
        return text.split()[0].encode()

    def accounts(self) -> dict[str, Account]:
        with urllib.request.urlopen(f"{self.venues['control']}/accounts", timeout=5) as answer:
            return read_accounts(json.loads(answer.read()))

    def stop(self) -> None:
        """Stop the services in an orderly way, the recorder last."""
        for name in ("sentinel", "scanner", "risk", "executor", "ingestor", "orderbook"):
            self._processes[name].send_signal(signal.SIGTERM)
            self._processes[name].wait(STOP_S)
        for name in ("exporter", RECORDER):
            self._processes[name].send_signal(signal.SIGTERM)
            self._processes[name].wait(STOP_S)

    def __enter__(self) -> OwnStack:
        for name in RUNNING:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.close()
        for process in (*self._processes.values(), self._venues):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
        assert self._venues.stdout is not None
        self._venues.stdout.close()
