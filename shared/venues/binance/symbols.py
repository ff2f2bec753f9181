"""Instrument <-> Binance spot spelling. Pure.

Binance writes base and quote without a separator: ``BTCUSDT``. Towards the venue that is exact;
back it is exact for instruments that were asked for or that the venue's metadata names, and by the
known quote assets otherwise.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name

QUOTES = (  # names to look through, many on a line
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USDS", "USD1", "DOGE", "EURI", "AEUR", "IDRT",
    "BIDR", "BKRW", "BVND", "BTC", "ETH", "BNB", "XRP", "TRX", "SOL", "DOT", "EUR", "GBP", "TRY",
    "BRL", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP",
    "IDR", "PAX", "DAI", "VAI", "USD",
)  # fmt: skip
"""Quote assets of Binance and Binance.US, longest first (exchangeInfo, 2021 to 2026)."""

_BASES = frozenset({  # names to look through, many on a line
    "BNB", "SHIB", "CKB",
    "USDT", "DOT", "BAT", "GRT", "ANT", "APT", "ONT", "QNT", "LPT", "FTT", "FET", "IOST",
    "ADA", "LUNA", "GALA", "MANA", "IOTA", "ALPHA", "BETA",
})  # fmt: skip
"""Bases whose last letter reads like the first of a longer quote: ``BNBUSD`` is BNB/USD."""
_BASES_US = _BASES | {"ARB"}
"""``ARBUSD`` was AR/BUSD on Binance and is ARB/USD on Binance.US."""


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT`` -> ``BTCUSDT``.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}{name.quote}"


def to_instrument(symbol: str, *, is_us: bool = False) -> str | None:
    """Return our name of a symbol that was not asked for, ``None`` where no known quote ends it."""
    pair = split_pair(symbol, is_us=is_us)
    return None if pair is None else f"{pair[0]}/{pair[1]}"


def split_pair(symbol: str, *, is_us: bool = False) -> tuple[str, str] | None:
    """Split base and quote: at the longest known quote, unless a shorter leaves a known base."""
    text = symbol.upper()
    bases = _BASES_US if is_us else _BASES
    pairs = [
        (text[: -len(quote)], quote)
        for quote in QUOTES
        if text.endswith(quote) and len(text) > len(quote)
    ]
    if not pairs:
        return None
    return next((pair for pair in pairs[1:] if pair[0] in bases), pairs[0])


def is_inverse(symbol: str) -> bool:
    """Tell a COIN-M symbol: all are ``<base>USD_PERP`` or ``<base>USD_<date>``, and no other is."""
    pair, _, suffix = symbol.upper().partition("_")
    return bool(suffix) and pair.endswith("USD") and len(pair) > len("USD")
