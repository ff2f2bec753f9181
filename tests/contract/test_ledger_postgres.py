"""A ledger in PostgreSQL holds and answers what one in a file does, and survives its server."""

from __future__ import annotations

import csv
import io
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.commands_ledger import LISTS
from services.cli.ledger import money as ledger_money
from services.cli.ledger import plan as ledger_plan
from services.cli.ledger import records as ledger_records
from services.cli.ledger.file import Wanted
from shared.bus.opening import open_bus
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.control import Alert, Severity
from shared.messages.execution import Fill
from shared.sql_ledger.database import (
    SCHEMA,
    Ledger,
    LedgerError,
    open_to_read,
    open_to_write,
)
from shared.sql_ledger.rows import entry_text, rows_of
from tests.decision_builders import T0
from tests.integration.processes import ServiceProcess
from tests.integration.test_cli import arb
from tests.ledger_builders import told_plan
from tests.ledger_facts import contents, facts, read, streams_of
from tests.ports import free_ports
from tests.support import eventually

pytestmark = pytest.mark.containers

PASSWORD = "sesame"
UP_WITHIN_S = 60
_NUMBERS = count()


class Server:
    """A PostgreSQL in a container; each test has a schema of its own in its one database."""

    def __init__(self, container: Any, port: int) -> None:
        self.container = container
        self.address = f"{container.get_container_host_ip()}:{port}"

    def url(self, schema: str = "public", password: str = PASSWORD) -> str:
        options = f"?options=-csearch_path%3D{schema}"
        return f"postgresql://postgres:{password}@{self.address}/postgres{options}"

    def run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def wait_until_up(self) -> None:
        import psycopg

        deadline = time.monotonic() + UP_WITHIN_S
        while True:
            try:
                return self.run("SELECT 1")
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)  # fixed, so that it is the same after a restart
    postgres = DockerContainer("postgres:17").with_bind_ports(5432, port)
    with postgres.with_env("POSTGRES_PASSWORD", PASSWORD) as container:
        started = Server(container, port)
        started.wait_until_up()
        yield started


@pytest.fixture
def url(server: Server) -> str:
    schema = f"test_{next(_NUMBERS)}"
    server.run(f"CREATE SCHEMA {schema}")
    return server.url(schema)


def fill_up(ledger: Ledger, plans: int, seed: int) -> None:
    streams = streams_of(facts(plans, seed), random.Random(seed))
    while read(ledger, streams, 5):
        pass


