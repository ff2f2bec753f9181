"""The balances of a paper account: the initial ones, funds a trade needs, fees, changes. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from services.executor.paper_funding import PaperFunding
from shared.accounts.gateway import PaymentReport
from shared.config_limits import DOLLARS
from shared.config_sections import Config
from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.domain.fees import MONEY_STEP, fee_amount
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.domain.rounding import exact, qty_to_lot
from shared.errors import Cause, Rejected
from shared.exchange.settlement import needed
from shared.messages.balances import Balance
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
        quote_balance: What each of ``quote_assets`` starts with, and what every other asset that is
            traded is worth at the start.
        quote_assets: Those that the balance is stated in.
        balances: What there is of an asset instead.
    """

    def __init__(
        self,
        venue: str,
        rules: Mapping[tuple[str, str], InstrumentRules],
        quote_balance: Decimal,
        quote_assets: Container[str] = DOLLARS,
        balances: Mapping[str, Decimal] = MappingProxyType({}),
    ) -> None:
        self.venue = venue
        self.start: dict[str, Decimal] = {**balances}
        self.books = Books()
        self.funding = PaperFunding(venue, self.books)
        self._rules, self._quote_balance = rules, quote_balance
        self._quote_assets = quote_assets
        self._opened: set[str] = set()
        self._locked: dict[str, Decimal] = {}
        """What orders that rest may cost, by asset."""

    def open(self, view: DepthView) -> None:
        """Give the account its initial balance of an asset, once a price is known.

        Bitcoins that others are traded against are worth as much as anything else here.
        """
        if view.instrument in self._opened:  # nearly always
            return
        base, quote, settle = split_instrument(view.instrument)
        money = settle or quote
        if money in self._quote_assets:
            self.start.setdefault(money, self._quote_balance)
        if settle is None and view.bids:
            self._open_by_price(view, base, quote)
        if money in self.start and (settle is not None or base in self.start):
            self._opened.add(view.instrument)

    def _open_by_price(self, view: DepthView, base: str, quote: str) -> None:
        """Open one of two assets with the worth of the other."""
        price, start = exact(view.bids[0][0]), self.start
        rules = self._rules.get((self.venue, view.instrument))
        if base not in start and quote in start and rules is not None:
            start[base] = qty_to_lot(start[quote] / price, rules.lot_size)
        elif quote not in start and base in start:
            start[quote] = (start[base] * price).quantize(MONEY_STEP)

    def balances(self) -> Mapping[str, Balance]:
        """Return all balances opened so far."""
        return {
            asset: Balance(free=self.free(asset), used=self._locked.get(asset, ZERO))
            for asset in sorted(self.start)
        }

    def balance(self, asset: str) -> Decimal:
        """Return what there is of an asset."""
        change = self.books.inventory.get(f"{self.venue}|{asset}", ZERO)
        return self.start.get(asset, ZERO) + change

    def free(self, asset: str) -> Decimal:
        """Return the part of it that an order may use."""
        return self.balance(asset) - self._locked.get(asset, ZERO)

    def lock(
        self, order: OrderTerms, rules: InstrumentRules, qty: Decimal, *, is_sure: bool = False
    ) -> tuple[str, Decimal]:
        """Lock what this part of a resting order costs at worst; return the asset and amount.

        One that ``is_sure`` was looked at before.

        Raises:
            Rejected: It cannot be paid for.
        """
        cost = cost_of(order.instrument, qty, order.price_limit)
        fee = fee_amount(cost, self.fee_bps(rules))
        name = split_instrument(order.instrument)
        asset, amount = needed(name, order.side, qty=qty, cost=cost, fee=fee)
        if self.free(asset) < amount and not is_sure:
            raise Rejected(
                f"{amount} {asset} needed at {self.venue}", "INSUFFICIENT_BALANCE", Cause.FUNDS
            )
        self._locked[asset] = self._locked.get(asset, ZERO) + amount
        return asset, amount

    def unlock(self, asset: str, amount: Decimal) -> None:
        """Release a locked amount for other orders."""
        self._locked[asset] = self._locked.get(asset, ZERO) - amount

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
        """Check that an order can be paid for.

        Raises:
            Rejected: It cannot.
        """
        cost = sum((cost_of(order.instrument, qty, price) for price, qty in pieces), ZERO)
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
        return self._trade(terms, self.fee_bps(rules), price, qty, ts_ns)

    def book_resting(
        self, terms: OrderTerms, rules: InstrumentRules, price: Decimal, qty: Decimal, ts_ns: int
    ) -> tuple[Decimal, str]:
        """Book a fill of an order that rested, at the maker's fee; a rebate counts as none."""
        return self._trade(terms, max(ZERO, rules.maker_fee_bps), price, qty, ts_ns)

    def _trade(
        self, terms: OrderTerms, fee_bps: Decimal, price: Decimal, qty: Decimal, ts_ns: int
    ) -> tuple[Decimal, str]:
        _, quote, settle = split_instrument(terms.instrument)
        cost = cost_of(terms.instrument, qty, price)
        fee, fee_asset = fee_amount(cost, fee_bps), settle or quote
        self.books.trade(
            Execution(
                venue=self.venue,
                instrument=terms.instrument,
                side=terms.side,
                qty=qty,
                cost=cost,
                fee=fee,
                fee_asset=fee_asset,
                ts_ns=ts_ns,
            )
        )
        return fee, fee_asset


def paper_account(
    venue: str, rules: Mapping[tuple[str, str], InstrumentRules], config: Config
) -> PaperAccount:
    """Return a venue's account as it is configured."""
    return PaperAccount(
        venue,
        rules,
        config.executor.paper_balance,
        quote_assets=config.risk.quote_assets,
        balances=config.executor.paper_balances,
    )
