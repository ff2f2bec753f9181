"""Instrument <-> Bitstamp's spelling: base and quote in small letters, ``btcusd``. Pure.

Towards the venue that is exact; back it is exact for instruments that the venue's list names, and
by the known quote assets otherwise.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name

QUOTES = ("USDT", "USDC", "EURC", "USD", "EUR", "GBP", "BTC", "ETH", "PAX")
"""Quote assets, longest first (markets, 2022 to 2026)."""


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USD`` -> ``btcusd``.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}{name.quote}".lower()


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol that was not learned, ``None`` where no known quote ends it."""
    text = symbol.upper()
    if not text.isalnum():
        return None
    found = (quote for quote in QUOTES if text.endswith(quote) and len(text) > len(quote))
    quote = next(found, None)
    return f"{text[: -len(quote)]}/{quote}" if quote else None