@pytest.fixture
def both(url: str, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """The same facts in a database and in a file, open to read."""
    for place in (url, tmp_path / "ledger.sqlite"):
        ledger = open_to_write(place)
        fill_up(ledger, plans=6, seed=4)
        ledger.close()
    with (
        closing(open_to_read(url)) as there,
        closing(open_to_read(tmp_path / "ledger.sqlite")) as here,
    ):
        yield there, here


def test_it_holds_the_same_rows_as_a_file(both):
    there, here = both
    assert contents(there) == contents(here)
    assert all(contents(there).values()), "every table has rows"


@pytest.mark.parametrize("seed", range(3))
def test_reading_again_in_pieces_changes_nothing(url, tmp_path, seed):
    chance = random.Random(seed)
    streams = streams_of(facts(4, seed), random.Random(seed))
    whole, pieces = open_to_write(tmp_path / "ledger.sqlite"), open_to_write(url)
    with closing(whole), closing(pieces):
        while read(whole, streams, 10_000):
            pass
        for _ in range(3):
            for _ in range(4):
                read(pieces, streams, chance.randint(1, 7))
            pieces.query("DELETE FROM stream_positions")
        while read(pieces, streams, chance.randint(1, 9)):
            pass
        assert contents(pieces) == contents(whole)


def test_a_ledger_of_an_older_version_keeps_its_fills_and_gains_the_other_side(server, url):
    """Also who may read it: the table stays."""
    schema = url.rpartition("%3D")[2]
    with closing(open_to_write(url)) as ledger:
        fill_up(ledger, plans=3, seed=1)
        before = contents(ledger)
        ledger.query("ALTER TABLE fills DROP CONSTRAINT fills_pkey")
        ledger.query("ALTER TABLE fills ADD PRIMARY KEY (venue, instrument, trade_id)")
        for table in ("balance_moves", "audit"):
            ledger.query(f"DROP TABLE {table}")
        ledger.query("UPDATE ledger_schema SET version = 2")
    server.run("CREATE ROLE reader")
    server.run(f"GRANT SELECT ON {schema}.fills TO reader")
    bought = next(each for each in facts(3, 1) if isinstance(each, Fill))
    sold = msgspec.structs.replace(bought, side=bought.side.opposite)
    with closing(open_to_write(url)) as ledger:
        assert ledger.query("SELECT version FROM ledger_schema")[0]["version"] == SCHEMA
        assert contents(ledger) == before | {"balance_moves": [], "audit": []}
        for _ in range(2):
            ledger.write([*rows_of(bought, entry_text("9-0", 0)), *rows_of(sold, "z")], {})
        rows = ledger.query("SELECT side FROM fills WHERE trade_id = ?", [bought.trade_id])
        assert sorted(row["side"] for row in rows) == ["buy", "sell"]
        granted = "SELECT grantee FROM information_schema.role_table_grants WHERE table_schema = ?"
        assert "reader" in {row["grantee"] for row in ledger.query(granted, [schema])}


WANTED = (
    Wanted(),
    Wanted(limit=2),
    Wanted(since_ns=T0 + 30_000_000),
    Wanted(until_ns=T0 + 30_000_000),
    Wanted(venue="alpha"),
    Wanted(venue="nowhere"),
    Wanted(instrument="BTC/USDT"),
    Wanted(strategy="cross_venue"),
)
OPTION_OF = {"since_ns": "since", "until_ns": "until"}
OPTION_OF |= {name: name for name in ("venue", "instrument", "strategy")}


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_commands_find_the_same(both, wanted):
    asked = {option for name, option in OPTION_OF.items() if getattr(wanted, name)}
    finders = [each.find for each in LISTS if asked <= each.filters.keys()]
    for find in (*finders, ledger_records.plans):
        there, here = (find(ledger, wanted) for ledger in both)
        assert there == here
    if not asked:
        there, here = (ledger_records.plans(ledger, wanted) for ledger in both)
        assert there, "plans are there to compare"


def test_money_plans_and_lots_are_the_same(both, url, tmp_path):
    there, here = (ledger_money.pnl(ledger) for ledger in both)
    assert there == here
    assert there["fills"], "fills are there to add"
    assert ledger_plan.whole(both[0], "p000002") == ledger_plan.whole(both[1], "p000002")
    lots = [
        arb("export", "lots", "--ledger", str(place)) for place in (url, tmp_path / "ledger.sqlite")
    ]
    assert [each.returncode for each in lots] == [0, 0]
    assert lots[0].stdout == lots[1].stdout
    assert len(list(csv.reader(io.StringIO(lots[0].stdout)))) > 1


def write_plans(ledger: Ledger, numbers: range) -> None:
    for number in numbers:
        rows = [
            row
            for place, message in enumerate(told_plan(number))
            for row in rows_of(message, entry_text(f"{number}-{place}", 0))
        ]
        ledger.write(rows, {})


def test_questions_of_one_moment_see_no_later_write(url):
    with closing(open_to_write(url)) as writer, closing(open_to_read(url)) as reader:
        write_plans(writer, range(1))
        with reader.at_one_moment():
            before = reader.query("SELECT count(*) AS n FROM fills")[0]["n"]
            write_plans(writer, range(1, 3))
            assert reader.query("SELECT count(*) AS n FROM fills")[0]["n"] == before
        assert reader.query("SELECT count(*) AS n FROM fills")[0]["n"] > before


def test_two_writers_at_once_write_every_fact_once(url, tmp_path):
    faults: list[LedgerError] = []

    def write() -> None:
        try:
            with closing(open_to_write(url)) as ledger:
                write_plans(ledger, range(40))
        except LedgerError as fault:
            faults.append(fault)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert faults == []
    with closing(open_to_read(url)) as ledger:
        for table, rows in (("plans", 40), ("fills", 80), ("orders", 80)):
            assert ledger.query(f"SELECT count(*) AS n FROM {table}")[0]["n"] == rows


def test_text_that_postgresql_cannot_hold_is_replaced(url):
    alert = Alert(ts_ns=T0, service="risk", severity=Severity.INFO, code="C", text="a\0b")
    with closing(open_to_write(url)) as ledger:
        ledger.write(rows_of(alert, entry_text("1-0", 0)), {})
        assert ledger.query("SELECT text FROM alerts")[0]["text"] == "a\N{REPLACEMENT CHARACTER}b"


def test_what_is_no_ledger_of_ours_is_refused_in_one_line(server, url):
    with pytest.raises(LedgerError, match="is empty: no recorder has written a ledger"):
        open_to_read(url)
    with closing(open_to_write(url)) as ledger:
        ledger.query("UPDATE ledger_schema SET version = ?", [SCHEMA + 1])
    for opening in (open_to_read, open_to_write):
        with pytest.raises(LedgerError, match=f"has schema {SCHEMA + 1}, this program knows"):
            opening(url)
    server.run("CREATE SCHEMA other")
    server.run("CREATE TABLE other.orders (id BIGINT)")
    with pytest.raises(LedgerError, match="is a database of something else"):
        open_to_write(server.url("other"))


@pytest.mark.parametrize("what", ["password", "address"])
def test_who_cannot_connect_is_told_in_one_line_without_the_password(server, what):
    url = server.url(password="wrong")
    if what == "address":
        url = "postgresql://postgres:wrong@127.0.0.1:9/postgres"
    done = arb("pnl", "--ledger", url)
    assert done.returncode == 2
    text = done.stderr.strip()
    assert "\n" not in text
    assert ("password authentication failed" if what == "password" else "refused") in text
    assert "wrong" not in text.replace("went wrong", "")


async def test_a_recorder_survives_kills_and_a_restart_of_its_database(server, url, tmp_path):
    with EmbeddedServer(tmp_path / "valkey") as redis:
        bus = await open_bus(BusConfig(url=redis.url), service="executor", instance="t")
        config = f'[bus]\nurl = "{redis.url}"\n[recorder]\nledger = true\nledger_url = "{url}"\n'
        told = 0

        async def tell(plans: int) -> None:
            nonlocal told
            for _ in range(plans):
                told += 1
                for message in told_plan(told):
                    await bus.commit(None, [message])

        def fills() -> int:
            with closing(open_to_read(url)) as ledger:
                return ledger.query("SELECT count(*) AS n FROM fills")[0]["n"]

        def is_whole() -> bool:
            try:
                return fills() == 2 * told
            except LedgerError:  # not made yet, or its server is away
                return False

        with ServiceProcess("recorder", tmp_path, config) as recorder:
            for plans in (1, 30, 5):
                await tell(plans)
                recorder.end(signal.SIGKILL)  # at whatever it was doing
                recorder.start()
            await eventually(is_whole, timeout_s=60)
            docker = server.container.get_wrapped_container()
            docker.kill()
            await tell(5)
            docker.start()
            server.wait_until_up()
            await eventually(is_whole, timeout_s=60)
            assert recorder.end(signal.SIGTERM) == 0, recorder.log.read_text()
        with closing(open_to_read(url)) as ledger:
            assert ledger.query("SELECT * FROM gaps") == []
            assert ledger.query("SELECT count(*) AS n FROM plans")[0]["n"] == told
            told_alerts = [row["text"] for row in ledger.query("SELECT text FROM alerts")]
        assert PASSWORD not in recorder.log.read_text() + "".join(told_alerts)
        report = arb("pnl", "--ledger", url)
        assert report.returncode == 0, report.stderr
        await bus.close()
