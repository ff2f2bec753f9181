"""Where a directional position ends: its stop, the opposite signal, its time. Pure, Decimal."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from shared.domain.fees import ONE_BP
from shared.domain.rounding import price_to_tick
from shared.messages.base import Side

_MS = 1_000_000


class Exit(StrEnum):
    """Why a position is closed."""

    STOP = "STOP"
    REVERSE = "REVERSE"
    TIME = "TIME"


def stop_price(side: Side, entry: Decimal, stop_bps: Decimal, tick_size: Decimal) -> Decimal:
    """Return where a position from ``entry`` stops, on the tick that loses no more than that.

    Args:
        side: Of the opening.
        entry: Its average price.
        stop_bps: Distance, of the entry; below 10,000 for a long.
        tick_size: The venue's grid.
    """
    price = entry * (1 - side.signed(stop_bps) * ONE_BP)
    return price_to_tick(price, tick_size, side.opposite, aggressive=False)


def exit_of(
    side: Side,
    *,
    stop: Decimal,
    executable: Decimal,
    wanted: Side | None,
    ts_opened_ns: int,
    now_ns: int,
    held_ms_max: int,
) -> Exit | None:
    """Return why a position is to be closed now; ``None`` if it is not.

    Args:
        side: Of its opening.
        stop: From ``stop_price``.
        executable: What closing it would get: the bid of a long, the ask of a short.
        wanted: The direction that the signal wants.
        ts_opened_ns: When it was opened.
        now_ns: Now.
        held_ms_max: Longest holding.
    """
    if executable <= stop if side is Side.BUY else executable >= stop:
        return Exit.STOP
    if wanted is side.opposite:
        return Exit.REVERSE
    return Exit.TIME if now_ns - ts_opened_ns >= held_ms_max * _MS else None
