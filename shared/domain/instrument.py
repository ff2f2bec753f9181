"""Instruments: our names. Pure.

An instrument is the ccxt unified symbol: ``BTC/USDT`` spot, ``BTC/USDT:USDT`` linear perpetual,
``BTC/USD:BTC`` inverse perpetual. The venue's own spelling stays inside its folder.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

MarketKey = tuple[str, str]
"""A market as a key: venue and instrument."""


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
    def cash(self) -> str:
        """The asset that it is settled in: what is paid for spot, what a perpetual earns."""
        return self.settle or self.quote

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


def is_spot(instrument: str) -> bool:
    """Tell whether an instrument is the asset itself and no contract on it.

    Raises:
        ValueError: The name is malformed.
    """
    return split_instrument(instrument).settle is None
