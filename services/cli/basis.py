"""Open and close basis of spot against perpetuals at executable prices, yearly rate, age.

Both bases are for a quantity walked through both books, never from the middle or last price.
Without enough depth, or a LIVE book, a basis is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.cli.funding import Seen
from shared.clock import SystemClock
from shared.domain.basis import Sides, executable_bases
from shared.domain.contracts import Contract
from shared.domain.depth import are_levels, exact_levels
from shared.domain.fees import BPS
from shared.domain.funding import YEAR_HOURS
from shared.domain.instrument import MarketKey, is_spot, split_instrument
from shared.messages.base import BookState
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.streams import MD_DEPTH, MD_INSTRUMENT
from shared.watch.link import Link

RULES_WINDOW_MS = 10_000


async def basis(link: Link, notional: Decimal, hold_hours: Decimal) -> list[dict[str, Any]]:
    """Return a record of every spot market with every perpetual of its base and quote asset."""
    seen = Seen()
    seen.take(item.message for item in await link.recent(MD_INSTRUMENT, RULES_WINDOW_MS))
    seen.take(item.message for item in await link.recent(MD_DEPTH))
    return records(seen.views, seen.rules, notional, hold_hours, SystemClock.now_ns())


def records(
    views: Mapping[MarketKey, DepthView],
    rules: Mapping[MarketKey, InstrumentRules],
    notional: Decimal,
    hold_hours: Decimal,
    now_ns: int,
) -> list[dict[str, Any]]:
    """Return the records, those that pay the most after costs first, unknown ones last."""
    found = []
    terms = notional, hold_hours, now_ns
    for spot in (place for place in sorted(views) if is_spot(place[1])):
        own = split_instrument(spot[1])
        for perp in sorted(views):
            name = split_instrument(perp[1])
            if name.settle is not None and (name.base, name.quote) == (own.base, own.quote):
                found.append(_record(views, rules, (spot, perp), terms))
    return sorted(found, key=lambda r: (r["net_bps"] is None, -(r["net_bps"] or 0)))


def _record(
    views: Mapping[MarketKey, DepthView],
    rules: Mapping[MarketKey, InstrumentRules],
    pair: tuple[MarketKey, MarketKey],
    terms: tuple[Decimal, Decimal, int],
) -> dict[str, Any]:
    """Return both bases of a pair in basis points of the spot price, and what is left of them.

    ``net_bps`` is the open basis less two taker fees of each market, ``apr_net`` that a year if it
    is earned within ``hold_hours``: if the basis has closed by then, which nothing owes.
    """
    (spot, perp), (notional, hold_hours, now_ns) = pair, terms
    sides = [_sides(views[place]) for place in pair]
    kind = split_instrument(perp[1]).kind
    opening = closing = net = None
    if sides[0] is not None and sides[1] is not None:
        qty = notional / sides[0].asks[0][0]
        found = executable_bases(sides[0], sides[1], qty, Contract(kind))
        if found is not None:
            opening, closing = found.opening * BPS, found.closing * BPS
    fees = [rules[place].taker_fee_bps for place in pair if place in rules]
    if opening is not None and len(fees) == 2:
        net = opening - 2 * sum(fees, Decimal(0))
    age_ns = max(now_ns - views[place].ts_ns for place in pair)
    return {
        "spot_venue": spot[0],
        "spot": spot[1],
        "perp_venue": perp[0],
        "perp": perp[1],
        "kind": kind.value,
        "open_bps": opening,
        "close_bps": closing,
        "net_bps": net,
        "apr_net": None if net is None else net / BPS * YEAR_HOURS / hold_hours,
        "age_ms": age_ns / 1e6,
    }


def _sides(view: DepthView) -> Sides | None:
    """Return a LIVE book as it is traded; ``None`` where a side is empty or no level."""
    if view.state is not BookState.LIVE or not (view.bids and view.asks):
        return None
    if not (are_levels(view.bids) and are_levels(view.asks)):
        return None
    return Sides(exact_levels(view.bids, len(view.bids)), exact_levels(view.asks, len(view.asks)))
