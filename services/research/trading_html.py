"""The page of a backtest of the whole chain: one HTML file that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from services.research import svg
from services.research.html_parts import card, page, table
from services.research.svg import Line

FILLS_SHOWN = 100
Report = Mapping[str, Any]


def render(report: Report) -> str:
    """Return the page of a report."""
    return page(
        f"Backtest {report['run_id'][:8]}",
        [
            _head(report),
            _tiles(report),
            _profit(report),
            _drawdown(report),
            _waterfall(report),
            _by_quote(report),
            _by_strategy(report),
            _not_modelled(report),
            _decided(report),
            _fills(report),
            _venue_events(report),
            _identity(report),
        ],
    )


def _when(ts_ns: float) -> str:
    return f"{datetime.fromtimestamp(ts_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+,.2f}"


def _head(report: Report) -> str:
    span, files = report["span"], report["data"]
    names = ", ".join(each["file"] for each in files[:4])
    more = f" and {len(files) - 4} more" if len(files) > 4 else ""
    length_s = (span["last_ns"] - span["first_ns"]) / 1e9
    strategies = ", ".join(report["strategies"])
    problems = "".join(f"<li>{escape(each)}</li>" for each in report["result"]["problems"])
    warned = f'<section class="verdict bad"><h2>Look at this</h2><ul>{problems}</ul></section>'
    return (
        f"<header><h1>Backtest: {escape(strategies)}</h1>"
        f"<p>{escape(names + more)}: {_when(span['first_ns'])} to {_when(span['last_ns'])} UTC, "
        f"{length_s:,.0f} s, {len(report['config']['venues'])} venues.</p>"
        f'<p class="note">From {escape(report["from"])}. The engines that trade decided; orders '
        "were matched against the recorded books.</p></header>" + (warned if problems else "")
    )


def _tiles(report: Report) -> str:
    quote, result = report["headline"], report["result"]
    found = report["performance"].get(quote, {})
    share = found.get("return")
    ratio = found.get("sharpe")
    fall = found.get("drawdown")
    tiles = [
        (
            f"net, {quote}",
            _money(found.get("net")),
            "unknown" if share is None else f"{share * 1e4:+,.2f} bps of the capital",
        ),
        ("fees", _money(-found.get("fees", 0.0)), "of every fill"),
        ("funding", _money(found.get("funding", 0.0)), f"{len(report['payments'])} payments"),
        (
            "deepest drawdown",
            "unknown" if fall is None else f"{fall * 1e4:,.2f} bps",
            "from the highest equity so far",
        ),
        (
            "Sharpe a year",
            "too short" if ratio is None else f"{ratio:.2f}",
            "from days" if ratio is not None else "given from 30 days on",
        ),
        ("opportunities", f"{result['opportunities']:,}", "found by the strategies"),
        (
            "plans",
            f"{result['plans']['approved']:,}",
            f"{result['plans']['outcomes'].get('FILLED', 0):,} filled whole",
        ),
        ("fills", f"{report['fill_count']:,}", f"{result['orders']['submitted']:,} orders"),
    ]
    cells = "".join(
        f"<div><small>{escape(name)}</small><b>{escape(value)}</b><small>{escape(more)}</small></div>"
        for name, value, more in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _profit(report: Report) -> str:
    lines = report["curves"]
    if len(lines["times_s"]) < 2:
        return ""
    drawn = [Line(f"profit, {report['headline']}", "one", lines["profit"])]
    chart = svg.line_chart(lines["times_s"], drawn, svg.axis_for(drawn, _amount), height=300)
    note = "Of all accounts together, what is open at the middle of its book, fees and funding in."
    return card("Profit", chart, note)


def _drawdown(report: Report) -> str:
    lines = report["curves"]
    if len(lines["times_s"]) < 2:
        return ""
    if not any(lines["drawdown"]):
        return card("Drawdown", "<p>None: equity never fell.</p>")
    drawn = [Line("drawdown", "down", lines["drawdown"])]
    axis = svg.axis_for(drawn, _basis_points)
    chart = svg.line_chart(lines["times_s"], drawn, axis, height=170, area="down-area")
    return card("Drawdown", chart, "Of equity, from its highest so far, the capital included.")


def _basis_points(value: float) -> str:
    return f"{value * 1e4:,.3g} bps"


def _waterfall(report: Report) -> str:
    found = report["performance"].get(report["headline"], {})
    if found.get("net") is None:
        return ""
    steps = [
        ("gross", found["gross"]),
        ("fees", -found["fees"]),
        ("funding", found["funding"]),
        ("net", found["net"]),
    ]
    drawn = svg.waterfall(steps, (_amount, _money))
    return card("Gross, fees, funding, net", drawn, f"In {report['headline']}.")


def _amount(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _by_quote(report: Report) -> str:
    rows = [
        (
            quote,
            f"{each['capital']:,.2f}",
            *(
                _money(each[name])
                for name in ("net", "gross", "realized", "unrealized", "closing_cost")
            ),
        )
        for quote, each in report["performance"].items()
    ]
    note = (
        "Net and gross are of the accounts, at middles. Realized and unrealized are of our own "
        "ledger, what is open at the prices that would close it; closing costs are the fees and "
        "the depth that closing it would take."
    )
    header = ("quote", "capital", "net", "gross", "realized", "unrealized", "closing cost")
    return card("By quote asset", table(header, rows), note)


def _by_strategy(report: Report) -> str:
    rows = [
        (
            name,
            quote,
            _money(each["realized"]),
            _money(each["unrealized"]),
            _money(-each["fees"]),
            _money(each["funding"]),
        )
        for name, earned in report["result"]["pnl_by_strategy"].items()
        for quote, each in earned.items()
    ]
    if not rows:
        return ""
    header = ("strategy", "quote", "realized", "unrealized", "fees", "funding")
    return card("By strategy", table(header, rows), "Fees and funding are in what was realized.")


def _decided(report: Report) -> str:
    result = report["result"]
    rows = [("not found, " + name, f"{n:,}") for name, n in result["near_misses"].items()]
    rows += [("denied, " + name, f"{n:,}") for name, n in result["plans"]["denied"].items()]
    rows += [("ended, " + name, f"{n:,}") for name, n in result["plans"]["outcomes"].items()]
    note = "Near misses of strategies, denials of risk (docs/denials.md), ends of plans."
    return card("What was decided", table(("", "times"), rows), note)


def _fills(report: Report) -> str:
    shown = report["fills"][-FILLS_SHOWN:]
    if not shown:
        return card("Fills", "<p>None: nothing was traded.</p>")
    rows = [
        (
            _when(each["ts_ns"]),
            each["strategy"],
            each["venue"],
            each["instrument"],
            each["side"],
            f"{each['qty']:,.8g}",
            f"{each['price']:,.8g}",
            "unknown" if each["fee"] is None else f"{each['fee']:,.6g} {each['fee_asset']}",
        )
        for each in shown
    ]
    note = f"The last {len(shown)} of {report['fill_count']:,}."
    header = ("time", "strategy", "venue", "instrument", "side", "quantity", "price", "fee")
    return card("Fills", table(header, rows), note)


def _venue_events(report: Report) -> str:
    rows = [
        (
            _when(each["ts_ns"]),
            each["venue"],
            each["instrument"],
            "funding, " + ("settled" if each["is_settled"] else "last predicted rate"),
            f"{each['qty']:,.8g}",
            _money(each["amount"]),
        )
        for each in report["payments"]
    ] + [
        (
            _when(each["ts_ns"]),
            each["venue"],
            each["instrument"],
            "liquidation",
            f"{each['qty']:,.8g}",
            f"at {each['price']:,.8g}",
        )
        for each in report["liquidations"]
    ]
    if not rows:
        return ""
    header = ("time", "venue", "instrument", "", "held", "")
    return card("Funding and liquidations", table(header, rows))


def _not_modelled(report: Report) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in report["not_modelled"])
    return f'<section class="warning"><h2>What was not modelled</h2><ul>{items}</ul></section>'


def _identity(report: Report) -> str:
    replayed = report["result"]["replay"]
    rows = [("run", report["run_id"])]
    rows += [("data", f"{each['file']}, sha256 {each['sha256']}") for each in report["data"]]
    rows += [
        ("decisions", f"{replayed['decisions']:,}, sha256 {replayed['hash']}"),
        ("strategies", ", ".join(f"{n} {h}" for n, h in report["strategies"].items())),
        ("code", f"{report['code']}, report {report['report_code']}"),
        ("seed", str(report["seed"])),
        ("versions", ", ".join(f"{n} {v}" for n, v in report["versions"].items())),
    ]
    note = "The same data, configuration, code, seed and versions give the same bytes."
    return card("Identity", table(("", ""), rows), note)
