"""`arb verify`: check recordings and show the verdict; what it means is in ``verification.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.cli.output import console, emit_json
from services.cli.verdict import State, VerifyReport
from services.cli.verification import verify_paths

NOT_WELL = 1
PIPE_WIDTH = 160
WIDE_COLUMNS = 110
COUNTS = ("applied", "stale", "gaps", "crossed", "CRC ok", "oracle")
PRICES = ("bid", "ask")
_WHY = {
    State.NOT_SYNCED: "saw no snapshot that joins",
    State.GAP: "out of step",
    State.OUTSIDE: "ends beyond the levels of its snapshot",
}


def verify_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Recordings, plain or .gz, of one or several captures.")
    ],
    venue: Annotated[
        str | None, typer.Option("--venue", help="Their venue, where they do not show it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check recordings: sequences, checksums, books, and prices against the venue's own quotes.

    Exits 0 only if nothing is wrong.
    """
    report = verify_paths(paths, venue)
    if as_json:
        emit_json(report.as_json())
    else:
        render(report)
    if not report.ok:
        raise typer.Exit(NOT_WELL)


def _table(report: VerifyReport, shown: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("venue", "instrument", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for book in report.books:
        sums, oracle = book.checksums, book.oracle
        cells = {
            "applied": f"{book.applied}/{book.deltas}",
            "stale": f"{book.dropped_stale}",
            "gaps": f"{book.gaps_total}",
            "crossed": f"{book.crossed}",
            "CRC ok": f"{sums.ok}/{sums.ok + sums.failed}" if sums.ok or sums.failed else "-",
            "oracle": f"{oracle.equal}/{oracle.checked}",
            "bid": "-" if book.best_bid is None else f"{book.best_bid:.12g}",
            "ask": "-" if book.best_ask is None else f"{book.best_ask:.12g}",
        }
        style = "" if book.is_sound else "red"
        numbers = [cells[heading] for heading in shown]
        table.add_row(book.venue, book.instrument, book.state, *numbers, style=style)
    return table


def render(report: VerifyReport) -> None:
    """Print the verdict as a table, then what is wrong line by line."""
    # Where nobody looks at a screen there is no width to keep to.
    screen = console if console.is_terminal else Console(width=PIPE_WIDTH, highlight=False)
    if screen.width >= WIDE_COLUMNS:
        screen.print(_table(report, (*COUNTS, *PRICES)))
    else:  # a figure that is cut says nothing
        screen.print(_table(report, COUNTS))
        screen.print(_table(report, PRICES))
    for book in report.books:
        if book.state is not State.LIVE:
            why = book.why or _WHY[book.state]
            console.print(f"{book.venue} {book.instrument}: {book.state}, {why}", soft_wrap=True)
        if book.outside_from is not None:
            at = book.outside_from
            console.print(
                f"warning: {at.path}:{at.line}: {book.instrument} left its snapshot's levels, "
                f"for {book.outside} updates from here; its best price is not sure there",
                markup=False,
                soft_wrap=True,
            )
        sums = book.checksums
        if sums.unchecked and book.state is State.LIVE and not (sums.ok or sums.failed):
            console.print(
                f"warning: {book.venue} {book.instrument}: {sums.unchecked} checksums cannot be "
                "checked: there are none, or the numbers are not written as the venue sent them",
                markup=False,
                soft_wrap=True,
            )
        for gap in book.gaps:
            console.print(
                f"gap: {gap.path}:{gap.line}: {book.instrument} expected {gap.expected}, "
                f"got {gap.got}",
                markup=False,
                soft_wrap=True,
            )
        for at in book.checksums.failed_at:
            console.print(
                f"checksum: {at.path}:{at.line}: {book.instrument} is not the venue's book",
                markup=False,
                soft_wrap=True,
            )
        for at in book.oracle.failed_at:
            console.print(
                f"oracle: {at.path}:{at.line}: {book.instrument} has not the venue's best prices",
                markup=False,
                soft_wrap=True,
            )
    for problem in report.parse_errors:
        console.print(
            f"unreadable: {problem.path}:{problem.line}: {problem.reason}",
            markup=False,
            soft_wrap=True,
        )
    console.print("nothing is wrong" if report.ok else "something is wrong, see above")
