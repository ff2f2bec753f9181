"""An account in a backtest: fees by tier, funding at its instants, margin and liquidation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from services.executor.paper_account import PaperAccount, Pieces
from services.executor.paper_funding import check_rates, payment_report
from services.lab.backtest_terms import VenueTerms
from shared.accounts.gateway import PaymentReport
from shared.config_limits import DOLLARS
from shared.domain.accounting import holding_key
from shared.domain.contracts import Contract
from shared.domain.executions import Execution, cost_of
from shared.domain.fees import BPS, MONEY_STEP, fee_amount
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.margin import Isolated, distance_bps
from shared.domain.order import ZERO
from shared.domain.quantities import worth_of
from shared.domain.rounding import exact
from shared.errors import Cause, Rejected
from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.market import Funding, FundingSettled
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
TIER_DAYS = 30
SETTLEMENTS_MAX = 1_000
"""Settlements remembered, whose rate may still be corrected."""


class Liquidation(NamedTuple):
    """A position that its venue closed: signed base units, and the mark it was closed at."""

    ts_ns: int
    venue: str
    instrument: str
    qty: Decimal
    price: Decimal
    fee: Decimal


class Payment(msgspec.Struct, kw_only=True):
    """A settlement of funding: what was held at its instant, and what it paid."""

    ts_ns: int
    venue: str
    instrument: str
    qty: Decimal
    rate: Decimal = ZERO
    mark: Decimal = ZERO
    amount: Decimal = ZERO
    is_settled: bool = False
    """Whether the venue has told the rate; until then it is the last one predicted."""
    is_booked: bool = False
    """Whether it is in the account, at whichever rate."""
    correction: Decimal = ZERO
    """What of the amount came late: the rate that was told less the one predicted."""


class BacktestAccount(PaperAccount):
    """One venue's account.

    Args:
        venue: Whose.
        rules: Instrument -> rules.
        quote_balance: What each of ``quote_assets`` starts with, unless the terms give balances.
        terms: Of the venue.
        now_ns: Virtual time.
        quote_assets: Those that the balance is stated in.
    """

    def __init__(
        self,
        venue: str,
        rules: Mapping[tuple[str, str], InstrumentRules],
        quote_balance: Decimal,
        *,
        terms: VenueTerms,
        now_ns: Callable[[], int],
        quote_assets: Container[str] = DOLLARS,
    ) -> None:
        super().__init__(venue, rules, quote_balance, quote_assets)
        self._terms, self._now_ns = terms, now_ns
        self.start.update(terms.balances)
        self._leverage = Decimal(str(terms.leverage))
        self._maintenance = Decimal(str(terms.maintenance_bps)) / BPS
        self._tier_assets = quote_assets
        self._volume: dict[int, dict[str, Decimal]] = {}
        """Day -> quote asset -> notional traded, of the last 30 days."""
        self._predicted: dict[str, Funding] = {}
        self._told: dict[str, FundingSettled] = {}
        """The newest settlement of each instrument."""
        self._at_instant: dict[tuple[str, int], Payment] = {}
        self.marked: dict[str, float] = {}
        self.payments: list[Payment] = []
        self.liquidations: list[Liquidation] = []
        self._is_over = False
        self.funding_unknown = 0
        """Settlements of instruments whose payment cannot be worked out, with a position held."""

    def open(self, view: object) -> None:
        """Give the account what it starts with; balances that are configured are all of it."""
        if not self._terms.balances:
            super().open(view)  # type: ignore[arg-type]

    # Fees

    def fee_bps(self, rules: InstrumentRules) -> Decimal:
        """Return the fee of the tier that the volume of 30 days has reached.

        Tiers are in dollars. What was traded against each of ``quote_assets`` counts apart, the
        largest of them; against any other it does not count: the fee is never too low for that.
        """
        fee = rules.taker_fee_bps
        if self._terms.fee_tiers:
            since = self._now_ns() // DAY_NS - TIER_DAYS
            volumes: dict[str, Decimal] = {}
            for day, by_quote in self._volume.items():
                for quote, notional in by_quote.items() if day > since else ():
                    volumes[quote] = volumes.get(quote, ZERO) + notional
            reached = max(volumes.values(), default=ZERO)
            for least, bps in self._terms.fee_tiers:
                if reached >= least:
                    fee = bps
        return fee

    def book(
        self, terms: OrderTerms, rules: InstrumentRules, price: Decimal, qty: Decimal, ts_ns: int
    ) -> tuple[Decimal, str]:
        """Book a fill, which counts for the tiers from then on."""
        charged = super().book(terms, rules, price, qty, ts_ns)
        today = self._now_ns() // DAY_NS
        if today not in self._volume:
            self._volume = {d: n for d, n in self._volume.items() if d > today - TIER_DAYS}
        quote = split_instrument(terms.instrument).quote
        if quote in self._tier_assets:
            traded = self._volume.setdefault(today, {})
            notional = worth_of(terms.instrument, qty, price)
            traded[quote] = traded.get(quote, ZERO) + notional
        return charged

    # Margin

    def balances(self) -> Mapping[str, Balance]:
        """Return all balances; what margin ties up is used."""
        if not self._leverage:
            return super().balances()
        return {
            asset: Balance(free=self.free(asset), used=self.balance(asset) - self.free(asset))
            for asset in sorted(self.start)
        }

    def free(self, asset: str) -> Decimal:
        """Return what of it is not margin."""
        if not self._leverage:
            return self.balance(asset)
        return self.balance(asset) - sum(
            (
                abs(cost_of(name, qty, entry)) / self._leverage
                for name, qty, entry in self._held()
                if split_instrument(name).settle == asset
            ),
            ZERO,
        )

    def check(self, order: OrderTerms, rules: InstrumentRules, pieces: Pieces) -> None:
        """See that an order can be paid for, and has its margin.

        Raises:
            Rejected: It cannot, or has not.
        """
        super().check(order, rules, pieces)
        settle = split_instrument(order.instrument).settle
        if settle is None or not self._leverage or not pieces:
            return
        qty = sum((part for _, part in pieces), ZERO)
        cost = sum((cost_of(order.instrument, part, price) for price, part in pieces), ZERO)
        held = self.position(order.instrument)
        opening = max(ZERO, abs(held + order.side.signed(qty)) - abs(held))
        amount = opening * cost / qty / self._leverage + fee_amount(cost, self.fee_bps(rules))
        if opening and self.free(settle) < amount:
            raise Rejected(
                f"{amount} {settle} of margin needed at {self.venue}", "MARGIN", Cause.FUNDS
            )

    def on_mark(self, instrument: str, price: float) -> Liquidation | None:
        """Take a mark in; return what it liquidates."""
        self.marked[instrument] = price
        if not self._leverage:
            return None
        for name, qty, entry in self._held():
            if name == instrument:
                position = Isolated(
                    Contract(split_instrument(name).kind),
                    qty,
                    entry,
                    abs(cost_of(name, qty, entry)) / self._leverage,
                    self._maintenance,
                )
                distance = distance_bps(position, exact(price))
                if distance is not None and distance <= 0:
                    return self._liquidate(instrument, qty, exact(price))
        return None

    def _liquidate(self, instrument: str, qty: Decimal, price: Decimal) -> Liquidation:
        name = split_instrument(instrument)
        cost = cost_of(instrument, abs(qty), price)
        fee = fee_amount(cost, Decimal(str(self._terms.liquidation_fee_bps)))
        self.books.trade(
            Execution(
                venue=self.venue,
                instrument=instrument,
                side=Side.SELL if qty > 0 else Side.BUY,
                qty=abs(qty),
                cost=cost,
                fee=fee,
                fee_asset=name.cash,
            )
        )
        done = Liquidation(self._now_ns(), self.venue, instrument, qty, price, fee)
        self.liquidations.append(done)
        return done

    def _held(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return every position in a perpetual: instrument, signed quantity, average entry."""
        found = []
        for venue, instrument in self._rules:
            if venue != self.venue or is_spot(instrument):
                continue
            holding = self.books.holdings.get(holding_key(venue, instrument))
            kind = split_instrument(instrument).kind
            entry = None if holding is None else holding.entry_of(kind)
            if holding is not None and entry is not None:
                found.append((instrument, holding.qty, entry))
        return found

    # Funding

    def on_funding(self, funding: Funding) -> int | None:
        """Take a prediction; return the instant of a settlement that is new."""
        before = self._predicted.get(funding.instrument)
        self._predicted[funding.instrument] = funding
        if before is None or funding.ts_funding_ns != before.ts_funding_ns:
            if before is not None and funding.ts_funding_ns > before.ts_funding_ns:
                self._settle(before, is_settled=False)
            return funding.ts_funding_ns
        return None

    def on_instant(self, instrument: str, ts_ns: int) -> None:
        """Note what is held at the instant of a settlement."""
        held = Payment(
            ts_ns=ts_ns,
            venue=self.venue,
            instrument=instrument,
            qty=self.position(instrument),
            mark=exact(self.marked[instrument]) if instrument in self.marked else ZERO,
        )
        self._at_instant[instrument, round(ts_ns / SECOND_NS)] = held
        while len(self._at_instant) > SETTLEMENTS_MAX:
            del self._at_instant[next(iter(self._at_instant))]
        if self._is_over and instrument in self._predicted:  # no more is told
            self._settle(self._predicted[instrument], is_settled=False)

    def on_settled(self, settled: FundingSettled) -> None:
        """Take in the rate that a venue's history tells.

        Where nothing was predicted its instant is not noted before: the position is the one of now,
        if the rate is told at its instant, as archives have it.
        """
        name, at_ns = settled.instrument, settled.ts_funding_ns
        self._told[name] = settled
        is_noted = (name, round(at_ns / SECOND_NS)) in self._at_instant
        if not is_noted and abs(self._now_ns() - at_ns) < SECOND_NS:
            self.on_instant(name, at_ns)
        self._settle(settled, is_settled=True)

    def payments_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what was paid; what the rate that was told corrected is a payment of its own."""
        check_rates(self.venue, instruments, self.books, {**self._predicted, **self._told})
        found = []
        for paid in self.payments:
            if paid.instrument in instruments and paid.ts_ns >= since_ns:
                first = paid.amount - paid.correction
                report = payment_report(paid.instrument, first, paid.ts_ns)
                found.append(report)
                if paid.correction:
                    later = payment_report(paid.instrument, paid.correction, paid.ts_ns)
                    later_id = f"{later.payment_id}-corrected"
                    found.append(msgspec.structs.replace(later, payment_id=later_id))
        return found

    def end(self) -> None:
        """Settle what is due, now and from here on, at the last predicted rate."""
        self._is_over = True
        for funding in self._predicted.values():
            self._settle(funding, is_settled=False)

    def _settle(self, told: Funding | FundingSettled, *, is_settled: bool) -> None:
        paid = self._at_instant.get((told.instrument, round(told.ts_funding_ns / SECOND_NS)))
        if paid is None or not paid.qty or paid.is_settled or (paid.is_booked and not is_settled):
            return
        if told.mark_price:
            paid.mark = exact(told.mark_price)
        if not paid.mark:
            self.funding_unknown += 1
            return
        paid.rate, paid.is_settled = exact(told.rate), is_settled
        contract = Contract(split_instrument(told.instrument).kind)
        amount = contract.funding(paid.qty, paid.mark, paid.rate).quantize(MONEY_STEP)
        if paid.is_booked:
            paid.correction = amount - paid.amount
        else:
            paid.is_booked = True
            self.payments.append(paid)
        self.books.fund(self.venue, told.instrument, amount - paid.amount)
        paid.amount = amount
