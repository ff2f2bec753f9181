"""One check and its result. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"  # it works, or could not be looked at, and somebody should know
    FAILED = "failed"  # money, data or trading is at risk


class Check(NamedTuple):
    """What was looked at, how it is, and where it is not right what would be."""

    name: str
    level: Level
    text: str
    right: str = ""
