"""A ledger goes forward through its schemas, and messages may gain fields without a new one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Fill
from shared.messages.terms import LegPolicy, Resting
from shared.sql_ledger.database import SCHEMA, LedgerError, open_to_read, open_to_write
from shared.sql_ledger.migrations import MIGRATIONS, POSTGRES_MIGRATIONS
from shared.sql_ledger.rows import Row, message_of, rows_of
from tests.decision_builders import T0
from tests.ledger_builders import D, approved, fill

OF_ONE_SIDE = 3
"""A ledger of an older schema has one side of a trade whose sides were both ours."""


def of_schema(path: Path, version: int) -> None:
    with sqlite3.connect(path) as connection:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {0x41524253}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_an_older_ledger_is_brought_forward_with_its_rows(tmp_path: Path, version: int) -> None:
    path = tmp_path / "l"
    of_schema(path, version)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO stream_positions VALUES ('s', '5-0', 5)")
    connection.close()
    lacks = ["where both sides of a trade were ours, only the fill that came first"]
    lacks *= version < OF_ONE_SIDE
    told = f"has schema {version}, this program reads {SCHEMA}.*{''.join(lacks)}"
    with pytest.raises(LedgerError, match=told):
        open_to_read(path)
    ledger = open_to_write(path)
    assert len(ledger.notices) == len(lacks)
    for notice, lack in zip(ledger.notices, lacks, strict=True):
        assert notice.startswith(f"{path} was of schema {version}: {lack}")
    assert ledger.positions()["s"].entry_id == "5-0"
    assert ledger.query("PRAGMA user_version")[0][0] == SCHEMA
    ledger.close()
    for path_now in (path, tmp_path / "new"):
        ledger = open_to_write(path_now)
        assert ledger.notices == [], "it is told once, and never of a ledger that is just made"
        ledger.close()


def test_fills_keep_their_rows_and_gain_the_other_side(tmp_path: Path) -> None:
    path, plan = tmp_path / "l", approved(1, T0)
    of_schema(path, 2)
    bought = fill(plan, 0, D(10_000), fee=None)
    (row,) = rows_of(bought, "e")
    columns = row.values.keys() - {"of_no_round", "of_rounds"}
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"INSERT INTO fills ({', '.join(columns)}, more) VALUES "
            f'({", ".join(f":{name}" for name in columns)}, \'{{"of_no_round":"0.5"}}\')',
            row.values,
        )
    connection.close()
    ledger = open_to_write(path)
    (kept,) = ledger.query("SELECT * FROM fills")
    assert message_of(Fill, kept) == msgspec.structs.replace(bought, of_no_round=D("0.5"))
    other = msgspec.structs.replace(bought, side=Side.SELL, client_order_id="other", fee=D(1))
    for _ in range(2):
        ledger.write([*rows_of(bought, "e"), *rows_of(other, "f")], {})
    rows = ledger.query("SELECT side, client_order_id, fee FROM fills ORDER BY side")
    assert [tuple(row) for row in rows] == [
        ("buy", bought.client_order_id, None),
        ("sell", "other", "1"),
    ]
    indexes = ledger.query("SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")
    assert {"fills_by_entry", "fills_by_plan"} <= {row["name"] for row in indexes}
    ledger.close()


def test_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    """The scanner's account may read the recorder's files, and runs strategies; not this one."""
    path = tmp_path / "ledger.sqlite"
    with closing(open_to_write(path)) as ledger:
        ledger.query("SELECT * FROM fills")
        made = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        assert made.pop(path.name) == 0o600
        assert set(made.values()) <= {0o600}, "nor its log"
    path.chmod(0o640)
    with closing(open_to_write(path)):
        assert path.stat().st_mode & 0o777 == 0o640, "what an operator chose stays"


def test_both_databases_take_the_same_steps() -> None:
    assert len(POSTGRES_MIGRATIONS) == len(MIGRATIONS) == SCHEMA


def test_a_step_that_fails_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "l"
    of_schema(path, 1)
    broken = (MIGRATIONS[0], ("CREATE TABLE made (x)", "CREATE TABLE made (x)"))
    monkeypatch.setattr("shared.sql_ledger.sqlite.MIGRATIONS", broken)
    with pytest.raises(LedgerError, match="made"):
        open_to_write(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'made'").fetchall()
    assert tables == []
    connection.close()


def test_a_field_that_a_message_gained_is_kept(tmp_path: Path) -> None:
    resting = Resting(rest_ms=500, better_bps=D("1.5"))
    changes = {"policy": LegPolicy.MAKER_TAKER, "resting": resting}
    plan = msgspec.structs.replace(approved(1, T0), **changes)
    execution = fill(plan, 0, D(10_000), fee=None)
    ledger = open_to_write(tmp_path / "l")
    (row,) = rows_of(execution, "e")
    later = Row("fills", {**row.values, "maker": 1, "tags": '["a"]'})
    ledger.write([*rows_of(plan, "e"), later], {})
    assert message_of(ApprovedPlan, ledger.query("SELECT * FROM plans")[0]) == plan
    (kept,) = ledger.query("SELECT * FROM fills")
    assert msgspec.json.decode(kept["more"]).items() >= {"maker": 1, "tags": '["a"]'}.items()
    assert message_of(Fill, kept) == execution
    ledger.query("UPDATE plans SET more = NULL")
    (older,) = ledger.query("SELECT * FROM plans")
    assert message_of(ApprovedPlan, older).policy is LegPolicy.CONCURRENT
    ledger.close()
