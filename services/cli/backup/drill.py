"""Tries a backup: a Redis of its own loads it, risk starts on it, and everything is compared."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from services.cli.backup.archive import AOF, CONFIG, LEDGER, Manifest, differences, key_of
from services.cli.backup.reading import read_all
from services.cli.backup.restoring import write_data
from services.cli.look import survey
from services.cli.settings import to_toml
from shared.bus.tuning import LEDGER_KEY
from shared.clock import SystemClock
from shared.config import load_config
from shared.config_sections import BusConfig, ObserveConfig, ProcessConfig
from shared.embedded import EmbeddedServer, find_server
from shared.errors import ArbError, ConfigError
from shared.ledger import DATA_LOST
from shared.messages.base import TradingState
from shared.messages.execution import RiskReport
from shared.sql_ledger.database import LedgerError, open_to_read
from shared.streams import EXEC_EVENT, RISK_EVENT
from shared.watch.collector import Collector
from shared.watch.link import Link, open_link, open_redis

LOAD_S: Final = 120.0
RISK_S: Final = 60.0
LOOK_S: Final = 0.2
DIFFERENCES_MAX: Final = 10
COMPARED: Final = ("exposure", "realized", "fees", "inventory", "funding", "transfers")
"""Figures of risk that follow from the ledger alone, not from a price of now."""


@dataclass(slots=True)
class Trial:
    """What was tried, a line each with whether it went well, and how long all of it took."""

    lines: list[tuple[bool, str]] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether everything went well."""
        return all(ok for ok, _ in self.lines)

    def note(self, ok: bool, text: str) -> None:
        """Take a line."""
        self.lines.append((ok, text))


async def try_out(manifest: Manifest, parts: dict[str, Path]) -> Trial:
    """Restore a backup into a scratch folder, start risk on it, and compare.

    No venue is asked, and no executor is started: the drill can send nothing.

    Raises:
        ConfigError: No server for it is here.
    """
    trial, began_ns = Trial(), SystemClock.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="arb-drill-") as name:
        folder = Path(name)
        write_data(manifest, parts[AOF], folder / "redis")
        find_server()  # that none is here says nothing of the backup
        server = EmbeddedServer(folder / "redis")
        try:
            await asyncio.to_thread(server.start, LOAD_S)
        except ConfigError as error:
            trial.note(False, f"Redis cannot load it: {error}")
        else:
            await _look_at(manifest, parts, folder, server.url, trial)
        finally:
            server.stop()
    trial.took_s = (SystemClock.monotonic_ns() - began_ns) / 1e9
    return trial


async def _look_at(
    manifest: Manifest, parts: dict[str, Path], folder: Path, url: str, trial: Trial
) -> None:
    await _compare_keys(manifest, url, trial)
    if LEDGER in parts:
        _check_ledger(parts[LEDGER], trial)
    if not manifest.ledger_id:
        trial.note(True, "no service has begun a ledger yet: risk was not started")
    elif CONFIG not in parts:
        trial.note(False, "risk was not started: the backup has no configuration")
    else:
        await _start_risk(parts[CONFIG], folder, url, trial)


async def _compare_keys(manifest: Manifest, url: str, trial: Trial) -> None:
    async with open_redis(url) as (redis, where):
        found = [key_of(each) for each in await read_all(redis, where)]
    # The restored marks say that data was lost.
    before = [each for each in manifest.keys if each.key != LEDGER_KEY]
    wrong = differences(before, [each for each in found if each.key != LEDGER_KEY])
    entries = sum(each.entries for each in before)
    trial.note(not wrong, f"Redis loads it: {len(found)} keys with {entries} entries")
    for line in wrong[:DIFFERENCES_MAX]:
        trial.note(False, line)


def _check_ledger(path: Path, trial: Trial) -> None:
    try:
        ledger = open_to_read(path)
        try:
            sound = ledger.query("PRAGMA integrity_check")[0]["integrity_check"]
            fills = ledger.query("SELECT count(*) AS fills FROM fills")[0]["fills"]
        finally:
            ledger.close()
    except LedgerError as error:
        trial.note(False, f"the ledger cannot be read: {error}")
        return
    trial.note(sound == "ok", f"the ledger is {sound}: {fills} fills")


async def _start_risk(config: Path, folder: Path, url: str, trial: Trial) -> None:
    async with open_link(url) as link:
        before = (await survey(link, (RISK_EVENT,))).risk
        since_ns = SystemClock.now_ns()
        try:
            with _risk(config, folder, url) as process:
                after = await _await_halt(link, since_ns, process)
        except ArbError as error:
            trial.note(False, f"risk cannot start on it: {error}")
            return
        later = await _events_after(link, before, since_ns) if before else 0
    state, told = after.state, after.risk
    if state is None or told is None:
        log = (folder / "risk.log").read_text(errors="replace").strip().splitlines()[-1:]
        trial.note(False, f"risk did not report within {RISK_S:g} s: {' '.join(log)}")
        return
    is_halted = state.state is TradingState.HALTED and DATA_LOST in state.reason
    trial.note(is_halted, f"risk starts on it: {state.state}, {state.reason}")
    if before is None:
        trial.note(True, "no report of risk is in it to compare with")
        return
    wrong = [name for name in COMPARED if getattr(before, name) != getattr(told, name)]
    if wrong and later:
        text = f"{later} entries of the executor came after the last report, so it is not compared"
        trial.note(True, text)
        return
    for name in wrong:
        trial.note(False, f"{name} was {getattr(before, name)}, is {getattr(told, name)}")
    if not wrong:
        trial.note(True, f"its accounts are those of the last report: {', '.join(COMPARED)}")


@contextmanager
def _risk(config: Path, folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    given = load_config(str(config), {})
    own = msgspec.structs.replace(
        given,
        bus=BusConfig(url=url, shards=given.bus.shards),
        # Ports and processors are those of the services that run here meanwhile.
        observe=ObserveConfig(),
        process=ProcessConfig(),
    )
    place = folder / "drill.toml"
    place.write_text(to_toml(own), encoding="utf-8")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("ARB_")}
    environ |= {"ARB_CONFIG": str(place), "ARB_KEYS_DIR": str(folder / "keys")}
    with (folder / "risk.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.risk"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _await_halt(link: Link, since_ns: int, process: subprocess.Popen[bytes]) -> Collector:
    """Return what risk has said since, once it has told its state and its accounts."""
    until_ns = SystemClock.monotonic_ns() + int(RISK_S * 1e9)
    while True:
        heard = Collector()
        for item in await link.newest(RISK_EVENT, count=100):
            if getattr(item.message, "ts_ns", 0) > since_ns:
                heard.on_message(item.message)
        has_told = heard.state is not None and heard.risk is not None
        is_over = process.poll() is not None or SystemClock.monotonic_ns() > until_ns
        if (has_told and _is_halted_for_loss(heard)) or is_over:
            return heard
        await asyncio.sleep(LOOK_S)


def _is_halted_for_loss(heard: Collector) -> bool:
    return heard.state is not None and DATA_LOST in heard.state.reason


async def _events_after(link: Link, report: RiskReport, until_ns: int) -> int:
    """Return how many entries of the executor came after a report of risk."""
    since_id = str(report.ts_ns // 1_000_000)
    ids = {item.entry_id async for item in link.whole(EXEC_EVENT, since_id)}
    return sum(int(each.partition("-")[0]) <= until_ns // 1_000_000 for each in ids)
