"""Instrument <-> OKX's spelling (``instId``). Pure.

Spot reads ``BTC-USDT``, a perpetual ``BTC-USDT-SWAP``, a dated future ``BTC-USD-220527``. The feed
takes spot; recordings are read whole, so the other names are known as well.
"""

from __future__ import annotations

import re

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.venues.names import checked_name

SWAP = "SWAP"
_ID = re.compile(r"([A-Z0-9]{1,20})-([A-Z0-9]{1,20})(?:-(SWAP|\d{6}))?")


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling of a pair: ``BTC/USDT`` -> ``BTC-USDT``.

    Raises:
        ValueError: Not spot.
    """
    checked_name(instrument, InstrumentKind.SPOT)
    return spelled(instrument)


def spelled(instrument: str) -> str:
    """Return the venue's spelling of anything that a recording may hold."""
    name = split_instrument(instrument)
    pair = f"{name.base}-{name.quote}"
    if name.settle is None:
        return pair
    _, dash, expiry = name.settle.partition("-")
    return f"{pair}-{expiry if dash else SWAP}"


def to_instrument(symbol: str) -> str | None:
    """Return our name of a symbol, ``None`` where it is none of those, such as an option's.

    Contracts quoted in ``USD`` are settled in their base, all others in their quote.
    """
    match = _ID.fullmatch(symbol)
    if match is None:
        return None
    base, quote, contract = match.groups()
    if contract is None:
        return f"{base}/{quote}"
    settle = base if quote == "USD" else quote
    return f"{base}/{quote}:{settle}" + ("" if contract == SWAP else f"-{contract}")
