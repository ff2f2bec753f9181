"""`arb basis`: what spot against perpetuals pays to open and costs to close, now."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from services.cli import basis as board
from services.cli.commands_funding import HOLD_HOURS
from services.cli.commands_look import AsJson, RedisUrl
from services.cli.output import console, emit_json
from services.cli.settings import target
from shared.watch.link import open_link

if TYPE_CHECKING:
    from rich.console import JustifyMethod

NOTIONAL = 5_000.0
NAMES = ("spot at", "perpetual", "at")
COLUMNS = (*NAMES, "open bps", "close", "net", "net %/y", "age ms")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("basis")(basis)


def basis(
    redis: RedisUrl = None,
    notional: Annotated[
        float, typer.Option("--notional", min=1, max=1e9, help="Quantity to price, in quote units.")
    ] = NOTIONAL,
    hold_hours: Annotated[
        float,
        typer.Option(
            "--hold-hours", min=1, max=87_600, help="How long until the basis has closed."
        ),
    ] = HOLD_HOURS,
    as_json: AsJson = False,
) -> None:
    """Spot against linear and inverse perpetuals, at the prices that a quantity trades at."""

    async def ask() -> list[dict[str, Any]]:
        amounts = Decimal(repr(notional)), Decimal(repr(hold_hours))
        async with open_link(target(redis)) as link:
            return await board.basis(link, *amounts)

    found = asyncio.run(ask())
    if as_json:
        emit_json({"basis": found})
        return
    if not found:
        console.print("no basis yet: is a perpetual configured beside spot of its quote asset?")
        return
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for column in COLUMNS:
        justify: JustifyMethod = "left" if column in NAMES else "right"
        table.add_column(column, no_wrap=True, justify=justify)
    for row in found:
        table.add_row(*cells(row))
    console.print(table)


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table; ``-`` is unknown."""
    return [
        row["spot_venue"],
        row["perp"],
        row["perp_venue"],
        _number(row["open_bps"]),
        _number(row["close_bps"]),
        _number(row["net_bps"]),
        _number(row["apr_net"], Decimal(100)),
        f"{row['age_ms']:,.0f}",
    ]


def _number(value: Decimal | None, scale: Decimal = Decimal(1)) -> str:
    return "-" if value is None else f"{value * scale:,.2f}"
