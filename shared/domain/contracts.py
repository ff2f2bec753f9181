"""What a number of contracts is worth, earns and pays: linear, inverse and spot. Pure, Decimal.

    linear   base = N * size      a long from E to X earns N * size * (X - E), in quote units
    inverse  base = N * size / P  a long from E to X earns N * size * (1/E - 1/X), in coins

Whatever a contract earns, pays or owes is in the asset it is settled in: the quote asset of a
linear one, the base asset (coins) of an inverse one. Contracts held are signed: a short is below 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.depth import ExactLevel, Walked, walk_exact
from shared.domain.fees import MONEY_STEP, ONE_BP
from shared.domain.instrument import InstrumentKind
from shared.domain.rounding import price_average
from shared.messages.base import Side

_ONE = Decimal(1)
_ZERO = Decimal(0)
_WIDE = Context(prec=700)


class Contract(NamedTuple):
    """A kind of contract; ``size`` is base units in one, of an inverse one quote units."""

    kind: InstrumentKind
    size: Decimal = _ONE

    @property
    def is_inverse(self) -> bool:
        """Tell whether it is settled in the base asset."""
        return self.kind is InstrumentKind.INVERSE

    def base(self, contracts: Decimal, price: Decimal) -> Decimal:
        """Return the base units that contracts are at a price."""
        units = contracts * self.size
        return units / price if self.is_inverse else units

    def contracts(self, base: Decimal, price: Decimal) -> Decimal:
        """Return how many contracts hold ``base`` units at a price, before any lot."""
        return (base * price if self.is_inverse else base) / self.size

    def notional(self, contracts: Decimal, price: Decimal) -> Decimal:
        """Return what contracts are worth in quote units."""
        units = contracts * self.size
        return units if self.is_inverse else units * price

    def settled(self, contracts: Decimal, price: Decimal) -> Decimal:
        """Return the same in the asset of settlement: what fees and funding are a share of."""
        return self.base(contracts, price) if self.is_inverse else self.notional(contracts, price)

    def profit(self, held: Decimal, entry: Decimal, leave: Decimal) -> Decimal:
        """Return what signed contracts earn from one price to another, in their settlement."""
        units = held * self.size
        return units * (_ONE / entry - _ONE / leave) if self.is_inverse else units * (leave - entry)

    def fee(self, contracts: Decimal, price: Decimal, fee_bps: Decimal) -> Decimal:
        """Return the fee on a trade in the settlement, rounded up like every fee."""
        owed = self.settled(abs(contracts), price) * fee_bps * ONE_BP
        return owed.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)

    def funding(self, held: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
        """Return what a settlement pays to signed contracts: above zero, longs pay shorts."""
        return -rate * self.settled(held, mark)

    def walk(self, levels: Iterable[ExactLevel], contracts: Decimal, side: Side) -> Walked | None:
        """Return what taking contracts from levels of contracts costs; ``None`` if they lack them.

        The average of an inverse one is the price at which all contracts are as many coins as the
        parts are at theirs: sum(N) / sum(N / P), rounded against us.
        """
        if not self.is_inverse:
            return walk_exact(levels, contracts, side)
        assert contracts > 0
        left, coins = contracts, _ZERO
        for used, (price, there) in enumerate(levels, start=1):
            taken = min(left, there)
            coins += taken / price
            left -= taken
            if not left:
                return Walked(price_average(contracts, coins, side), price, used)
        return None

    def in_base(self, levels: Iterable[ExactLevel]) -> list[ExactLevel]:
        """Return levels of contracts as levels of base units."""
        return [(price, self.base(there, price)) for price, there in levels]


SPOT: Final = Contract(InstrumentKind.SPOT)
"""A unit of the asset itself, which trades like a linear contract of one."""
