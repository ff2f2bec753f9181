"""One account's money at one venue: free and used balances, perpetual positions, fees. Pure.

Every movement has two ends: what the account gains the house loses, and fees are collected in
``fees``. So for each asset ``free + used + house + fees`` never changes, which the tests prove.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.exchange.listing import Listing
from shared.messages.base import Side

ZERO = Decimal(0)
FUNDINGS_MAX = 1_000
UNIT = Decimal("1e-8")  # the finest unit accounts are kept in, so that sums stay exact


@dataclass(slots=True)
class Balance:
    """What is free and what is locked in open orders."""

    free: Decimal = ZERO
    used: Decimal = ZERO


@dataclass(slots=True)
class Position:
    """A perpetual position: signed base units, and what they cost at the average entry price.

    An inverse one has quote units, and the coins that they are worth at that price: it gains what
    these become less by.
    """

    asset: str  # that it is settled in
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    inverse: bool = False

    @property
    def entry_price(self) -> Decimal:
        """Average entry price, zero without a position."""
        if self.inverse:
            return self.qty / self.cost if self.cost else ZERO
        return self.cost / self.qty if self.qty else ZERO

    def profit_at(self, price: Decimal) -> Decimal:
        """Return what it would realize at a price, in the asset of settlement."""
        if self.inverse:
            return self.cost - (self.qty / price).quantize(UNIT)
        return self.qty * price - self.cost


class AccountLedger:
    """Balances and positions of one account."""

    def __init__(self, start: Mapping[str, Decimal], leverage: Decimal) -> None:
        self.balances = {asset: Balance(amount) for asset, amount in start.items()}
        self.positions: dict[str, Position] = {}
        self.leverage = leverage
        self.house: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}
        self.funding: dict[str, Decimal] = {}
        """What fundings paid (negative: cost) in all."""
        self.fundings: deque[tuple[int, str, Decimal]] = deque(maxlen=FUNDINGS_MAX)
        """The newest: when it settled (ms), asset, amount."""

    def balance(self, asset: str) -> Balance:
        """Return an asset's balance, made empty if never held."""
        return self.balances.setdefault(asset, Balance())

    def total(self, asset: str) -> Decimal:
        """Return everything that exists of an asset: constant for ever."""
        balance = self.balance(asset)
        house, fees = self.house.get(asset, ZERO), self.fees.get(asset, ZERO)
        return balance.free + balance.used + house + fees

    def lock(self, asset: str, amount: Decimal) -> bool:
        """Move free to used; return whether there was enough."""
        balance = self.balance(asset)
        if balance.free - self.position_margin(asset) < amount:
            return False
        balance.free -= amount
        balance.used += amount
        return True

    def unlock(self, asset: str, amount: Decimal) -> None:
        """Move used back to free."""
        balance = self.balance(asset)
        assert ZERO <= amount <= balance.used, f"unlock {amount} of {balance.used} {asset}"
        balance.used -= amount
        balance.free += amount

    def settle_spot(self, base: str, quote: str, side: Side, qty: Decimal, price: Decimal) -> None:
        """Exchange base and quote with the house; both come from and go to free."""
        sign = 1 if side is Side.BUY else -1
        self._move(base, sign * qty)
        self._move(quote, -sign * qty * price)

    def settle_perpetual(
        self, listing: Listing, side: Side, qty: Decimal, price: Decimal
    ) -> Decimal:
        """Change a position; return the profit realized by what was closed, already booked.

        What all of it is worth is rounded once; the closed part has its share, the rest what is
        left.
        """
        position = self.positions.setdefault(
            listing.instrument, Position(listing.settle, inverse=listing.inverse)
        )
        signed = qty if side is Side.BUY else -qty
        closing = min(qty, abs(position.qty)) if signed * position.qty < 0 else ZERO
        released = position.cost
        if closing and closing != abs(position.qty):
            released = (position.cost * closing / abs(position.qty)).quantize(UNIT)
        pnl = ZERO
        worth = listing.worth(qty, price)
        left = worth
        if closing:
            part = listing.worth(closing, price)
            if listing.inverse and closing != qty:
                part = (worth * closing / qty).quantize(UNIT)
            gain = (part if position.qty > 0 else -part) - released
            pnl = -gain if listing.inverse else gain
            position.cost -= released
            left = worth - part
        position.cost += left if side is Side.BUY else -left
        position.qty += signed
        self._move(position.asset, pnl)
        return pnl

    def settle_funding(self, asset: str, amount: Decimal, ts_ms: int) -> None:
        """Take in what a funding pays, or pay it (negative); the other side is the house."""
        self._move(asset, amount)
        self.fundings.append((ts_ms, asset, amount))
        self.funding[asset] = self.funding.get(asset, ZERO) + amount

    def charge(self, asset: str, amount: Decimal) -> None:
        """Pay a fee from free."""
        self.balance(asset).free -= amount
        self.fees[asset] = self.fees.get(asset, ZERO) + amount

    def margin_needed(self, listing: Listing, side: Side, qty: Decimal, price: Decimal) -> Decimal:
        """Return the margin that the opening part of an order needs."""
        held = self.positions.get(listing.instrument)
        position = held.qty if held else ZERO
        signed = qty if side is Side.BUY else -qty
        opening = max(ZERO, abs(position + signed) - abs(position))
        return listing.worth(opening, price) / self.leverage

    def position_margin(self, asset: str) -> Decimal:
        """Margin held by the open positions that are settled in an asset."""
        held = (p for p in self.positions.values() if p.asset == asset)
        return sum((abs(p.cost) / self.leverage for p in held), ZERO)

    def transfer(self, asset: str, amount: Decimal) -> None:
        """Pay in, or withdraw: negative."""
        self._move(asset, amount)

    def _move(self, asset: str, amount: Decimal) -> None:
        self.balance(asset).free += amount
        self.house[asset] = self.house.get(asset, ZERO) - amount
