"""What one view of a book says; ``None`` unless it is LIVE and has both sides. Pure."""

from __future__ import annotations

from shared.messages.base import BookState
from shared.messages.market import DepthView


def mid(view: DepthView) -> float | None:
    """Return the middle of the best prices."""
    best = _best(view)
    return None if best is None else (best[0] + best[2]) / 2


def microprice(view: DepthView) -> float | None:
    """Return the best prices, each weighted by the quantity on the other side."""
    best = _best(view)
    if best is None:
        return None
    bid, bid_qty, ask, ask_qty = best
    return (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)


def spread_bps(view: DepthView) -> float | None:
    """Return the spread in basis points of the middle."""
    best = _best(view)
    return None if best is None else (best[2] - best[0]) / ((best[0] + best[2]) / 2) * 1e4


def imbalance(view: DepthView, levels: int = 1) -> float | None:
    """Return how much more is bid than offered on the best levels: -1 (only asks) to 1."""
    if _best(view) is None:
        return None
    bid = sum(qty for _, qty in view.bids[:levels])
    ask = sum(qty for _, qty in view.asks[:levels])
    return (bid - ask) / (bid + ask)


def basis_bps(perpetual: DepthView, spot: DepthView) -> tuple[float, float] | None:
    """Return what opening earns (perpetual's bid over spot's ask) and closing costs (its ask)."""
    future, now = _best(perpetual), _best(spot)
    if future is None or now is None:
        return None
    return (future[0] / now[2] - 1) * 1e4, (future[2] / now[0] - 1) * 1e4


def _best(view: DepthView) -> tuple[float, float, float, float] | None:
    if view.state is not BookState.LIVE or not (view.bids and view.asks):
        return None
    return (*view.bids[0], *view.asks[0])
