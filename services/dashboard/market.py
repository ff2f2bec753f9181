"""Books, feeds, funding, and what each pair of markets would earn after fees. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from services.dashboard.topic import Topic
from services.dashboard.values import amount, moment, ms, rounded
from shared.config_sections import Config
from shared.domain.instrument import MarketKey, is_spot, split_instrument
from shared.feed_statuses import Feeds, keep_newest
from shared.messages.base import BookState
from shared.messages.market import DepthView, Funding, InstrumentInfo, VenueStatus

BOOKS_MAX: Final = 2_000
SPREADS_MAX: Final = 2_000
DEPTH_LEVELS: Final = 20
DEPTH_BOOKS_MAX: Final = 40
"""Of all who look: the two of a pair for each of twenty."""
HOUR_NS: Final = 3_600_000_000_000
HOURS_PER_YEAR: Final = 8_760
BPS: Final = 10_000.0
UNTOLD_FOR_NS: Final = 2_000_000_000
"""A view older than this is of no present book: each is told again several times a second."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The best prices of one market that has both, with its fee as a share."""

    market: MarketKey
    view: DepthView
    bid: float
    ask: float
    fee: float | None


class Market:
    """The newest of each market.

    Args:
        config: Venues, and their fees where they override what the venue says.
    """

    def __init__(self, config: Config) -> None:
        self._venues = config.venues
        self.views: dict[MarketKey, DepthView] = {}
        self._fees: dict[MarketKey, Decimal] = {}
        self._funding: dict[MarketKey, Funding] = {}
        self.feeds: Feeds = {}
        self.books, self.depth = Topic("books", BOOKS_MAX), Topic("depth", DEPTH_BOOKS_MAX)
        self.spreads = Topic("spreads", SPREADS_MAX)
        self.funding = Topic("funding", BOOKS_MAX)

    def on_view(self, view: DepthView) -> None:
        """Keep the newest view of a configured venue's book."""
        key = view.venue, view.instrument
        known = self.views.get(key)
        if known is None and (view.venue not in self._venues or len(self.views) >= BOOKS_MAX):
            return
        if known is None or view.ts_ns >= known.ts_ns:
            self.views[key] = view

    def on_status(self, status: VenueStatus) -> None:
        """Keep the newest status of each ingestor's feed of a venue."""
        if status.venue in self._venues and not status.instrument:
            keep_newest(self.feeds, status)

    def on_rules(self, info: InstrumentInfo) -> None:
        """Keep what a taker pays."""
        rules = info.rules
        if (venue := self._venues.get(rules.venue)) is None:
            return
        fee = rules.taker_fee_bps if venue.taker_fee_bps is None else venue.taker_fee_bps
        if (key := (rules.venue, rules.instrument)) in self._fees or len(self._fees) < BOOKS_MAX:
            self._fees[key] = fee

    def on_funding(self, funding: Funding) -> None:
        """Keep the newest funding of a derivative."""
        key = funding.venue, funding.instrument
        if key in self._funding or (funding.venue in self._venues and len(self._funding) < 2_000):
            self._funding[key] = funding

    def forget_later(self, than_ns: int) -> None:
        """Forget what is said to be of a later time."""
        for venue, instrument in [k for k, v in self.views.items() if v.ts_ns > than_ns]:
            del self.views[venue, instrument]
            self.books.drop(f"{venue}|{instrument}")
        for venue, instrument in [k for k, f in self._funding.items() if f.ts_recv_ns > than_ns]:
            del self._funding[venue, instrument]
            self.funding.drop(f"{venue}|{instrument}")
        self.feeds = {k: v for k, v in self.feeds.items() if v.ts_ns <= than_ns}

    # -- what is shown --------------------------------------------------------------------------

    def show_books(self) -> None:
        """Bring the books up to date."""
        for (venue, instrument), view in self.views.items():
            bid, ask = _best(view.bids), _best(view.asks)
            mid = None if bid is None or ask is None else (bid[0] + ask[0]) / 2
            row = {
                "venue": venue,
                "instrument": instrument,
                "state": view.state,
                "reason": view.reason,
                "bid": amount(bid and bid[0]),
                "bid_qty": amount(bid and bid[1]),
                "ask": amount(ask and ask[0]),
                "ask_qty": amount(ask and ask[1]),
                "mid": amount(None if mid is None else float(f"{mid:.10g}")),
                "spread_bps": (
                    None
                    if mid is None or bid is None or ask is None
                    else rounded((ask[0] - bid[0]) / mid * BPS)
                ),
                "changed_ms": moment(view.ts_recv_ns),
            }
            self.books.put(f"{venue}|{instrument}", row, ms(view.ts_ns))

    def show_depth(self, wanted: frozenset[str]) -> None:
        """Bring the books that somebody has open up to date, with all their levels."""
        rows: dict[str, Any] = {}
        ages: dict[str, int] = {}
        for key in sorted(wanted):
            venue, _, instrument = key.partition("|")
            view = self.views.get((venue, instrument))
            if view is not None and len(rows) < DEPTH_BOOKS_MAX:
                ages[key] = ms(view.ts_ns)
                rows[key] = {
                    "venue": venue,
                    "instrument": instrument,
                    "state": view.state,
                    "bids": [[amount(p), amount(q)] for p, q in view.bids[:DEPTH_LEVELS]],
                    "asks": [[amount(p), amount(q)] for p, q in view.asks[:DEPTH_LEVELS]],
                }
        self.depth.replace(rows, ages)

    def quotes(self) -> dict[str, list[Quote]]:
        """Return the markets with prices, by what is traded for what."""
        groups: dict[str, list[Quote]] = {}
        for market, view in self.views.items():
            bid, ask = _best(view.bids), _best(view.asks)
            if bid is not None and ask is not None:
                fee = self._fees.get(market)
                share = None if fee is None else float(fee) / BPS
                name = split_instrument(market[1])
                group = groups.setdefault(f"{name.base}/{name.quote}", [])
                group.append(Quote(market, view, bid[0], ask[0], share))
        return groups

    def show_spreads(self, now_ns: int) -> None:
        """Bring the net edge of every pair of markets up to date, the best ones first."""
        rows: dict[str, Any] = {}
        ages: dict[str, int] = {}
        nets: dict[str, float] = {}
        for group, quotes in self.quotes().items():
            for buy in quotes:
                for sell in quotes:
                    if buy.market == sell.market:
                        continue
                    key = f"{group}|{' '.join(buy.market)}|{' '.join(sell.market)}"
                    rows[key] = _spread(group, buy, sell, now_ns)
                    ages[key] = ms(min(buy.view.ts_ns, sell.view.ts_ns))
                    nets[key] = rows[key]["gross_bps"]
        if len(rows) > SPREADS_MAX:
            best = sorted(rows, key=lambda key: -nets[key])
            rows = {key: rows[key] for key in best}
        self.spreads.replace(rows, ages)

    def best_nets(self, now_ns: int) -> dict[str, float | None]:
        """Return the best net edge (bps) of each group whose books can be trusted."""
        found: dict[str, float | None] = {}
        for group, quotes in self.quotes().items():
            if len(quotes) < 2:
                continue
            trusted = [q for q in quotes if q.fee is not None and not _why_not(q, now_ns)]
            cheap = sorted(trusted, key=lambda q: q.ask * (1 + (q.fee or 0)))[:2]
            dear = sorted(trusted, key=lambda q: -q.bid * (1 - (q.fee or 0)))[:2]
            nets = [_net_bps(b, s) for b in cheap for s in dear if b.market != s.market]
            found[group] = max((net for net in nets if net is not None), default=None)
        return found

    def show_funding(self) -> None:
        """Bring the funding of the derivatives up to date."""
        for (venue, instrument), told in self._funding.items():
            hours = told.interval_ns / HOUR_NS if told.interval_ns else None
            basis = None
            if told.index_price:
                basis = (told.mark_price - told.index_price) / told.index_price * BPS
            row = {
                "venue": venue,
                "instrument": instrument,
                "rate": amount(told.rate),
                "interval_h": hours,
                "next_ms": moment(told.ts_funding_ns),
                "mark": amount(told.mark_price),
                "index": amount(told.index_price),
                "basis_bps": rounded(basis),
                "annual_pct": (
                    rounded(told.rate / hours * HOURS_PER_YEAR * 100) if hours else None
                ),
                "break_even_h": self._break_even_h((venue, instrument), told.rate, hours),
            }
            self.funding.put(f"{venue}|{instrument}", row, ms(told.ts_recv_ns))

    def _break_even_h(self, market: MarketKey, rate: float, hours: float | None) -> float | None:
        """Return for how long funding must flow to pay for opening and closing against spot."""
        name, own = split_instrument(market[1]), self._fees.get(market)
        spot = [
            fee
            for (_, instrument), fee in self._fees.items()
            if is_spot(instrument) and split_instrument(instrument).base == name.base
        ]
        if not spot or own is None or not hours or not rate:
            return None
        return rounded(float(2 * (own + min(spot))) / (abs(rate) * BPS) * hours, 1)

    def fee_bps(self, venue: str, instrument: str) -> Decimal | None:
        """Return what a taker pays there, basis points; ``None``: not known."""
        return self._fees.get((venue, instrument))

    @staticmethod
    def is_live(view: DepthView, now_ns: int) -> bool:
        """Tell whether a book is LIVE, and still told to be."""
        return _is_live(view, now_ns)

    def live_books(self, now_ns: int) -> dict[str, tuple[int, int]]:
        """Return by venue how many books are LIVE now, and how many there are."""
        found: dict[str, tuple[int, int]] = {}
        for (venue, _), view in self.views.items():
            live, every = found.get(venue, (0, 0))
            found[venue] = live + _is_live(view, now_ns), every + 1
        return found

    def mids(self, now_ns: int) -> Mapping[str, float | None]:
        """Return the middle of each book that is LIVE now, ``None`` of others."""
        found: dict[str, float | None] = {}
        for (venue, instrument), view in self.views.items():
            bid, ask = _best(view.bids), _best(view.asks)
            known = bid is not None and ask is not None and _is_live(view, now_ns)
            found[f"{venue}|{instrument}"] = (
                (bid[0] + ask[0]) / 2 if known and bid and ask else None
            )
        return found


