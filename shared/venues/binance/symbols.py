"""Instrument <-> Binance spot spelling. Pure.

Binance writes base and quote without a separator: ``BTCUSDT``. Towards the venue that is exact;
back it is exact for instruments that were asked for, and by the known quote assets otherwise.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name

QUOTES = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USDS", "USD1", "DOGE", "EURI", "AEUR", "IDRT",
    "BIDR", "BKRW", "BVND", "BTC", "ETH", "BNB", "XRP", "TRX", "SOL", "DOT", "EUR", "GBP", "TRY",
    "BRL", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP",
    "IDR", "PAX", "DAI", "VAI", "USD",
)  # fmt: skip
"""Quote assets of Binance, longest first (exchangeInfo, 2021 to 2026)."""


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT`` -> ``BTCUSDT``.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol that was not asked for, ``None`` where no known quote ends it."""
    pair = split_pair(symbol)
    return None if pair is None else f"{pair[0]}/{pair[1]}"


def split_pair(symbol: str) -> tuple[str, str] | None:
    """Split base and quote at the longest known quote asset."""
    text = symbol.upper()
    for quote in QUOTES:
        if text.endswith(quote) and len(text) > len(quote):
            return text[: -len(quote)], quote
    return None
