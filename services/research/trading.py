"""The report of a backtest of the whole chain: from the facts that the lab wrote. Pure.

Money is in quote units and nothing is added over quote assets: the headline is the one that traded
most, the others are in the table. A ratio per year of a run of minutes says nothing, so a Sharpe
ratio is given from ``SHARPE_DAYS_MIN`` days on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.research.identity import code_hash, identify
from services.research.metrics import DAY_S, drawdown, returns_of
from services.research.sharpe import annualised, sharpe

SHARPE_DAYS_MIN = 30
SOURCES = {
    "recording": "raw recordings: order books as they were received",
    "depth": "depth alone: less exact than raw recordings",
    "bars": "bars alone: much less exact than order books",
}
"""What a run was made from -> how the report names it."""
Facts = Mapping[str, Any]


def report_of(facts: Facts) -> dict[str, Any]:
    """Return the report of a run's facts, with its id."""
    parts = {**facts["identity"], "kind": facts["kind"], "source": facts["source"]}
    parts["report_code"] = code_hash()
    return {
        "run_id": identify(parts),
        **{name: each for name, each in facts.items() if name not in {"identity", "curve"}},
        **parts,
        "from": SOURCES[facts["source"]],
        "performance": {
            quote: performance(facts, quote) for quote in sorted(_quotes(facts), key=str)
        },
        "headline": headline(facts),
        "curves": _curves(facts),
    }


def _quotes(facts: Facts) -> set[str]:
    return {*facts["capital"], *facts["curve"]["profits"]}


def headline(facts: Facts) -> str:
    """Return the quote asset that was traded most, else the one with the most capital."""
    paid, capital = facts["accounts"], facts["capital"]

    def weight(quote: str) -> tuple[float, float, str]:
        return paid.get(quote, {}).get("fees", 0.0), capital.get(quote, 0.0), quote

    return max(_quotes(facts), key=weight, default="")


def _profits(facts: Facts, quote: str) -> list[float | None]:
    curve = facts["curve"]
    missing = [0.0] * len(curve["times_ns"])
    values: list[float | None] = curve["profits"].get(quote, missing)
    return values


def _curves(facts: Facts) -> dict[str, Any]:
    quote = headline(facts)
    return {
        "times_s": [at / 1e9 for at in facts["curve"]["times_ns"]],
        "profit": _profits(facts, quote),
        "drawdown": _falls(_profits(facts, quote), facts["capital"].get(quote, 0.0)),
    }


def _falls(profits: Sequence[float | None], capital: float) -> list[float | None]:
    peak = capital
    found: list[float | None] = []
    for each in profits:
        if each is None or capital <= 0:
            found.append(None)
        else:
            peak = max(peak, capital + each)
            found.append((capital + each) / peak - 1)
    return found


def performance(facts: Facts, quote: str) -> dict[str, Any]:
    """Return what was earned in one quote asset, and how."""
    profits = _profits(facts, quote)
    known = [each for each in profits if each is not None]
    capital = facts["capital"].get(quote, 0.0)
    paid = facts["accounts"].get(quote, {})
    ours = facts["result"]["pnl"].get(quote, {})
    net = profits[-1] if profits else 0.0
    fees, funding = paid.get("fees", 0.0), paid.get("funding", 0.0)
    equity = np.array([capital, *(capital + each for each in known)])
    return {
        "capital": capital,
        "net": net,
        "return": net / capital if capital and net is not None else None,
        "fees": fees,
        "funding": funding,
        "gross": None if net is None else net + fees - funding,
        "realized": ours.get("realized"),
        "unrealized": ours.get("unrealized"),
        "closing_cost": (facts["result"]["closing_cost"] or {}).get(quote),
        "drawdown": drawdown(equity).share if capital > 0 else None,
        "sharpe": _sharpe(facts, profits, capital),
    }


def _sharpe(facts: Facts, profits: Sequence[float | None], capital: float) -> float | None:
    """Return the ratio a year from days of UTC; ``None`` where there are too few."""
    days: dict[int, float] = {}
    for at_ns, each in zip(facts["curve"]["times_ns"], profits, strict=True):
        if each is None:
            return None
        days[at_ns // 1_000_000_000 // DAY_S] = capital + each
    if len(days) <= SHARPE_DAYS_MIN or capital <= 0:
        return None
    first, last = min(days), max(days)
    equity, before = [], capital
    for day in range(first, last + 1):
        before = days.get(day, before)
        equity.append(before)
    ratio = annualised(sharpe(returns_of(np.array(equity))), DAY_S)
    return ratio if math.isfinite(ratio) else None
