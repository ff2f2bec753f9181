"""The report as one HTML file that needs nothing else: no script, no font, no network. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from services.research import svg
from services.research.html_parts import card, page, table
from services.research.svg import Line
from shared.wording import counted

TRADES_SHOWN = 100
Facts = Mapping[str, Any]


def render(facts: Facts) -> str:
    """Return the page of a report's facts."""
    searched = facts["kind"] == "optimize"
    title = "Parameter search" if searched else "Backtest"
    sections = [
        _head(facts, title),
        _verdict(facts) if searched else "",
        _tiles(facts, searched),
        _equity(facts, searched),
        _drawdown(facts),
        _rolling(facts),
        _waterfall(facts),
        *([_heat(facts), _folds(facts)] if searched else []),
        _statistics(facts),
        _not_modelled(facts),
        _trades(facts),
        _identity(facts),
    ]
    return page(f"{title} {facts['run_id'][:8]}", sections)


def _day(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"


def _minute(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"


def _signed(share: float) -> str:
    return f"{share * 100:+,.2f}%"


def _number(value: float | None, digits: int = 3) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"


def _params(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "none: stay out"
    return ", ".join(f"{name.removesuffix('_bars')} {value:g}" for name, value in values.items())


def _head(facts: Facts, title: str) -> str:
    data, fee_bps = facts["data"], facts["config"]["costs"]["fee_bps"]
    return (
        f"<header><h1>{title}: {escape(facts['config']['rule']['name'])}</h1>"
        f"<p>{escape(data['file'])}, {data['bars']:,} bars of {data['bar']}, "
        f"{data['first'][:10]} to {data['last'][:10]}, {data['holes']:,} missing. "
        f"Fee {fee_bps:g} bps per side.</p>"
        '<p class="note">From bars: less exact than from order books. Decided at the close of a '
        "bar, filled at the open of the next one.</p></header>"
    )


def _verdict(facts: Facts) -> str:
    failed = [check for check in facts["gate"] if not check["passed"]]
    style = "bad" if failed else "good"
    verdict = (
        f"May well be luck: not passed are {len(failed)} of {counted(len(facts['gate']), 'check')}"
        if failed
        else "Passes every check"
    )
    rows = [
        (
            check["label"],
            _number(check["value"]),
            f"{'at least' if check['at_least'] else 'at most'} {check['bar']:g}",
            "passes" if check["passed"] else "fails",
            check["what"],
        )
        for check in facts["gate"]
    ]
    marks = ["pass" if check["passed"] else "fail" for check in facts["gate"]]
    checks = table(("check", "value", "bar", "", "what it is"), rows, marks)
    return f'<section class="verdict {style}"><h2>{verdict}</h2>{checks}</section>'


def _tiles(facts: Facts, searched: bool) -> str:
    found = facts["performance"]
    ratio = found["sharpe"]
    tiles = []
    if searched:
        walk = facts["walk_forward"]
        tiles += [
            ("out of sample", _signed(walk["total_return"]), f"Sharpe {walk['sharpe']:.2f}"),
            ("holding", _signed(walk["holding_return"]), f"Sharpe {walk['holding_sharpe']:.2f}"),
            ("best in sample", _signed(found["total_return"]), _params(facts["best"])),
        ]
    else:
        held = facts["curves"]["holding"][-1]
        tiles += [
            ("net", _signed(found["total_return"]), _params(facts["params"])),
            ("holding", _signed(held - 1), "from the first open"),
        ]
    monthly = "unknown" if ratio["monthly"] is None else f"{ratio['monthly']:.2f}"
    tiles += [
        (
            "Sharpe a year",
            f"{ratio['headline']:.2f}",
            f"days {ratio['daily']:.2f}, months {monthly}",
        ),
        (
            "deepest drawdown",
            f"{found['drawdown'] * 100:.1f}%",
            f"{_day(found['drawdown_from_s'])} to {_day(found['drawdown_to_s'])}",
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


def _heat(facts: Facts) -> str:
    axes = list(facts["axes"].items())
    if len(axes) < 2:
        name, values = axes[0]
        at = {each[name]: each["sharpe"] for each in facts["sets"]}
        bars = [Line("Sharpe", "", [at.get(value) for value in values])]
        names = [f"{value:g}" for value in values]
        chart = svg.bar_chart(names, bars, svg.axis_for([*bars, Line("", "", [0])], svg.plain))
        return card(f"Sharpe by {name}", chart, "In sample, a year.")
    (across, xs), (down, ys) = axes[1], axes[0]
    others = {name: facts["best"][name] for name, _ in axes[2:]}
    cells = {
        (each[down], each[across]): each["sharpe"]
        for each in facts["sets"]
        if all(each[name] == value for name, value in others.items())
    }
    rows = [[cells.get((y, x)) for x in xs] for y in ys]
    where = f" at {_params(others)}" if others else ""
    note = f"In sample, a year{where}. An island among red is a coincidence; a plain is a rule."
    return card("Sharpe by parameters", svg.heat_map((across, xs), (down, ys), rows), note)


def _folds(facts: Facts) -> str:
    walk = facts["walk_forward"]
    folds = walk["folds"]
    bars = [
        Line("in sample", "two", [fold["is_sharpe"] for fold in folds]),
        Line("out of sample", "one", [fold["oos_sharpe"] for fold in folds]),
    ]
    axis = svg.axis_for([*bars, Line("", "", [0.0])], svg.plain)
    chart = svg.bar_chart([_day(fold["begin_s"])[2:] for fold in folds], bars, axis)
    rows = [
        (
            f"{_day(fold['begin_s'])} to {_day(fold['end_s'])}",
            _params(fold["pick"]),
            _number(fold["is_sharpe"], 2),
            _number(fold["oos_sharpe"], 2),
            _signed(fold["oos_return"]),
            _number(fold["spread"], 2),
            f"{fold['rank'] * 100:.0f}%",
        )
        for fold in folds
    ]
    header = ("test", "pick", "Sharpe in", "Sharpe out", "return out", "spread in", "rank out")
    note = (
        f"{counted(len(folds), 'fold')}, {counted(walk['picks'], 'different pick')}, "
        f"{counted(walk['switches'], 'switch', 'switches')}; entry "
        f"and switches cost {walk['switch_cost'] * 100:.2f}%. Spread: the pick's Sharpe less the "
        "median. Rank: 100% is the best of all sets in its test."
    )
    return card("Walk-forward", chart + table(header, rows), note)


_NAMES = {
    "trials": "trials on the ledger",
    "trials_variance": "variance of their Sharpe ratios, per period",
    "probabilistic_sharpe": "probability that the Sharpe ratio is above 0, one trial",
    "expected_best_of_trials": "Sharpe expected of the best of so many worthless ones",
    "deflated_sharpe": "the same probability, all trials counted",
    "best_sharpe_per_period": "Sharpe of the best, per period",
}


def _statistics(facts: Facts) -> str:
    found = facts["statistics"]
    gated = {check["name"] for check in facts.get("gate", ())}
    rows = [
        (_NAMES.get(name, name.replace("_", " ")), f"{value:.6g}")
        for name, value in found.items()
        if isinstance(value, (int, float)) and (name not in gated or name == "deflated_sharpe")
    ]
    return card(
        "Statistics",
        table(("", "value"), rows),
        "Every set that was ever tried is on the ledger and counts.",
    )


def _not_modelled(facts: Facts) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in facts["not_modelled"])
    return f'<section class="warning"><h2>What was not modelled</h2><ul>{items}</ul></section>'


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
            _signed(trade["gross"]),
            _signed(-trade["fees"]),
            _signed(trade["gross"] - trade["fees"]),
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
