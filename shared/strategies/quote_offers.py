"""Quotes as opportunities: one leg rests on the maker venue, the other hedges its fills. Pure.

A quote is offered when it is placed or moved, and again every ``OFFER_EVERY_NS`` while it stands,
at the price where it would be placed now. Risk denies an offer while an order of the one before
still rests. The executor cancels the order by itself (``Resting``, docs/adr/0020): when its time is
over, when its hedge is so much worse that it earns ``worse_bps`` less than the edge, or so much
better that it stands ``better_bps`` further away than it should. Nothing is canceled here.

    bid: hedge_min = bid (1 + f_M) / ((1 - f_T) (1 - edge) (1 + worse))
    ask: hedge_max = ask (1 - f_M) / ((1 + f_T) (1 + edge) (1 - worse))
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Final, NamedTuple

from shared.domain.fees import ONE_BP, cash_flow, edge_bps, fee_amount
from shared.domain.instrument import split_instrument
from shared.domain.quotes import QuoteCosts
from shared.domain.rounding import is_enough, lot_common, price_to_tick, qty_to_lot
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.messages.terms import Resting, TimeInForce
from shared.strategies.quoting import Quote, QuoteLimits, Quoter

OFFER_EVERY_NS: Final = 500_000_000
"""From one offer of a quote that stands to the next."""
TTL_NS: Final = 500_000_000
"""From an offer to its expiry."""
_ZERO = Decimal(0)


class _Offered(NamedTuple):
    price: Decimal
    ts_ns: int


class QuoteOffers:
    """The offers of one quoter.

    Args:
        strategy_id: Who offers.
        limits: How the quoter quotes.
        rest_ms: How long an order may rest.
    """

    def __init__(self, strategy_id: str, limits: QuoteLimits, rest_ms: int) -> None:
        self._strategy_id, self._limits = strategy_id, limits
        self._resting = Resting(rest_ms=rest_ms, better_bps=limits.band.better_bps)
        self._last: dict[Side, _Offered] = {}

    def due(self, quoter: Quoter, now_ns: int) -> list[Opportunity]:
        """Return the offers that are due now for the quotes that stand."""
        out: list[Opportunity] = []
        for side in Side:
            quote, last = quoter.quotes.get(side), self._last.get(side)
            if quote is None:
                continue
            is_new = last is None or last.price != quote.price
            if last is not None and not is_new and now_ns - last.ts_ns < OFFER_EVERY_NS:
                continue
            self._last[side] = _Offered(quote.price, now_ns)
            offer = self._offer(quoter, side, quoter.wanted[side], now_ns)
            out += [] if offer is None else [offer]
        return out

    def _offer(self, quoter: Quoter, side: Side, quote: Quote, now_ns: int) -> Opportunity | None:
        """Return a quote as an opportunity; ``None`` where no lots of both venues express it."""
        maker, taker = quoter.maker, quoter.taker
        if maker.rules is None or taker.rules is None or maker.view is None or taker.view is None:
            return None
        qty = qty_to_lot(quote.qty, lot_common(maker.rules.lot_size, taker.rules.lot_size))
        limit = self._hedge_limit(side, quote.price, maker.rules, taker.rules)
        if qty <= 0 or limit is None or not is_enough(maker.rules, qty, quote.price):
            return None
        if not is_enough(taker.rules, qty, min(limit, quote.hedge)):
            return None
        fee_bps = max(_ZERO, maker.rules.maker_fee_bps)
        rests = _leg(maker.view, side, qty, (quote.price, quote.price), fee_bps, TimeInForce.PO)
        prices = (limit, quote.hedge)
        fee_bps = taker.rules.taker_fee_bps
        hedge = _leg(taker.view, side.opposite, qty, prices, fee_bps, TimeInForce.IOC)
        legs = [rests, hedge] if side is Side.BUY else [hedge, rests]
        text = f"{self._strategy_id}>{side}>{rests.book_id}>{hedge.book_id}>{now_ns}"
        name = blake2b(text.encode(), digest_size=8).hexdigest()
        return self._opportunity(name, legs, max(maker.view.ts_ns, taker.view.ts_ns), now_ns)

    def _opportunity(
        self, opportunity_id: str, legs: Sequence[OpportunityLeg], ts_depth_ns: int, now_ns: int
    ) -> Opportunity:
        bought, sold = legs
        name = split_instrument(bought.instrument)
        notional, proceeds = bought.qty * bought.price_avg, sold.qty * sold.price_avg
        fees = bought.fee + sold.fee
        net = proceeds - notional - fees
        return Opportunity(
            ts_ns=now_ns,
            opportunity_id=opportunity_id,
            detector=self._strategy_id,
            base=name.base,
            quote=name.quote,
            legs=list(legs),
            qty=bought.qty,
            notional=notional,
            gross=proceeds - notional,
            fees=fees,
            net=net,
            edge_bps=edge_bps(net, notional),
            ts_recv_ns=max(leg.book_ts_recv_ns for leg in legs),
            ts_depth_ns=ts_depth_ns,
            ts_expire_ns=now_ns + TTL_NS,
            strategy_id=self._strategy_id,
            resting=self._resting,
        )

    def _hedge_limit(
        self, side: Side, price: Decimal, maker: InstrumentRules, taker: InstrumentRules
    ) -> Decimal | None:
        """Return the worst hedge at which a quote may stand, on the taker's tick."""
        costs = QuoteCosts(maker.maker_fee_bps, taker.taker_fee_bps, self._limits.edge_bps)
        maker_fee, taker_fee, edge = (bps * ONE_BP for bps in costs)
        sign = side.signed(Decimal(1))
        worse = self._limits.band.worse_bps * ONE_BP
        earned = (1 - sign * taker_fee) * (1 - sign * edge) * (1 + sign * worse)
        limit = price * (1 + sign * maker_fee) / earned
        limit = price_to_tick(limit, taker.tick_size, side.opposite, aggressive=True)
        return limit if limit > 0 else None


def _leg(  # noqa: PLR0917 - as a venue's ticket reads
    view: DepthView,
    side: Side,
    qty: Decimal,
    prices: tuple[Decimal, Decimal],
    fee_bps: Decimal,
    time_in_force: TimeInForce,
) -> OpportunityLeg:
    """Return a leg; ``prices`` are its limit and what it expects."""
    limit, expected = prices
    worth = qty * expected
    fee = fee_amount(worth, fee_bps)
    return OpportunityLeg(
        venue=view.venue,
        instrument=view.instrument,
        side=side,
        qty=qty,
        price_limit=limit,
        time_in_force=time_in_force,
        price_avg=expected,
        fee_bps=fee_bps,
        fee=fee,
        levels_used=0,
        book_id=view.book_id,
        book_ts_recv_ns=view.ts_recv_ns,
        cash_flow=cash_flow(side, worth, fee),
    )
