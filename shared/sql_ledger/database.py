"""Opens a ledger: a file, or a database by its URL."""

from __future__ import annotations

from pathlib import Path

from shared.sql_ledger.address import LedgerAddress
from shared.sql_ledger.ledger import SCHEMA, Ledger, LedgerError
from shared.sql_ledger.sqlite import read_file, write_file

__all__ = ["SCHEMA", "Ledger", "LedgerError", "open_to_read", "open_to_write"]


def open_to_write(address: LedgerAddress) -> Ledger:
    """Open a ledger for writing; create it if it does not exist.

    Raises:
        LedgerError: It can be neither opened nor created.
    """
    ledger = write_file(address) if isinstance(address, Path) else _connect(address)
    try:
        ledger.prepare()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def open_to_read(address: LedgerAddress) -> Ledger:
    """Open a ledger for reading only.

    Raises:
        LedgerError: It does not exist, or cannot be read.
    """
    ledger = read_file(address) if isinstance(address, Path) else _connect(address)
    try:
        ledger.check()
    except LedgerError:
        ledger.close()
        raise
    return ledger


def _connect(url: str) -> Ledger:
    from shared.sql_ledger.postgres import connect  # without its driver, files still work

    return connect(url)
