"""The parts of a page that every search over parameter sets has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

from services.research import svg
from services.research.candles import DAY_S, length_text
from services.research.html_parts import card, table
from services.research.svg import Line
from shared.wording import counted

Facts = Mapping[str, Any]


def day_text(time_s: float) -> str:
    """Return a time as its day of UTC."""
    return f"{_moment(time_s):%Y-%m-%d}"


def time_text(time_s: float) -> str:
    """Return a time of UTC: its day alone at midnight, else with the minute."""
    return day_text(time_s) if time_s % DAY_S == 0 else f"{_moment(time_s):%Y-%m-%d %H:%M}"


def _moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


def signed_share(share: float) -> str:
    """Return a share as percent with its sign."""
    return f"{share * 100:+,.2f}%"


def basis_points(share: float) -> str:
    """Return a share in bps with its sign: returns on a capital that is mostly idle are small."""
    return f"{share * 1e4:+,.2f} bps"


def number_text(value: float | None, digits: int = 3) -> str:
    """Return a number, or that it is unknown."""
    return "unknown" if value is None else f"{value:,.{digits}f}"


def params_text(values: Mapping[str, float] | None) -> str:
    """Return a parameter set in words."""
    if values is None:
        return "none: stay out"
    return ", ".join(f"{name.removesuffix('_bars')} {value:g}" for name, value in values.items())


def verdict_card(facts: Facts) -> str:
    """Return every statistic against its threshold."""
    failed = [check for check in facts["gate"] if not check["passed"]]
    style = "bad" if failed else "good"
    verdict = (
        f"May well be luck: {len(failed)} of {counted(len(facts['gate']), 'check')} not passed"
        if failed
        else "Passes every check"
    )
    rows = [
        (
            check["label"],
            number_text(check["value"]),
            f"{'at least' if check['at_least'] else 'at most'} {check['bar']:g}",
            "passes" if check["passed"] else "fails",
            check["what"],
        )
        for check in facts["gate"]
    ]
    marks = ["pass" if check["passed"] else "fail" for check in facts["gate"]]
    checks = table(("check", "value", "bar", "", "what it is"), rows, marks)
    return f'<section class="verdict {style}"><h2>{verdict}</h2>{checks}</section>'


def heat_card(facts: Facts) -> str:
    """Return the Sharpe ratio of every set over the first two parameters that vary.

    Ratios are annual unless ``sharpe_of`` of the facts names another unit.
    """
    unit = facts.get("sharpe_of", "a year")
    axes = list(facts["axes"].items())
    if len(axes) < 2:
        name, values = axes[0]
        at = {each["params"][name]: each["sharpe"] for each in facts["sets"]}
        bars = [Line("Sharpe", "", [at.get(value) for value in values])]
        names = [f"{value:g}" for value in values]
        chart = svg.bar_chart(names, bars, svg.axis_for([*bars, Line("", "", [0])], svg.plain))
        return card(f"Sharpe by {name}", chart, f"In sample, {unit}.")
    (across, xs), (down, ys) = axes[1], axes[0]
    others = {name: facts["best"][name] for name, _ in axes[2:]}
    cells = {
        (each["params"][down], each["params"][across]): each["sharpe"]
        for each in facts["sets"]
        if all(each["params"][name] == value for name, value in others.items())
    }
    rows = [[cells.get((y, x)) for x in xs] for y in ys]
    where = f" at {params_text(others)}" if others else ""
    note = f"In sample, {unit}{where}. A single good set among bad ones is likely luck."
    return card("Sharpe by parameters", svg.heat_map((across, xs), (down, ys), rows), note)


def folds_card(facts: Facts) -> str:
    """Return what each fold picked, and how the pick did in the test that followed."""
    share = basis_points if facts["kind"] == "study" else signed_share
    walk = facts["walk_forward"]
    folds = walk["folds"]
    bars = [
        Line("in sample", "two", [fold["is_sharpe"] for fold in folds]),
        Line("out of sample", "one", [fold["oos_sharpe"] for fold in folds]),
    ]
    axis = svg.axis_for([*bars, Line("", "", [0.0])], svg.plain)
    chart = svg.bar_chart([time_text(fold["begin_s"])[2:] for fold in folds], bars, axis)
    rows = [
        (
            f"{time_text(fold['begin_s'])} to {time_text(fold['end_s'])}",
            params_text(fold["pick"]),
            number_text(fold["is_sharpe"], 2),
            number_text(fold["oos_sharpe"], 2),
            share(fold["oos_return"]),
            number_text(fold["spread"], 2),
            f"{fold['rank'] * 100:.0f}%",
        )
        for fold in folds
    ]
    header = ("test", "pick", "Sharpe in", "Sharpe out", "return out", "spread in", "rank out")
    note = (
        f"{counted(len(folds), 'fold')}, {counted(walk['picks'], 'different pick')}, "
        f"{counted(walk['switches'], 'switch', 'switches')}; entry "
        f"and switches cost {share(walk['switch_cost']).lstrip('+')}. Spread: the pick's Sharpe "
        "less the median. Rank: 100% is the best of all sets in its test. Training ends "
        f"{length_text(walk['purge_s'])} before its test: {walk['purge_why']}. For "
        f"{length_text(walk['embargo_s'])} after a test nothing is trained on."
    )
    return card("Walk-forward", chart + table(header, rows), note)


_NAMES = {
    "trials": "trials on the ledger",
    "trials_variance": "variance of their Sharpe ratios, per period",
    "probabilistic_sharpe": "probability that the Sharpe ratio is above 0, one trial",
    "expected_best_of_trials": "Sharpe expected of the best of as many trials without skill",
    "deflated_sharpe": "the same probability, all trials counted",
    "best_sharpe_per_period": "Sharpe of the best, per period",
}


def statistics_card(facts: Facts) -> str:
    """Return the statistics that the gate has no threshold for."""
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


def not_modelled_card(facts: Facts) -> str:
    """Return what a reader must know that the figures leave out."""
    items = "".join(f"<li>{escape(text)}</li>" for text in facts["not_modelled"])
    return f'<section class="warning"><h2>What was not modelled</h2><ul>{items}</ul></section>'
