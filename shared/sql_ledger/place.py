"""Where the ledger of a configuration is."""

from __future__ import annotations

from pathlib import Path

from shared.config_sections import RecorderConfig


def ledger_path(config: RecorderConfig) -> Path:
    """Return the ledger's file."""
    return Path(config.dir) / config.ledger_file
