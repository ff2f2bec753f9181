"""The rules on prices that other books tell, one function each, as in ``limits.py``. Pure.

A reference is the median of the middles of books that are LIVE and fresh. Where such books are
followed and none can be trusted now, the reference is unknown and the plan is denied; where none is
followed there is no reference to keep to. With ``price_band_books_min`` a price is known only by so
many books, whether more are followed or not: with fewer the plan is denied. What closes a round is
never asked for these.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial, DenyReason, deny
from shared.config_limits import DOLLARS
from shared.domain.depth import is_size
from shared.domain.fees import BPS
from shared.domain.instrument import split_instrument
from shared.domain.rounding import exact
from shared.messages.base import BookState
from shared.messages.market import DepthView

_LIVE: Final = BookState.LIVE
MS: Final = 1_000_000
_SHOWN: Final = Decimal("0.01")
"""Basis points are shown to a hundredth."""


def price_band(context: DecisionContext) -> Denial | None:
    """No leg is priced far from the other books of its base and quote asset."""
    limit_bps, books_min = context.config.price_band_bps_max, context.config.price_band_books_min
    if not limit_bps:
        return None
    for leg in context.legs:
        market, offered = leg.market, leg.offered
        others = [
            view
            for view in context.views.values()
            if split_instrument(view.instrument)[:2] == (market.base, market.quote)
            and (view.venue, view.instrument) != market.book
        ]
        if not (others or books_min):
            continue
        middles = [middle for view in others if (middle := middle_of(context, view))]
        if len(middles) < books_min:
            return deny(
                DenyReason.PRICE_BAND,
                book=market.text,
                reference="unknown",
                books=len(middles),
                books_min=books_min,
            )
        reference = median(middles)
        if reference is None:
            return deny(DenyReason.PRICE_BAND, book=market.text, reference="unknown")
        for price in (offered.price_limit, offered.price_avg):
            off_bps = (price - reference) * BPS / reference
            if abs(off_bps) > exact(limit_bps):
                return deny(
                    DenyReason.PRICE_BAND,
                    book=market.text,
                    price=price,
                    reference=reference,
                    off_bps=off_bps.quantize(_SHOWN),
                    max_bps=limit_bps,
                )
    return None


def depeg(context: DecisionContext) -> Denial | None:
    """No dollar that is traded or paid with is worth much more or less than another."""
    limit_bps = context.config.depeg_bps_max
    if not limit_bps:
        return None
    touched = {asset for leg in context.legs for asset in split_instrument(leg.offered.instrument)}
    for (base, quote), views in _books_of_dollars(context, touched).items():
        rate = median([middle for view in views if (middle := middle_of(context, view))])
        if rate is None:
            return deny(DenyReason.DEPEG, pair=f"{base}/{quote}", rate="unknown")
        off_bps = (rate - 1) * BPS
        if abs(off_bps) > exact(limit_bps):
            return deny(
                DenyReason.DEPEG,
                pair=f"{base}/{quote}",
                rate=rate,
                off_bps=off_bps.quantize(_SHOWN),
                max_bps=limit_bps,
            )
    return None


def _books_of_dollars(
    context: DecisionContext, touched: set[str | None]
) -> dict[tuple[str, str], list[DepthView]]:
    """Return the spot books in which dollars are traded for one another, by pair."""
    books: dict[tuple[str, str], list[DepthView]] = {}
    for view in context.views.values():
        base, quote, settle = split_instrument(view.instrument)
        if settle is None and base in DOLLARS and quote in DOLLARS and touched & {base, quote}:
            books.setdefault((base, quote), []).append(view)
    return books


def median(prices: Sequence[Decimal]) -> Decimal | None:
    """Return the middle one, or the mean of both in the middle; ``None`` of none."""
    ordered, half = sorted(prices), len(prices) // 2
    if not ordered:
        return None
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def middle_of(context: DecisionContext, view: DepthView) -> Decimal | None:
    """Return the price between a book's best ones; ``None`` where it cannot be trusted now."""
    age_ms = (context.now_ns - view.ts_ns) // MS
    if view.state is not _LIVE or age_ms > context.config.book_age_ms_max:
        return None
    if not (view.bids and view.asks):
        return None
    bid, ask = view.bids[0][0], view.asks[0][0]
    if not (is_size(bid) and is_size(ask)):
        return None
    return (exact(bid) + exact(ask)) / 2
