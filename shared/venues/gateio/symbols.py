"""Instrument <-> Gate's spelling: base and quote joined by a low line, ``BTC_USDT``. Pure."""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT`` -> ``BTC_USDT``.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}_{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is not a pair."""
    base, line, quote = symbol.partition("_")
    if not (base and line and quote) or "_" in quote or "/" in symbol:
        return None
    return f"{base}/{quote}"
