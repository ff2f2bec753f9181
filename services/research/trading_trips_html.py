"""Panels of the page of a backtest: attribution of its result, round trips, months. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.research import svg
from services.research.html_parts import amount, card, moment, money, table
from services.research.svg import Line
from shared.wording import counted

TRIPS_SHOWN = 100
STEPS = (
    ("at_middles", "at mid prices"),
    ("latency_drift", "latency drift"),
    ("spread", "spread"),
    ("slippage", "slippage"),
    ("conversion", "conversion"),
    ("fees", "fees"),
    ("funding", "funding"),
    ("net", "net"),
)
"""Parts of a result, in the order of the waterfall; the last is their sum."""
WHAT_THEY_ARE = (
    "At mid prices: what the decisions would have earned at the mid prices of the books they were "
    "made on. Latency drift: how these moved until the order arrived. Spread: from the mid price "
    "to the best price. Slippage: from there to the price of the fill. Conversion: these three of "
    "legs that exchange one quote asset for another."
)
TOTALS = (
    "strategy",
    "asset",
    "closed",
    "won",
    "lost",
    "held",
    "profit",
    "each",
    "fees",
    "funding",
)
Report = Mapping[str, Any]


def waterfall(report: Report) -> str:
    """Return the attribution of the result in the headline's asset."""
    quote = report["headline"]
    split = report["split"].get(quote)
    if split is None or split["net"] is None:
        return ""
    steps = [(label, _number(split[name])) for name, label in STEPS]
    drawn = svg.waterfall(steps, (amount, money), height=260)
    return card(f"Attribution of the result, {quote}", drawn, f"{WHAT_THEY_ARE} {_unsplit(split)}")


def _unsplit(split: Mapping[str, Any]) -> str:
    fills, late, whole = split["fills"], split["no_decision"], split["no_book"]
    if not late:
        return f"All {counted(fills, 'fill')} are split." if fills else "There were no fills."
    told = f"Of {counted(fills, 'fill')} the latency drift of {late:,} is not known"
    told += f", nor any other part of {whole:,} of them" if whole else ""
    return f"{told}: it is in what was earned at mid prices."


def by_quote(report: Report) -> str:
    """Return the parts of every asset's result, where there are several."""
    splits = report["split"]
    if len(splits) < 2:
        return ""
    rows = [
        (quote, *(money(_number(each[name])) for name, _ in STEPS))
        for quote, each in splits.items()
    ]
    return card(
        "Attribution by quote asset", table(("quote", *(label for _, label in STEPS)), rows)
    )


def round_trips(report: Report) -> str:
    """Return what was opened and closed again."""
    found = report["round_trips"]
    trips = found["trips"]
    if not trips:
        return card("Round trips", "<p>None: nothing was opened.</p>")
    totals = [
        (
            each["strategy"],
            each["asset"],
            f"{each['trips']:,}",
            f"{each['won']:,}",
            f"{each['lost']:,}",
            _length(each["held_s"] / each["trips"]),
            money(each["profit"]),
            money(each["profit"] / each["trips"]),
            money(-each["fees"]),
            money(None if each["funding_unknown"] else each["funding"]),
        )
        for each in found["totals"]
    ]
    shown = trips[-TRIPS_SHOWN:]
    rows = [_row(each) for each in shown]
    note = (
        f"{found['closed']:,} closed, {found['open']:,} open at the end. A round of a strategy is "
        "one from its first fill until it is closed, a plan without a round from its first fill to "
        "its end. Profit is after fees and with funding, which are shown beside it; held and each "
        "are means."
    )
    if len(trips) < found["closed"] + found["open"] or len(shown) < len(trips):
        note += f" Listed are the last {len(shown):,}; report.json has the last {len(trips):,}."
    listed = ("opened", "closed", "held", "strategy", "sides", "profit", "fees", "funding", "end")
    body = (table(TOTALS, totals) if totals else "") + table(listed, rows)
    return card("Round trips", body, note)


def _row(trip: Mapping[str, Any]) -> tuple[str, ...]:
    is_open = trip["closed_ns"] is None
    fees = {asset: -each for asset, each in trip["fees"].items()}
    is_doubtful = trip["certainty"] != "known"
    words = [trip["ending"], trip["certainty"] if is_doubtful else ""]
    return (
        moment(trip["opened_ns"]),
        "open" if is_open else moment(trip["closed_ns"]),
        "" if is_open else _length(trip["held_s"]),
        trip["strategy"],
        str(trip["sides"]),
        _by_asset(trip["profit"]),
        _by_asset(fees),
        "not known" if trip["funding_certainty"] == "unknown" else _by_asset(trip["funding"]),
        ", ".join(word for word in words if word),
    )


def _by_asset(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{each:+,.4g} {asset}" for asset, each in amounts.items() if each)


def rolling(report: Report) -> str:
    """Return the Sharpe ratio over time, where there are days enough."""
    lines = report["curves"]
    days, values = lines["rolling_days"], lines["rolling_sharpe"]
    if len(values) < 2:
        return ""
    drawn = [Line(f"Sharpe of the last {days} days", "one", values)]
    chart = svg.line_chart(
        lines["rolling_times_s"], drawn, svg.axis_for(drawn, svg.plain), height=170
    )
    return card("Rolling Sharpe", chart, f"A year, from the returns of {days} days of UTC.")


def by_month(report: Report) -> str:
    """Return every complete month."""
    rows = [
        (
            each["month"],
            money(each["net"]),
            "not known" if each["return"] is None else f"{each['return'] * 1e4:+,.1f} bps",
            f"{each['sharpe']:.2f}",
        )
        for each in report["months"]
    ]
    if not rows:
        return ""
    header = ("month", f"net, {report['headline']}", "return", "Sharpe a year")
    return card("By month", table(header, rows), "Complete months of UTC; Sharpe from their days.")


def _number(value: str | None) -> float | None:
    return None if value is None else float(value)


def _length(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:,.3g} ms"
    if seconds < 120:
        return f"{seconds:,.3g} s"
    return f"{seconds / 60:,.1f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"
