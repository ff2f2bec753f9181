"""A ledger in PostgreSQL 13 or newer, by psycopg.

Tables are made in the first schema of the connection's search path, where nothing else of these
names may be. The same statements run as for a file; what differs is translated here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

from shared.bus.address import mask
from shared.sql_ledger.ledger import SCHEMA, Arguments, Ledger, LedgerError
from shared.sql_ledger.migrations import POSTGRES_MIGRATIONS
from shared.sql_ledger.rows import TABLES, Columns

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S: Final = 5
WORK_MS_MAX: Final = 30_000
"""How long the server may work on one statement."""
ROWS_PER_READ: Final = 500
_LOCK: Final = 0x41524253
"""Who brings the schema forward holds this lock."""
_DEAD_LINE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""How libpq finds that nobody answers any more: after 15 to 25 s."""
_TYPES: Final = ((") STRICT", ")"), (" INTEGER", " BIGINT"), (" TEXT", ' TEXT COLLATE "C"'))
"""SQLite's types are PostgreSQL's; text sorts by its bytes there, as it must here."""


class PostgresLedger(Ledger):
    """One connection."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]], shown: str) -> None:
        super().__init__(shown)
        self._connection = connection
        self._cursors = count()

    def close(self) -> None:
        """Close the connection; what was not committed is not in the ledger."""
        with suppress(_psycopg().Error):
            self._connection.close()

    def query(self, sql: str, arguments: Arguments = ()) -> list[Columns]:
        """Return the rows of a question."""
        with self._faults():
            cursor = self._run(sql, arguments)
            return cast("list[Columns]", cursor.fetchall() if cursor.description else [])

    def each(self, sql: str, arguments: Arguments = ()) -> Iterator[Columns]:
        """Yield the rows of a question, a few at a time; questions may be read side by side."""
        with (
            self._faults(),
            self._connection.cursor(f"each_{next(self._cursors)}", withhold=True) as cursor,
        ):
            cursor.itersize = ROWS_PER_READ
            cursor.execute(_translated(sql).encode(), _clean(arguments))
            yield from cast("Iterator[Columns]", cursor)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let all questions of the body see the ledger as it was at the first of them."""
        with self._faults():
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            with suppress(_psycopg().Error):
                self._connection.execute("ROLLBACK")

    def any_leg(self, legs: str) -> Callable[[str], str]:
        """Return how to ask whether any leg has a value in a field."""
        return lambda name: (
            f"EXISTS (SELECT 1 FROM json_array_elements(CAST({legs} AS json)) AS leg "
            f"WHERE leg ->> '{name}' = ?)"
        )

    def _execute(self, sql: str, arguments: Arguments) -> int:
        return self._run(sql, arguments).rowcount

    def _run(self, sql: str, arguments: Arguments = ()) -> psycopg.Cursor[dict[str, Any]]:
        return self._connection.execute(_translated(sql).encode(), _clean(arguments))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._faults(), self._connection.transaction():
            self._run("LOCK TABLE stream_positions IN EXCLUSIVE MODE")
            yield

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except _psycopg().Error as error:
            raise LedgerError(f"{self.shown}: {first_line(error)}") from error

    def _columns_of(self, table: str) -> frozenset[str]:
        rows = self.query(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = ?",
            [table],
        )
        return frozenset(row["column_name"] for row in rows)

    def _bring_forward(self) -> None:
        with self._faults(), self._connection.transaction():
            self._run("SELECT pg_advisory_xact_lock(?)", [_LOCK])
            for statements in POSTGRES_MIGRATIONS[self._version() :]:
                for statement in statements:
                    self._run(_of_postgres(statement))
            self._run("CREATE TABLE IF NOT EXISTS ledger_schema (version BIGINT NOT NULL)")
            self._run("DELETE FROM ledger_schema")
            self._run("INSERT INTO ledger_schema VALUES (?)", [SCHEMA])

    def _found(self) -> tuple[int, bool]:
        rows = self.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        there = {row["table_name"] for row in rows}
        if "ledger_schema" not in there:
            return 0, not there & TABLES.keys()
        versions = self.query("SELECT version FROM ledger_schema")
        return int(versions[0]["version"]) if versions else 0, bool(versions)


def _of_postgres(statement: str) -> str:
    """Return a step of the schema with the types of PostgreSQL."""
    for ours, theirs in _TYPES:
        statement = statement.replace(ours, theirs)
    return statement


@lru_cache(maxsize=256)
def _translated(sql: str) -> str:
    """Return a statement with its arguments marked as psycopg wants them."""
    return re.sub(r":([a-z_]\w*)", r"%(\1)s", sql.replace("%", "%%")).replace("?", "%s")


def _clean(arguments: Arguments) -> Arguments:
    """Return arguments without the one character that PostgreSQL's text cannot hold."""
    if isinstance(arguments, dict):
        return {name: _clean_value(value) for name, value in arguments.items()}
    return [_clean_value(value) for value in arguments]


def _clean_value(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def first_line(error: Exception) -> str:
    """Return what a database complains of, without its hints and places."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].endswith("were:") else lines[0]  # one line for every address


def connect(url: str) -> PostgresLedger:
    """Connect to a database.

    Args:
        url: Like ``postgresql://user@host/database``; libpq's own variables and ``~/.pgpass`` hold
            for what it does not say.

    Raises:
        LedgerError: psycopg is not installed, or nobody answers.
    """
    shown = mask(url)
    try:
        driver = _psycopg()
    except ImportError as error:
        raise LedgerError(
            f"{shown}: a ledger in PostgreSQL needs the extra [postgres]; install it with: "
            "pip install 'arbstream[postgres]'"
        ) from error
    from psycopg.rows import dict_row

    try:
        connection = driver.Connection[dict[str, Any]].connect(
            url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="arbstream",
            client_encoding="utf8",  # a database without an encoding gives bytes otherwise
            **_DEAD_LINE,
        )
        connection.execute(f"SET statement_timeout = {WORK_MS_MAX}")
    except driver.Error as error:
        raise LedgerError(f"{shown}: {first_line(error)}") from error
    return PostgresLedger(connection, shown)


def _psycopg() -> Any:
    """Load the driver when it is used: only who keeps a ledger in PostgreSQL has it."""
    import psycopg

    return psycopg
