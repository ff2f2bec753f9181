"""Accounts over what a ledger holds: the whole, by strategy, by venue and by day. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from services.cli.ledger.plans_on_record import PlansOnRecord
from shared.domain.accounting import ZERO, Books, TradingResult
from shared.domain.executions import execution_of
from shared.domain.instrument import split_instrument
from shared.domain.ownership import reduction_flaw
from shared.domain.strategy_books import NETTED, StrategyBooks
from shared.messages.base import Certainty, Message
from shared.messages.execution import (
    Fill,
    FundingKnown,
    FundingPaid,
)
from shared.watch.funding_seen import FundingSeen

DAY_NS: Final = 86_400_000_000_000


class Sum(msgspec.Struct, frozen=True):
    """What a strategy had earned in one asset up to some moment."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    unknown: int = 0
    is_estimated: bool = False


class Accounts:
    """Takes messages in the order in which they were told.

    Args:
        is_whole: Nothing from before is missing: then a fill that no order on record explains is
            not ours. Else it may well be.
    """

    def __init__(self, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self.books, self.strategies = Books(), StrategyBooks()
        self.funding = FundingSeen(self.books, self.strategies)
        self.fills = self.fills_unowned = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self._plans = PlansOnRecord()
        self._fees: dict[str, dict[str, Decimal | None]] = {}
        self._funding: dict[str, dict[str, Decimal]] = {}
        self._fills_at: dict[str, int] = {}
        self._day: int | None = None
        self._before: dict[tuple[str, str], Sum] = {}
        self._days: list[dict[str, Any]] = []

    def on_message(self, message: Message) -> None:
        """Take in one message about money."""
        match message:
            case Fill():
                self._begin_day(message.ts_ns)
                self._on_fill(message)
            case FundingPaid():
                self._begin_day(message.ts_ns)
                self.funding.on_paid(message)
                paid = self._funding.setdefault(message.venue, {})
                paid[message.asset] = paid.get(message.asset, ZERO) + message.amount
            case FundingKnown():
                self.funding.on_known(message)
            case _:
                self._plans.on_message(message)

    def _on_fill(self, fill: Fill) -> None:
        orders = self._plans.orders
        if fill.reduced_by:
            flaw = reduction_flaw(fill, self.books)
        elif self.is_whole or orders.knows(fill.plan_id):
            flaw = orders.ownership_flaw(fill) or orders.overfills(fill)
        else:
            flaw = ""
        if flaw:
            self.fills_unowned += 1
            return
        orders.book(fill)
        done = execution_of(fill)
        self.books.trade(done)
        self.strategies.trade(done, self._plans.strategy_of(fill))
        self.fills += 1
        self._fills_at[fill.venue] = self._fills_at.get(fill.venue, 0) + 1
        _, quote, settle = split_instrument(fill.instrument)
        fees = self._fees.setdefault(fill.venue, {})
        asset = fill.fee_asset or settle or quote
        before = fees.get(asset, ZERO)
        fees[asset] = None if before is None or fill.fee is None else before + fill.fee

    def fees_of(self, venue: str) -> dict[str, Decimal | None]:
        """Return a venue's fees by asset; ``None`` where one is not known."""
        return self._fees.get(venue, {})

    def by_venue(self) -> dict[str, dict[str, Any]]:
        """Return how trading changed each venue's balances, with its fees and funding, by asset."""
        changes = self.books.inventory_change()
        venues = sorted({*changes, *self._fills_at, *self._funding})
        return {venue: self.of_venue(venue) for venue in venues}

    def of_venue(self, venue: str) -> dict[str, Any]:
        """Return the same of one venue."""
        return {
            "fills": self._fills_at.get(venue, 0),
            "inventory_change": self.books.inventory_change().get(venue, {}),
            "fees": self._fees.get(venue, {}),
            "funding": self._funding.get(venue, {}),
        }

    def by_day(self) -> list[dict[str, Any]]:
        """Return what each strategy realized on each day (UTC), by asset; in sum the whole."""
        self._end_day()
        return list(self._days)

    def _begin_day(self, ts_ns: int) -> None:
        self.first_ns = ts_ns if self.first_ns is None else self.first_ns
        self.last_ns = max(self.last_ns, ts_ns)
        day = self.last_ns // DAY_NS
        if day != self._day:
            self._end_day()
            self._day = day

    def _end_day(self) -> None:
        if self._day is None:
            return
        day = f"{datetime.fromtimestamp(self._day * DAY_NS // 10**9, UTC):%Y-%m-%d}"
        for (strategy, quote), now in sorted(self._sums()):
            before = self._before.get((strategy, quote), Sum())
            self._before[strategy, quote] = now
            if now == before:
                continue
            doubt = Certainty.ESTIMATED if now.is_estimated else Certainty.KNOWN
            self._days.append(
                {
                    "day": day,
                    "strategy": strategy,
                    "quote": quote,
                    "realized": now.realized - before.realized,
                    "fees": now.fees - before.fees,
                    "funding": now.funding - before.funding,
                    "certainty": Certainty.UNKNOWN if now.unknown else doubt,
                }
            )
        self._day = None

    def _sums(self) -> Iterator[tuple[tuple[str, str], Sum]]:
        """Yield what each strategy had earned, and what is netted between them, by asset."""
        rest = {quote: result.realized for quote, result in self.books.results.items()}
        for name, books in self.strategies.accounts.items():
            for quote, result in books.results.items():
                rest[quote] = rest.get(quote, ZERO) - result.realized
                yield (name, quote), _sum_of(result)
        for quote, left in rest.items():
            if left or (NETTED, quote) in self._before:
                yield (NETTED, quote), Sum(realized=left)


def _sum_of(result: TradingResult) -> Sum:
    unknown = result.fees_missing + result.fees_unpriced + result.unaccounted
    return Sum(result.realized, result.fees, result.funding, unknown, result.is_estimated)
