"""The report as one HTML file that needs nothing else: no script, no font, no network. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from services.research import svg
from services.research.html_parts import card, page, table
from services.research.search_html import (
    day_text,
    folds_card,
    heat_card,
    not_modelled_card,
    params_text,
    signed_share,
    statistics_card,
    verdict_card,
)
from services.research.svg import Line

TRADES_SHOWN = 100
Facts = Mapping[str, Any]


def render(facts: Facts) -> str:
    """Return the page of a report's facts."""
    searched = facts["kind"] == "optimize"
    title = "Parameter search" if searched else "Backtest"
    sections = [
        _head(facts, title),
        verdict_card(facts) if searched else "",
        _tiles(facts, searched),
        _equity(facts, searched),
        _drawdown(facts),
        _rolling(facts),
        _waterfall(facts),
        *([heat_card(facts), folds_card(facts)] if searched else []),
        statistics_card(facts),
        not_modelled_card(facts),
        _trades(facts),
        _identity(facts),
    ]
    return page(f"{title} {facts['run_id'][:8]}", sections)


def _minute(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"


def _costs(costs: Facts) -> str:
    found = f"Fee {costs['fee_bps']:g} bps per side."
    if costs["spread_bps"]:
        found += f" Spread {costs['spread_bps']:g} bps."
    if costs["stake_quote"]:
        stake, capital = costs["stake_quote"], costs["capital_quote"]
        found += f" Each entry is worth {stake:,g} of a capital of {capital:,g}."
    return found


def _head(facts: Facts, title: str) -> str:
    data = facts["data"]
    return (
        f"<header><h1>{title}: {escape(facts['config']['rule']['name'])}</h1>"
        f"<p>{escape(data['file'])}, {data['bars']:,} bars of {data['bar']}, "
        f"{data['first'][:10]} to {data['last'][:10]}, {data['holes']:,} missing. "
        f"{_costs(facts['config']['costs'])}</p>"
        '<p class="note">From bars: less exact than from order books. Decided at the close of a '
        "bar, filled at the open of the next one.</p></header>"
    )


def _tiles(facts: Facts, searched: bool) -> str:
    found = facts["performance"]
    ratio = found["sharpe"]
    tiles = []
    if searched:
        walk = facts["walk_forward"]
        tiles += [
            ("out of sample", signed_share(walk["total_return"]), f"Sharpe {walk['sharpe']:.2f}"),
            (
                "holding",
                signed_share(walk["holding_return"]),
                f"Sharpe {walk['holding_sharpe']:.2f}",
            ),
            ("best in sample", signed_share(found["total_return"]), params_text(facts["best"])),
        ]
    else:
        held = facts["curves"]["holding"][-1]
        tiles += [
            ("net", signed_share(found["total_return"]), params_text(facts["params"])),
            ("holding", signed_share(held - 1), "from the first open"),
        ]
    monthly = "unknown" if ratio["monthly"] is None else f"{ratio['monthly']:.2f}"
    tiles += [
        (
            "Sharpe a year",
            f"{ratio['headline']:.2f}",
            f"days {ratio['daily']:.2f}, months {monthly}",
        ),
        (
            "maximum drawdown",
            f"{found['drawdown'] * 100:.1f}%",
            f"{day_text(found['drawdown_from_s'])} to {day_text(found['drawdown_to_s'])}",
        ),
        (
            "round trips",
            f"{found['round_trips']:,}",
            f"{found['sides']:,} sides, {found['winners']:,} won",
        ),
        (
            "in the market",
            f"{found['bars_in_market'] * 100:.0f}%",
            f"turnover {found['turnover']:,.0f}x",
        ),
    ]
    if searched:
        trials = facts["statistics"]["trials"]
        tiles.append(("trials", f"{trials:,}", f"{len(facts['sets']):,} of them here"))
    else:
        share = found["fee_share_of_gross"]
        known = "of no gross gain" if share is None else f"{share * 100:.0f}% of gross"
        tiles += [
            ("fees", f"{found['fees'] * 100:,.1f}%", known),
            (
                "deflated Sharpe",
                f"{facts['statistics']['deflated_sharpe']:.3f}",
                f"{facts['statistics']['trials']:,} trials on the ledger",
            ),
        ]
    cells = "".join(
        f"<div><small>{escape(name)}</small><b>{escape(value)}</b><small>{escape(more)}</small></div>"
        for name, value, more in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _equity(facts: Facts, searched: bool) -> str:
    lines = facts["curves"]
    name = "best in sample" if searched else "equity"
    drawn = [Line(name, "one" if not searched else "two", lines["equity"])]
    if searched:
        drawn.insert(0, Line("walk-forward, out of sample", "one", lines["walk_forward"]))
    drawn.append(Line("holding", "three", lines["holding"]))
    axis = svg.axis_for(drawn, svg.multiple, log=True)
    note = "Multiple of the capital, logarithmic."
    if searched:
        note += " Only the out-of-sample line was picked before it happened."
    return card("Equity", svg.line_chart(lines["times_s"], drawn, axis, height=300), note)


def _drawdown(facts: Facts) -> str:
    lines = facts["curves"]
    drawn = [Line("drawdown", "down", lines["drawdown"])]
    axis = svg.axis_for(drawn, svg.percent)
    chart = svg.line_chart(lines["times_s"], drawn, axis, height=170, area="down-area")
    subject = " of the best in sample" if facts["kind"] == "optimize" else ""
    return card(
        f"Drawdown{subject}", chart, "From the highest equity so far, the capital included."
    )


def _rolling(facts: Facts) -> str:
    lines = facts["curves"]
    values, window = lines["rolling_sharpe"], lines["rolling_periods"]
    if len(values) < 2:
        return ""
    drawn = [Line(f"Sharpe of the last {window} periods", "one", values)]
    axis = svg.axis_for(drawn, svg.plain)
    return card(
        "Rolling Sharpe",
        svg.line_chart(lines["times_s"][lines["rolling_from"] :], drawn, axis, height=170),
        f"A year, from {window} periods of {facts['config']['statistics']['period']} at a time.",
    )


def _waterfall(facts: Facts) -> str:
    steps = facts["performance"]["waterfall"]
    return card(
        "Gross, fees, net",
        svg.waterfall([("gross", steps["gross"]), ("fees", steps["fees"]), ("net", steps["net"])]),
        "Shares of the capital; gross is net with the fees added that were paid on the way.",
    )


def _trades(facts: Facts) -> str:
    trades = facts["trades"]
    shown = trades[-TRADES_SHOWN:]
    rows = [
        (
            "long" if trade["side"] > 0 else "short",
            _minute(trade["entry_s"]),
            f"{trade['entry_price']:,.8g}",
            _minute(trade["exit_s"]),
            f"{trade['exit_price']:,.8g}",
            signed_share(trade["gross"]),
            signed_share(-trade["fees"]),
            signed_share(trade["gross"] - trade["fees"]),
        )
        for trade in shown
    ]
    header = ("side", "entry", "at", "exit", "at", "gross", "fees", "net")
    subject = " of the best in sample" if facts["kind"] == "optimize" else ""
    note = "Shares of the capital."
    if len(trades) > len(shown):
        count = facts["performance"]["round_trips"]
        there = "all of them" if count == len(trades) else f"the last {len(trades):,}"
        note += f" The last {len(shown)} of {count:,}; {there} are in report.json."
    return card(f"Trades{subject}", table(header, rows), note)


def _identity(facts: Facts) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rows = [
        ("run", facts["run_id"]),
        ("data", f"{facts['data']['file']}, sha256 {facts['data']['sha256']}"),
        ("code", facts["code"]),
        ("seed", str(facts["seed"])),
        ("versions", versions),
    ]
    note = "The same data, configuration, code, seed, versions and trials give the same bytes."
    return card("Identity", table(("", ""), rows), note)
