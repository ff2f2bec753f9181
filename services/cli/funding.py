"""Funding of perpetuals, as paid to a short position hedged on spot.

Predicted and settled rates are kept apart; what is not known is ``None`` and never 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.clock import SystemClock
from shared.domain import carry
from shared.domain.fees import BPS
from shared.domain.funding import HOUR_NS, Settled, per_hour, realised
from shared.domain.instrument import MarketKey, split_instrument
from shared.messages.base import BookState, Message
from shared.messages.market import DepthView, Funding, FundingSettled, InstrumentInfo
from shared.messages.rules import InstrumentRules
from shared.streams import MD_DEPTH, MD_FUNDING, MD_INSTRUMENT
from shared.watch.link import Link

FUNDING_WINDOW_MS = 45_000
"""Settlements are repeated within this time."""
RULES_WINDOW_MS = 10_000


@dataclass(slots=True)
class Seen:
    """What the streams say, newest of each."""

    fundings: dict[MarketKey, Funding] = field(default_factory=dict)
    settled: defaultdict[MarketKey, dict[int, FundingSettled]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    views: dict[MarketKey, DepthView] = field(default_factory=dict)
    rules: dict[MarketKey, InstrumentRules] = field(default_factory=dict)

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages in, in their order."""
        for message in messages:
            if isinstance(message, Funding):
                self.fundings[message.venue, message.instrument] = message
            elif isinstance(message, FundingSettled):
                place = message.venue, message.instrument
                self.settled[place][message.ts_funding_ns] = message
            elif isinstance(message, DepthView):
                self.views[message.venue, message.instrument] = message
            elif isinstance(message, InstrumentInfo):
                rules = message.rules
                self.rules[rules.venue, rules.instrument] = rules


async def funding(link: Link, hold_hours: Decimal) -> list[dict[str, Any]]:
    """Return a record of every perpetual whose funding is on the bus, the best first."""
    seen = Seen()
    for spec, window_ms in ((MD_FUNDING, FUNDING_WINDOW_MS), (MD_INSTRUMENT, RULES_WINDOW_MS)):
        seen.take(item.message for item in await link.recent(spec, window_ms))
    seen.take(item.message for item in await link.recent(MD_DEPTH))
    return records(seen, hold_hours, SystemClock.now_ns())


def records(seen: Seen, hold_hours: Decimal, now_ns: int) -> list[dict[str, Any]]:
    """Return the records, those with the best net rate of a year first, unknown ones last."""
    found = [record(seen, each, hold_hours, now_ns) for each in seen.fundings.values()]
    return sorted(found, key=lambda r: (r["apr_net"] is None, -(r["apr_net"] or 0), r["venue"]))


def record(seen: Seen, told: Funding, hold_hours: Decimal, now_ns: int) -> dict[str, Any]:
    """Return a record of one perpetual; rates are fractions, as the short side gets them."""
    place = told.venue, told.instrument
    rate = Decimal(repr(told.rate))
    hourly = None if told.interval_ns is None else per_hour(rate, told.interval_ns)
    spot, cost_bps = cheapest_spot(seen.rules, seen.views, place)
    year = None
    if hourly is not None and cost_bps is not None:
        year = carry.apr(hourly, cost_bps / BPS, hold_hours)
    age_ns = now_ns - told.ts_recv_ns
    next_ns = None if told.ts_venue_ns is None else told.ts_funding_ns - told.ts_venue_ns - age_ns
    return {
        "venue": told.venue,
        "instrument": told.instrument,
        "rate": rate,
        "interval_h": _hours(told.interval_ns),
        "rate_per_hour": hourly,
        "rate_cap": told.rate_cap,
        "rate_floor": told.rate_floor,
        "next_settlement_s": None if next_ns is None else next_ns / 1e9,
        "mark_price": told.mark_price,
        "index_price": told.index_price,
        **history(list(seen.settled[place].values())),
        "spot": spot,
        "cost_bps": cost_bps,
        "break_even": None if cost_bps is None else carry.settlements_to_earn(cost_bps, rate * BPS),
        "apr_gross": None if year is None else year.gross,
        "apr_net": None if year is None else year.net,
        "age_s": age_ns / 1e9,
    }


def history(settled: Sequence[FundingSettled]) -> dict[str, Any]:
    """Return how many settlements are known, the mean of their rates, and the rate per hour."""
    rows = sorted(settled, key=lambda each: each.ts_funding_ns)
    rates = [Decimal(repr(each.rate)) for each in rows]
    known = [
        Settled(each.ts_funding_ns, each.interval_ns, rate)
        for each, rate in zip(rows, rates, strict=True)
        if each.interval_ns is not None
    ]
    return {
        "settled": len(rows),
        "settled_mean": sum(rates, Decimal(0)) / len(rates) if rates else None,
        "settled_per_hour": realised(known).per_hour if known else None,
    }


def cheapest_spot(
    rules: Mapping[MarketKey, InstrumentRules],
    views: Mapping[MarketKey, DepthView],
    perpetual: MarketKey,
) -> tuple[str | None, Decimal | None]:
    """Return the cheapest venue to hold the asset on spot, and the cost of a round of both."""
    own_rules, own_spread = rules.get(perpetual), _spread_bps(views.get(perpetual))
    if own_rules is None or own_spread is None:
        return None, None
    name = split_instrument(perpetual[1])
    costs = []
    for (venue, instrument), spot in rules.items():
        other, spread = split_instrument(instrument), _spread_bps(views.get((venue, instrument)))
        is_pair = (other.base, other.quote, other.settle) == (name.base, name.quote, None)
        if is_pair and spread is not None:
            fees = carry.fees_bps(spot.taker_fee_bps, own_rules.taker_fee_bps)
            costs.append((carry.CarryCost(fees, own_spread + spread).total_bps, venue))
    return (min(costs)[1], min(costs)[0]) if costs else (None, None)


def _spread_bps(view: DepthView | None) -> Decimal | None:
    if view is None or view.state is not BookState.LIVE or not (view.bids and view.asks):
        return None
    bid, ask = Decimal(repr(view.bids[0][0])), Decimal(repr(view.asks[0][0]))
    return (ask - bid) / ((ask + bid) / 2) * BPS


def _hours(interval_ns: int | None) -> float | None:
    return None if interval_ns is None else interval_ns / HOUR_NS
