"""`arb export fills | lots`: what was traded, as CSV or JSON lines."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import export
from services.cli.commands_look import RedisUrl
from services.cli.ledger import money as ledger_money
from services.cli.ledger.file import opened
from services.cli.output import emit_json, note
from services.cli.settings import target
from shared.errors import ConfigError
from shared.watch.link import open_link
from shared.wording import counted

From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Like 2026-11-26 or ...T07:30:00Z.")
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to here, not included.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="JSON lines of messages instead of Redis; -: stdin."
    ),
]
FromLedger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="PLACE",
        help="A ledger (a file, or postgresql://...) instead of Redis: all that is in it.",
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="CSV with a header; so it is without --json too.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]

export_app = typer.Typer(help="What was traded, as CSV or JSON lines.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    export_app.command("fills")(fills)
    export_app.command("lots")(lots)
    app.add_typer(export_app, name="export")


def fills(
    *,
    begin: From = None,
    end: To = None,
    file: File = None,
    redis: RedisUrl = None,
    ledger: FromLedger = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """Every execution of ours, with its strategy, plan, price and fee."""
    period = export.parse_period(begin, end)
    _check_form(as_csv, as_json)
    history = _read(file, redis, ledger)
    rows = export.fill_rows(history.fills(), period)
    _write(rows, export.FILL_COLUMNS, as_json)


def lots(
    *,
    begin: From = None,
    end: To = None,
    file: File = None,
    redis: RedisUrl = None,
    ledger: FromLedger = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """First in, first out: lots closed in the period, and those open at its end."""
    period = export.parse_period(begin, end)
    _check_form(as_csv, as_json)
    history = _read(file, redis, ledger)
    if not history.is_whole and file is None:
        missing = "the stream's oldest entries are trimmed: what was bought before"
        if ledger is not None:
            missing = "the ledger has gaps: what was bought in one"
        note(f"arb: {missing} is missing, and its sale counts as opening a short lot")
    _write(export.lot_rows(history.fills(), period), export.LOT_COLUMNS, as_json)


def _check_form(as_csv: bool, as_json: bool) -> None:
    if as_csv and as_json:
        raise ConfigError("--csv and --json are two forms of one output; give one of them")


def _read(file: Path | None, redis: str | None, ledger: str | None) -> export.History:
    given = {"--file": file, "--redis": redis, "--ledger": ledger}
    sources = [option for option, value in given.items() if value is not None]
    if len(sources) > 1:
        raise ConfigError(f"{sources[0]} and {sources[1]} are two sources; give one of them")

    async def ask() -> export.History:
        async with open_link(target(redis)) as link:
            history = await export.read_bus(link)
            if link.undecodable:
                note(f"arb: {link.undecodable} entries of the streams do not decode, left out")
            return history

    if ledger is not None:
        history = _read_ledger(ledger)
    else:
        history = export.read_file(file) if file is not None else asyncio.run(ask())
    if history.unowned:
        note(f"arb: {history.unowned} fills that belong to no order of ours are left out")
    return history


def _read_ledger(place: str) -> export.History:
    with opened(place) as ledger, ledger.at_one_moment():
        history = export.History(is_whole=not ledger_money.gaps(ledger))
        for message in ledger_money.messages(ledger):
            history.on_message(message)
    return history


def _write(rows: Iterable[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    table = csv.DictWriter(sys.stdout, columns, lineterminator="\n", extrasaction="ignore")
    if not as_json:
        table.writeheader()
    count = 0
    for row in rows:
        count += 1
        if as_json:
            emit_json(row)
        else:
            table.writerow({name: _cell(value) for name, value in row.items()})
    sys.stdout.flush()
    note(f"arb: {counted(count, 'row')}")


def _cell(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value
