"""The ledger as those see it who write and read it, whichever database keeps it.

Rows and the positions in the streams that they came from are one transaction: whoever is killed at
any moment goes on where the last one that was committed has ended. Statements are written once, in
what SQLite and PostgreSQL have in common, with ``?`` and ``:name`` for arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from shared.errors import ArbError
from shared.sql_ledger.migrations import MIGRATIONS, missing_since
from shared.sql_ledger.rows import TABLES, Columns, Row, fitting, insert_of
from shared.sql_ledger.take_in import Gap, Position

SCHEMA = len(MIGRATIONS)
Arguments = Sequence[Any] | Mapping[str, Any]


class LedgerError(ArbError):
    """The ledger cannot be used now; the text says which one, and why."""


class Ledger(ABC):
    """One open ledger. Every method may raise ``LedgerError``; nothing is half done then.

    Args:
        shown: What it is called in messages.
    """

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.notices: list[str] = []
        """What whoever brings it forward is to be told."""
        self._statements: dict[tuple[str, tuple[str, ...]], str] = {}
        self._columns: dict[str, frozenset[str]] = {}

    @abstractmethod
    def close(self) -> None:
        """Close it; what was not committed is not in it."""

    @abstractmethod
    def query(self, sql: str, arguments: Arguments = ()) -> Sequence[Columns]:
        """Return the rows of a question."""

    @abstractmethod
    def each(self, sql: str, arguments: Arguments = ()) -> Iterator[Columns]:
        """Yield the rows of a question, a few at a time."""

    @abstractmethod
    def at_one_moment(self) -> AbstractContextManager[None]:
        """Let all questions of the body see the ledger as it was at the first of them."""

    @abstractmethod
    def any_leg(self, legs: str) -> Callable[[str], str]:
        """Return how to ask whether any leg has a value in a field.

        Args:
            legs: The column with the legs, a JSON list of objects.

        Returns:
            A function from the name of the field to a condition with one argument, the value.
        """

    @abstractmethod
    def _execute(self, sql: str, arguments: Arguments) -> int:
        """Run a statement; return how many rows it has changed."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """Commit what the body writes, or nothing of it; one writer at a time."""

    @abstractmethod
    def _columns_of(self, table: str) -> frozenset[str]:
        """Return the columns that a table has."""

    @abstractmethod
    def _found(self) -> tuple[int, bool]:
        """Return the schema that is there, 0 for none, and whether it is a ledger or empty."""

    @abstractmethod
    def _bring_forward(self) -> None:
        """Take the steps that are missing, all or none; another process may have done it."""

    def positions(self) -> dict[str, Position]:
        """Return how far each stream was read."""
        rows = self.query("SELECT stream, entry_id, entries FROM stream_positions")
        return {row["stream"]: Position(row["entry_id"], row["entries"]) for row in rows}

    def write(
        self, rows: Sequence[Row], positions: Mapping[str, Position], gaps: Sequence[Gap] = ()
    ) -> int:
        """Write all of it, or nothing; return how many rows are new or have changed."""
        with self._writing():
            changed = sum(self._insert(row) for row in rows)
            for gap in gaps:
                self._execute(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    msgspec.structs.astuple(gap),
                )
            for stream, at in positions.items():
                self._execute(
                    "INSERT INTO stream_positions VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE "
                    "SET entry_id = excluded.entry_id, entries = excluded.entries",
                    (stream, at.entry_id, at.entries),
                )
        return changed

    def _insert(self, row: Row) -> int:
        there = self._columns.get(row.table)
        if there is None:
            there = self._columns[row.table] = self._columns_of(row.table)
        values = fitting(row.values, there)
        columns = tuple(values)
        statement = self._statements.get((row.table, columns))
        if statement is None:
            statement = insert_of(TABLES[row.table], columns)
            self._statements[row.table, columns] = statement
        if self._execute(statement, values) < 1:
            return 0
        return 1 + sum(self._insert(part) for part in row.parts)

    def prepare(self) -> None:
        """Bring it to the present schema, or make it one.

        Raises:
            LedgerError: It is not a ledger, or one of a newer program.
        """
        version = self._version()
        if version < SCHEMA:
            self._bring_forward()
            self.notices = [
                f"{self.shown} was of schema {version}: {m}" for m in missing_since(version)
            ]

    def check(self) -> None:
        """Refuse one that cannot be read as it is.

        Raises:
            LedgerError: It is not a ledger, or one of another schema.
        """
        version = self._version()
        if not version:
            raise LedgerError(f"{self.shown} is empty: no recorder has written a ledger there yet")
        if version < SCHEMA:
            raise LedgerError(
                f"{self.shown} has schema {version}, this program reads {SCHEMA}: start the "
                "recorder of this version once, which brings it forward"
                + "".join(f"; {text}" for text in missing_since(version))
            )

    def _version(self) -> int:
        """Return the schema that is there, 0 where it is empty."""
        version, is_ours = self._found()
        if not is_ours:
            raise LedgerError(
                f"{self.shown} is a database of something else; let recorder.ledger_file or "
                "recorder.ledger_url name another"
            )
        if version > SCHEMA:
            raise LedgerError(
                f"{self.shown} has schema {version}, this program knows {SCHEMA}: start the newer "
                "version that wrote it, or name another ledger"
            )
        return version
