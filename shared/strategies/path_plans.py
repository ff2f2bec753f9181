"""Opportunities whose legs lead from one asset through others and back: their arithmetic. Pure.

    leg      spends and brings in what ``shared/domain/asset_paths.py`` says, its fee included
    notional = what the first leg spends          net = what the last brings in, less notional
    fees     = those of all legs, each at the value of its quote asset       gross = net + fees

Every asset on the way must be traded against the one at the ends: what the legs leave of it is
traded away there, and its value is the middle of that book.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from shared.domain.asset_paths import assets_on_the_way, flow_of
from shared.domain.fees import MONEY_STEP, edge_bps
from shared.domain.path import Outcome, Traded
from shared.domain.rounding import exact, price_to_tick
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.offer_terms import ConversionTerms
from shared.messages.terms import AssetPrice
from shared.strategies.path_books import PathBook

_VALUE_DIGITS: Final = Context(prec=12)


class PathFlaw(StrEnum):
    """Why an outcome is no opportunity."""

    NO_WAY_BACK = "NO_WAY_BACK"  # an asset on the way is not traded against the one at the ends
    OFF_GRID = "OFF_GRID"  # a price of the book rounds to nothing on the tick of the venue's rules


class Publisher(NamedTuple):
    """Who publishes, for how long it stands, and the room of a limit as a fraction of the price."""

    strategy_id: str
    ttl_ns: int
    slack: Decimal


def plan_path(
    steps: Sequence[tuple[PathBook, Side]],
    found: Outcome,
    ways_back: Iterable[PathBook],
    quote: str,
    publisher: Publisher,
    *,
    is_buy_fee_in_base: bool,
    now_ns: int,
) -> Opportunity | PathFlaw:
    """Return the opportunity of an outcome, or why there is none.

    Args:
        steps: Book and side of each leg, in their order.
        found: What they do, in whole lots.
        ways_back: Books that may give a value, the preferred first.
        quote: Where the legs begin and end.
        publisher: Who publishes it.
        is_buy_fee_in_base: As the outcome was worked out.
        now_ns: Now.
    """
    names = tuple((book.instrument, side) for book, side in steps)
    values = _values(assets_on_the_way(names, quote), quote, ways_back)
    if values is None:
        return PathFlaw.NO_WAY_BACK
    made = [
        _leg(book, side, traded, publisher.slack, in_base=is_buy_fee_in_base and side is Side.BUY)
        for (book, side), traded in zip(steps, found.legs, strict=True)
    ]
    if any(leg is None for leg in made):
        return PathFlaw.OFF_GRID
    legs = [leg for leg in made if leg is not None]
    flows = [
        flow_of(x.instrument, x.side, x.qty, x.price_avg, x.fee_bps, x.fee_asset) for x in legs
    ]
    worth = {quote: Decimal(1)} | {each.asset: each.price for each in values}
    fees = sum(
        (flow.fee * worth[book.name.quote] for flow, (book, _) in zip(flows, steps, strict=True)),
        Decimal(0),
    ).quantize(MONEY_STEP)
    notional = flows[0].spent
    net = flows[-1].brought - notional
    newest = max((book.view for book, _ in steps if book.view), key=lambda view: view.ts_recv_ns)
    return Opportunity(
        ts_ns=now_ns,
        opportunity_id=path_id(publisher.strategy_id, [leg.book_id for leg in legs]),
        detector=publisher.strategy_id,
        base=flows[0].taken,
        quote=quote,
        legs=legs,
        qty=flows[0].brought,
        notional=notional,
        gross=net + fees,
        fees=fees,
        net=net,
        edge_bps=edge_bps(net, notional),
        ts_recv_ns=newest.ts_recv_ns,
        ts_depth_ns=newest.ts_ns,
        ts_expire_ns=now_ns + publisher.ttl_ns,
        strategy_id=publisher.strategy_id,
        values=values,
    )


def conversion_terms(found: Opportunity, number: int, book: PathBook) -> ConversionTerms:
    """Return what a leg costs that exchanges another quote asset for the opportunity's own.

    Args:
        found: The opportunity.
        number: Of the leg.
        book: Which the leg was walked on.
    """
    leg, name, view = found.legs[number], book.name, book.view
    assert view is not None
    middle = (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
    fee_bps, fee_asset = leg.fee_bps, leg.fee_asset
    flow = flow_of(leg.instrument, leg.side, leg.qty, leg.price_avg, fee_bps, fee_asset)
    free = flow_of(leg.instrument, leg.side, leg.qty, leg.price_avg, Decimal(0), fee_asset)
    is_sale = leg.side is Side.SELL
    at_middle = free.spent * middle if is_sale else free.spent / middle
    whole = flow.spent * middle if is_sale else flow.spent / middle
    spread = (at_middle - free.brought).quantize(MONEY_STEP)
    return ConversionTerms(
        leg=number,
        asset=name.base if is_sale else name.quote,
        rate=_VALUE_DIGITS.divide(flow.brought, flow.spent),
        middle=_VALUE_DIGITS.plus(middle if is_sale else 1 / middle),
        spread=spread,
        fee=(whole - flow.brought).quantize(MONEY_STEP) - spread,
    )


def steps_of(offer: Opportunity) -> list[tuple[str, str, Side]]:
    """Return venue, instrument and side of each leg."""
    return [(leg.venue, leg.instrument, leg.side) for leg in offer.legs]


def path_id(strategy_id: str, book_ids: Sequence[str]) -> str:
    """Return the id of trading against these states of books, in this order: 16 hex digits."""
    return blake2b(">".join((strategy_id, *book_ids)).encode(), digest_size=8).hexdigest()


def _values(
    assets: Sequence[str], quote: str, books: Iterable[PathBook]
) -> list[AssetPrice] | None:
    """Return what each asset is worth by the first live book that trades it for ``quote``."""
    found: dict[str, AssetPrice] = {}
    for book in books:
        base, counter, _ = book.name
        asset = base if counter == quote else counter
        if quote not in (base, counter) or asset not in assets or asset in found:
            continue
        view = book.view
        if view is None or not book.is_live:
            continue
        middle = (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
        price = _VALUE_DIGITS.plus(middle if counter == quote else 1 / middle)
        found[asset] = AssetPrice(
            asset=asset,
            price=price,
            venue=book.venue,
            instrument=book.instrument,
            ts_ns=view.ts_ns,
        )
    return [found[asset] for asset in assets] if len(found) == len(assets) > 0 else None


def _leg(
    book: PathBook, side: Side, done: Traded, slack: Decimal, *, in_base: bool
) -> OpportunityLeg | None:
    view, rules = book.view, book.rules
    assert view is not None
    assert rules is not None
    fee_asset = book.name.base if in_base else ""
    flow = flow_of(book.instrument, side, done.qty, done.price_avg, rules.taker_fee_bps, fee_asset)
    # A venue's own prices are on its grid already; if one is not, never pay more than walked.
    worst = done.price_worst * (1 + side.signed(slack))
    limit = price_to_tick(worst, rules.tick_size, side, aggressive=False)
    if limit <= 0:
        return None
    return OpportunityLeg(
        venue=book.venue,
        instrument=book.instrument,
        side=side,
        qty=done.qty,
        price_limit=limit,
        price_avg=done.price_avg,
        fee_bps=rules.taker_fee_bps,
        fee=flow.fee,
        levels_used=done.levels_used,
        book_id=view.book_id,
        book_ts_recv_ns=view.ts_recv_ns,
        cash_flow=flow.brought if side is Side.SELL else -flow.spent,
        fee_asset=fee_asset,
    )
