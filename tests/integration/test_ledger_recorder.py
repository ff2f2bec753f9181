"""The ledger as a recorder process writes it: killed, without its file, behind the streams."""

from __future__ import annotations

import resource
import signal
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
import redis.asyncio

from shared.bus.opening import open_bus
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.sql_ledger.database import LedgerError, open_to_read
from shared.streams import EXEC_EVENT
from tests.integration.processes import ServiceProcess
from tests.ledger_builders import told_plan
from tests.support import eventually
from tests.unit.test_ledger_schema import of_schema

D = Decimal


class Scene:
    """A bus with plans on it, and a recorder's directory."""

    def __init__(self, server: EmbeddedServer, bus, directory: Path) -> None:
        self.server, self.bus, self.directory = server, bus, directory
        self.file = directory / "store" / "ledger.sqlite"
        self.told = 0

    def recorder(self) -> ServiceProcess:
        config = f'[bus]\nurl = "{self.server.url}"\n[recorder]\nledger = true\n'
        return ServiceProcess("recorder", self.directory, config + f'dir = "{self.file.parent}"\n')

    async def tell(self, plans: int = 1) -> None:
        for _ in range(plans):
            self.told += 1
            for message in told_plan(self.told):
                await self.bus.commit(None, [message])

    def count(self, table: str) -> int:
        ledger = open_to_read(self.file)
        try:
            (row,) = ledger.query(f"SELECT count(*) AS n FROM {table}")
            return row["n"]
        finally:
            ledger.close()

    def is_whole(self) -> bool:
        try:
            return self.count("fills") == 2 * self.told
        except LedgerError:  # not made yet
            return False

    def gaps(self) -> list[tuple[str, int | None]]:
        ledger = open_to_read(self.file)
        try:
            return [(row["stream"], row["entries"]) for row in ledger.query("SELECT * FROM gaps")]
        finally:
            ledger.close()


@pytest.fixture
async def scene(tmp_path):
    with EmbeddedServer(tmp_path / "valkey") as server:
        bus = await open_bus(BusConfig(url=server.url), service="executor", instance="t")
        yield Scene(server, bus, tmp_path)
        await bus.close()


async def test_a_recorder_killed_at_any_moment_writes_every_fact_once(scene):
    with scene.recorder() as recorder:
        for plans in (1, 40, 3, 25):
            await scene.tell(plans)
            recorder.end(signal.SIGKILL)  # at whatever it was doing
            recorder.start()
        await eventually(scene.is_whole, timeout_s=30)
        assert recorder.end(signal.SIGTERM) == 0, recorder.log.read_text()
    assert scene.count("plans") == scene.count("plan_ends") == scene.told
    assert scene.count("orders") == 2 * scene.told
    assert scene.gaps() == []


async def test_what_is_trimmed_before_it_was_read_is_a_gap_and_an_alert(scene):
    await scene.tell(2)
    with scene.recorder() as recorder:
        await eventually(scene.is_whole, timeout_s=30)
        recorder.end(signal.SIGKILL)
        await scene.tell(3)
        async with redis.asyncio.from_url(scene.server.url) as client:
            lost = await client.xlen(EXEC_EVENT.key())
            await client.xtrim(EXEC_EVENT.key(), maxlen=0, approximate=False)
        recorder.start()
        await eventually(scene.gaps, timeout_s=30)
        assert scene.gaps() == [(EXEC_EVENT.key(), lost * 3 // 5)]
        await scene.tell(1)
        await eventually(lambda: scene.count("fills") == 6, timeout_s=30)
        await eventually(lambda: scene.count("alerts") == 1, timeout_s=30)
        assert recorder.end(signal.SIGTERM) == 0
    assert scene.count("plans") == 6  # the other streams are whole


async def test_what_an_older_ledger_lacks_is_an_alert_once(scene):
    scene.file.parent.mkdir()
    of_schema(scene.file, 2)
    with scene.recorder() as recorder:
        for plans in (2, 1):
            await scene.tell(plans)
            await eventually(scene.is_whole, timeout_s=30)
            await eventually(lambda: scene.count("alerts") == 1, timeout_s=30)
            assert recorder.end(signal.SIGTERM) == 0
            recorder.start()
    ledger = open_to_read(scene.file)
    ((text,),) = ledger.query("SELECT text FROM alerts")
    ledger.close()
    assert "was of schema 2: where both sides of a trade were ours" in text


async def test_a_locked_file_is_told_in_one_line_and_writing_goes_on(scene):
    with scene.recorder() as recorder:
        await scene.tell(1)
        await eventually(scene.is_whole, timeout_s=30)
        holder = sqlite3.connect(scene.file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        await scene.tell(1)
        await eventually(lambda: reasons(recorder, "database is locked"), timeout_s=30)
        holder.execute("ROLLBACK")
        holder.close()
        await eventually(scene.is_whole, timeout_s=30)
        await eventually(lambda: reasons(recorder, "written again"), timeout_s=30)
        assert len(reasons(recorder, "is not written")) == 1
        assert recorder.end(signal.SIGTERM) == 0


async def test_a_full_disk_is_told_in_one_line_and_writing_goes_on(scene):
    with scene.recorder() as recorder:
        await scene.tell(1)
        await eventually(scene.is_whole, timeout_s=30)
        pid = recorder.process.pid
        # No file may grow beyond this: as on a disk that is full, a write fails.
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        log = scene.file.with_name(scene.file.name + "-wal")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 6_000, hard))
        await scene.tell(20)
        await eventually(lambda: reasons(recorder, "is not written"), timeout_s=30)
        assert recorder.process.poll() is None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        await eventually(scene.is_whole, timeout_s=30)
        await eventually(lambda: reasons(recorder, "written again"), timeout_s=30)
        assert len(reasons(recorder, "is not written")) == 1
        assert recorder.end(signal.SIGTERM) == 0
    assert scene.gaps() == []


async def test_what_is_no_database_is_left_alone(scene):
    scene.file.parent.mkdir()
    scene.file.write_text("my notes, which are longer than the header of a database file\n" * 9)
    before = scene.file.read_bytes()
    with scene.recorder() as recorder:
        await scene.tell(1)
        await eventually(lambda: reasons(recorder, "not a database"), timeout_s=30)
        scene.file.rename(scene.directory / "notes")
        await eventually(scene.is_whole, timeout_s=30)
        assert recorder.end(signal.SIGTERM) == 0
    assert (scene.directory / "notes").read_bytes() == before


def reasons(recorder: ServiceProcess, part: str) -> list[str]:
    found = [event.get("reason", "") for event in recorder.events()]
    return [reason for reason in found if part in reason]
