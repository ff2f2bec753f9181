"""Terms of an opportunity beside its legs: conversions and funding; money in quote units."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.messages.bounds import Amount, Asset, Bps, Count, FundingTime, LegIndex, Price


class ConversionTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the leg number ``leg`` costs, which exchanges ``asset`` for the quote asset.

    ``rate`` is what a unit of ``asset`` brings after the fee, at the prices that were walked,
    ``middle`` what it would bring at the middle of that book. ``spread`` is lost against the middle
    to spread and depth, ``fee`` to the fee. ``net`` of the opportunity is after both, ``gross``
    after the spread.
    """

    leg: LegIndex
    asset: Asset
    rate: Price
    middle: Price
    spread: Amount
    fee: Amount

    @property
    def cost(self) -> Decimal:
        """All of it."""
        return self.spread + self.fee


class CarryTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a round that is held for funding is expected to bring and to cost; an estimate.

    ``rate`` is predicted for the settlement at ``ts_funding_ns``, a fraction of the notional, as it
    counts for both legs together; settlements are ``interval_ns`` apart. ``funding_next`` is what
    that one brings (negative: costs), ``funding`` what all ``settlements`` within the horizon do,
    each at this rate. ``fees`` and ``spreads`` are of opening and closing, ``basis`` what is lost
    on it by then (negative: gained). ``settlements_to_earn`` earn these three. ``apr_gross`` and
    ``apr_net`` are fractions a year, of the rates that settled last, before and after the costs
    over the horizon and borrow. ``liquidation_bps`` is the distance to liquidation at the opening.
    """

    rate: Amount
    interval_ns: Count
    ts_funding_ns: FundingTime
    settlements: Count
    settlements_to_earn: Count
    funding_next: Amount
    funding: Amount
    fees: Amount
    spreads: Amount
    basis: Amount
    apr_gross: Amount
    apr_net: Amount
    liquidation_bps: Bps

    @property
    def cost(self) -> Decimal:
        """What opening and closing cost."""
        return self.fees + self.spreads + self.basis

    @property
    def net(self) -> Decimal:
        """Funding less costs."""
        return self.funding - self.cost
