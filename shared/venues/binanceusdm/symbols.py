"""Instrument <-> Binance futures spelling. Pure.

Linear perpetuals read ``BTCUSDT``, dated ones ``BTCUSDT_261225``, COIN-M ``BTCUSD_PERP``.
"""

from __future__ import annotations

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.venues.binance.symbols import split_pair


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USDT:USDT`` -> ``BTCUSDT``.

    Raises:
        ValueError: A spot instrument.
    """
    name = split_instrument(instrument)
    if name.kind is InstrumentKind.SPOT:
        raise ValueError(
            f"{instrument} is not a perpetual; this venue has BASE/QUOTE:SETTLE, "
            f"like {instrument}:{name.quote}"
        )
    suffix = "_PERP" if name.kind is InstrumentKind.INVERSE else ""
    return f"{name.base}{name.quote}{suffix}".upper()


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol that was not asked for, ``None`` where no known quote ends it."""
    pair_text, _, suffix = symbol.upper().partition("_")
    pair = split_pair(pair_text)
    if pair is None:
        return None
    base, quote = pair
    settle = base if quote == "USD" else quote
    dated = f"-{suffix}" if suffix and suffix != "PERP" else ""
    return f"{base}/{quote}:{settle}{dated}"
