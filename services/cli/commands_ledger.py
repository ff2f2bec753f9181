"""`arb orders | fills | plans | positions | balances | pnl | why-denied`: what the ledger holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import ledger_money, ledger_plan, ledger_records, ledger_tables
from services.cli.ledger_file import LIMIT, Wanted, opened, parse_since
from services.cli.ledger_records import Record
from services.cli.output import emit_json, note
from services.cli.table_files import write_csv, write_parquet
from shared.errors import ConfigError
from shared.sql_ledger.database import Ledger
from shared.wording import counted

SCHEMA = 1
"""Of the JSON objects; new fields may come, those there are stay."""
ALL_ROWS = 2**62
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
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="R", help="Of a denial, see docs/denials.md.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"The newest so many; {LIMIT}, in files all."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE")]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="Needs the extra [research].")
]

Find = Callable[[Ledger, Wanted], list[Record]]
Show = Callable[[list[Record]], None]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for name, find, show, about in LISTS:
        app.command(name, help=about)(_list_command(name, find, show))
    app.command("plans")(plans)
    app.command("pnl")(pnl)


LISTS: tuple[tuple[str, Find, Show, str], ...] = (
    (
        "orders",
        ledger_records.orders,
        ledger_tables.show_orders,
        "Orders with their latest status and what they traded.",
    ),
    (
        "fills",
        ledger_records.fills,
        ledger_tables.show_fills,
        "Executions of our orders, with their fees.",
    ),
    (
        "positions",
        ledger_records.positions,
        ledger_tables.show_positions,
        "What was held when it last changed.",
    ),
    (
        "balances",
        ledger_records.balances,
        ledger_tables.show_balances,
        "What every venue reported last.",
    ),
    (
        "why-denied",
        ledger_records.denials,
        ledger_tables.show_denials,
        "What risk denied, and why.",
    ),
)


def _list_command(name: str, find: Find, show: Show) -> Callable[..., None]:
    """Return a command that prints or writes records, narrowed by what is asked."""

    def command(
        *,
        ledger: File = None,
        since: Since = None,
        strategy: Strategy = None,
        venue: Venue = None,
        instrument: Instrument = None,
        plan: Plan = None,
        reason: Reason = None,
        limit: Limit = None,
        as_json: AsJson = False,
        csv: Csv = None,
        parquet: Parquet = None,
    ) -> None:
        wanted = Wanted(
            since_ns=parse_since(since),
            strategy=strategy,
            venue=venue,
            instrument=instrument,
            plan=plan,
            reason=reason,
            limit=limit or (ALL_ROWS if csv or parquet else LIMIT),
        )
        with opened(ledger) as there:
            found = find(there, wanted)
        _output(name, found, show, as_json, csv, parquet)

    return command


def plans(
    plan: Annotated[str | None, typer.Argument(metavar="[ID]", help="This one, in full.")] = None,
    *,
    ledger: File = None,
    since: Since = None,
    strategy: Strategy = None,
    venue: Venue = None,
    instrument: Instrument = None,
    limit: Limit = None,
    as_json: AsJson = False,
    csv: Csv = None,
    parquet: Parquet = None,
) -> None:
    """Plans: expected, ended how, earned what; with ID the steps from the one to the other."""
    if plan is not None:
        with opened(ledger) as there:
            whole = ledger_plan.whole(there, plan)
        if as_json:
            emit_json({"schema": SCHEMA, **whole})
        else:
            ledger_tables.show_plan(whole)
        return
    wanted = Wanted(
        since_ns=parse_since(since),
        strategy=strategy,
        venue=venue,
        instrument=instrument,
        limit=limit or (ALL_ROWS if csv or parquet else LIMIT),
    )
    with opened(ledger) as there:
        found = ledger_records.plans(there, wanted)
    _output("plans", found, ledger_tables.show_plans, as_json, csv, parquet)


def pnl(
    *,
    ledger: File = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Days from this one on.")
    ] = None,
    strategy: Strategy = None,
    venue: Venue = None,
    as_json: AsJson = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row per day, strategy, asset.")
    ] = None,
    parquet: Parquet = None,
) -> None:
    """What was earned, per asset: by strategy, by venue, by day (UTC)."""
    since_ns = parse_since(since)
    with opened(ledger) as there:
        report = ledger_money.pnl(there)
    ledger_money.narrow(report, since_ns, strategy, venue)
    if csv is not None or parquet is not None:
        _output("pnl", report["by_day"], ledger_tables.show_days, False, csv, parquet)
    elif as_json:
        emit_json({"schema": SCHEMA, **report})
    else:
        ledger_tables.show_pnl(report)


def _output(  # noqa: PLR0917 - what every command has at its end
    name: str,
    found: list[Record],
    show: Callable[[list[Any]], None],
    as_json: bool,
    csv: Path | None,
    parquet: Path | None,
) -> None:
    """Print records, or write them into a file."""
    if sum((as_json, csv is not None, parquet is not None)) > 1:
        raise ConfigError("--json, --csv and --parquet are forms of one output; give one of them")
    if csv is not None:
        write_csv(csv, found)
        note(f"arb: {counted(len(found), 'row')} in {csv}")
    elif parquet is not None:
        write_parquet(parquet, found)
        note(f"arb: {counted(len(found), 'row')} in {parquet}")
    elif as_json:
        emit_json({"schema": SCHEMA, name.replace("-", "_"): found})
    else:
        show(found)
