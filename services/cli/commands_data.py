"""`arb record`, `arb data ls | verify | sql | export | import | derive`: market data on disk."""

from __future__ import annotations

import asyncio
import errno
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.cli.commands_look import EXIT_NOT_WELL, AsJson
from services.cli.commands_operate import ConfigPath
from services.cli.data import look
from services.cli.data.derive import derive
from services.cli.data.export import FORMATS, export_recordings, export_rows
from services.cli.data.files import is_table
from services.cli.data.imports import import_recordings
from services.cli.data.rows import Wanted
from services.cli.data.shapes import BY_NAME
from services.cli.data.tables import files_of, import_tables
from services.cli.data.verify import StoreReport, verify_store
from services.cli.output import console, emit_json, note
from services.cli.record import parse_seconds, run_record
from shared.errors import ConfigError
from shared.messages.bounds import INSTRUMENT, VENUE
from shared.store.manifest import TABLES
from shared.wording import counted

ROWS_SHOWN = 1_000
PIPE_WIDTH = 160
Dir = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The store.")]
STORE = Path("data")

data_app = typer.Typer(help="Recorded market data: what is there, whether it is whole, and more.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    data_app.command("ls")(ls)
    data_app.command("verify")(verify)
    data_app.command("sql")(sql)
    data_app.command("export")(export)
    data_app.command("import")(import_)
    data_app.command("derive")(derive_)
    app.command("record")(record)
    app.add_typer(data_app, name="data")


def record(
    *,
    duration: Annotated[str, typer.Option("--for", metavar="TIME", help="Like 60s, 10m, 2h.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The store.")] = STORE,
    config: ConfigPath = None,
    demo: Annotated[bool, typer.Option("--demo", help="Simulated venues instead.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated market.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Record the configured venues, without trading, into a store that arb data reads."""
    if demo and config is not None:
        raise ConfigError("--demo and --config are two sets of venues; give one of them")
    seconds = parse_seconds(duration)
    done = asyncio.run(run_record(seconds, out.absolute(), config, seed if demo else None))
    empty: dict[str, Any] = {"tables": [], "missing": [], "unfinished": [], "damaged": []}
    report = {**(look.listing(out) if out.is_dir() else empty), **done}
    if as_json:
        emit_json(report)
    else:
        _show(report)
    for problem in [*report["problems"], *(each["reason"] for each in report["damaged"])]:
        note(f"arb: {problem}")
    raise typer.Exit(EXIT_NOT_WELL if report["problems"] or report["damaged"] else 0)


def ls(directory: Dir = STORE, as_json: AsJson = False) -> None:
    """What is in the store: rows and spans per table, venue and instrument, and what is missing."""
    found = look.listing(directory)
    if as_json:
        emit_json(found)
    else:
        _show(found)
    if found["damaged"]:
        for each in found["damaged"]:
            note(f"arb: {each['reason']}")
        raise typer.Exit(EXIT_NOT_WELL)


def _show(found: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("table", "venue", "instrument", "from (UTC)", "to (UTC)"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "files", "MB", "missing"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found["tables"]:
        span = (look.when(row["ts_first_ns"]), look.when(row["ts_last_ns"]))
        size = f"{row['bytes'] / 1e6:.2f}"
        numbers = (f"{row['rows']:,}", f"{row['files']}", size, f"{row['missing'] or '-'}")
        table.add_row(row["table"], row["venue"], row["instrument"], *span, *numbers)
    _wide().print(table)
    for each in found["missing"]:
        rows = each["rows"]
        count = "an unknown number of rows" if rows is None else counted(rows, "row")
        _say(
            f"missing: {count} of {each['recording']} between "
            f"{look.when(each['ts_from_ns'])} and {look.when(each['ts_to_ns'])}: "
            f"{each['reason']}"
        )
    for row in found["tables"]:
        for text in row["notes"]:
            _say(f"note: {row['table']} {row['venue']} {row['instrument']}: {text}")
    for each in found["unfinished"]:
        _say(
            f"unfinished: {each['file']}, {counted(each['bytes'], 'byte')}; "
            "its recorder finishes it"
        )


def verify(directory: Dir = STORE, as_json: AsJson = False) -> None:
    """Check files against manifests, rows for holes, and books by the venues' own rules."""
    report = verify_store(directory)
    if as_json:
        emit_json(report.as_json())
    else:
        _render(report)
    if not report.ok:
        raise typer.Exit(EXIT_NOT_WELL)


def _render(report: StoreReport) -> None:
    for fault in report.faults:
        row = f"row {fault.row}: " if fault.row else ""
        _say(f"{fault.file}: {row}{fault.reason}")
    for text in report.told:
        _say(f"told: {text}")
    for book in report.books:
        _say(
            f"{book.venue} {book.instrument}: {book.state}, {book.applied} of "
            f"{counted(book.deltas, 'update')} applied, {counted(book.gaps_total, 'gap')}"
        )
    verdict = "nothing is wrong" if report.ok else "something is wrong, see above"
    _say(f"{counted(report.files, 'file')}, {counted(report.rows, 'row')}: {verdict}")


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Like 'select count(*) from raw'.")],
    directory: Dir = STORE,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
) -> None:
    """Ask the store in SQL (DuckDB); the views are raw, depth, trade, funding and bar."""
    if as_csv and as_json:
        raise ConfigError("--csv and --json are two forms of one output; give one of them")
    names, rows = look.query(directory, query)
    if as_csv:
        look.write_csv(names, rows)
    elif as_json:
        for row in rows:
            emit_json(dict(zip(names, map(look.plain, row), strict=True)))
    else:
        table = Table(*names, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in rows[:ROWS_SHOWN]:
            table.add_row(*("" if v is None else str(look.plain(v)) for v in row))
        _wide().print(table, markup=False)
        if len(rows) > ROWS_SHOWN:
            note(f"arb: {ROWS_SHOWN} of {len(rows)} rows; --csv or --json gives all")


def export(
    *,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="recording, csv or jsonl.")
    ] = FORMATS[0],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Where to; else standard output.")
    ] = None,
    table: Annotated[str, typer.Option("--table", metavar="TABLE", help="Of csv, jsonl.")] = "raw",
    recording: Annotated[str | None, typer.Option("--recording", metavar="NAME")] = None,
    venue: Annotated[str | None, typer.Option("--venue")] = None,
    instrument: Annotated[str | None, typer.Option("--instrument")] = None,
    directory: Dir = STORE,
    as_json: AsJson = False,
) -> None:
    """Write raw frames as recordings for arb replay, or any table as CSV or JSON lines."""
    if form not in FORMATS:
        raise ConfigError(f"--format {form}: one of {', '.join(FORMATS)}")
    if table not in TABLES:
        raise ConfigError(f"--table {table}: one of {', '.join(TABLES)}")
    where = {"venue": venue, "instrument": instrument}
    chosen = {name: value for name, value in where.items() if value is not None}
    if form == "recording":
        if out is None:
            raise ConfigError("--format recording needs --out DIR, a directory that is not there")
        if chosen or table != "raw":
            raise ConfigError("--format recording takes --recording; not --table or its parts")
        _finish(export_recordings(directory, out, recording), as_json)
        return
    if recording is not None:
        raise ConfigError(f"--format {form} takes --table, --venue, --instrument; not --recording")
    if out is None:
        export_rows(directory, table, form, sys.stdout, chosen)
        return
    fresh = out.with_name(f".{out.name}.new")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as file:
            done = export_rows(directory, table, form, file, chosen)
        fresh.replace(out)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    _finish(done, as_json)


def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...")],
    *,
    venue: Annotated[
        str | None,
        typer.Option("--venue", help="Venue of the data, where the files do not name it."),
    ] = None,
    instrument: Annotated[
        str | None, typer.Option("--instrument", help="Instrument of a table, like BTC/USDT.")
    ] = None,
    shape: Annotated[
        str,
        typer.Option("--as", metavar="SHAPE", help=f"Shape of a table: {', '.join(BY_NAME)}."),
    ] = "",
    zone: Annotated[
        str, typer.Option("--zone", help="Zone of times that name none: UTC, or like +03:00.")
    ] = "",
    suffix: Annotated[
        str, typer.Option("--suffix", help="Of the columns to take, in a table of several markets.")
    ] = "",
    directory: Dir = STORE,
    as_json: AsJson = False,
) -> None:
    """Import recordings or tables (CSV, zip, Parquet): completely, or not at all."""
    paths = files_of(paths)
    tables = [path for path in paths if is_table(path)]
    if not tables:
        if shape or instrument or zone or suffix:
            raise ConfigError(
                f"{paths[0]} is no table (.csv, .csv.gz, .zip or .parquet): --as, --instrument, "
                "--zone and --suffix are for tables only"
            )
        _finish(import_recordings(paths, directory, venue), as_json)
        return
    if len(tables) < len(paths):
        raise ConfigError("recordings and tables are imported apart; give one kind of files")
    if venue is None or instrument is None:
        raise ConfigError(f"{tables[0]} is a table: give --venue and --instrument")
    for name, value, syntax in (("venue", venue, VENUE), ("instrument", instrument, INSTRUMENT)):
        if not syntax.pattern.fullmatch(value):
            raise ConfigError(f"--{name} {value}: {syntax.what} is right, like {syntax.like}")
    done = import_tables(tables, directory, Wanted(venue, instrument, shape, zone, suffix))
    if not as_json:
        for text in done.pop("notes"):
            note(f"arb: {text}")
    _finish(done, as_json)


def derive_(directory: Dir = STORE, as_json: AsJson = False) -> None:
    """Make depth, trades, funding and bars of the raw frames, instead of those made before."""
    done = derive(directory)
    _finish({"recordings": done["recordings"], "rows": done["rows"]}, as_json)


def _finish(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(done)
    else:
        _say(", ".join(f"{name} {_short(value)}" for name, value in done.items()))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {each:,}" for name, each in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _wide() -> Console:
    # Where nobody looks at a screen there is no width to keep to.
    return console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
