"""Records of the ledger as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from services.cli.ledger.file import Wanted
from services.cli.ledger.records import Record
from services.cli.output import console
from shared.wording import counted, signed

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
    """Return money with its sign, and a mark where it is estimated or not known."""
    return signed(value, digits) + ("" if value is None else MARKS[certainty])


def short(value: Decimal | None) -> str:
    """Return a price or quantity with at most eight digits, or those before the point."""
    if value is None:
        return "-"
    text = f"{value:.8g}" if value.adjusted() < 8 else f"{value:.0f}"
    return plain(Decimal(text))


def plain(value: Decimal) -> str:
    """Return all digits of a quantity, without zeros at its end."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


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
        cells = (plain(each["free"]), plain(each["used"]))
        made.add_row(moment(each), each["venue"], each["asset"], *cells)
    _print(made, records, "balance")


def show_positions(records: list[Record]) -> None:
    """Print positions, which are all of one moment."""
    numbers = ("qty", "entry", "closes at", "unrealized")
    made = table(("venue", "instrument", *numbers), "instrument", numbers)
    for each in records:
        made.add_row(
            each["venue"] or "all",
            each["instrument"],
            short(each["qty"]),
            short(each["entry"]),
            short(each["close_price"]),
            amount(each["unrealized"], certainty=each["certainty"]),
        )
    if records:
        is_of_then = all(each["ts_price_ns"] == each["ts_ns"] for each in records)
        prices = "at the prices of then" if is_of_then else "at the newest prices"
        console.print(f"unchanged since {moment(records[0])}, {prices}")
    _print(made, records, "position")


def show_denials(records: list[Record]) -> None:
    """Print what risk denied."""
    made = table(("time", "strategy", "reason", "edge bps", "why"), "why", ("edge bps",))
    for each in records:
        why = ", ".join(f"{name} {value}" for name, value in each["context"].items())
        edge = short(each["edge_bps"])
        made.add_row(moment(each), each["strategy"] or "-", each["reason"], edge, why)
    _print(made, records, "denial")


def show_plan(whole: dict[str, Any]) -> None:
    """Print a plan in full: its steps from what was expected to what it earned."""
    plan, steps = whole["plan"], whole["waterfall"]
    console.print(
        f"plan {plan['plan_id']} of {plan['strategy']}: {plan['outcome'] or 'in flight'}"
        + (f" ({plan['reason']})" if plan["reason"] else ""),
        markup=False,
    )
    for leg in plan["legs"]:
        console.print(f"  {leg}", markup=False)
    if (was := whole["shrunk"]) is not None:
        limits = ", ".join(was.limits)
        text = f"  smaller than offered, by {limits}: expected funding and costs are of {was.qty}"
        console.print(text, markup=False)
    made = table(("step", f"{steps['quote']}", ""), "", (f"{steps['quote']}",))
    for name, label in STEP_LABELS.items():
        figure = steps["steps"][name]
        made.add_row(label, amount(figure["amount"], 4, figure["certainty"]), "")
    realized = steps["realized"]
    made.add_row("= realized", amount(realized["amount"], 4, realized["certainty"]), "")
    for name, label in BESIDE_LABELS.items():
        figure = steps[name]
        if figure is None:
            continue
        made.add_row(label, amount(figure["amount"], 4, figure["certainty"]), "")
    for label, figure in expected_rows(whole["expected"]):
        made.add_row(label, amount(figure, 4), "")
    console.print(made)
    show_orders(whole["orders"])
    show_fills(whole["fills"])


def expected_rows(expected: dict[str, Any]) -> list[tuple[str, Decimal]]:
    """Return what the plan's opportunity said of conversions and funding, beside its steps."""
    rows = [
        (f"conversion of {each.asset}, expected (in the edge)", -each.cost)
        for each in expected["conversions"]
    ]
    carry = expected["carry"]
    if carry is not None:
        rows.append(
            (f"funding expected, {counted(carry.settlements, 'settlement')}", carry.funding)
        )
        rows.append(("opening and closing, expected", -carry.cost))
    return rows


