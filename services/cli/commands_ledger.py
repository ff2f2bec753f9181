"""`arb orders | fills | plans | positions | balances | pnl | why-denied`: what the ledger holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from services.cli import ledger_records, ledger_tables
from services.cli.ledger_file import Wanted, opened, parse_since
from services.cli.ledger_records import Record
from services.cli.output import emit_json
from shared.sql_ledger.database import Ledger

SCHEMA = 1
"""Of the JSON objects; new fields may come, those there are stay."""
File = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="FILE", help="Instead of the one the configuration names."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="Like 90m, 7d or 2026-11-26T07:30:00Z."),
]
Strategy = Annotated[str | None, typer.Option("--strategy", metavar="S")]
Venue = Annotated[str | None, typer.Option("--venue", metavar="V")]
Instrument = Annotated[str | None, typer.Option("--instrument", metavar="I")]
Plan = Annotated[str | None, typer.Option("--plan", metavar="ID")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="The newest so many.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]

Find = Callable[[Ledger, Wanted], list[Record]]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("orders")(orders)
    app.command("fills")(fills)
    app.command("plans")(plans)


def orders(
    *,
    ledger: File = None,
    since: Since = None,
    strategy: Strategy = None,
    venue: Venue = None,
    instrument: Instrument = None,
    plan: Plan = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Orders with their latest status and what they traded."""
    wanted = Wanted(
        since_ns=parse_since(since),
        strategy=strategy,
        venue=venue,
        instrument=instrument,
        plan=plan,
        limit=limit,
    )
    found = _find(ledger, ledger_records.orders, wanted)
    _show("orders", found, ledger_tables.show_orders, as_json)


def fills(
    *,
    ledger: File = None,
    since: Since = None,
    strategy: Strategy = None,
    venue: Venue = None,
    instrument: Instrument = None,
    plan: Plan = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Executions of our orders, with their fees."""
    wanted = Wanted(
        since_ns=parse_since(since),
        strategy=strategy,
        venue=venue,
        instrument=instrument,
        plan=plan,
        limit=limit,
    )
    found = _find(ledger, ledger_records.fills, wanted)
    _show("fills", found, ledger_tables.show_fills, as_json)


def plans(
    *,
    ledger: File = None,
    since: Since = None,
    strategy: Strategy = None,
    venue: Venue = None,
    instrument: Instrument = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Plans: what was expected of them, how they ended, what they earned."""
    wanted = Wanted(
        since_ns=parse_since(since),
        strategy=strategy,
        venue=venue,
        instrument=instrument,
        limit=limit,
    )
    found = _find(ledger, ledger_records.plans, wanted)
    _show("plans", found, ledger_tables.show_plans, as_json)


def _find(file: Path | None, find: Find, wanted: Wanted) -> list[Record]:
    with opened(file) as ledger:
        return find(ledger, wanted)


def _show(
    name: str, found: list[Record], show: Callable[[list[Record]], None], as_json: bool
) -> None:
    if as_json:
        emit_json({"schema": SCHEMA, name: found})
    else:
        show(found)
