"""Instrument <-> Bybit's spelling of perpetuals. Pure.

Those settled in USDT read ``BTCUSDT``, in USDC ``BTCPERP``, inverse ones, settled in their base,
``BTCUSD``. Which of them a symbol is shows in it; spot has the same symbols under another path.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind, InstrumentName, split_instrument
from shared.venues.names import checked_name

LINEAR, INVERSE = "linear", "inverse"
"""The venue's categories, which paths and requests name."""
CATEGORIES = (LINEAR, INVERSE)
"""Those that are traded here."""


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT:USDT`` -> ``BTCUSDT``, ``BTC/USD:BTC`` -> ``BTCUSD``.

    Raises:
        ValueError: Not a perpetual.
    """
    return spelled(checked_name(instrument, InstrumentKind.LINEAR, InstrumentKind.INVERSE))


def spelled(name: InstrumentName) -> str:
    """Return the venue's spelling of a perpetual."""
    return f"{name.base}PERP" if name.quote == "USDC" else f"{name.base}{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is not a perpetual's."""
    if not symbol.isalnum():  # dated futures and options
        return None
    for ending, quote in (("USDT", "USDT"), ("PERP", "USDC"), ("USD", "USD")):
        base = symbol.removesuffix(ending)
        if base and base != symbol:
            return f"{base}/{quote}:{base if quote == 'USD' else quote}"
    return None


def category_of(instrument: str) -> str:
    """Return the category that an instrument is in."""
    is_inverse = split_instrument(instrument).kind is InstrumentKind.INVERSE
    return INVERSE if is_inverse else LINEAR
