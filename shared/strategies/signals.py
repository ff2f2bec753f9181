"""Signals of a direction: the strategy gives the direction, risk the quantity. Pure."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from shared.messages.arb import Signal, Target
from shared.messages.market import DepthView

_MS = 1_000_000


class Conviction(NamedTuple):
    """What is wanted of a position.

    Attributes:
        target: Which way.
        stop_bps: From the entry to where it is wrong; above 0 for LONG and SHORT.
        strength: Share of the risk that the strategy may take, 0 to 1.
        horizon_ms: How long it is meant; 0 is not stated.
    """

    target: Target
    stop_bps: Decimal = Decimal(0)
    strength: Decimal = Decimal(1)
    horizon_ms: int = 0


def make_signal(
    strategy_id: str,
    round_id: str,
    view: DepthView,
    wanted: Conviction,
    *,
    now_ns: int,
    ttl_ms: int = 500,
) -> Signal:
    """Return the signal about one book; its id is a function of the book and what is wanted."""
    text = f"{strategy_id}|{round_id}|{wanted.target}>{view.book_id}"
    return Signal(
        ts_ns=now_ns,
        signal_id=blake2b(text.encode(), digest_size=8).hexdigest(),
        detector=strategy_id,
        round_id=round_id,
        venue=view.venue,
        instrument=view.instrument,
        target=wanted.target,
        strength=wanted.strength,
        stop_bps=wanted.stop_bps,
        horizon_ns=wanted.horizon_ms * _MS,
        ts_recv_ns=view.ts_recv_ns,
        ts_depth_ns=view.ts_ns,
        ts_expire_ns=now_ns + ttl_ms * _MS,
        strategy_id=strategy_id,
    )
