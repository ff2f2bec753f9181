"""How others may write an instrument: what a table's own columns and names are held against."""

from __future__ import annotations

import re

from shared.domain.instrument import split_instrument
from shared.errors import ConfigError
from shared.venues.registry import EVERY, load_feed

_PLAIN = re.compile(r"[^A-Z0-9]")
OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


def plain(symbol: str) -> str:
    """Return the letters and digits of a symbol."""
    return _PLAIN.sub("", symbol.upper())


def spellings_of(venue: str, instrument: str) -> list[str]:
    """Return how an instrument may be written, letters and digits only, the venue's way first.

    Raises:
        ConfigError: The venue has no such instrument.
    """
    found: list[str] = []
    try:
        if venue in EVERY:
            found.append(plain(load_feed(venue).to_symbol(instrument)))
        name = split_instrument(instrument)
    except ValueError as error:
        raise ConfigError(f"--instrument {instrument}: {error}") from error
    pair = plain(name.base + name.quote)
    settle, _, expiry = (name.settle or "").partition("-")
    if expiry:
        found.append(pair + expiry)
    else:
        found += [pair, *([pair + "PERP", pair + "SWAP", pair + plain(settle)] if settle else [])]
    return found


def is_of(symbol: str, spellings: list[str]) -> bool:
    """Tell whether a symbol is one of these, whatever stands between its parts."""
    text = plain(symbol)
    for old, new in OLD_NAMES.items():
        text = text.replace(old, new) if text not in spellings else text
    return text in spellings