STEP_LABELS = {
    "expected_edge": "expected edge",
    "expected_fees": "+ fees expected in it",
    "not_filled": "+ not filled, or evened out",
    "latency_drift": "+ latency drift",
    "slippage": "+ slippage of the legs",
    "unwind_cost": "+ hedge and unwind",
    "fees": "+ fees charged",
    "conversion": "+ conversion of fees",
    "left_open": "+ cost of what is left open",
}
BESIDE_LABELS = {
    "spread_captured": "spread captured",
    "funding": "funding",
    "inventory_cost": "bringing inventory back, still to be paid",
}


def show_days(days: list[dict[str, Any]]) -> None:
    """Print what was realized by day."""
    made = table(
        ("day", "strategy", "realized", "fees", "funding", ""),
        "strategy",
        ("realized", "fees", "funding"),
    )
    for each in days:
        made.add_row(
            each["day"],
            each["strategy"],
            amount(each["realized"], certainty=each["certainty"]),
            amount(each["fees"], certainty=each["certainty"]).lstrip("+"),
            amount(each["funding"]),
            each["quote"],
        )
    _print(made, days, "day")


def show_pnl(report: dict[str, Any], wanted: Wanted) -> None:
    """Print what was earned, or the part that is asked for; different assets are never added."""
    if not report["pnl"]:
        console.print("no fill in the ledger")
        return
    is_of_all_days = wanted.since_ns is None and wanted.until_ns is None
    is_whole = is_of_all_days and wanted.strategy is None and wanted.venue is None
    if is_of_all_days and wanted.venue is None:
        _show_earned(report, is_whole)
    if wanted.venue is None:
        show_days(report["by_day"])
    if is_whole or wanted.venue is not None:
        _show_venues(report["by_venue"])
    if is_whole:
        for quote, change in (report["venue_equity_change"] or {}).items():
            console.print(f"the venues' accounts: {amount(change)} {quote}", markup=False)
    for gap in report["gaps"]:
        count = "unknown" if gap["entries"] is None else gap["entries"]
        console.print(f"gap: {count} entries of {gap['stream']}: {gap['reason']}", markup=False)
    if report["by_day"] or report["by_venue"]:
        console.print("~ estimated, ? not known")


def _show_earned(report: dict[str, Any], is_whole: bool) -> None:
    """Print a line of each strategy and asset, after those of all together."""
    by_owner = {"all": report["pnl"]} if is_whole else {}
    numbers = ("realized", "unrealized", "fees", "funding")
    made, rows = table(("", *numbers, " "), "", numbers), 0
    for owner, earned in (*by_owner.items(), *report["pnl_by_strategy"].items()):
        for quote, money in earned.items():
            doubts = money["certainties"]
            cells = [amount(money[name], certainty=doubts[name]) for name in numbers]
            cells[2] = cells[2].lstrip("+")
            made.add_row(owner, *cells, quote)
            rows += 1
    if rows:
        console.print(made)


def _show_venues(by_venue: dict[str, Any]) -> None:
    """Print what trading moved at each venue."""
    for venue, each in by_venue.items():
        moved, otherwise = _amounts(each["inventory_change"]), each["moved_otherwise"]
        fills = counted(each["fills"], "fill")
        console.print(f"{venue}: {fills} moved {moved or 'nothing'}", markup=False)
        if otherwise:
            text = f"deposits, withdrawals or others moved {_amounts(otherwise)}: no result"
            console.print(f"{venue}: {text}", markup=False)
    if not by_venue:
        console.print("no venue in the ledger that fits")


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{qty.normalize():+f} {asset}" for asset, qty in amounts.items())


def _print(made: Table, records: Sequence[Any], one: str) -> None:
    if records:
        console.print(made)
    else:
        console.print(f"no {one} in the ledger that fits")
