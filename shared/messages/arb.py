"""What detectors find: opportunities, and what stopped the others."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from shared.messages.base import DecisionMessage
from shared.messages.bounds import (
    LEGS_MAX,
    Amount,
    AmountOrZero,
    AnyFloat,
    Asset,
    BookId,
    Bps,
    Count,
    Deadline,
    Id,
    Instrument,
    MaybeAsset,
    MaybeId,
    MaybeInstrument,
    MaybeVenue,
    Moment,
    Name,
    Price,
    Qty,
    Strategy,
    Venue,
)
from shared.messages.offer_terms import CarryTerms, ConversionTerms
from shared.messages.rounds import Intent
from shared.messages.terms import AssetPrice, OrderTerms, Resting


class OpportunityLeg(OrderTerms, frozen=True, kw_only=True):
    """One order of an opportunity, already rounded to what the venue accepts.

    ``price_avg`` is expected from the walked depth, ``price_limit`` the worst price the walk used;
    ``fee`` is in quote units. ``book_id`` and ``book_ts_recv_ns`` say which book was walked.
    ``cash_flow`` is what the leg brings in at ``price_avg``, its fee taken off, in quote units of
    its instrument (negative: what it costs; ``None``: not stated). A fee that is charged in another
    asset, ``fee_asset`` (empty: in the quote asset), is in ``fee`` with its worth, and not taken
    off the cash flow.
    """

    price_avg: Price
    fee_bps: Bps
    fee: Amount
    levels_used: Count
    book_id: BookId
    book_ts_recv_ns: Moment
    cash_flow: Amount | None = None
    fee_asset: MaybeAsset = ""


class Opportunity(DecisionMessage, frozen=True, kw_only=True, tag="opportunity"):
    """A profit after everything, with its arithmetic; money in ``quote`` units.

    ``net = gross - fees``; ``edge_bps = net / notional * 1e4`` with ``notional`` the buy side's
    cost. ``opportunity_id`` is a function of detector, legs and book ids. ``ts_recv_ns`` is the
    newest tick that caused it; ``ts_depth_ns`` when that depth view was made. ``detector`` is the
    rule that found it, ``strategy_id`` the configured strategy that runs it: plan, orders and fills
    carry that id on, and profit is booked under it. ``strategy_hash`` is of its file and params.

    ``intent`` says whether it opens or closes the round ``round_id`` of the strategy; then ``net``
    is cash rather than profit. Where no leg buys, ``qty`` and ``notional`` are of the sales.
    ``horizon_ns`` is how long the strategy means to hold what it opens; ``stop_bps`` how far from
    its entry a single leg is closed again: without it risk lets none open a position.

    Legs of several assets lead, one after the other, from ``quote`` through other assets back to
    it, and ``values`` says what each of these is worth in ``quote``. Then ``notional`` is what the
    legs spend of ``quote``, ``net`` what they bring in of it beyond that, ``fees`` those of all
    legs at these values; ``base`` is the first asset on the way, ``qty`` what the first leg brings
    in of it. What is left of an asset on the way counts as nothing.

    ``resting`` is given where one of two legs at two venues is to rest, post-only, and the other to
    hedge each of its fills: ``price_limit`` of that one is the worst hedge at which it may rest.

    ``conversions`` are what legs cost that exchange a quote asset for ``quote``; ``carry`` is what
    the round that is opened is expected to earn by funding, which is in no other figure.
    """

    opportunity_id: Id
    detector: Name
    base: Asset
    quote: Asset
    legs: Annotated[list[OpportunityLeg], Meta(min_length=1, max_length=LEGS_MAX)]
    qty: Qty
    notional: AmountOrZero
    gross: Amount
    fees: Amount
    net: Amount
    edge_bps: Bps
    ts_recv_ns: Moment
    ts_depth_ns: Moment
    ts_expire_ns: Deadline
    strategy_id: Strategy = ""
    strategy_hash: MaybeId = ""
    intent: Intent = Intent.INSTANT
    round_id: MaybeId = ""
    horizon_ns: Count = 0
    values: Annotated[list[AssetPrice], Meta(max_length=LEGS_MAX)] = []
    stop_bps: Bps = Decimal(0)
    resting: Resting | None = None
    conversions: Annotated[list[ConversionTerms], Meta(max_length=LEGS_MAX)] = []
    carry: CarryTerms | None = None


class Target(StrEnum):
    """Which way a signal points."""

    LONG = "LONG"
    SHORT = "SHORT"
    FLAT = "FLAT"


class Signal(DecisionMessage, frozen=True, kw_only=True, tag="signal"):
    """A direction in one instrument; risk says how much, and whether at all.

    It belongs to the round ``round_id`` of its strategy: what that holds the other way, or at all
    where the target is FLAT, is closed; where it holds nothing, a position is opened that loses at
    its stop, ``stop_bps`` from the entry, no more than ``strength`` (0 to 1; more counts as 1) of
    what the strategy may lose.
    ``horizon_ns`` is how long it is meant to be held. The rest is as in ``Opportunity``.
    """

    signal_id: Id
    detector: Name
    round_id: Id
    venue: Venue
    instrument: Instrument
    target: Target
    ts_recv_ns: Moment
    ts_depth_ns: Moment
    ts_expire_ns: Deadline
    strength: AmountOrZero = Decimal(1)
    stop_bps: Bps = Decimal(0)
    horizon_ns: Count = 0
    strategy_id: Strategy = ""
    strategy_hash: MaybeId = ""


class Indication(DecisionMessage, frozen=True, kw_only=True, tag="indication"):
    """What a strategy measured, or would quote: it is shown, and nothing trades on it.

    ``kind`` says what the values mean, like ``LEAD_LAG`` or ``QUOTES``; ``values`` are its numbers,
    each with its unit in its name. It is about one market, and ``other`` where there are two.
    """

    detector: Name
    kind: Name
    venue: Venue
    instrument: Instrument
    ts_recv_ns: Moment
    values: dict[str, str] = {}
    other_venue: MaybeVenue = ""
    other_instrument: MaybeInstrument = ""
    strategy_id: Strategy = ""
    strategy_hash: MaybeId = ""


class NearMiss(DecisionMessage, frozen=True, kw_only=True, tag="near_miss"):
    """Comparisons of one pair that one gate stopped, counted over a window.

    ``gate`` is the code of the gate; ``edge_bps_best`` the best net edge seen in the window
    (``None`` where the gate stops before an edge is known); ``context`` says the numbers of the
    last one. ``strategy_id`` is the configured strategy that compared them, ``needs_bps`` the least
    edge that it asks of this pair now (``None`` where it depends on more than the pair).
    ``fees_bps`` are the fees in ``edge_bps_best``, so their sum is the edge before fees (``None``
    where the strategy does not say).
    """

    detector: Name
    buy_venue: Venue
    buy_instrument: Instrument
    sell_venue: Venue
    sell_instrument: Instrument
    gate: Name
    count: Count
    ts_from_ns: Moment
    edge_bps_best: AnyFloat | None = None
    context: dict[str, str] = {}
    strategy_id: Strategy = ""
    needs_bps: AnyFloat | None = None
    fees_bps: AnyFloat | None = None
