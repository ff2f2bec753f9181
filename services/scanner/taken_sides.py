"""Sides of books in use by an opportunity; a second one for the same prices is held back. Pure.

Two opportunities that take the same side of the same book want the same prices: the second one's
leg finds them gone, and trading its other legs back costs more than it would have brought in. So
an opportunity that goes out takes the sides of its legs, until the book shows that what it wanted
was taken there, or until ``TAKEN_NS`` have passed or it has expired. One that comes meanwhile,
whichever strategy asks, is held back and counted (gate ``PRICES_TAKEN``), and its strategy is told.

Of those that come at once the one with the highest ``net`` goes first, as far as these can be
compared: within one quote asset, and not for what opens a round, whose profit is not known yet.
Among equals the strategy goes first that has offered nothing for longest. Where offers come to
nothing, strategies that were refused meanwhile take turns (``_Use.keeps_out``).
What closes a round always goes out, and what is to rest, which takes no prices. Sides in use are
not saved: they last less long than a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.domain.instrument import MarketKey
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import BookState, Message, Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent
from shared.strategies.gates import Gate
from shared.strategies.near_misses import NearMisses, Route, Stopped

TAKEN_NS = 500_000_000
"""For so long at most: an order that has not shown in the book by then was not sent, or missed."""
STRATEGIES_MAX, ROUTES_MAX = 256, 1_024
"""Strategies, and routes of each, on which what is held back is told; beyond that only counted."""
_MS = 1_000_000
_TOLERANCE = 1e-9

SideOfBook = tuple[str, str, Side]


class _Use:
    """An opportunity's use of one side of a book."""

    __slots__ = ("had_turn", "left", "limit", "refused", "sides", "strategy_id", "until_ns")

    def __init__(self, offer: Opportunity, leg: OpportunityLeg, until_ns: int) -> None:
        self.strategy_id, self.sides, self.until_ns = offer.strategy_id, _sides_of(offer), until_ns
        self.limit, self.left = float(leg.price_limit), 0.0
        self.refused: set[str] = set()
        """Strategies that asked for these prices meanwhile, with other sides of its own too."""
        self.had_turn: set[str] = set()
        """Strategies whose offers came to nothing here just before."""

    def note_book(self, leg: OpportunityLeg, view: DepthView | None) -> None:
        """Compute the quantity that the book will show up to the limit once the leg is filled."""
        if view is not None and view.book_id == leg.book_id:
            self.left = max(0.0, _within(view, leg.side, self.limit) - float(leg.qty))

    def is_of(self, offer: Opportunity) -> bool:
        """Tell whether the same strategy does the same again, for which it has its own pause."""
        return self.strategy_id == offer.strategy_id and self.sides == _sides_of(offer)

    def follows(self, before: _Use) -> None:
        """Inherit the waiting strategies of a use that ended without a fill."""
        self.had_turn = {before.strategy_id}
        if before.waiting:
            self.had_turn |= before.had_turn

    @property
    def waiting(self) -> set[str]:
        """Strategies that were refused and have had no turn yet."""
        return self.refused - self.had_turn - {self.strategy_id}

    def keeps_out(self, offer: Opportunity) -> bool:
        """Tell whether others have priority over this offer, as its use ended without a fill.

        A strategy whose offers risk denies, one after the other, would keep these prices from the
        others for good; and of three, two would keep them from the third by turns.
        """
        if self.waiting:
            return offer.strategy_id == self.strategy_id or offer.strategy_id in self.had_turn
        if self.refused - {self.strategy_id}:
            return offer.strategy_id == self.strategy_id
        return self.is_of(offer)


class _Told:
    """What was held back of one strategy."""

    __slots__ = ("detector", "near_misses", "routes")

    def __init__(self, detector: str) -> None:
        self.detector, self.near_misses = detector, NearMisses({})
        self.routes: dict[tuple[MarketKey, MarketKey], Route] = {}


