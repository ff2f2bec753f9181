"""Instrument <-> Kraken WebSocket v2 spelling. Pure.

Version 2 spells symbols as we do (``BTC/USD``); version 1 and REST say ``XBT`` and ``XDG``.
"""

from __future__ import annotations

from shared.domain.instrument import split_instrument

_OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling.

    Raises:
        ValueError: Not a spot instrument.
    """
    if split_instrument(instrument).settle is not None:
        raise ValueError(f"{instrument} is not a spot instrument; this venue has BASE/QUOTE only")
    return instrument


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is not a pair."""
    base, slash, quote = symbol.partition("/")
    if not (base and slash and quote) or "/" in quote or ":" in symbol:
        return None
    return f"{_OLD_NAMES.get(base, base)}/{_OLD_NAMES.get(quote, quote)}"
