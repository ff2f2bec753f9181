"""What an account has of an asset, and what moved it beside all that we booked there."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.messages.base import DecisionMessage
from shared.messages.bounds import Amount, Asset, Moment, Venue


class Balance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One asset on one venue: what orders may use, and what orders and positions hold.

    ``wallet`` is what trades, fees, funding and transfers left, without the open results of
    positions; ``None``: the venue tells none, and counts nothing else in ``free`` and ``used``.
    """

    free: Amount
    used: Amount
    wallet: Amount | None = None

    @property
    def settled(self) -> Decimal:
        """What no price moves: it changes by trades, fees, funding and transfers alone."""
        return self.free + self.used if self.wallet is None else self.wallet


class BalanceMoved(DecisionMessage, frozen=True, kw_only=True, tag="balance_moved"):
    """A balance differs from our fills, fees and funding by ``amount`` (positive: there is more).

    A deposit, a withdrawal, or somebody else's trade in the account: the balance does not tell
    which. Unique by (venue, asset, ts_ns). It is no profit and no loss. ``ts_since_ns`` is when the
    venue's balances last agreed (0: not known). One that turns out to have been a fill told late is
    followed by another of the opposite sign.
    """

    venue: Venue
    asset: Asset
    amount: Amount
    ts_since_ns: Moment = 0
