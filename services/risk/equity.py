"""Profit and loss including open positions: of the day, of 24 hours, and since the peak. Pure.

The *equity* of a quote asset is what was realized in it and what its open positions would bring at
executable prices. A position that its own book cannot price counts by the worst of the other LIVE
books of the same assets and of its last price, for ``MARK_NS_MAX``: estimated, and never as a gain.
Without either it is unknown: its last known value keeps counting, and nothing is opened in its
quote asset.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from shared.domain.accounting import (
    Books,
    Position,
    TradingResult,
    holding_key,
    worst_certainty,
)
from shared.domain.contracts import Contract
from shared.domain.funding import HOUR_NS, SECOND_NS
from shared.domain.instrument import split_instrument
from shared.domain.valuation import closing_prices
from shared.messages.base import Certainty
from shared.messages.market import DepthView

HOURS: Final = 24
"""Hours that the rolling loss looks back."""
MARK_NS_MAX: Final = 60 * SECOND_NS
"""A price of a position counts for so long after its book was last able to say it."""
ZERO: Final = Decimal(0)


class Equity(msgspec.Struct, kw_only=True):
    """The equity of one quote asset since the ledger began, as it was last worked out.

    ``realized`` is the part of it that is closed. ``day`` is what it was when the UTC day began,
    ``peak`` the most that it was (since an operator last resumed after a drawdown), ``hours`` what
    it was when each of the last hours began.
    """

    now: Decimal = ZERO
    realized: Decimal = ZERO
    day: Decimal = ZERO
    peak: Decimal = ZERO
    hours: list[tuple[int, Decimal]] = []

    @property
    def today(self) -> Decimal:
        """The result of the UTC day."""
        return self.now - self.day

    @property
    def rolling(self) -> Decimal:
        """The result of the last hours."""
        return self.now - (self.hours[0][1] if self.hours else self.day)

    @property
    def drawdown(self) -> Decimal:
        """How far it is below its peak."""
        return self.peak - self.now

    def with_losses_since(self, realized: Decimal) -> Equity:
        """Return it with what was realized since, where that is a loss."""
        lost = min(ZERO, realized - self.realized)
        return msgspec.structs.replace(self, now=self.now + lost) if lost else self

    def move_to(self, now: Decimal, now_ns: int) -> bool:
        """Take the equity of the moment; tell whether an hour began or the peak was passed."""
        hour, has_begun = now_ns // HOUR_NS, False
        if not self.hours or self.hours[-1][0] < hour:
            self.hours.append((hour, self.now))
            has_begun = True
        self.hours = [each for each in self.hours if each[0] > hour - HOURS]
        is_higher = now > self.peak
        self.now, self.peak = now, max(now, self.peak)
        return has_begun or is_higher


Worth = tuple[Decimal, Decimal]
"""The equity of a quote asset, and the realized part of it, as last worked out."""


class Mark(NamedTuple):
    """The last price at which a position could be closed by its own book, and its time."""

    price: Decimal
    ts_ns: int


class Valued(msgspec.Struct):
    """The open result of a quote asset; by market, why it is not known exactly."""

    profit: Decimal = ZERO
    certainty: Certainty = Certainty.KNOWN
    reasons: dict[str, str] = {}


IsDust = Callable[[Position], bool]
"""Tells whether a position is too small to be traded."""


class Marks:
    """Values open positions; the prices that it remembers are not saved."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def value(
        self,
        books: Books,
        positions: Iterable[Position],
        views: Collection[DepthView],
        is_dust: IsDust,
        now_ns: int,
    ) -> dict[str, Valued]:
        """Return by asset of settlement what ``positions`` come to as the books price them."""
        opened = books.opened()
        found: dict[str, Valued] = {}
        held: dict[str, Mark] = {}
        for position in positions:
            key = holding_key(position.venue, position.instrument)
            valued = found.setdefault(split_instrument(position.instrument).cash, Valued())
            if position.unrealized is not None and position.close_price is not None:
                held[key] = Mark(position.close_price, now_ns)
                valued.profit += position.unrealized
            elif key in opened and not is_dust(position):  # else a fee paid in it, or nothing
                if key in self._marks:
                    held[key] = self._marks[key]
                _estimate(valued, position, held.get(key), views, now_ns)
        self._marks = held
        return found


def _estimate(
    valued: Valued,
    position: Position,
    last: Mark | None,
    views: Iterable[DepthView],
    now_ns: int,
) -> None:
    """Count a position that its own book does not price: as a loss, never as a gain."""
    key = holding_key(position.venue, position.instrument)
    prices = dict.fromkeys(filter(None, [price_elsewhere(position, views)]), "in another book")
    age_ns = 0 if last is None else now_ns - last.ts_ns
    if last is not None and (age_ns <= MARK_NS_MAX or not prices):
        prices.setdefault(last.price, f"{age_ns // SECOND_NS} s ago")
    if not prices:
        valued.reasons[key] = "no book prices it"
        valued.certainty = Certainty.UNKNOWN
        return
    price = min(prices) if position.qty > 0 else max(prices)
    valued.reasons[key] = f"its own book does not price it; it was {price:f} {prices[price]}"
    contract = Contract(split_instrument(position.instrument).kind)
    valued.profit += min(ZERO, contract.profit(position.qty, position.entry, price))
    is_known = age_ns <= MARK_NS_MAX or prices[price] == "in another book"
    how = Certainty.ESTIMATED if is_known else Certainty.UNKNOWN
    valued.certainty = worst_certainty(valued.certainty, how)


def price_elsewhere(position: Position, views: Iterable[DepthView]) -> Decimal | None:
    """Return the worst price that another LIVE book of the same assets would close it at."""
    base, quote, _ = split_instrument(position.instrument)
    prices: list[Decimal] = []
    for view in views:
        name = split_instrument(view.instrument)
        if (name.base, name.quote) == (base, quote):
            price = closing_prices([view])(view.venue, view.instrument, position.qty)
            if price is not None:
                prices.append(price)
    if not prices:
        return None
    return min(prices) if position.qty > 0 else max(prices)


def last_worked_out(equity: Mapping[str, Equity]) -> dict[str, Worth]:
    """Return what alone of equity changes with every price; all else of it with an hour or peak."""
    return {quote: (each.now, each.realized) for quote, each in equity.items()}


def move_equity(
    equity: dict[str, Equity],
    results: Mapping[str, TradingResult],
    at_midnight: Mapping[str, Decimal],
    valued: Mapping[str, Valued],
    now_ns: int,
) -> bool:
    """Take in what each quote asset has come to; tell whether that is to be saved.

    Where equity ``at_midnight`` is not on record, positions are taken to have been worth the same.
    """
    is_to_save = False
    for quote, result in results.items():
        profit = valued[quote].profit if quote in valued else ZERO
        known = equity.get(quote)
        if known is None:
            day = at_midnight.get(quote, ZERO) + profit
            known = equity[quote] = Equity(now=day, day=day, peak=day)
        known.realized = result.realized
        is_to_save |= known.move_to(result.realized + profit, now_ns)
    return is_to_save
