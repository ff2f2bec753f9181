"""Quotes on one venue, priced by what hedging a fill on another would cost. Pure.

It computes the quotes that it would rest on the maker venue, moves them when they are outside
their band, withdraws them when they must not stand, and counts what public trades through their
price would have filled, hedged at once in the taker's book (``quoting.py``). Without ``rest_ms`` it
watches only. With it each quote is offered as a plan of which one leg rests (``quote_offers.py``),
which risk approves where both books are spot and ``[[strategies]]`` has ``legs = "maker-taker"``.

Quotes and would-be fills are ``Indication`` messages (``arb tail arb.indication``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.domain.instrument import InstrumentKind, MarketKey, is_spot, split_instrument
from shared.domain.quotes import Band, band_problem
from shared.domain.rounding import exact
from shared.messages.arb import Indication
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView, Trade, TradesMissed
from shared.messages.rules import InstrumentRules
from shared.strategies.demo import Demo
from shared.strategies.near_misses import Route, Stopped
from shared.strategies.port import Depth, Input, Output, Params, Strategy, Trades
from shared.strategies.quote_offers import QuoteOffers
from shared.strategies.quoting import Hedged, NoQuote, Quote, QuoteLimits, Quoter
from shared.strategies.round_plans import KnownBook

BOOKS_MAX, QUOTERS_MAX = 64, 32
"""Books, and pairs of maker and taker followed; more are refused and counted."""
REFRESHED_MAX = 4
"""Pairs that one call prices: each takes a part of a millisecond."""
_DEMO = {"maker_instrument": "ETH/USDT", "taker_instrument": "ETH/USDT", "rest_ms": 15_000}
_BANDS = {"edge_bps": 4.0, "worse_bps": 3.5, "better_bps": 20.0, "notional_quote": 500.0}
DEMO = Demo(params={**_DEMO, **_BANDS}, settings={"legs": "maker-taker"})
_MS = 1_000_000


class MarketMakingParams(Params, frozen=True, kw_only=True):
    """Where it would quote and hedge; empty names stand for every one. Quantities in base units.

    ``edge_bps`` is earned after both fees; a standing quote may be ``worse_bps`` more generous than
    wanted and ``better_bps`` less. ``skew_bps_max`` is how far the side that adds to a full
    inventory is moved away. Quotes are looked at once in ``refresh_ms``, and at once where a book
    leaves LIVE. With ``rest_ms`` they are offered, each to rest for so long at most; 0: none is.
    """

    maker_venue: str = ""
    maker_instrument: str = ""
    taker_venue: str = ""
    taker_instrument: str = ""
    notional_quote: Annotated[float, Meta(ge=1e-6, le=1e9)] = 1_000.0
    edge_bps: Annotated[float, Meta(ge=0.01, le=1_000)] = 5.0
    better_bps: Annotated[float, Meta(ge=0, le=1_000)] = 2.0
    worse_bps: Annotated[float, Meta(ge=0, le=1_000)] = 1.0
    skew_bps_max: Annotated[float, Meta(ge=0, le=1_000)] = 5.0
    inventory_notional_quote_max: Annotated[float, Meta(ge=1e-6, le=1e9)] = 10_000.0
    depth_ratio: Annotated[float, Meta(ge=1, le=1_000)] = 3.0
    unhedged_notional_quote_max: Annotated[float, Meta(ge=1e-6, le=1e9)] = 500.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    refresh_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100
    rest_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0


class _Pair:
    """A quoter, the two markets it is between, and when it was looked at last."""

    def __init__(
        self, maker: MarketKey, taker: MarketKey, limits: QuoteLimits, route: Route
    ) -> None:
        self.maker, self.taker, self.route = maker, taker, route
        self.quoter = Quoter(limits)
        self.ts_refresh_ns = 0
        self.offers: QuoteOffers | None = None
        """Of a strategy that does not only watch."""


class MarketMaking(Strategy[MarketMakingParams]):
    """See the module's first lines."""

    gates: ClassVar = {each.value: ("side",) for each in NoQuote} | {"AT_QUOTE": ("side", "price")}

    def set_up(self) -> None:
        """Begin without books; refuse a band that gives its edge away."""
        given = self.params
        band = Band(exact(given.better_bps), exact(given.worse_bps))
        if problem := band_problem(band, exact(given.edge_bps)):
            raise ValueError(problem)
        self._limits = QuoteLimits(
            notional_quote=exact(given.notional_quote),
            edge_bps=exact(given.edge_bps),
            band=band,
            skew_bps_max=exact(given.skew_bps_max),
            inventory_notional_max=exact(given.inventory_notional_quote_max),
            depth_ratio=exact(given.depth_ratio),
            unhedged_notional_max=exact(given.unhedged_notional_quote_max),
            book_age_ms_max=given.book_age_ms_max,
        )
        self._maker = Depth(given.maker_venue, given.maker_instrument)
        self._taker = Depth(given.taker_venue, given.taker_instrument)
        self._books: dict[MarketKey, KnownBook] = {}
        self._pairs_of: dict[MarketKey, list[_Pair]] = {}
        self._pairs: list[_Pair] = []
        self._next_ns: int | None = None
        names = "placed", "moved", "withdrawn", "would_fill", "trades_at_quote", "trades_missed"
        self._counts = dict.fromkeys((*names, "pairs_refused", "offered"), 0)

    def inputs(self) -> Sequence[Input]:
        """Return both books, and the trades of the maker venue."""
        return (
            *dict.fromkeys((self._maker, self._taker)),
            Trades(self.params.maker_venue, self.params.maker_instrument),
        )

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Indication]:
        """Note tick, lot, least order and fees."""
        if (book := self._book((rules.venue, rules.instrument))) is not None:
            book.rules = rules
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Output]:
        """Note a book, and look at the quotes that it bears on."""
        market = view.venue, view.instrument
        if (book := self._book(market)) is None:
            return ()
        book.view = view
        pairs: Sequence[_Pair] = self._pairs_of[market]
        if view.state is BookState.LIVE:
            pairs = self._due(pairs, now_ns)
        if self._next_ns is None and self._pairs:
            self._next_ns = now_ns + self._pause_ns
        return [each for pair in pairs for each in self._refresh(pair, now_ns)]

    def on_timer(self, now_ns: int) -> Sequence[Output]:
        """Look at the quotes that were not looked at for longest: books grow old without views."""
        self._next_ns = now_ns + self._pause_ns
        due = self._due(self._pairs, now_ns)
        return [each for pair in due for each in self._refresh(pair, now_ns)]

    def _due(self, pairs: Sequence[_Pair], now_ns: int) -> Sequence[_Pair]:
        """Return the pairs whose time has come, few enough for one call."""
        due_ns = now_ns - self.params.refresh_ms * _MS
        due = [pair for pair in pairs if pair.ts_refresh_ns <= due_ns]
        due.sort(key=lambda pair: pair.ts_refresh_ns)
        return due[:REFRESHED_MAX]

    @property
    def _pause_ns(self) -> int:
        return self.params.refresh_ms * _MS * REFRESHED_MAX // max(REFRESHED_MAX, len(self._pairs))

    def next_deadline_ns(self) -> int | None:
        """Often enough to look at every pair once in ``refresh_ms``."""
        return self._next_ns

    def on_trade(self, trade: Trade, now_ns: int) -> Sequence[Indication]:
        """Count what a public trade would have filled."""
        out: list[Indication] = []
        for pair in self._pairs_of.get((trade.venue, trade.instrument), ()):
            if pair.maker != (trade.venue, trade.instrument):
                continue
            found = pair.quoter.on_trade(trade, now_ns)
            if found is True:
                self._counts["trades_at_quote"] += 1
                values = trade.side.opposite, trade.price
                self.near_misses.count(pair.route, Stopped("AT_QUOTE", values), now_ns)
            elif isinstance(found, Hedged):
                self._counts["would_fill"] += 1
                out.append(
                    self._indication(pair, "WOULD_FILL", _told_fill(pair.quoter, found), now_ns)
                )
        return out

    def on_gap(self, missed: TradesMissed, now_ns: int) -> Sequence[Indication]:
        """Trades are missing: what they would have filled is not known."""
        self._counts["trades_missed"] += 1
        return ()

    def counters(self) -> Mapping[str, int]:
        """Return quotes placed, moved and taken back, and what would have filled."""
        return self._counts

    def gauges(self) -> Mapping[str, float]:
        """Return pairs, and quotes that stand."""
        return {
            "pairs": len(self._pairs),
            "quotes": sum(len(each.quoter.quotes) for each in self._pairs),
        }

    def _book(self, market: MarketKey) -> KnownBook | None:
        """Return a book, made with its pairs at first sight; ``None``: not wanted."""
        book = self._books.get(market)
        if book is not None:
            return book
        name = split_instrument(market[1])
        is_wanted = self._maker.covers(*market) or self._taker.covers(*market)
        if not is_wanted or name.kind is InstrumentKind.INVERSE or len(self._books) >= BOOKS_MAX:
            return None
        book = self._books[market] = KnownBook()
        self._pairs_of[market] = []
        for other in list(self._books):
            its = split_instrument(other[1])
            if other[0] != market[0] and (its.base, its.quote) == (name.base, name.quote):
                for maker, taker in ((market, other), (other, market)):
                    if self._maker.covers(*maker) and self._taker.covers(*taker):
                        self._add(maker, taker)
        return book

    def _add(self, maker: MarketKey, taker: MarketKey) -> None:
        if len(self._pairs) >= QUOTERS_MAX:
            self._counts["pairs_refused"] += 1
            return
        pair = _Pair(maker, taker, self._limits, self.near_misses.route(maker, taker))
        pair.quoter.maker, pair.quoter.taker = self._books[maker], self._books[taker]
        rest_ms = self.params.rest_ms
        if rest_ms and is_spot(maker[1]) and is_spot(taker[1]):
            pair.offers = QuoteOffers(self.id, self._limits, rest_ms)
        self._pairs.append(pair)
        self._pairs_of[maker].append(pair)
        self._pairs_of[taker].append(pair)

    def _refresh(self, pair: _Pair, now_ns: int) -> Sequence[Output]:
        pair.ts_refresh_ns = now_ns
        stood = set(pair.quoter.quotes)
        changed = pair.quoter.refresh(now_ns)
        for side, found in changed.items():
            if isinstance(found, Quote):
                self._counts["moved" if side in stood else "placed"] += 1
            else:
                self._counts["withdrawn"] += side in stood
        for side, why in pair.quoter.why_not.items():
            self.near_misses.count(pair.route, Stopped(why.value, (side,)), now_ns)
        offers = pair.offers.due(pair.quoter, now_ns) if pair.offers is not None else []
        self._counts["offered"] += len(offers)
        if not changed:
            return offers
        return [self._indication(pair, "QUOTES", _told_quotes(pair.quoter), now_ns), *offers]

    def _indication(
        self, pair: _Pair, kind: str, values: Mapping[str, object], now_ns: int
    ) -> Indication:
        view = pair.quoter.taker.view
        return Indication(
            ts_ns=now_ns,
            detector=self.id,
            kind=kind,
            venue=pair.maker[0],
            instrument=pair.maker[1],
            other_venue=pair.taker[0],
            other_instrument=pair.taker[1],
            ts_recv_ns=view.ts_recv_ns if view is not None else 0,
            values={name: _text(value) for name, value in values.items()},
            strategy_id=self.id,
        )


