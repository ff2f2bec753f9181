"""What of positions and strategies a report of risk says: parts of ``RiskReport``."""

from __future__ import annotations

import msgspec

from shared.messages.base import Certainty
from shared.messages.bounds import Amount, AmountOrZero, Asset, Instrument, MaybeVenue


class PositionReport(msgspec.Struct, frozen=True, kw_only=True):
    """An open quantity (signed base units) and what closing it now would realize.

    ``venue`` is empty for spot, which counts over all venues together. ``entry`` is the average
    price paid; ``close_price`` the one at which the books would take the whole quantity, ``None``
    where they would not; ``unrealized`` is in quote units.
    """

    venue: MaybeVenue
    instrument: Instrument
    qty: Amount
    entry: Amount
    close_price: AmountOrZero | None = None
    unrealized: Amount | None = None


class StrategyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy earned, per quote asset, and holds open, as in ``RiskReport``."""

    realized: dict[Asset, Amount]
    fees: dict[Asset, Amount]
    unrealized: dict[Asset, Amount | None]
    certainty: Certainty
    positions: list[PositionReport] = []
    funding: dict[Asset, Amount] = {}
