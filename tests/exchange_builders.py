"""Three simulated exchanges over one market, for tests of shared/exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared.exchange.client import SimulatedExchange
from shared.exchange.events import NewOrder
from shared.exchange.generator import COARSE, Shape
from shared.exchange.listing import listing_of
from shared.exchange.world import SimulatedMarket
from shared.messages.base import Side
from shared.messages.rules import InstrumentRules

D = Decimal
BALANCES = {"USDT": D(500_000), "BTC": D(5), "ETH": D(50), "SOL": D(500), "FEE": D(1)}
BASES = ("BTC", "ETH", "SOL")
FEES_BPS = {"alpha": "10", "beta": "25", "perps": "5"}


def make_rules(venue: str, instrument: str, **changes: Any) -> InstrumentRules:
    values: dict[str, Any] = {
        "venue": venue,
        "instrument": instrument,
        "tick_size": D("0.01"),
        "lot_size": D("0.0001"),
        "qty_min": D("0.0002"),
        "notional_min": D(5),
        "taker_fee_bps": D(FEES_BPS[venue]),
        "maker_fee_bps": D(2),
    }
    return InstrumentRules(**{**values, **changes})


def make_exchange(venue: str, seed: int = 1, **changes: Any) -> SimulatedExchange:
    suffix = ":USDT" if venue == "perps" else ""
    balances = {"USDT": D(500_000)} if suffix else BALANCES
    rules = [make_rules(venue, f"{base}/USDT{suffix}", **changes) for base in BASES]
    return SimulatedExchange(venue, [listing_of(r) for r in rules], balances=balances, seed=seed)


def make_market(seed: int = 1, shape: Shape = COARSE, **changes: Any) -> SimulatedMarket:
    exchanges = [make_exchange(venue, seed, **changes) for venue in FEES_BPS]
    return SimulatedMarket(exchanges, seed=seed, shape=shape)


def make_order(client_order_id: str, **changes: Any) -> NewOrder:
    values: dict[str, Any] = {"instrument": "BTC/USDT", "side": Side.BUY, "qty": D("0.01")}
    return NewOrder(client_order_id=client_order_id, **{**values, **changes})
