"""Where a ledger is: a file, or the URL of a database."""

from __future__ import annotations

from pathlib import Path

from shared.config_sections import LEDGER_SCHEMES, RecorderConfig

LedgerAddress = Path | str
"""A file is a path; text is a URL."""


def parse_address(text: str) -> LedgerAddress:
    """Return the address that a text names: a URL of a database, else a file."""
    return text if text.startswith(LEDGER_SCHEMES) else Path(text)


def configured_address(config: RecorderConfig) -> LedgerAddress:
    """Return the ledger of a configuration."""
    return config.ledger_url or Path(config.dir) / config.ledger_file
