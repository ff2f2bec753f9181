"""What a calibration found, added up by venue and kind of order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from services.lab.calibrate import DEFAULT, VIEW_NS, Compared, Filled, configured_name
from services.lab.calibrate_orders import OrderKind
from shared.config_sections import Config

ALL = "all"
"""Stands for the venue in rows that are of every venue."""
PERCENTILES = (50, 90, 99)
_BPS, _MS = 10_000, 1_000_000


def facts_of(seeds: range, found: Sequence[Compared], config: Config = DEFAULT) -> dict[str, Any]:
    """Return the one JSON object of a calibration under a configuration.

    Ratios are 0 to 1, means over orders; prices are in bps of the simulated one. What no order
    tells is ``None``, never 0.
    """
    venues = sorted({one.venue for one in found})
    return {
        "seeds": [seeds[0], seeds[-1]],
        "view_age_ms": VIEW_NS / _MS,
        "latency_ms": {
            venue: {
                "configured": _configured(venue, config),
                **_latency([one for one in found if one.venue == venue]),
            }
            for venue in venues
        },
        "rows": [
            _row(venue, kind, [x for x in found if x.kind is kind and venue in {ALL, x.venue}])
            for venue in (*venues, ALL)
            for kind in OrderKind
        ],
    }


def _configured(venue: str, config: Config) -> list[tuple[float, float]]:
    """Return the distribution that latencies are drawn from: percentiles, milliseconds."""
    points = config.paper.at(configured_name(venue, config)).latency_ms
    return list(points or [(50.0, float(config.executor.paper_latency_ms))])


def _latency(found: Sequence[Compared]) -> dict[str, Any]:
    """Return the latencies that orders of a venue had, on both sides."""
    drawn = sorted(one.latency_ns / _MS for one in found)
    ranks = {
        f"p{p}": round(drawn[min(len(drawn) - 1, len(drawn) * p // 100)], 3) for p in PERCENTILES
    }
    return {"orders": len(drawn), **ranks}


def _row(venue: str, kind: OrderKind, found: Sequence[Compared]) -> dict[str, Any]:
    compared = [one for one in found if not one.left_out]
    paper = [_ratio(one, one.paper) for one in compared]
    simulated = [_ratio(one, one.simulated) for one in compared]
    differences = [p - s for p, s in zip(paper, simulated, strict=True)]
    errors = [error for one in compared if (error := price_error_bps(one)) is not None]
    return {
        "venue": venue,
        "kind": str(kind),
        "orders": len(found),
        "compared": len(compared),
        "left_out": dict(Counter(one.left_out for one in found if one.left_out)),
        "refused_paper": sum(bool(one.paper.refusal) for one in compared),
        "refused_simulated": sum(bool(one.simulated.refusal) for one in compared),
        "fill_ratio_paper": _mean(paper),
        "fill_ratio_simulated": _mean(simulated),
        "fill_ratio_error": _mean(differences),
        "fill_ratio_error_abs": _mean([abs(x) for x in differences]),
        "fill_ratio_error_se": _standard_error(differences),
        "priced": len(errors),
        "price_error_bps": _mean(errors),
        "price_error_abs_bps": _mean([abs(x) for x in errors]),
        "price_error_se_bps": _standard_error(errors),
    }


def price_error_bps(one: Compared) -> float | None:
    """Return how much better the price is on paper, in bps; ``None`` unless both sides filled."""
    paper, simulated = one.paper.price, one.simulated.price
    if one.terms is None or paper is None or simulated is None:
        return None
    return float(one.terms.side.signed(simulated - paper) / simulated * _BPS)


def _ratio(one: Compared, side: Filled) -> float:
    assert one.terms is not None, "an order without a price is left out"
    return float(side.qty / one.terms.qty)


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 4) if values else None


def _standard_error(values: Sequence[float]) -> float | None:
    """Return that of the mean; one order tells nothing of it."""
    return round(stdev(values) / sqrt(len(values)), 4) if len(values) > 1 else None
