"""`arb orders | fills | plans | positions | balances | pnl | why-denied`: what the ledger holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from services.cli.ledger import money as ledger_money
from services.cli.ledger import plan as ledger_plan
from services.cli.ledger import records as ledger_records
from services.cli.ledger import tables as ledger_tables
from services.cli.ledger.file import LIMIT, Wanted, opened, parse_times
from services.cli.ledger.records import Record
from services.cli.output import emit_json, note
from services.cli.table_files import write_csv, write_parquet
from shared.errors import ConfigError
from shared.sql_ledger.database import Ledger
from shared.wording import counted

SCHEMA = 1
"""Of the JSON objects; new fields may come, those there are stay."""
ALL_ROWS = 2**62
Ledgers = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="PLACE",
        help="A file, or postgresql://...; instead of the one the configuration names.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="Like 90m, 7d or 2026-11-26T07:30:00Z."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="T", help="Before this time, given as for --since.")
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", metavar="S", help="Of the strategy with this id.")
]
Venue = Annotated[
    str | None, typer.Option("--venue", metavar="V", help="At this venue; of plans, any leg.")
]
Instrument = Annotated[
    str | None, typer.Option("--instrument", metavar="I", help="In this one, like BTC/USDT.")
]
Plan = Annotated[str | None, typer.Option("--plan", metavar="ID", help="Of this plan.")]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="R", help="One of docs/denials.md.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"The newest so many; {LIMIT}, in files all."),
]
FirstRows = Annotated[int | None, typer.Option("--limit", min=1, help="The first so many; all.")]
Days = Annotated[
    int | None, typer.Option("--limit", min=1, help="The newest so many lines of days; all.")
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
    for listing in LISTS:
        app.command(listing.name, help=listing.about)(_list_command(listing))
    app.command("plans")(plans)
    app.command("pnl")(pnl)


class Listing(NamedTuple):
    """A command that lists records, and the options that its table can be narrowed by."""

    name: str
    find: Find
    show: Show
    about: str
    filters: dict[str, Any]


_OF_ORDERS = {
    "since": Since,
    "until": Until,
    "strategy": Strategy,
    "venue": Venue,
    "instrument": Instrument,
    "plan": Plan,
    "limit": Limit,
}
LISTS = (
    Listing(
        "orders",
        ledger_records.orders,
        ledger_tables.show_orders,
        "Orders with their latest status and what they traded.",
        _OF_ORDERS,
    ),
    Listing(
        "fills",
        ledger_records.fills,
        ledger_tables.show_fills,
        "Executions of our orders, with their fees.",
        _OF_ORDERS,
    ),
    Listing(
        "positions",
        ledger_records.positions,
        ledger_tables.show_positions,
        "Positions as risk reported them last, with what closing them would realize.",
        {
            "since": Since,
            "until": Until,
            "venue": Venue,
            "instrument": Instrument,
            "limit": FirstRows,
        },
    ),
    Listing(
        "balances",
        ledger_records.balances,
        ledger_tables.show_balances,
        "Balances as every venue reported them last.",
        {"since": Since, "until": Until, "venue": Venue, "limit": FirstRows},
    ),
    Listing(
        "why-denied",
        ledger_records.denials,
        ledger_tables.show_denials,
        "Opportunities that risk denied, and why.",
        {
            "since": Since,
            "until": Until,
            "strategy": Strategy,
            "venue": Venue,
            "instrument": Instrument,
            "reason": Reason,
            "limit": Limit,
        },
    ),
)


def _list_command(listing: Listing) -> Callable[..., None]:
    """Return a command that prints or writes records, with the options of its listing."""

    def command(
        *,
        ledger: str | None,
        as_json: bool,
        csv: Path | None,
        parquet: Path | None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        **filters: str | None,
    ) -> None:
        is_all = csv or parquet or listing.filters["limit"] is FirstRows
        since_ns, until_ns = parse_times(since, until)
        wanted = Wanted(
            since_ns=since_ns,
            until_ns=until_ns,
            limit=limit or (ALL_ROWS if is_all else LIMIT),
            **filters,
        )
        with opened(ledger) as there:
            found = _found(there, listing.find, wanted)
        _output(listing.name, found, listing.show, as_json, csv, parquet)

    options = {
        "ledger": Ledgers,
        **listing.filters,
        "as_json": AsJson,
        "csv": Csv,
        "parquet": Parquet,
    }
    signature = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default=False if kind is AsJson else None,
            )
            for name, kind in options.items()
        ]
    )
    command.__signature__ = signature  # type: ignore[attr-defined]  # read by typer
    return command


def _found(ledger: Ledger, find: Find, wanted: Wanted) -> list[Record]:
    """Return what is asked for; nothing of a name that the ledger does not know is a fault."""
    found = find(ledger, wanted)
    if not found:
        ledger_records.check_known(ledger, wanted)
    return found


def plans(
    whole: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A plan to show in full.")
    ] = None,
    *,
    ledger: Ledgers = None,
    since: Since = None,
    until: Until = None,
    strategy: Strategy = None,
    venue: Venue = None,
    instrument: Instrument = None,
    plan: Plan = None,
    limit: Limit = None,
    as_json: AsJson = False,
    csv: Csv = None,
    parquet: Parquet = None,
) -> None:
    """Plans: what was expected, how they ended, what they realized; with ID, one step by step."""
    if whole is not None:
        options: dict[str, Any] = {"--since": since, "--until": until, "--strategy": strategy}
        options |= {"--venue": venue, "--instrument": instrument, "--plan": plan}
        options |= {"--limit": limit, "--csv": csv, "--parquet": parquet}
        if given := next((name for name, value in options.items() if value is not None), ""):
            raise ConfigError(f"{given} is for lists of plans; leave it out, or leave out the ID")
        with opened(ledger) as there:
            told = ledger_plan.whole(there, whole)
        if as_json:
            emit_json({"schema": SCHEMA, **told})
        else:
            ledger_tables.show_plan(told)
        return
    since_ns, until_ns = parse_times(since, until)
    wanted = Wanted(
        since_ns=since_ns,
        until_ns=until_ns,
        strategy=strategy,
        venue=venue,
        instrument=instrument,
        plan=plan,
        limit=limit or (ALL_ROWS if csv or parquet else LIMIT),
    )
    with opened(ledger) as there:
        found = _found(there, ledger_records.plans, wanted)
    _output("plans", found, ledger_tables.show_plans, as_json, csv, parquet)


def pnl(
    *,
    ledger: Ledgers = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Only days from this one on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="T", help="Only days that begin before.")
    ] = None,
    strategy: Strategy = None,
    venue: Annotated[
        str | None,
        typer.Option("--venue", metavar="V", help="Only what trading moved at this venue."),
    ] = None,
    limit: Days = None,
    as_json: AsJson = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row per day, strategy, asset.")
    ] = None,
    parquet: Parquet = None,
) -> None:
    """What was earned, per asset: by strategy, by venue, by day (UTC)."""
    since_ns, until_ns = parse_times(since, until)
    wanted = Wanted(
        since_ns=since_ns,
        until_ns=until_ns,
        strategy=strategy,
        venue=venue,
        limit=limit or ALL_ROWS,
    )
    others: dict[str, Any] = {"--since": since, "--until": until, "--strategy": strategy}
    others |= {"--limit": limit, "--csv": csv, "--parquet": parquet}
    if venue is not None and any(value is not None for value in others.values()):
        given = next(option for option, value in others.items() if value is not None)
        raise ConfigError(f"{given} and --venue: no venue is split by strategy or day; give one")
    with opened(ledger) as there:
        report = ledger_money.pnl(there)
        ledger_money.narrow(report, wanted)
        if not (report["by_venue"] and report["pnl_by_strategy"]):
            ledger_records.check_known(there, wanted)
    if csv is not None or parquet is not None:
        _output("pnl", report["by_day"], ledger_tables.show_days, as_json, csv, parquet)
    elif as_json:
        emit_json({"schema": SCHEMA, **report})
    else:
        ledger_tables.show_pnl(report, wanted)


def _output(  # noqa: PLR0917 - the options that every command ends with
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
