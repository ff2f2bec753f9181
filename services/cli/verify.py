"""`arb verify`: check recordings and show the verdict; what it means is in ``verification.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from services.cli.output import console, emit_json
from services.cli.verification import VerifyReport, verify_paths

NOT_WELL = 1


def verify_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Recordings, plain or .gz, of one or several captures.")
    ],
    venue: Annotated[
        str | None, typer.Option("--venue", help="Whose they are, where they do not tell.")
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


def render(report: VerifyReport) -> None:
    """Print the verdict as a table, then what is wrong line by line."""
    table = Table(title="Books", title_justify="left")
    for heading in ("venue", "instrument", "state"):
        table.add_column(heading)
    headings = ("snapshots", "deltas", "applied", "stale", "gaps", "checksums", "crossed", "oracle",
                "best bid", "best ask")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for book in report.books:
        sums, oracle = book.checksums, book.oracle
        style = "" if book.is_sound else "red"
        numbers = (
            book.snapshots,
            book.deltas,
            book.applied,
            book.dropped_stale,
            book.gaps_total,
            f"{sums.ok} ok, {sums.failed} failed" if sums.ok or sums.failed else "-",
            book.crossed,
            f"{oracle.equal}/{oracle.checked}",
            "-" if book.best_bid is None else f"{book.best_bid:.12g}",
            "-" if book.best_ask is None else f"{book.best_ask:.12g}",
        )
        table.add_row(book.venue, book.instrument, book.state, *map(str, numbers), style=style)
    console.print(table)
    for book in report.books:
        for gap in book.gaps:
            console.print(
                f"gap: {gap.path}:{gap.line}: {book.instrument} expected {gap.expected}, "
                f"got {gap.got}", markup=False, soft_wrap=True,
            )  # fmt: skip
    for problem in report.parse_errors:
        console.print(
            f"unreadable: {problem.path}:{problem.line}: {problem.reason}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    console.print("nothing is wrong" if report.ok else "something is wrong, see above")
