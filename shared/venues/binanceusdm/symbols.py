"""Instrument <-> Binance futures spelling. Pure.

Linear perpetuals read ``BTCUSDT``, dated ones ``BTCUSDT_261225``, COIN-M ``BTCUSD_PERP``.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.binance.symbols import is_inverse, split_pair
from shared.venues.names import checked_name


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT:USDT`` -> ``BTCUSDT``.

    Raises:
        ValueError: Not a linear perpetual.
    """
    name = checked_name(instrument, InstrumentKind.LINEAR)
    return f"{name.base}{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol that was not asked for, ``None`` where no known quote ends it."""
    text, _, suffix = symbol.upper().partition("_")
    if is_inverse(symbol):
        base = settle = text.removesuffix("USD")
        quote = "USD"
    else:
        pair = split_pair(text)
        if pair is None:
            return None
        base, quote = pair
        settle = quote
    dated = f"-{suffix}" if suffix and suffix != "PERP" else ""
    return f"{base}/{quote}:{settle}{dated}"
