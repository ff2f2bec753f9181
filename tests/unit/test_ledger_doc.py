"""docs/ledger.md names every table with its key, and no other."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from shared.sql_ledger.database import open_to_write
from shared.sql_ledger.rows import TABLES
from tests.support import ROOT


def told() -> dict[str, str]:
    text = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", text, re.MULTILINE))


def test_the_page_has_every_table_with_its_key(tmp_path: Path) -> None:
    open_to_write(tmp_path / "l").close()
    with sqlite3.connect(tmp_path / "l") as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        keys = {}
        for (name,) in tables:
            columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
            parts = sorted((place, column) for _, column, *_, place in columns if place)
            keys[name] = ", ".join(column for _, column in parts)
    connection.close()
    assert told() == keys
    assert {table.name: ", ".join(table.key) for table in TABLES.values()}.items() <= keys.items()
