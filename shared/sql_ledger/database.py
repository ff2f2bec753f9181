"""The ledger's file: opened, brought to the present schema, written and read. SQLite, in WAL mode.

Rows and the positions in the streams that they came from are one transaction: whoever is killed at
any moment goes on where the last one that was committed has ended.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import ArbError
from shared.sql_ledger.migrations import MIGRATIONS
from shared.sql_ledger.rows import TABLES, Row, fitting, insert_of
from shared.sql_ledger.take_in import Gap, Position

SCHEMA = len(MIGRATIONS)
APPLICATION_ID = 0x41524253
"""Marks a file as one of ours."""
BUSY_TIMEOUT_S = 2.0
CACHE_KIB = 4_000


class LedgerError(ArbError):
    """The ledger cannot be used now; the text says which file, and why."""


class Ledger:
    """One open file. Every method may raise ``LedgerError``; nothing is half done then."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._statements: dict[tuple[str, tuple[str, ...]], str] = {}
        self._columns: dict[str, frozenset[str]] = {}

    def close(self) -> None:
        """Close the file; what was not committed is not in it."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def positions(self) -> dict[str, Position]:
        """Return how far each stream was read."""
        rows = self.query("SELECT stream, entry_id, entries FROM stream_positions")
        return {row["stream"]: Position(row["entry_id"], row["entries"]) for row in rows}

    def write(
        self, rows: Sequence[Row], positions: Mapping[str, Position], gaps: Sequence[Gap] = ()
    ) -> int:
        """Write all of it, or nothing; return how many rows are new or have changed."""
        with self._faults(), self._transaction():
            changed = sum(self._insert(row) for row in rows)
            for gap in gaps:
                self._connection.execute(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    msgspec.structs.astuple(gap),
                )
            for stream, at in positions.items():
                self._connection.execute(
                    "INSERT INTO stream_positions VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE "
                    "SET entry_id = excluded.entry_id, entries = excluded.entries",
                    (stream, at.entry_id, at.entries),
                )
        return changed

    def query(
        self, sql: str, arguments: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[sqlite3.Row]:
        """Return the rows of a question."""
        with self._faults():
            return self._connection.execute(sql, arguments).fetchall()

    def each(self, sql: str, arguments: Sequence[Any] = ()) -> Iterator[sqlite3.Row]:
        """Yield the rows of a question, a few at a time."""
        with self._faults():
            yield from self._connection.execute(sql, arguments)

    def copy_to(self, path: Path) -> None:
        """Write all of it into one new file."""
        with self._faults():
            self._connection.execute("VACUUM INTO ?", (str(path),))

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let all questions of the body see the ledger as it was at the first of them."""
        with self._faults():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._connection.execute("COMMIT")

    def _insert(self, row: Row) -> int:
        there = self._columns.get(row.table)
        if there is None:
            found = self._connection.execute(f"PRAGMA table_info({row.table})")
            there = self._columns[row.table] = frozenset(each["name"] for each in found)
        values = fitting(row.values, there)
        columns = tuple(values)
        statement = self._statements.get((row.table, columns))
        if statement is None:
            statement = insert_of(TABLES[row.table], columns)
            self._statements[row.table, columns] = statement
        if self._connection.execute(statement, values).rowcount < 1:
            return 0
        return 1 + sum(self._insert(part) for part in row.parts)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path}: {error}") from error

    def prepare(self) -> None:
        """Bring the file to the present schema, or make it one.

        Raises:
            LedgerError: It is not a ledger, or one of a newer program.
        """
        with self._faults():
            version = self._version()
            if version == SCHEMA:
                return
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                version = self._version()  # another process may have done it meanwhile
                for statements in MIGRATIONS[version:]:
                    for statement in statements:
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def check(self) -> None:
        """Refuse a file that cannot be read as it is.

        Raises:
            LedgerError: It is not a ledger, or one of another schema.
        """
        with self._faults():
            version = self._version()
        if not version:
            raise LedgerError(f"{self._path} is empty: no recorder has written a ledger there yet")
        if version < SCHEMA:
            raise LedgerError(
                f"{self._path} has schema {version}, this program reads {SCHEMA}: start the "
                "recorder of this version once, which brings it forward"
            )

    def _version(self) -> int:
        """Return the schema of the file, 0 where it is empty."""
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and tables:
            raise LedgerError(
                f"{self._path} is a database of something else; give recorder.ledger_file another "
                "name"
            )
        if version > SCHEMA:
            raise LedgerError(
                f"{self._path} has schema {version}, this program knows {SCHEMA}: start the newer "
                "version that wrote it, or give recorder.ledger_file another name"
            )
        return int(version)


def open_to_write(path: Path) -> Ledger:
    """Open a ledger, made where there is none.

    Raises:
        LedgerError: It cannot be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{path.parent}: {error.strerror}") from error
    ledger = _open(path, "rwc")
    try:
        ledger.prepare()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def open_to_read(path: Path) -> Ledger:
    """Open a ledger to look at; it is not changed.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    if not path.exists():
        raise LedgerError(
            f"there is no ledger {path}; the recorder writes it where recorder.ledger is true"
        )
    if path.is_dir():
        raise LedgerError(f"{path} is a directory; give the file of a ledger")
    ledger = _open(path, "ro")
    try:
        ledger.check()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def _open(path: Path, mode: str) -> Ledger:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        # A crash of the machine may take the last commits, and their positions with them.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error
    return Ledger(connection, path)
