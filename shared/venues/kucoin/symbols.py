"""Instrument <-> KuCoin's spelling: base and quote joined by a dash, ``BTC-USDT``. Pure."""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind
from shared.venues.names import checked_name


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT`` -> ``BTC-USDT``.

    Raises:
        ValueError: Not a spot instrument.
    """
    name = checked_name(instrument, InstrumentKind.SPOT)
    return f"{name.base}-{name.quote}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is not a pair."""
    base, dash, quote = symbol.partition("-")
    if not (base and dash and quote) or "-" in quote or "/" in symbol or ":" in symbol:
        return None
    return f"{base}/{quote}"
