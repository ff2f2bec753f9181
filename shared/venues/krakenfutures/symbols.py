"""Instrument <-> Kraken Futures' product id. Pure.

``PF_XBTUSD`` is a linear perpetual (multi-collateral), ``PI_XBTUSD`` an inverse one; ``FF_`` and
``FI_`` with a date are dated futures, which only recordings are read of.
"""

from __future__ import annotations

import re

from shared.domain.instrument import InstrumentKind, InstrumentName, split_instrument
from shared.venues.names import checked_name

QUOTE = "USD"
_NAMES = {"XBT": "BTC"}
_SPELLED = {ours: theirs for theirs, ours in _NAMES.items()}
_ID = re.compile(r"(PF|PI)_([A-Z0-9]{1,20})USD|(FF|FI)_([A-Z0-9]{1,20})USD_(\d{6})")


def to_symbol(instrument: str) -> str:
    """Return the venue's spelling: ``BTC/USD:USD`` -> ``PF_XBTUSD``, ``BTC/USD:BTC`` -> ``PI_...``.

    Raises:
        ValueError: Not a perpetual quoted in dollars.
    """
    name = checked_name(instrument, InstrumentKind.LINEAR, InstrumentKind.INVERSE)
    if name.quote != QUOTE:
        raise ValueError(
            f"{instrument} is quoted in {name.quote}; this venue's perpetuals are quoted in USD, "
            f"like {name.base}/USD:USD"
        )
    for theirs, ours in _NAMES.items():
        if name.base == theirs:
            raise ValueError(f"{instrument}: {theirs} is called {ours} here")
    return _spelled(name)


def spelled(instrument: str) -> str:
    """Return the product id of anything that a recording may hold."""
    return _spelled(split_instrument(instrument))


def to_instrument(symbol: str) -> str | None:
    """Return our name of a product, in whatever case; ``None`` for indices and what is unknown."""
    match = _ID.fullmatch(symbol.upper())
    if match is None:
        return None
    perpetual, perpetual_base, dated, dated_base, expiry = match.groups()
    spelled_base = perpetual_base or dated_base
    base = _NAMES.get(spelled_base, spelled_base)
    settle = base if (perpetual or dated)[1] == "I" else QUOTE
    return f"{base}/{QUOTE}:{settle}" + (f"-{expiry}" if expiry else "")


def _spelled(name: InstrumentName) -> str:
    settle, _, expiry = (name.settle or "").partition("-")
    kind = ("F" if expiry else "P") + ("F" if settle == name.quote else "I")
    base = _SPELLED.get(name.base, name.base)
    return f"{kind}_{base}{name.quote}" + (f"_{expiry}" if expiry else "")
