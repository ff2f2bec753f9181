"""What each strategy holds and earned, beside the accounts of all together. Pure, Decimal.

Every strategy has accounts of its own, by the same rules as those of the whole (``accounting.py``):
what one strategy bought is closed when that strategy sells. Fills without a strategy's name are
booked under ``unknown``, those that an operator asked for (FLATTEN) under ``operator``. Neither
keeps a position apart from the strategies': such a fill first closes what is open against it, of
any strategy, and the profit is that strategy's; what a strategy trades closes what is held under
those two, likewise. A fee is booked under the name on its fill.

Quantities, fees, funding and what realized and unrealized come to together are, summed over all,
exactly those of the whole. Realized alone need not be: where two strategies hold the same
instrument, the account as a whole has closed what one bought and the other sold, at one average
cost, while for each of them it is still open. That difference is shown as ``netted``: realized by
the whole, still unrealized in the strategies' accounts (with the sign turned, so it adds nothing).
What parts of an inverse contract come to, rounded to coins one by one, may differ from the whole's
by as much as the last digit of each: that is shown there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

import msgspec

from shared.domain.accounting import (
    ZERO,
    Books,
    ClosingPrice,
    Position,
    holding_key,
    holding_place,
    unrealized,
)
from shared.domain.executions import Execution, plain_trades
from shared.domain.fees import MONEY_STEP, plus_known
from shared.messages.base import Certainty, Side
from shared.messages.execution import OPERATOR_STRATEGY, RESERVED_STRATEGIES, FundingPaid

STRATEGIES_MAX: Final = 64
"""Strategies with accounts of their own; all further ones share those of ``OTHER``."""
UNKNOWN: Final = "unknown"
"""The name for fills without a strategy."""
OTHER: Final = "other"
"""The strategies beyond ``STRATEGIES_MAX``, together."""
NETTED: Final = "netted"
"""Closed for the account as a whole, open for the strategies that hold against each other."""
_OF_NOBODY: Final = (UNKNOWN, OPERATOR_STRATEGY)


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy earned in one quote asset; ``unrealized`` is ``None`` without a price."""

    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    funding: Decimal
    certainty: Certainty


class Payment(NamedTuple):
    """What a venue booked on our account when funding settled (received: positive)."""

    venue: str
    instrument: str
    amount: Decimal
    asset: str
    ts_ns: int


def payment_of(paid: FundingPaid) -> Payment:
    """Return a payment as the accounts take it."""
    return Payment(paid.venue, paid.instrument, paid.amount, paid.asset, paid.ts_paid_for_ns)


class StrategyFigures(msgspec.Struct, frozen=True):
    """A strategy's results by quote asset, and what it holds open."""

    earned: dict[str, Earned]
    positions: list[Position]


