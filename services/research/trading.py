"""The report of a backtest of the whole chain: from the facts that the lab wrote. Pure.

Money is in quote units and nothing is added over quote assets: the headline is the one that traded
most, the others are in the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.research.identity import code_hash, identify, versions_of
from services.research.metrics import drawdown
from services.research.trading_days import months, rolling, sharpe_of

LIBRARIES = ("numpy", "pyarrow")
"""Libraries whose versions may change a report, beside those that the lab names."""
SOURCES = {
    "recording": "raw recordings: order books as they were received",
    "depth": "depth alone: less exact than raw recordings",
    "bars": "bars alone: much less exact than order books",
}
"""What a run was made from -> how the report names it."""
LEFT_OUT = frozenset({"identity", "curve", "days"})
"""Facts that a report has in another form."""
Facts = Mapping[str, Any]


def report_of(facts: Facts, libraries: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the report of a run's facts, with its id.

    Args:
        facts: Of the lab.
        libraries: Versions of what computes here; those that are installed unless others are given.
    """
    parts = {**facts["identity"], "kind": facts["kind"], "source": facts["source"]}
    parts["report_code"] = code_hash()
    parts["versions"] = {**parts["versions"], **(libraries or versions_of(LIBRARIES))}
    quote = headline(facts)
    return {
        "run_id": identify(parts),
        **{name: each for name, each in facts.items() if name not in LEFT_OUT},
        **parts,
        "from": SOURCES[facts["source"]],
        "performance": {each: performance(facts, each) for each in sorted(_quotes(facts), key=str)},
        "headline": quote,
        "curves": {**_curves(facts, quote), **rolling(facts, quote)},
        "months": months(facts, quote),
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


def _curves(facts: Facts, quote: str) -> dict[str, Any]:
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
    fees, funding = paid.get("fees", 0.0), funding_of(facts, quote)
    equity = np.array([capital, *(capital + each for each in known)])
    gross = None if net is None or funding is None else net + fees - funding
    traded = facts["traded"].get(quote, 0.0)
    return {
        "capital": capital,
        "net": net,
        "return": net / capital if capital and net is not None else None,
        "fees": fees,
        "funding": funding,
        "gross": gross,
        "fee_share_of_gross": fees / gross if gross is not None and gross > 0 else None,
        "traded": traded,
        "turnover": traded / capital if capital > 0 else None,
        "realized": ours.get("realized"),
        "unrealized": ours.get("unrealized"),
        "closing_cost": (facts["result"]["closing_cost"] or {}).get(quote),
        "drawdown": drawdown(equity).share if capital > 0 else None,
        **sharpe_of(facts, quote),
    }


def funding_of(facts: Facts, quote: str) -> float | None:
    """Return what funding paid; ``None`` where our own ledger says that some may be missing."""
    split = facts["split"].get(quote)
    if split is not None and split["funding"] is None:
        return None
    paid: float = facts["accounts"].get(quote, {}).get("funding", 0.0)
    return paid
