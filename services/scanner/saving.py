"""The saved state of a strategy, with what its host keeps for it. Pure.

A state belongs to one strategy file, one set of parameters and one version of arbstream's own code.
A state of any other is not restored: the strategy begins without one, and its host reports that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from services.scanner.hosted import Hosted
from services.scanner.watched import Failed, Watch, asked
from shared.domain.instrument import MarketKey
from shared.messages.market import DepthView
from shared.strategies.near_misses import NearMisses
from shared.strategies.saved_state import StateError, decode_state, encode_state

_HOST = ("ts_ready_ns", "ts_window_ns", "outputs", "deadline_ns", "traded")
"""What the host remembers of a strategy, beside its bars."""


class SavedStrategy(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A state as it is kept; new fields last, with a default."""

    version: int
    strategy_hash: str
    code_hash: str
    ts_ns: int
    state: bytes


VERSION = 1
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(SavedStrategy).decode


def save(
    hosted: Hosted, newest: Mapping[MarketKey, DepthView], now_ns: int, watch: Watch | None
) -> bytes:
    """Return the state of a strategy.

    Args:
        hosted: The strategy.
        newest: Views that the host remembers; those of its books are kept with it, so that after a
            restart it can be told that they are of another time.
        now_ns: The time.
        watch: Of the process around it.

    Raises:
        StateError: It holds what cannot be saved, or too much, or failed.
    """
    try:
        with asked(hosted.id, watch):
            told = hosted.strategy.save()
    except Failed as error:
        raise StateError(f"save(): {error}") from error
    books = {
        market: view
        for market, view in newest.items()
        if any(wanted.covers(*market) for wanted in hosted.inputs)
    }
    host = {name: getattr(hosted, name) for name in _HOST}
    state = encode_state(
        {"strategy": told, "host": host, "bars": hosted.bar_maker.builders, "books": books}
    )
    return _ENCODE(
        SavedStrategy(
            version=VERSION,
            strategy_hash=hosted.hash,
            code_hash=hosted.code_hash,
            ts_ns=now_ns,
            state=state,
        )
    )


def restore(
    hosted: Hosted, saved: bytes, now_ns: int, watch: Watch | None
) -> Mapping[MarketKey, DepthView]:
    """Give a strategy that has seen nothing yet its state back; return the views it knows.

    Raises:
        StateError: It was not taken, and why; the strategy is as new.
    """
    try:
        found = _DECODE(saved)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"not a saved state: {error}") from error
    if found.version != VERSION:
        raise StateError(f"saved in format {found.version}, this is {VERSION}")
    if found.strategy_hash != hosted.hash:
        raise StateError("its file or its parameters changed")
    if found.code_hash != hosted.code_hash:
        raise StateError("arbstream itself changed")
    state = decode_state(found.state)
    if not isinstance(state, dict) or set(state) != {"strategy", "host", "bars", "books"}:
        raise StateError("not a saved state: parts are missing")
    try:
        with asked(hosted.id, watch):
            hosted.strategy.restore(state["strategy"], now_ns)
    except Failed as error:
        hosted.begin_anew()
        raise StateError(f"restore(): {error}") from error
    if type(getattr(hosted.strategy, "near_misses", None)) is not NearMisses:
        hosted.begin_anew()
        raise StateError("restore(): it took self.near_misses away, which counts for its host")
    hosted.adopt(hosted.strategy)
    for name, value in state["host"].items():
        if name in _HOST:
            setattr(hosted, name, value)
    hosted.bar_maker.take_back(state["bars"])
    books: Mapping[Any, DepthView] = state["books"]
    return books
