"""Records of the ledger as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from services.cli.ledger_records import Record
from services.cli.output import console

MARKS = {"known": "", "estimated": "~", "unknown": "?"}
"""Stand behind a figure: how well it is known."""


def table(columns: Sequence[str], folded: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table in which only the ``folded`` column goes on in more lines."""
    made = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for column in columns:
        is_folded = column == folded
        made.add_column(
            column,
            no_wrap=not is_folded,
            overflow="fold",
            ratio=1 if is_folded else None,
            justify="right" if column in numbers else "left",
        )
    return made


def moment(record: Record) -> str:
    """Return the time of a record, short: month, day and time of day, UTC."""
    return str(record["time"])[5:19].replace("T", " ")


def amount(value: Decimal | None, digits: int = 2, certainty: str = "known") -> str:
    """Return money with its sign, and a mark where it is not known for sure."""
    return "unknown" if value is None else f"{value:+,.{digits}f}{MARKS[certainty]}"


def short(value: Decimal | None) -> str:
    """Return a price or quantity with no more digits than count."""
    if value is None:
        return "-"
    text = f"{value:.8g}" if value.adjusted() < 8 else f"{value:.0f}"
    return format(Decimal(text), "f")


def show_orders(records: list[Record]) -> None:
    """Print orders."""
    numbers = ("qty", "limit", "avg")
    made = table(
        ("time", "venue", "instrument", "side", "qty", "limit", "avg", "status"),
        "instrument",
        numbers,
    )
    for each in records:
        made.add_row(
            moment(each),
            each["venue"],
            each["instrument"],
            each["side"],
            short(each["qty"]),
            short(each["price_limit"]),
            short(each["price_avg"]),
            each["status"],
        )
    _print(made, records, "order")


def show_fills(records: list[Record]) -> None:
    """Print executions."""
    made = table(
        ("time", "venue", "instrument", "side", "qty", "price", "fee"),
        "instrument",
        ("qty", "price", "fee"),
    )
    for each in records:
        fee = "unknown" if each["fee"] is None else f"{short(each['fee'])} {each['fee_asset']}"
        made.add_row(
            moment(each),
            each["venue"],
            each["instrument"],
            each["side"],
            short(each["qty"]),
            short(each["price"]),
            fee,
        )
    _print(made, records, "fill")


def show_plans(records: list[Record]) -> None:
    """Print plans."""
    made = table(
        ("time", "plan", "strategy", "outcome", "expected", "realized", ""),
        "strategy",
        ("expected", "realized"),
    )
    for each in records:
        made.add_row(
            moment(each),
            each["plan_id"],
            each["strategy"],
            each["outcome"] or "in flight",
            amount(each["net_expected"]),
            "-"
            if each["outcome"] is None
            else amount(each["realized"], certainty=each["certainty"]),
            each["quote"],
        )
    _print(made, records, "plan")


def show_balances(records: list[Record]) -> None:
    """Print balances."""
    made = table(("time", "venue", "asset", "free", "used"), "asset", ("free", "used"))
    for each in records:
        cells = (short(each["free"]), short(each["used"]))
        made.add_row(moment(each), each["venue"], each["asset"], *cells)
    _print(made, records, "balance")


def show_positions(records: list[Record]) -> None:
    """Print positions."""
    numbers = ("qty", "entry", "closes at", "unrealized")
    made = table(("time", "venue", "instrument", *numbers), "instrument", numbers)
    for each in records:
        made.add_row(
            moment(each),
            each["venue"] or "all",
            each["instrument"],
            short(each["qty"]),
            short(each["entry"]),
            short(each["close_price"]),
            amount(each["unrealized"], certainty=each["certainty"]),
        )
    _print(made, records, "position")


def show_denials(records: list[Record]) -> None:
    """Print what risk denied."""
    made = table(("time", "strategy", "reason", "edge bps", "why"), "why", ("edge bps",))
    for each in records:
        why = ", ".join(f"{name} {value}" for name, value in each["context"].items())
        edge = short(each["edge_bps"])
        made.add_row(moment(each), each["strategy"] or "-", each["reason"], edge, why)
    _print(made, records, "denial")


def _print(made: Table, records: Sequence[Any], one: str) -> None:
    if records:
        console.print(made)
    else:
        console.print(f"no {one} in the ledger that fits")
