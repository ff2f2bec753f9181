"""Instrument <-> Coinbase Exchange's product id: ``BTC/USD`` is ``BTC-USD``. Pure."""

from __future__ import annotations

import re

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name

_ID = re.compile(r"([A-Z0-9]{1,20})-([A-Z0-9]{1,20})")


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}-{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a product, ``None`` where it is no pair."""
    match = _ID.fullmatch(symbol)
    return f"{match[1]}/{match[2]}" if match else None