class TakenSides:
    """Remembers the sides in use of one host's opportunities."""

    def __init__(self) -> None:
        self.uses: dict[SideOfBook, _Use] = {}
        self._told: dict[str, _Told] = {}
        self._last_out_ns: dict[str, int] = {}
        self.held_back = 0
        """Opportunities that were not offered because of another."""

    def see(self, view: DepthView) -> None:
        """Release a side once its book shows that the quantity was taken."""
        if view.state is not BookState.LIVE:
            return
        for side in (Side.BUY, Side.SELL):
            key = view.venue, view.instrument, side
            use = self.uses.get(key)
            if use is not None and _within(view, side, use.limit) <= use.left * (1 + _TOLERANCE):
                del self.uses[key]

    def sift(
        self, found: Sequence[Message], views: Mapping[MarketKey, DepthView], now_ns: int
    ) -> tuple[list[Message], list[Opportunity]]:
        """Split the outputs found into those to publish, in order, and those held back.

        Args:
            found: Of one turn, all strategies.
            views: The newest of each book.
            now_ns: Now.
        """
        self._forget(now_ns)
        held: list[Opportunity] = []
        offers = [each for each in found if isinstance(each, Opportunity)]
        for offer in _by_rank(offers, self._last_out_ns):
            in_use = self._in_use(offer, now_ns)
            if in_use is None:
                self._take(offer, views, now_ns)
            else:
                held.append(offer)
                self._tell(offer, in_use, now_ns)
        held_ids = {id(offer) for offer in held}
        return [each for each in found if id(each) not in held_ids], held

    @property
    def next_ns(self) -> int | None:
        """When ``due`` has something to look at."""
        if not self._told:  # nearly always, and asked after every view
            return None
        dues = [told.near_misses.next_ns for told in self._told.values()]
        return min((each for each in dues if each is not None), default=None)

    def due(self, now_ns: int) -> list[Message]:
        """Return the near misses that are due."""
        out: list[Message] = []
        for strategy_id, told in self._told.items():
            if told.near_misses.next_ns is not None:
                out += told.near_misses.due(told.detector, strategy_id, now_ns)
        return out

    def _in_use(self, offer: Opportunity, now_ns: int) -> SideOfBook | None:
        """Return a side that the offer may not take; ``None`` if it may go out."""
        if offer.intent is Intent.CLOSE or offer.resting is not None:
            return None  # a quote takes nothing
        for key in _sides_of(offer):
            use = self.uses.get(key)
            if use is None:
                continue
            if now_ns >= use.until_ns:
                if use.keeps_out(offer):
                    return key
            elif not use.is_of(offer):
                use.refused.add(offer.strategy_id)
                return key
        return None

    def _take(self, offer: Opportunity, views: Mapping[MarketKey, DepthView], now_ns: int) -> None:
        if offer.resting is not None:
            return
        until_ns = min(offer.ts_expire_ns, now_ns + TAKEN_NS)
        if offer.strategy_id in self._last_out_ns or len(self._last_out_ns) < STRATEGIES_MAX:
            self._last_out_ns[offer.strategy_id] = now_ns
        for leg in offer.legs:
            key = leg.venue, leg.instrument, leg.side
            before = self.uses.get(key)
            is_wanted = before is not None and bool(before.refused)
            if before is not None and is_wanted and before.is_of(offer):
                continue  # repeated while others wait: its time goes on to run
            use = self.uses[key] = _Use(offer, leg, until_ns)
            if before is not None and is_wanted:
                use.follows(before)
            use.note_book(leg, views.get(key[:2]))

    def _forget(self, now_ns: int) -> None:
        """Drop ended uses; unfilled ones that blocked others are kept for the same time again."""
        for key, use in list(self.uses.items()):
            if now_ns >= use.until_ns + (TAKEN_NS if use.refused else 0):
                del self.uses[key]

    def _tell(self, offer: Opportunity, key: SideOfBook, now_ns: int) -> None:
        self.held_back += 1
        told = self._told.get(offer.strategy_id)
        if told is None:
            if len(self._told) >= STRATEGIES_MAX:
                return
            told = self._told[offer.strategy_id] = _Told(offer.detector)
        buy = next((leg for leg in offer.legs if leg.side is Side.BUY), offer.legs[0])
        sell = next((leg for leg in offer.legs if leg.side is Side.SELL), offer.legs[0])
        markets = (buy.venue, buy.instrument), (sell.venue, sell.instrument)
        route = told.routes.get(markets)
        if route is None:
            if len(told.routes) >= ROUTES_MAX:
                return
            route = told.routes[markets] = told.near_misses.route(*markets)
        use = self.uses[key]
        values = (*key, use.strategy_id, max(0, use.until_ns - now_ns) // _MS)
        stopped = Stopped(Gate.PRICES_TAKEN, values, float(offer.edge_bps))
        told.near_misses.count(route, stopped, now_ns)


def _sides_of(offer: Opportunity) -> tuple[SideOfBook, ...]:
    return tuple(dict.fromkeys((leg.venue, leg.instrument, leg.side) for leg in offer.legs))


def _within(view: DepthView, side: Side, limit: float) -> float:
    """Return what an order of this side finds up to its limit."""
    found = 0.0
    if side is Side.BUY:  # asked for every view of a book in use, so written out
        for price, qty in view.asks:
            if price <= limit:
                found += qty
    else:
        for price, qty in view.bids:
            if price >= limit:
                found += qty
    return found


def _by_rank(offers: Sequence[Opportunity], last_out_ns: Mapping[str, int]) -> list[Opportunity]:
    """Return who goes first: closes, then profits by quote asset, then what opens a round."""
    if len(offers) < 2:
        return list(offers)
    quotes = list(dict.fromkeys(each.quote for each in offers))
    kinds = [Intent.CLOSE, Intent.INSTANT, Intent.OPEN]

    def rank(offer: Opportunity) -> tuple[int, int, float, int]:
        is_profit = offer.intent is Intent.INSTANT
        return (
            kinds.index(offer.intent),
            quotes.index(offer.quote) if is_profit else 0,
            -float(offer.net) if is_profit else 0.0,
            last_out_ns.get(offer.strategy_id, 0),
        )

    return sorted(offers, key=rank)