class StrategyBooks(msgspec.Struct):
    """Accounts by strategy; ``accounts`` are made at first sight."""

    accounts: dict[str, Books] = {}

    def open_with(self, whole: Books) -> None:
        """Begin with what was booked before fills named a strategy: it is ``unknown``.

        ``whole`` is left as it is.
        """
        assert not self.accounts
        saved = msgspec.msgpack.encode(whole)
        self.accounts[UNKNOWN] = msgspec.msgpack.decode(saved, type=Books)

    def trade(self, done: Execution, strategy: str) -> None:
        """Book an execution and its fee; an empty ``strategy`` is not known."""
        name = self._name(strategy)
        own = self._account(name)
        for part in plain_trades(done):
            self._trade(part, name, own)

    def _trade(self, done: Execution, name: str, own: Books) -> None:
        rest = done
        for owner, qty in self._closed_for_others(done, name):
            part, rest = _split(rest, qty)
            owner.trade(part)
        if rest.qty:
            own.trade(msgspec.structs.replace(rest, fee=ZERO))
        if done.fee is None:
            own.result(done.cash).fees_missing += 1
        else:
            own.charge(done)

    def fee_told(self, done: Execution, strategy: str) -> None:
        """Book the fee of an execution that was booked without one.

        It goes to the named strategy if that has a fee outstanding, else to the first that has.
        """
        quote = done.cash
        names = [self._name(strategy), *sorted(self.accounts)]
        due = [name for name in names if self._has_fees_to_come(name, quote)]
        self._account(due[0] if due else names[0]).fee_told(done)

    def fund(self, paid: Payment, whole: Books) -> None:
        """Book a funding payment to those who held the position when it settled.

        Each strategy's share is its part of the ``whole`` quantity, so a strategy that held the
        opposite side has a share of the opposite sign. What no strategy held is ``unknown``.
        """
        venue, instrument = paid.venue, paid.instrument
        held = {
            name: books.held_at(venue, instrument, paid.ts_ns)
            for name, books in sorted(self.accounts.items())
        }
        net = whole.held_at(venue, instrument, paid.ts_ns)
        for name, amount in shares_of(paid.amount, held, net, UNKNOWN).items():
            self._account(name).fund(venue, instrument, amount, paid.asset)

    def figures(self, whole: Books, price: ClosingPrice) -> dict[str, StrategyFigures]:
        """Return what each strategy earned and holds, and what is netted between them.

        All parts of a holding are valued at the price at which the whole of it could be closed;
        where the parts leave nothing to close, at that of the largest.
        """
        prices = self._prices(whole, price)
        found = {name: _figures(books, prices) for name, books in sorted(self.accounts.items())}
        open_profit = unrealized(whole.positions(_price_of(prices)))
        netted: dict[str, Earned] = {}
        for quote, result in sorted(whole.results.items()):
            parts = [figures.earned[quote] for figures in found.values() if quote in figures.earned]
            left = result.realized - sum((part.realized for part in parts), ZERO)
            rest = open_profit.get(quote, ZERO)
            for part in parts:
                rest = plus_known(rest, None if part.unrealized is None else -part.unrealized)
            if left or rest:
                netted[quote] = Earned(
                    realized=left,
                    unrealized=-left if rest is None else rest,
                    fees=ZERO,
                    funding=ZERO,
                    certainty=Certainty.KNOWN,
                )
        if netted:
            found[NETTED] = StrategyFigures(netted, [])
        return found

    def _name(self, strategy: str) -> str:
        """Return under which name a strategy is booked."""
        if strategy == OPERATOR_STRATEGY or strategy in self.accounts:
            return strategy
        if not strategy or strategy in RESERVED_STRATEGIES:
            return UNKNOWN
        named = sum(name not in RESERVED_STRATEGIES for name in self.accounts)
        return strategy if named < STRATEGIES_MAX else OTHER

    def _account(self, name: str) -> Books:
        books = self.accounts.get(name)
        if books is None:
            books = self.accounts[name] = Books()
        return books

    def _has_fees_to_come(self, name: str, quote: str) -> bool:
        books = self.accounts.get(name)
        return books is not None and quote in books.results and books.result(quote).fees_missing > 0

    def _closed_for_others(self, done: Execution, name: str) -> list[tuple[Books, Decimal]]:
        """Return what of an execution closes others' holdings: whose, and base units."""
        key = holding_key(done.venue, done.instrument)
        others = sorted(self.accounts) if name in _OF_NOBODY else _OF_NOBODY
        left = done.qty - self._closable(name, key, done.side)
        closed: list[tuple[Books, Decimal]] = []
        for other in others:
            qty = min(left, ZERO if other == name else self._closable(other, key, done.side))
            if qty > 0:
                closed.append((self.accounts[other], qty))
                left -= qty
        return closed

    def _closable(self, name: str, key: str, side: Side) -> Decimal:
        """Return the base units that an execution of this side would close of a holding."""
        books = self.accounts.get(name)
        holding = None if books is None else books.holdings.get(key)
        held = ZERO if holding is None else holding.qty
        return max(ZERO, -held if side is Side.BUY else held)

    def _prices(self, whole: Books, price: ClosingPrice) -> dict[str, Decimal | None]:
        largest: dict[str, Decimal] = {}
        for books in self.accounts.values():
            for key, holding in books.holdings.items():
                if abs(holding.qty) > abs(largest.get(key, ZERO)):
                    largest[key] = holding.qty
        prices: dict[str, Decimal | None] = {}
        for key, qty in largest.items():
            net = whole.holdings.get(key)
            prices[key] = price(*holding_place(key), net.qty if net and net.qty else qty)
        return prices


def shares_of(
    amount: Decimal, held: Mapping[str, Decimal], net: Decimal, nobody: str
) -> dict[str, Decimal]:
    """Divide an amount by the holders' parts of ``net``; the rest goes to ``nobody``."""
    shares = {}
    if net:
        shares = {
            name: amount if qty == net else (amount * qty / net).quantize(MONEY_STEP)
            for name, qty in held.items()
            if qty
        }
    if not shares:
        return {nobody: amount}
    left = amount - sum(shares.values(), ZERO)
    if left:
        largest = max(shares, key=lambda name: abs(shares[name]))
        is_rounding = abs(left) <= MONEY_STEP * len(shares)
        owner = largest if is_rounding else nobody
        shares[owner] = shares.get(owner, ZERO) + left
    return shares


def _split(done: Execution, qty: Decimal) -> tuple[Execution, Execution]:
    """Return ``qty`` of an execution and the rest of it; together they cost what it cost."""
    cost = done.cost
    if qty != done.qty:
        cost = (done.cost * qty / done.qty).quantize(MONEY_STEP, ROUND_HALF_EVEN)
    part = msgspec.structs.replace(done, qty=qty, cost=cost, fee=ZERO)
    return part, msgspec.structs.replace(done, qty=done.qty - qty, cost=done.cost - cost)


def _price_of(prices: Mapping[str, Decimal | None]) -> ClosingPrice:
    return lambda venue, instrument, _: prices.get(holding_key(venue, instrument))


def _figures(books: Books, prices: Mapping[str, Decimal | None]) -> StrategyFigures:
    positions = books.positions(_price_of(prices))
    open_profit = unrealized(positions)
    earned = {}
    for quote, result in sorted(books.results.items()):
        profit = open_profit.get(quote, ZERO)
        earned[quote] = Earned(
            realized=result.realized,
            unrealized=profit,
            fees=result.fees,
            funding=result.funding,
            certainty=Certainty.UNKNOWN if profit is None else result.certainty,
        )
    return StrategyFigures(earned, positions)
