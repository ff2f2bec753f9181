"""How a built-in strategy is shown by ``arb demo --strategies all``; kept in its own file. Pure.

``DEMO = Demo(...)`` beside the class says with which parameters, and on what market. Without it the
strategy runs with its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What a demo of a strategy needs.

    Attributes:
        params: Its parameters, where they are not the defaults.
        settings: Further fields of its ``[[strategies]]``, like ``directional_notional_max``.
        more_markets: Whether it needs the simulated markets between assets.
        more_venues: Whether it needs the simulated venues beside the usual ones.
        depeg_bps: How far the stable coin of these is to fall now and then.
        premium_bps: How far simulated perpetuals are to jump away from spot.
        funding_interval_s: Between their settlements; 0: as they are.
        only_watches: Why it trades nothing; empty where it trades.
    """

    params: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    more_markets: bool = False
    more_venues: bool = False
    depeg_bps: float = 0.0
    premium_bps: float = 0.0
    funding_interval_s: int = 0
    only_watches: str = ""
