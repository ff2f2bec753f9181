"""The page of a search over the parameters of a strategy that trades: one HTML file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from services.research import svg
from services.research.html_parts import amount, basis_points, card, moment, money, page, table
from services.research.search_html import (
    folds_card,
    heat_card,
    not_modelled_card,
    params_text,
    statistics_card,
    verdict_card,
)
from services.research.svg import Line
from shared.wording import counted

SETS_SHOWN = 100
Report = Mapping[str, Any]


def render(report: Report) -> str:
    """Return the page of a study's facts."""
    return page(
        f"Parameter search {report['run_id'][:8]}",
        [
            _head(report),
            _problems(report),
            verdict_card(report),
            _tiles(report),
            _profit(report),
            _drawdown(report),
            _waterfall(report),
            heat_card(report),
            folds_card(report),
            _sets(report),
            statistics_card(report),
            not_modelled_card(report),
            _identity(report),
        ],
    )


def _head(report: Report) -> str:
    span, names = report["span"], [each["file"] for each in report["data"]]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    left, why = report["left_out"]["sets"], report["left_out"]["why"]
    out = f" {counted(left, 'set')} of the grid left out, for example: {why}." if left else ""
    return (
        f"<header><h1>Parameter search: {escape(report['strategy'])}</h1>"
        f"<p>{escape(report['detector'])} on {escape(', '.join(names[:4]) + more)}: "
        f"{moment(span['first_ns'])} to {moment(span['last_ns'])} UTC, "
        f"{len(report['sets'])} sets.{escape(out)}</p>"
        f'<p class="note">From {escape(report["from"])}. Every set was run by the engines that '
        "trade live.</p></header>"
    )


def _problems(report: Report) -> str:
    items = "".join(f"<li>{escape(each)}</li>" for each in report["problems"])
    if not items:
        return ""
    return f'<section class="verdict bad"><h2>Problems</h2><ul>{items}</ul></section>'


def _tiles(report: Report) -> str:
    found, walk, quote = report["performance"], report["walk_forward"], report["quote"]
    unit = report["sharpe_of"]
    tiles = [
        (
            f"out of sample, {quote}",
            money(walk["total_return"] * report["capital"]),
            f"{walk['total_return'] * 1e4:+,.2f} bps, Sharpe {walk['sharpe']:.3f} {unit}",
        ),
        (f"best in sample, {quote}", money(found["net"]), params_text(report["best"])),
        ("Sharpe of the best", f"{found['sharpe']:.3f}", unit),
        ("maximum drawdown", f"{found['drawdown'] * 1e4:,.2f} bps", "of the best"),
        ("round trips", f"{found['round_trips']:,}", f"{found['fills']:,} fills, of the best"),
        ("fees", money(-found["fees"]), "of the best"),
        ("funding", money(found["funding"]), "of the best"),
        ("trials", f"{report['statistics']['trials']:,}", f"{len(report['sets']):,} of them here"),
    ]
    cells = "".join(
        f"<div><small>{escape(name)}</small><b>{escape(value)}</b><small>{escape(more)}</small></div>"
        for name, value, more in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _profit(report: Report) -> str:
    lines = report["curves"]
    drawn = [
        Line("walk-forward, out of sample", "one", lines["walk_forward"]),
        Line("best in sample", "two", lines["profit"]),
    ]
    chart = svg.line_chart(lines["times_s"], drawn, svg.axis_for(drawn, amount), height=300)
    note = (
        f"In {report['quote']}, of all accounts together; open positions at mid prices. "
        "Only the out-of-sample line was picked before it happened."
    )
    return card("Profit", chart, note)


def _drawdown(report: Report) -> str:
    lines = report["curves"]
    if not any(lines["drawdown"]):
        return card("Drawdown of the best in sample", "<p>None: equity never fell.</p>")
    drawn = [Line("drawdown", "down", lines["drawdown"])]
    axis = svg.axis_for(drawn, basis_points)
    chart = svg.line_chart(lines["times_s"], drawn, axis, height=170, area="down-area")
    note = "Of equity, from its highest so far, the capital included."
    return card("Drawdown of the best in sample", chart, note)


def _waterfall(report: Report) -> str:
    found = report["performance"]
    steps = [
        ("gross", found["gross"]),
        ("fees", -found["fees"]),
        ("funding", found["funding"]),
        ("net", found["net"]),
    ]
    drawn = svg.waterfall(steps, (amount, money))
    return card("Gross, fees, funding, net", drawn, f"Of the best in sample, {report['quote']}.")


def _sets(report: Report) -> str:
    names = list(report["axes"])
    shown = report["sets"][:SETS_SHOWN]
    rows = [
        (
            *(f"{each['params'][name]:g}" for name in names),
            f"{each['sharpe']:.3f}",
            money(each["net"]),
            f"{each['drawdown'] * 1e4:,.2f}",
            f"{each['round_trips']:,}",
            f"{each['fills']:,}",
        )
        for each in shown
    ]
    header = (*names, "Sharpe", f"net, {report['quote']}", "drawdown, bps", "round trips", "fills")
    note = f"In sample, Sharpe {report['sharpe_of']}."
    if len(report["sets"]) > len(shown):
        note += f" The first {len(shown)} of {len(report['sets'])}; all are in report.json."
    return card("Sets, the best first", table(header, rows), note)


def _identity(report: Report) -> str:
    rows = [("run", report["run_id"])]
    rows += [("data", f"{each['file']}, sha256 {each['sha256']}") for each in report["data"]]
    rows += [
        ("decisions of the best", f"sha256 {report['performance']['decisions_hash']}"),
        ("code", f"{report['code']}, report {report['research_code']}"),
        ("seed", f"{report['seed']}, bootstrap {report['judged_by']['statistics']['seed']}"),
        ("versions", ", ".join(f"{n} {v}" for n, v in report["versions"].items())),
    ]
    note = "The same data, configuration, code, seed, versions and trials give the same bytes."
    return card("Identity", table(("", ""), rows), note)
