"""Instruments: our names and the venue's trading rules. Pure.

An instrument is the ccxt unified symbol: ``BTC/USDT`` spot, ``BTC/USDT:USDT`` linear perpetual,
``BTC/USD:BTC`` inverse perpetual. The venue's own spelling stays inside its folder.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

STEP_MIN = Decimal("1e-18")
STEP_MAX = Decimal("1e18")
"""Least and largest tick, lot or contract: beyond, one of the numbers is wrong."""
FEE_BPS_LIMIT = Decimal(10_000)
"""A fee, or a rebate, is less than what is traded."""


class InstrumentKind(StrEnum):
    """What holding one means."""

    SPOT = "spot"
    LINEAR = "linear"  # perpetual settled in the quote asset
    INVERSE = "inverse"  # perpetual settled in the base asset


class InstrumentName(NamedTuple):
    """The parts of an instrument's name."""

    base: str
    quote: str
    settle: str | None

    @property
    def kind(self) -> InstrumentKind:
        """Tell spot, linear and inverse apart by the settlement asset."""
        if self.settle is None:
            return InstrumentKind.SPOT
        return InstrumentKind.LINEAR if self.settle == self.quote else InstrumentKind.INVERSE


@lru_cache(maxsize=65_536)
def split_instrument(instrument: str) -> InstrumentName:
    """Split a unified symbol into base, quote and settlement asset.

    Raises:
        ValueError: The text is not ``BASE/QUOTE`` or ``BASE/QUOTE:SETTLE``.
    """
    pair, _, settle = instrument.partition(":")
    base, slash, quote = pair.partition("/")
    if not (base and slash and quote) or (":" in instrument and not settle):
        raise ValueError(
            f"instrument {instrument!r} is not BASE/QUOTE or BASE/QUOTE:SETTLE, like BTC/USDT"
        )
    return InstrumentName(base, quote, settle or None)


class InstrumentRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue accepts for one instrument, in base units, quote units and basis points.

    Decimal because orders are made from it. ``contract_size`` is base units per contract (1 on
    spot); ``lot_size`` and ``qty_min`` are already in base units.
    """

    venue: str
    instrument: str
    tick_size: Decimal
    lot_size: Decimal
    qty_min: Decimal
    notional_min: Decimal
    taker_fee_bps: Decimal
    maker_fee_bps: Decimal
    contract_size: Decimal = Decimal(1)
    active: bool = True


def rules_flaw(rules: InstrumentRules) -> str:
    """Return what of a venue's rules nothing can be rounded or priced with; empty if nothing."""
    try:
        split_instrument(rules.instrument)
    except ValueError as error:
        return str(error)
    for field in ("tick_size", "lot_size", "contract_size"):
        step: Decimal = getattr(rules, field)
        if not (step.is_finite() and STEP_MIN <= step <= STEP_MAX):
            return f"{field} is {step}"
    for field in ("qty_min", "notional_min"):
        least: Decimal = getattr(rules, field)
        if not (least.is_finite() and 0 <= least <= STEP_MAX):
            return f"{field} is {least}"
    for field in ("taker_fee_bps", "maker_fee_bps"):
        fee: Decimal = getattr(rules, field)
        if not (fee.is_finite() and abs(fee) < FEE_BPS_LIMIT):
            return f"{field} is {fee}"
    return ""
