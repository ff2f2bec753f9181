"""What accounts have gained so far, marked to the middle of the books, over time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from services.executor.paper_account import PaperAccount
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.domain.rounding import exact
from shared.messages.market import DepthView

POINTS_MAX = 4_000
"""Points of a line; where there are more, every other one is left out from then on."""
DAYS_MAX = 40_000
"""Days of a run; a point each."""
Views = Mapping[tuple[str, str], DepthView]
"""Venue and instrument -> the newest view that was LIVE."""


def mid_of(views: Views, venue: str, instrument: str) -> Decimal | None:
    """Return the middle of a book, ``None`` where it never had one."""
    view = views.get((venue, instrument))
    if view is None or not view.bids or not view.asks:
        return None
    return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2


def profits_of(accounts: Iterable[PaperAccount], views: Views) -> dict[str, Decimal | None]:
    """Return realized and open profit of all accounts by quote asset, or coin of settlement.

    A coin is the same coin everywhere: spot bought at one venue and sold at another is closed; what
    is left over all venues is valued at the worst middle there is for it. ``None`` where something
    is held that has no price.
    """
    found: dict[str, Decimal | None] = {}
    left: dict[str, Decimal] = {}
    for account in accounts:
        books = account.books
        for quote, result in books.results.items():
            _add(found, quote, result.realized)
        for key, holding in books.holdings.items():
            if not holding.qty:
                continue
            instrument = key.rpartition("|")[2]
            name = split_instrument(instrument)
            if is_spot(instrument):
                _add(found, name.quote, -holding.cost)
                left[instrument] = left.get(instrument, ZERO) + holding.qty
            else:
                price = mid_of(views, account.venue, instrument)
                _add(found, name.cash, price and holding.unrealized(name.kind, price))
    for instrument, qty in left.items():
        if qty:
            mids = [mid_of(views, venue, name) for venue, name in views if name == instrument]
            known = [mid for mid in mids if mid is not None]
            price = (min(known) if qty > 0 else max(known)) if known else None
            worth = None if price is None else qty * price
            _add(found, split_instrument(instrument).quote, worth)
    return found


def capital_of(accounts: Iterable[PaperAccount], views: Views) -> dict[str, Decimal]:
    """Return what accounts began with by quote asset; base assets at the last middle, if any."""
    found: dict[str, Decimal] = {}
    for account in accounts:
        named = {split_instrument(i): i for venue, i in views if venue == account.venue}
        quotes = {name.settle or name.quote for name in named}
        for asset, amount in account.start.items():
            if asset in quotes:
                found[asset] = found.get(asset, ZERO) + amount
                continue
            for name, instrument in named.items():
                price = mid_of(views, account.venue, instrument)
                if name.settle is None and name.base == asset and price is not None:
                    found[name.quote] = found.get(name.quote, ZERO) + amount * price
                    break
    return found


def _add(found: dict[str, Decimal | None], quote: str, gain: Decimal | None) -> None:
    before = found.get(quote, ZERO)
    found[quote] = None if before is None or gain is None else before + gain


class Curve:
    """Points of profit by quote asset, at equal distances that double when there are too many."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self._points_max = points_max
        self.times_ns: list[int] = []
        self.profits: dict[str, list[Decimal | None]] = {}
        self._every, self._seen = 1, 0

    def add(
        self, ts_ns: int, profits: Mapping[str, Decimal | None], *, is_last: bool = False
    ) -> None:
        """Add a point, where one is due; the last one always: it is the result of the run."""
        self._seen += 1
        if (self._seen - 1) % self._every and not is_last:
            return
        self.times_ns.append(ts_ns)
        for quote in {**self.profits, **profits}:
            line = self.profits.setdefault(quote, [ZERO] * (len(self.times_ns) - 1))
            line.append(profits.get(quote, ZERO))
        if len(self.times_ns) >= self._points_max and not is_last:
            self._every *= 2
            del self.times_ns[1::2]
            for line in self.profits.values():
                del line[1::2]
