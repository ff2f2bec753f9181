"""Rows of `arb top`, and how their cells look. Pure.

What is not known is a dash, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rich.text import Text

from services.cli.top.watched import is_silent
from shared.wording import signed

UNKNOWN: Final = "—"
SILENT: Final = "SILENT"
LEVEL_STYLE: Final = {"critical": "bold red", "warning": "yellow", "info": "dim"}
Cell = str | Text


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``key`` tells it apart, ``subject`` is what Enter shows, ``id`` what ``w`` asks."""

    key: str
    cells: tuple[Cell, ...]
    subject: object = None
    id: str = ""


def age(then_ns: int, now_ns: int) -> Text:
    age_s = max(0.0, (now_ns - then_ns) / 1e9)
    text = f"{age_s * 1e3:.0f}ms" if age_s < 1 else duration(age_s)
    return Text(text, "red" if is_silent(then_ns, now_ns) else "", justify="right")


def duration(seconds: float) -> str:
    """Return a time in its largest two units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"


def clock(ts_ns: int) -> str:
    """Return the time of day, UTC."""
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%H:%M:%S")


def number(text: str, style: str = "") -> Text:
    return Text(text, style, justify="right")


def money(amount: Decimal | None) -> Text:
    if amount is None:
        return number(UNKNOWN)
    return number(signed(amount), "" if not amount else ("green" if amount > 0 else "red"))
