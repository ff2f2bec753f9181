"""Instrument <-> Kraken WebSocket v2 spelling. Pure.

Version 2 spells symbols as we do (``BTC/USD``); version 1 and REST say ``XBT`` and ``XDG``.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name

OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
"""Assets that version 1 and REST spell otherwise than version 2."""


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    for old, new in OLD_NAMES.items():
        if old in (name.base, name.quote):
            raise ValueError(f"{instrument}: this venue writes {old} as {new} here")
    return instrument


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is not a pair."""
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote) or "/" in quote or ":" in symbol:
        return None
    return f"{OLD_NAMES.get(base, base)}/{OLD_NAMES.get(quote, quote)}"
