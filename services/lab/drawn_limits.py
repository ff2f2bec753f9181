"""Limits on exposure, open orders and margin that are drawn for a world. Pure."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

CHANCE = 0.06
"""That a world has any one of these limits."""
EXPOSURE_MAX: dict[str, tuple[Any, ...]] = {
    "net_notional_max": (Decimal(4_000), Decimal(9_000)),
    "open_orders_max": (2, 4),
}
"""Of one or two plans, and of three or four; a plan trades up to 3,000 of the money."""
MARGIN_CHANCE = 0.15
"""That a world limits leverage, the distance from liquidation, or both."""
MARGIN: dict[str, tuple[Any, ...]] = {
    "leverage_max": (0.3, 0.6),
    "liquidation_bps_min": (5_000.0, 7_000.0),
    "maintenance_margin_bps": (Decimal(100), Decimal(1_000)),
}
COLLATERAL_SHARE = Decimal("0.0018")
"""Of what the account of derivatives begins with otherwise: about 9,000 of the money."""
STRATEGY_CHANCE = 0.1
"""That a strategy has a limit on all that it holds and has in flight."""
STRATEGY_MAX = (Decimal(2_500), Decimal(6_000))


def exposure_limits_of(seed: int) -> dict[str, Any]:
    """Return limits on exposure and open orders, by their names in ``[risk]``."""
    return _some_of(EXPOSURE_MAX, Random(f"{seed}/exposure limits"), CHANCE)


def margin_limits_of(seed: int) -> dict[str, Any]:
    """Return limits on the margin behind derivatives, by their names in ``[risk]``."""
    draw = Random(f"{seed}/margin limits")
    return _some_of(MARGIN, draw, 0.7) if draw.random() < MARGIN_CHANCE else {}


def strategy_max_of(seed: int, name: str) -> Decimal:
    """Return what a strategy may hold and have in flight, in quote units; 0: no limit."""
    draw = Random(f"{seed}/strategy limit/{name}")
    return draw.choice(STRATEGY_MAX) if draw.random() < STRATEGY_CHANCE else Decimal(0)


def _some_of(values: dict[str, tuple[Any, ...]], draw: Random, chance: float) -> dict[str, Any]:
    return {name: draw.choice(each) for name, each in values.items() if draw.random() < chance}
