"""What venues hold against what they should hold, as risk counts it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.messages.base import DecisionMessage
from shared.messages.bounds import Amount, AmountOrZero, Asset, Bps, Venue

PLACES_MAX = 1_024
"""Venues and assets with a target."""


class PlaceHeld(msgspec.Struct, frozen=True, kw_only=True):
    """One venue and asset with a target: what may still be spent there, and its band in units."""

    venue: Venue
    asset: Asset
    held: Amount
    low: AmountOrZero
    target: AmountOrZero
    high: AmountOrZero


class InventoryTold(DecisionMessage, frozen=True, kw_only=True, tag="inventory_told"):
    """Every place whose balance and band are known; every second.

    A trade is charged up to ``charge_bps_max`` for each place that it empties, and rewarded up to
    ``reward_bps_max`` in all for what it brings back (``shared/domain/skew.py``). A place with a
    target that is not named is not known.
    """

    charge_bps_max: Bps
    reward_bps_max: Bps
    places: Annotated[list[PlaceHeld], Meta(max_length=PLACES_MAX)]
