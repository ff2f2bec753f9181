"""The page of a backtest of the whole chain: one HTML file that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from services.research import svg
from services.research import trading_trips_html as trips
from services.research.html_parts import amount, basis_points, card, moment, money, page, table
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
            trips.waterfall(report),
            trips.by_quote(report),
            trips.rolling(report),
            trips.by_month(report),
            trips.round_trips(report),
            _by_quote(report),
            _by_strategy(report),
            _not_modelled(report),
            _decided(report),
            _fills(report),
            _venue_events(report),
            _identity(report),
        ],
    )


def _head(report: Report) -> str:
    span, files = report["span"], report["data"]
    names = ", ".join(each["file"] for each in files[:4])
    more = f" and {len(files) - 4} more" if len(files) > 4 else ""
    length_s = (span["last_ns"] - span["first_ns"]) / 1e9
    strategies = ", ".join(report["strategies"])
    problems = "".join(f"<li>{escape(each)}</li>" for each in report["result"]["problems"])
    warned = f'<section class="verdict bad"><h2>Problems</h2><ul>{problems}</ul></section>'
    return (
        f"<header><h1>Backtest: {escape(strategies)}</h1>"
        f"<p>{escape(names + more)}: {moment(span['first_ns'])} to {moment(span['last_ns'])} UTC, "
        f"{length_s:,.0f} s, {len(report['config']['venues'])} venues.</p>"
        f'<p class="note">From {escape(report["from"])}. Decided by the engines that trade live; '
        "orders were matched against the recorded books.</p></header>"
        + (warned if problems else "")
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
            money(found.get("net")),
            "not known" if share is None else f"{share * 1e4:+,.2f} bps of the capital",
        ),
        ("fees", money(-found.get("fees", 0.0)), "of every fill"),
        ("funding", money(found.get("funding", 0.0)), f"{len(report['payments'])} payments"),
        (
            "maximum drawdown",
            "not known" if fall is None else f"{fall * 1e4:,.2f} bps",
            "from the highest equity so far",
        ),
        (
            "Sharpe a year",
            "not known" if ratio is None else f"{ratio:.2f}",
            _sharpe_note(found),
        ),
        *_activity(report, found),
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


def _sharpe_note(found: Mapping[str, Any]) -> str:
    daily, monthly, why = (found.get(f"sharpe_{name}") for name in ("daily", "monthly", "why"))
    if daily is None:
        return why or ""
    both = f"days {daily:.2f}, months {'not known' if monthly is None else f'{monthly:.2f}'}"
    return f"{both}: {why}"


def _activity(report: Report, found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    trips_told = report["round_trips"]
    turnover, share = found.get("turnover"), found.get("fee_share_of_gross")
    in_market = trips_told["in_market"]
    return [
        (
            "round trips",
            f"{trips_told['closed']:,}",
            f"{trips_told['sides']:,} sides, {trips_told['open']:,} open at the end",
        ),
        (
            "turnover",
            "not known" if turnover is None else f"{turnover:,.2f}x",
            f"{found.get('traded', 0.0):,.0f} {report['headline']} traded",
        ),
        (
            "in the market",
            "not known" if in_market is None else f"{in_market * 100:,.3g}%",
            "of the time a round trip was open",
        ),
        (
            "fees / gross profit",
            "not known" if share is None else f"{share * 100:,.1f}%",
            "gross: before fees and funding"
            if share is not None
            else "no gross profit, or not known",
        ),
    ]


def _profit(report: Report) -> str:
    lines = report["curves"]
    if len(lines["times_s"]) < 2:
        return ""
    drawn = [Line(f"profit, {report['headline']}", "one", lines["profit"])]
    chart = svg.line_chart(lines["times_s"], drawn, svg.axis_for(drawn, amount), height=300)
    note = "Of all accounts together, open positions at mid prices; after fees, with funding."
    return card("Profit", chart, note)


def _drawdown(report: Report) -> str:
    lines = report["curves"]
    if len(lines["times_s"]) < 2:
        return ""
    if not any(lines["drawdown"]):
        return card("Drawdown", "<p>None: equity never fell.</p>")
    drawn = [Line("drawdown", "down", lines["drawdown"])]
    axis = svg.axis_for(drawn, basis_points)
    chart = svg.line_chart(lines["times_s"], drawn, axis, height=170, area="down-area")
    return card("Drawdown", chart, "Of equity, from its highest so far, the capital included.")


def _by_quote(report: Report) -> str:
    rows = [
        (
            quote,
            f"{each['capital']:,.2f}",
            *(
                money(each[name])
                for name in ("net", "gross", "realized", "unrealized", "closing_cost")
            ),
        )
        for quote, each in report["performance"].items()
    ]
    note = (
        "Net and gross are of the accounts, at mid prices. Realized and unrealized are of our own "
        "ledger, open positions at the prices that would close them; closing cost is the fees and "
        "the depth that closing them would take."
    )
    header = ("quote", "capital", "net", "gross", "realized", "unrealized", "closing cost")
    return card("By quote asset", table(header, rows), note)


def _by_strategy(report: Report) -> str:
    rows = [
        (
            name,
            quote,
            money(each["realized"]),
            money(each["unrealized"]),
            money(-each["fees"]),
            money(each["funding"]),
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
            moment(each["ts_ns"]),
            each["strategy"],
            each["venue"],
            each["instrument"],
            each["side"],
            f"{each['qty']:,.8g}",
            f"{each['price']:,.8g}",
            "not known" if each["fee"] is None else f"{each['fee']:,.6g} {each['fee_asset']}",
        )
        for each in shown
    ]
    note = f"The last {len(shown)} of {report['fill_count']:,}."
    header = ("time", "strategy", "venue", "instrument", "side", "quantity", "price", "fee")
    return card("Fills", table(header, rows), note)


def _venue_events(report: Report) -> str:
    rows = [
        (
            moment(each["ts_ns"]),
            each["venue"],
            each["instrument"],
            "funding, " + ("settled" if each["is_settled"] else "last predicted rate"),
            f"{each['qty']:,.8g}",
            money(each["amount"]),
        )
        for each in report["payments"]
    ] + [
        (
            moment(each["ts_ns"]),
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
    lists = {"assumed": "What was assumed", "not_modelled": "What was not modelled"}
    parts = []
    for name, title in lists.items():
        items = "".join(f"<li>{escape(text)}</li>" for text in report[name])
        parts.append(f"<h2>{title}</h2><ul>{items}</ul>")
    return f'<section class="warning">{"".join(parts)}</section>'


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
