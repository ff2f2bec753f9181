"""A ledger in a file: SQLite, in WAL mode."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.sql_ledger.ledger import SCHEMA, Arguments, Ledger, LedgerError
from shared.sql_ledger.migrations import MIGRATIONS

APPLICATION_ID = 0x41524253
"""Marks a file as one of ours."""
BUSY_TIMEOUT_S = 2.0
CACHE_KIB = 4_000


class SqliteLedger(Ledger):
    """One open file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(str(path))
        self._connection = connection

    def close(self) -> None:
        """Close the file; what was not committed is not in it."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def query(self, sql: str, arguments: Arguments = ()) -> list[sqlite3.Row]:
        """Return the rows of a question."""
        with self._faults():
            return self._connection.execute(sql, arguments).fetchall()

    def each(self, sql: str, arguments: Arguments = ()) -> Iterator[sqlite3.Row]:
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

    def any_leg(self, legs: str) -> Callable[[str], str]:
        """Return how to ask whether any leg has a value in a field."""
        return lambda name: (
            f"EXISTS (SELECT 1 FROM json_each({legs}) AS leg "
            f"WHERE json_extract(leg.value, '$.{name}') = ?)"
        )

    def _execute(self, sql: str, arguments: Arguments) -> int:
        return self._connection.execute(sql, arguments).rowcount

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._faults():
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
            raise LedgerError(f"{self.shown}: {error}") from error

    def _columns_of(self, table: str) -> frozenset[str]:
        return frozenset(each["name"] for each in self.query(f"PRAGMA table_info({table})"))

    def _bring_forward(self) -> None:
        self.query("PRAGMA journal_mode = WAL")
        with self._writing():
            for statements in MIGRATIONS[self._version() :]:
                for statement in statements:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _found(self) -> tuple[int, bool]:
        ((application,),) = self.query("PRAGMA application_id")
        ((version,),) = self.query("PRAGMA user_version")
        ((tables,),) = self.query("SELECT count(*) FROM sqlite_master")
        return int(version), application == APPLICATION_ID or not tables


def write_file(path: Path) -> SqliteLedger:
    """Open a file to write to, made where there is none, for its owner's eyes only.

    Raises:
        LedgerError: It cannot be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"{path.parent}: {error.strerror}") from error
    with suppress(OSError):  # what is wrong SQLite tells
        path.touch(mode=0o600)
    return _open(path, "rwc")


def read_file(path: Path) -> SqliteLedger:
    """Open a file to look at; it is not changed.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    if not path.exists():
        raise LedgerError(
            f"there is no ledger {path}; the recorder writes it where recorder.ledger is true"
        )
    if path.is_dir():
        raise LedgerError(f"{path} is a directory; give the file of a ledger")
    return _open(path, "ro")


def _open(path: Path, mode: str) -> SqliteLedger:
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
    return SqliteLedger(connection, path)