def _told_quotes(quoter: Quoter) -> dict[str, object]:
    """Return both sides as they stand, and why one does not."""
    told: dict[str, object] = {}
    for side, name in ((Side.BUY, "bid"), (Side.SELL, "ask")):
        quote = quoter.quotes.get(side)
        if quote is None:
            told[f"{name}_none"] = quoter.why_not.get(side, "filled")
        else:
            told |= {name: quote.price, f"{name}_qty": quote.qty, f"{name}_hedge": quote.hedge}
            told[f"{name}_skew_bps"] = quoter.skew_bps(side)
    view = quoter.taker.view
    told["hedge_book"] = view.book_id if view is not None else "none"
    return told | _told_money(quoter)


def _told_fill(quoter: Quoter, found: Hedged) -> dict[str, object]:
    """Return what would have filled, and what is held since."""
    told: dict[str, object] = {"side": found.side, "price": found.price, "qty": found.qty}
    return told | {"hedged_qty": found.hedged_qty, "net": found.net} | _told_money(quoter)


def _told_money(quoter: Quoter) -> dict[str, object]:
    return {
        "inventory_qty": quoter.inventory_qty,
        "unhedged_qty": quoter.unhedged_qty,
        "net_total": quoter.net,
    }


def _text(value: object) -> str:
    return f"{round(value, 8):f}" if isinstance(value, Decimal) else str(value)
