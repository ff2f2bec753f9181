"""The money of a paper account: its start, what a trade needs, costs and changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.executor.gateway import PaymentReport
from services.executor.paper_funding import PaperFunding
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.domain.fees import fee_amount
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.domain.rounding import exact, qty_to_lot
from shared.errors import Cause, Rejected
from shared.exchange.settlement import needed
from shared.messages.execution import Balance
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

Pieces = Sequence[tuple[Decimal, Decimal]]
"""Price and quantity of each level that an order takes from."""


class PaperAccount:
    """One venue's.

    Args:
        venue: Whose.
        rules: Instrument -> rules, shared with whoever learns them.
        quote_balance: What every quote asset starts with.
    """

    def __init__(
        self,
        venue: str,
        rules: Mapping[tuple[str, str], InstrumentRules],
        quote_balance: Decimal,
    ) -> None:
        self.venue = venue
        self.start: dict[str, Decimal] = {}
        self.books = Books()
        self.funding = PaperFunding(venue, self.books)
        self._rules, self._quote_balance = rules, quote_balance
        self._opened: set[str] = set()

    def open(self, view: DepthView) -> None:
        """Give the account what it starts with, once a price is there."""
        if view.instrument in self._opened:  # nearly always
            return
        base, quote, settle = split_instrument(view.instrument)
        self.start.setdefault(settle or quote, self._quote_balance)
        if settle is None and base not in self.start and view.bids:
            rules = self._rules.get((self.venue, view.instrument))
            qty = self._quote_balance / exact(view.bids[0][0])
            if rules is not None:
                self.start[base] = qty_to_lot(qty, rules.lot_size)
        if settle is not None or base in self.start:
            self._opened.add(view.instrument)

    def balances(self) -> Mapping[str, Balance]:
        """Return all balances opened so far."""
        return {asset: Balance(free=self.balance(asset), used=ZERO) for asset in sorted(self.start)}

    def balance(self, asset: str) -> Decimal:
        """Return what there is of an asset."""
        change = self.books.inventory.get(f"{self.venue}|{asset}", ZERO)
        return self.start.get(asset, ZERO) + change

    def free(self, asset: str) -> Decimal:
        """Return what of it an order may use."""
        return self.balance(asset)

    def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units."""
        return {name: self.position(name) for name in instruments if not is_spot(name)}

    def position(self, instrument: str) -> Decimal:
        """Return the signed base units held of an instrument."""
        return self.books.quantities.get(f"{self.venue}|{instrument}", ZERO)

    def fee_bps(self, rules: InstrumentRules) -> Decimal:
        """Return what a taker pays now."""
        return rules.taker_fee_bps

    def check(self, order: OrderTerms, rules: InstrumentRules, pieces: Pieces) -> None:
        """See that what an order would take can be paid for.

        Raises:
            Rejected: It cannot.
        """
        cost = sum((price * qty for price, qty in pieces), ZERO)
        asset, amount = needed(
            split_instrument(order.instrument),
            order.side,
            qty=sum((qty for _, qty in pieces), ZERO),
            cost=cost,
            fee=fee_amount(cost, self.fee_bps(rules)),
        )
        if self.free(asset) < amount:
            raise Rejected(
                f"{amount} {asset} needed at {self.venue}", "INSUFFICIENT_BALANCE", Cause.FUNDS
            )

    def payments_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what funding paid since.

        Raises:
            Unavailable: A position is held, and no rates come from its venue.
        """
        return self.funding.since(instruments, since_ns)

    def book(
        self, terms: OrderTerms, rules: InstrumentRules, price: Decimal, qty: Decimal, ts_ns: int
    ) -> tuple[Decimal, str]:
        """Book a fill at a time; return its fee and the asset that it is charged in."""
        _, quote, settle = split_instrument(terms.instrument)
        fee, fee_asset = fee_amount(price * qty, self.fee_bps(rules)), settle or quote
        self.books.trade(
            Execution(
                venue=self.venue,
                instrument=terms.instrument,
                side=terms.side,
                qty=qty,
                cost=price * qty,
                fee=fee,
                fee_asset=fee_asset,
                ts_ns=ts_ns,
            )
        )
        return fee, fee_asset
