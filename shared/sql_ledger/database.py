"""Opens a ledger: a file, or a database by its URL."""

from __future__ import annotations

from pathlib import Path

from shared.sql_ledger.ledger import SCHEMA, Ledger, LedgerError
from shared.sql_ledger.place import Place
from shared.sql_ledger.sqlite import read_file, write_file

__all__ = ["SCHEMA", "Ledger", "LedgerError", "open_to_read", "open_to_write"]


def open_to_write(place: Place) -> Ledger:
    """Open a ledger for writing; create it if it does not exist.

    Raises:
        LedgerError: It can be neither opened nor created.
    """
    ledger = write_file(place) if isinstance(place, Path) else _connect(place)
    try:
        ledger.prepare()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def open_to_read(place: Place) -> Ledger:
    """Open a ledger for reading only.

    Raises:
        LedgerError: It does not exist, or cannot be read.
    """
    ledger = read_file(place) if isinstance(place, Path) else _connect(place)
    try:
        ledger.check()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def _connect(url: str) -> Ledger:
    from shared.sql_ledger.postgres import connect  # without its driver, files still work

    return connect(url)
