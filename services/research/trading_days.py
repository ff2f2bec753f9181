"""Sharpe ratios of a backtest of the whole chain, from its equity at midnights of UTC. Pure.

Days are of UTC; the first and the last one may be partial. An annual ratio of a short run says
nothing, so there is none below ``SHARPE_DAYS_MIN`` days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from services.research.arrays import Floats, Ints
from services.research.metrics import DAY_S, headline_sharpe, returns_of, rolling_sharpe
from services.research.sharpe import annualised, sharpe

SHARPE_DAYS_MIN = 30
ROLLING_DAYS = 30
LATE_S_MAX = 3_600
"""A month is complete if the run lacks at most this much at its begin and at its end."""
NS = 1_000_000_000
Facts = Mapping[str, Any]


def equity_of_days(facts: Facts, quote: str) -> tuple[Ints, Floats] | None:
    """Return midnights (UNIX seconds) and equity at each; ``None`` where it is not known.

    Equity begins with the capital, at the midnight before the run or at its begin, and ends with
    the last one known, at the midnight after the run or at its end.
    """
    capital = facts["capital"].get(quote, 0.0)
    days, curve = facts["days"], facts["curve"]
    missing = [0.0] * len(days["times_ns"])
    end = (curve["profits"].get(quote) or [0.0])[-1]
    profits: Sequence[float | None] = [0.0, *days["profits"].get(quote, missing), end]
    if capital <= 0 or any(each is None for each in profits):
        return None
    first_s = facts["span"]["first_ns"] // NS // DAY_S * DAY_S
    last_s = -(-facts["span"]["last_ns"] // NS // DAY_S) * DAY_S
    times = [first_s, *(each // NS for each in days["times_ns"]), last_s]
    equity = [capital + (each or 0.0) for each in profits]
    if len(times) > 2 and times[-1] == times[-2]:  # it ended at midnight
        del times[-2], equity[-2]
    return np.array(times, dtype=np.int64), np.array(equity)


def sharpe_of(facts: Facts, quote: str) -> dict[str, Any]:
    """Return the annual ratios from days and from months, and the headline ratio of both."""
    found = equity_of_days(facts, quote)
    if found is None:
        return _none("equity is not known, or there is no capital")
    if len(found[0]) - 1 < SHARPE_DAYS_MIN:
        return _none(f"given from {SHARPE_DAYS_MIN} days on")
    ratio = headline_sharpe(*found, DAY_S)
    return {
        "sharpe": _finite(ratio.headline),
        "sharpe_daily": _finite(ratio.daily),
        "sharpe_monthly": _finite(ratio.monthly),
        "sharpe_why": ratio.why,
    }


def _none(why: str) -> dict[str, Any]:
    return {"sharpe": None, "sharpe_daily": None, "sharpe_monthly": None, "sharpe_why": why}


def _finite(ratio: float | None) -> float | None:
    return ratio if ratio is not None and math.isfinite(ratio) else None


def rolling(facts: Facts, quote: str) -> dict[str, Any]:
    """Return the ratio a year of each ``ROLLING_DAYS`` days, and the midnight at their end."""
    found = equity_of_days(facts, quote)
    times: list[int] = []
    values: list[float] = []
    if found is not None:
        values = rolling_sharpe(returns_of(found[1]), ROLLING_DAYS, DAY_S).tolist()
        times = found[0][len(found[0]) - len(values) :].tolist()
    return {"rolling_days": ROLLING_DAYS, "rolling_times_s": times, "rolling_sharpe": values}


def months(facts: Facts, quote: str) -> list[dict[str, Any]]:
    """Return every complete month of UTC: what it earned, and the ratio a year from its days."""
    found = equity_of_days(facts, quote)
    if found is None:
        return []
    times, equity = found
    first_s = facts["span"]["first_ns"] / NS
    last_s = facts["span"]["last_ns"] / NS
    whens = [datetime.fromtimestamp(each, UTC) for each in times.tolist()]
    begins = [
        n
        for n, when in enumerate(whens)
        if when.day == 1 and first_s - LATE_S_MAX <= times[n] <= last_s + LATE_S_MAX
    ]
    rows = []
    for begin, end in pairwise(begins):
        of_days = returns_of(equity[begin : end + 1])
        rows.append(
            {
                "month": f"{whens[begin]:%Y-%m}",
                "net": float(equity[end] - equity[begin]),
                "return": float(equity[end] / equity[begin] - 1) if equity[begin] > 0 else None,
                "sharpe": annualised(sharpe(of_days), DAY_S),
            }
        )
    return rows
