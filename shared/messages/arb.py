"""What detectors find: opportunities, and what stopped the others."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.messages.base import DecisionMessage, Side


class OpportunityLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an opportunity, already rounded to what the venue accepts.

    ``price_avg`` is expected from the walked depth, ``price_limit`` the worst price the walk used;
    ``fee`` is in quote units. ``book_id`` and ``book_ts_recv_ns`` say which book was walked.
    """

    venue: str
    instrument: str
    side: Side
    qty: Decimal
    price_limit: Decimal
    price_avg: Decimal
    fee_bps: Decimal
    fee: Decimal
    levels_used: int
    book_id: str
    book_ts_recv_ns: int


class Opportunity(DecisionMessage, frozen=True, kw_only=True, tag="opportunity"):
    """A profit after everything, with its arithmetic; money in ``quote`` units.

    ``net = gross - fees``; ``edge_bps = net / notional * 1e4`` with ``notional`` the buy side's
    cost. ``opportunity_id`` is a function of detector, legs and book ids. ``ts_recv_ns`` is the
    newest tick that caused it; ``ts_depth_ns`` when that depth view was made.
    """

    opportunity_id: str
    detector: str
    base: str
    quote: str
    legs: list[OpportunityLeg]
    qty: Decimal
    notional: Decimal
    gross: Decimal
    fees: Decimal
    net: Decimal
    edge_bps: Decimal
    ts_recv_ns: int
    ts_depth_ns: int
    ts_expire_ns: int


class NearMiss(DecisionMessage, frozen=True, kw_only=True, tag="near_miss"):
    """Comparisons of one pair that one gate stopped, counted over a window.

    ``gate`` is the code of the gate; ``edge_bps_best`` the best net edge seen in the window
    (``None`` where the gate stops before an edge is known); ``context`` says the numbers of the
    last one.
    """

    detector: str
    buy_venue: str
    buy_instrument: str
    sell_venue: str
    sell_instrument: str
    gate: str
    count: int
    ts_from_ns: int
    edge_bps_best: float | None = None
    context: dict[str, str] = {}
