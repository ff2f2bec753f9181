"""Commands on a ledger: their tables, and mistakes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from shared.sql_ledger.database import SCHEMA
from tests.integration.test_cli import arb
from tests.ledger_builders import told_plan, write_ledger


@pytest.fixture(scope="module")
def ledger(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    write_ledger(path, [message for number in range(3) for message in told_plan(number)])
    return path


def test_tables_fit_80_columns(ledger):
    for arguments in (("orders",), ("fills",), ("plans",), ("plans", "p000001"), ("pnl",)):
        done = arb(*arguments, "--ledger", str(ledger))
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) >= 4
        assert all(len(line) <= 80 for line in done.stdout.splitlines()), done.stdout
    done = arb("fills", "--ledger", str(ledger), "--json")
    assert [each["price"] for each in json.loads(done.stdout)["fills"]] == ["10001", "10050"] * 3


def test_lots_are_made_from_the_ledger(ledger):
    done = arb("export", "lots", "--ledger", str(ledger), "--json")
    lots = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["state"], each["profit"]) for each in lots] == [("closed", "4.9")] * 3
    both = arb("export", "lots", "--ledger", str(ledger), "--file", "-")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)


def test_mistakes_are_one_line(ledger, tmp_path):
    newer = tmp_path / "newer"
    newer.write_bytes(ledger.read_bytes())
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    other = tmp_path / "other"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    empty = tmp_path / "empty"
    empty.touch()
    for arguments, part in (
        (("orders", "--ledger", str(tmp_path / "none")), "there is no ledger"),
        (("orders", "--ledger", str(newer)), f"has schema {SCHEMA + 1}, this program knows"),
        (("orders", "--ledger", str(other)), "is a database of something else"),
        (("orders", "--ledger", str(ledger), "--since", "soon"), "90m, 12h or 7d"),
        (("fills", "--ledger", str(ledger), "--until", "soon"), "--until 'soon' is not a time"),
        (("plans", "--ledger", str(ledger), "--since", "1h", "--until", "2h"), "is not before"),
        *(
            ((name, "--ledger", str(ledger), "--venue", "krakn"), "it has alpha, beta")
            for name in ("orders", "fills", "plans", "balances", "positions", "pnl", "why-denied")
        ),
        (("fills", "--ledger", str(ledger), "--instrument", "XBTUSD"), "it has BTC/USDT"),
        (("plans", "p000001", "--ledger", str(ledger), "--until", "1h"), "--until is for lists"),
        (("pnl", "--ledger", str(ledger), "--venue", "beta", "--limit", "1"), "give one"),
        (("positions", "--ledger", str(ledger), "--reason", "X"), "No such option: --reason"),
        (("pnl", "--ledger", str(tmp_path)), "is a directory"),
        (("pnl", "--ledger", str(empty)), "is empty"),
        (("pnl", "--ledger", str(ledger), "--json", "--csv", "x"), "give one of them"),
        (("plans", "p000001", "--ledger", str(ledger), "--csv", "x"), "--csv is for lists"),
        (("pnl", "--ledger", str(ledger), "--venue", "beta", "--since", "7d"), "give one"),
    ):
        done = arb(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert part in done.stderr
