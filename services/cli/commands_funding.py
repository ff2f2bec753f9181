"""`arb funding`: what perpetuals pay, and when a round has earned its cost."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli import funding as board
from services.cli.commands_look import AsJson, RedisUrl
from services.cli.output import console, emit_json
from services.cli.settings import target
from shared.domain.fees import BPS
from shared.watch.link import open_link

HOLD_HOURS = 168.0
COLUMNS = (
    "venue",
    "instrument",
    "rate bps",
    "hours",
    "next",
    "settled",
    "cost",
    "n*",
    "net %/y",
)
"""They fit 80 characters; ``settled`` and ``cost`` are basis points too. JSON has the rest."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("funding")(funding)


def funding(
    redis: RedisUrl = None,
    hold_hours: Annotated[
        float,
        typer.Option("--hold-hours", min=1, max=87_600, help="Over which the cost is spread."),
    ] = HOLD_HOURS,
    as_json: AsJson = False,
) -> None:
    """Funding of perpetuals as the short side gets it: predicted, settled, break-even, yearly."""

    async def ask() -> list[dict[str, Any]]:
        async with open_link(target(redis)) as link:
            return await board.funding(link, Decimal(repr(hold_hours)))

    found = asyncio.run(ask())
    if as_json:
        emit_json({"funding": found})
        return
    if not found:
        console.print('no funding yet: does a venue have "funding" in its feeds?')
        return
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for row in found:
        table.add_row(*cells(row))
    console.print(table)


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table; ``-`` is unknown, ``never`` that it does not earn its cost."""
    never = row["cost_bps"] is not None and row["break_even"] is None
    return [
        row["venue"],
        row["instrument"],
        _number(row["rate"], 4, BPS),
        _number(row["interval_h"], 2),
        _time(row["next_settlement_s"]),
        _number(row["settled_mean"], 4, BPS),
        _number(row["cost_bps"], 2),
        "never" if never else _number(row["break_even"], 0),
        _number(row["apr_net"], 2, Decimal(100)),
    ]


def _number(value: Decimal | float | None, places: int, scale: Decimal = Decimal(1)) -> str:
    return "-" if value is None else f"{Decimal(value) * scale:,.{places}f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