def _is_live(view: DepthView, now_ns: int) -> bool:
    """Tell whether a book is LIVE, and still told to be."""
    return view.state is BookState.LIVE and now_ns - view.ts_ns < UNTOLD_FOR_NS


def _best(levels: list[tuple[float, float]]) -> tuple[float, float] | None:
    return levels[0] if levels else None


def _why_not(quote: Quote, now_ns: int) -> str:
    """Return why a book cannot be trusted now; empty where it can."""
    if quote.view.state is not BookState.LIVE:
        return f"{quote.market[0]} {quote.view.state}"
    return f"{quote.market[0]} SILENT" if now_ns - quote.view.ts_ns >= UNTOLD_FOR_NS else ""


def _net_bps(buy: Quote, sell: Quote) -> float | None:
    if buy.fee is None or sell.fee is None:
        return None
    cost = buy.ask * (1 + buy.fee)
    return (sell.bid * (1 - sell.fee) - cost) / buy.ask * BPS


def _spread(group: str, buy: Quote, sell: Quote, now_ns: int) -> dict[str, Any]:
    gross = (sell.bid - buy.ask) / buy.ask * BPS
    net = _net_bps(buy, sell)
    why_not = _why_not(buy, now_ns) or _why_not(sell, now_ns)
    return {
        "group": group,
        "buy_venue": buy.market[0],
        "buy_instrument": buy.market[1],
        "sell_venue": sell.market[0],
        "sell_instrument": sell.market[1],
        "buy": amount(buy.ask),
        "sell": amount(sell.bid),
        "gross_bps": round(gross, 2),
        "fees_bps": None if net is None else round(gross - net, 2),
        "net_bps": rounded(net),
        "qty": amount(min(buy.view.asks[0][1], sell.view.bids[0][1])),
        "is_trusted": not why_not,
        "why_not": why_not,
    }
