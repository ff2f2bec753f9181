"""From frames to outcomes: how many of each there were in the window, and what stopped the rest.

Every figure that cannot be known is ``None``, never zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from shared.domain.fees import fee_fraction, plus_known
from shared.messages.arb import NearMiss, Opportunity, Signal
from shared.messages.base import BookState, Certainty
from shared.messages.control import Heartbeat
from shared.messages.execution import ApprovedPlan, Denied, PlanDone
from shared.messages.market import DepthView
from shared.watch.why.facts import Facts
from shared.watch.why.remedies import DENIALS, GATES

TAKER_DETECTORS = frozenset({"cross_venue"})
"""Buy at the ask here and sell at the bid there, both taker: gross follows from net and fees."""
NET = "net"
EDGE_IS = {"spot_perp_basis": "basis, before costs", "funding_carry": "funding an hour"}
"""Detector -> what its near misses tell as their edge; of all others it is the net edge."""
PRICE_GATES = ("NOT_CROSSED", "FEES", "EDGE_MIN")
"""A comparison that ends here reached the prices, and they do not pay (enough)."""
NEEDS = {"BASIS": "needs_bps", "SETTLED": "needs_bps_per_hour"}
"""Gate -> the number of its context that is what the strategy is configured to ask for."""
OWN_PRICE_GATES = (
    "CONVERSION_LOSES",
    "CONVERSION_EDGE_MIN",
    "CYCLE_LOSES",
    "CYCLE_EDGE_MIN",
    "BASIS",
    "SETTLED",
)
"""The same, of single strategies."""
PAID_GATES = (
    "OPENS_POSITION",
    "COOLDOWN",
    "PRICES_TAKEN",
    "INVENTORY_EDGE",
    "INVENTORY_BAND",
    "LOT",
    "NOTIONAL_MIN",
)
"""A comparison that ends here has prices that pay."""
QUIET_GATES = ("QUOTE_MISMATCH", "INVERSE")
"""Nothing is wrong where these end some comparisons: such pairs never compare."""


def frames(beats: Iterable[Heartbeat]) -> dict[str, Any]:
    """Return how many frames the venues sent: all, and a second as far as heartbeats are kept."""
    first: dict[tuple[str, int], Heartbeat] = {}
    last: dict[tuple[str, int], Heartbeat] = {}
    for beat in beats:
        if beat.service == "ingestor" and "frames" in beat.counters:
            key = beat.instance, beat.ts_started_ns
            first.setdefault(key, beat)
            last[key] = beat
    if not last:
        return {"since_start": None, "per_s": None}
    rates = [
        (end.counters["frames"] - first[key].counters["frames"])
        / ((end.ts_ns - first[key].ts_ns) / 1e9)
        for key, end in last.items()
        if end.ts_ns > first[key].ts_ns
    ]
    return {
        "since_start": sum(beat.counters["frames"] for beat in last.values()),
        "per_s": round(sum(rates), 1) if rates else None,
    }


def books(facts: Facts) -> dict[str, Any]:
    """Return how many books are LIVE, and why the others are not."""
    seen = {(view.venue, view.instrument): view for view in facts.views}
    wanted = {
        key: status
        for key, status in facts.statuses.items()
        if status.instrument and not status.refused
    }
    rows = [_view_row(facts, view) for view in seen.values() if not facts.is_live(view)]
    for (venue, instrument), status in wanted.items():
        if (venue, instrument) in seen:
            continue
        rows.append(
            {
                "venue": venue,
                "instrument": instrument,
                "state": status.state,
                "reason": status.reason or "no view of it from the orderbook service",
                "age_ms": None,
            }
        )
    total = len(seen.keys() | wanted.keys())
    return {
        "total": total or None,
        "live": total - len(rows) if total else None,
        "not_live": sorted(rows, key=lambda row: (row["venue"], row["instrument"])),
    }


def _view_row(facts: Facts, view: DepthView) -> dict[str, Any]:
    age_ms = (facts.now_ns - view.ts_ns) // 1_000_000
    is_silent = view.state is BookState.LIVE
    status = facts.statuses.get((view.venue, view.instrument))
    told = view.reason or (status.reason if status is not None else "")
    return {
        "venue": view.venue,
        "instrument": view.instrument,
        "state": "SILENT" if is_silent else view.state,
        "reason": "the orderbook service sends no views of it" if is_silent else told,
        "age_ms": age_ms,
    }


def near_misses(facts: Facts) -> list[dict[str, Any]]:
    """Return what stopped comparisons, by strategy and gate; the best net edge first.

    ``edge_bps`` is the best edge, of the route that is named; ``edge_is`` says whether it is the
    net one. ``fees_bps`` and ``gross_bps`` are what it is made of, ``needs_bps`` what its strategy
    asks for, ``lacks_bps`` the difference.
    """
    groups: dict[tuple[str, str], list[NearMiss]] = {}
    for miss in facts.of(NearMiss):
        groups.setdefault((miss.strategy_id, miss.gate), []).append(miss)
    rows = [_gate_row(facts, misses) for misses in groups.values()]

    def order(row: dict[str, Any]) -> tuple[bool, bool, float]:
        return row["edge_bps"] is None, row["edge_is"] != NET, -(row["edge_bps"] or 0)

    return sorted(rows, key=order)


def _gate_row(facts: Facts, misses: Sequence[NearMiss]) -> dict[str, Any]:
    known = [miss for miss in misses if miss.edge_bps_best is not None]
    best = max(known, key=lambda miss: miss.edge_bps_best or 0.0) if known else misses[-1]
    edge = best.edge_bps_best
    gross = _gross_bps(facts, best)
    needs = best.needs_bps
    if needs is None:
        needs = facts.needs_bps.get(best.strategy_id)
    if needs is None:
        with suppress(ValueError):  # a user's own strategy may call a gate the same
            needs = float(best.context.get(NEEDS.get(best.gate, ""), "unknown"))
    return {
        "strategy": best.strategy_id or best.detector,
        "gate": best.gate,
        "comparisons": sum(miss.count for miss in misses),
        "edge_bps": None if edge is None else round(edge, 4),
        "edge_is": EDGE_IS.get(best.detector, NET),
        "gross_bps": None if gross is None else round(gross, 4),
        "fees_bps": None if gross is None or edge is None else round(gross - edge, 4),
        "needs_bps": needs,
        "lacks_bps": None if needs is None or edge is None else round(max(0.0, needs - edge), 4),
        "buy": {"venue": best.buy_venue, "instrument": best.buy_instrument},
        "sell": {"venue": best.sell_venue, "instrument": best.sell_instrument},
        "context": misses[-1].context,
        "ts_ns": best.ts_ns,
        "remedy": GATES.get(best.gate, ""),
    }


def _gross_bps(facts: Facts, miss: NearMiss) -> float | None:
    """Return the edge before fees, basis points; ``None`` where it is not said and does not follow.

    Where the strategy says the fees it is their sum with the net edge. Else, of the ask:
    ``net = (bid (1 - sell fee) - ask (1 + buy fee)) / ask``, solved for ``bid / ask - 1``.
    """
    if miss.edge_bps_best is not None and miss.fees_bps is not None:
        return miss.edge_bps_best + miss.fees_bps
    buy = facts.rules.get((miss.buy_venue, miss.buy_instrument))
    sell = facts.rules.get((miss.sell_venue, miss.sell_instrument))
    if miss.detector not in TAKER_DETECTORS or miss.gate not in PRICE_GATES:
        return None
    if miss.edge_bps_best is None or buy is None or sell is None:
        return None
    bought = 1.0 + fee_fraction(buy.taker_fee_bps)
    kept = 1.0 - fee_fraction(sell.taker_fee_bps)
    return ((miss.edge_bps_best / 1e4 + bought) / kept - 1.0) * 1e4


def found(facts: Facts) -> dict[str, Any]:
    """Return the opportunities and signals of the window, and the best edge."""
    offers = facts.of(Opportunity)
    best = max(offers, key=lambda each: each.edge_bps, default=None)
    return {
        "opportunities": len(offers),
        "signals": len(facts.of(Signal)),
        "by_strategy": dict(Counter(each.strategy_id or each.detector for each in offers)),
        "best": None
        if best is None
        else {"opportunity_id": best.opportunity_id, "edge_bps": best.edge_bps},
    }


def denied(facts: Facts) -> list[dict[str, Any]]:
    """Return denials by reason, the most frequent first, each with its newest one as example."""
    edges = {each.opportunity_id: each.edge_bps for each in facts.of(Opportunity)}
    newest: dict[str, Denied] = {}
    counts: Counter[str] = Counter()
    for each in facts.of(Denied):
        newest[each.reason] = each
        counts[each.reason] += 1
    return [
        {
            "reason": reason,
            "count": count,
            "example": {
                "opportunity_id": newest[reason].opportunity_id,
                "ts_ns": newest[reason].ts_ns,
                "edge_bps": edges.get(newest[reason].opportunity_id),
                "context": newest[reason].context,
            },
            "remedy": DENIALS.get(reason, ""),
        }
        for reason, count in counts.most_common()
    ]


def plans(facts: Facts) -> dict[str, Any]:
    """Return what became of the plans; money by quote asset, ``None`` where some is unknown."""
    approved = {plan.plan_id: plan for plan in facts.of(ApprovedPlan)}
    ends = {end.plan_id: end for end in facts.of(PlanDone)}
    realized: dict[str, Decimal | None] = {}
    for end in ends.values():
        known = None if end.certainty is Certainty.UNKNOWN else end.realized
        realized[end.quote] = plus_known(realized.get(end.quote, Decimal(0)), known)
    last = next(reversed(ends.values()), None)
    return {
        "approved": len(approved),
        "made_smaller": sum(plan.shrunk is not None for plan in approved.values()),
        "in_flight": len(approved.keys() - ends.keys()),
        "outcomes": {str(name): n for name, n in Counter(e.outcome for e in ends.values()).items()},
        "realized": realized,
        "last_reason": "" if last is None else last.reason,
    }


def funnel(facts: Facts, beats: Iterable[Heartbeat]) -> dict[str, Any] | None:
    """Return all steps; ``None`` where the streams could not be read."""
    if not facts.is_readable:
        return None
    return {
        "frames": frames(beats),
        "books": books(facts),
        "near_misses": near_misses(facts),
        "found": found(facts),
        "denied": denied(facts),
        "plans": plans(facts),
    }
