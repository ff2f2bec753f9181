"""What would be right for each cause of a halt, denial or near miss: a command or a setting.

The codes of halts and denials are risk's (docs/denials.md), in its order; tests hold them equal.
"""

from __future__ import annotations

HALTS: dict[str, str] = {
    "STARTING": "nothing, it ends by itself; if it stays: arb status, then the log of executor",
    "WAITING": "start the executor, or see why it is not ready: arb status",
    "OPERATOR": "arb resume, when you are content",
    "NOT_STARTED": "arb resume (risk.start_active = false asks for it at each start)",
    "DAILY_LOSS": "find out why: arb pnl; the next UTC day, or risk.daily_loss_max and arb resume",
    "ROLLING_LOSS": "find out why: arb pnl; or risk.rolling_loss_max and arb resume",
    "DRAWDOWN": "find out why: arb pnl; then arb resume, which counts a new peak",
    "SOFT_LIMIT": "nothing, risk closes what is above it; if it stays: arb flatten",
    "PLAN_FAILED": "arb tail alert --since 0; arb flatten or trade it away, then arb resume",
    "DATA_LOST": "compare balances, positions, orders with the venues, then arb resume",
    "FILL_UNOWNED": "compare with the venues, then arb resume",
    "POSITION_UNOWNED": "compare with the venues, arb flatten, then arb resume",
    "BALANCE_LOSS": "was it you? then arb resume; if not: arb kill, and change the venue's keys",
    "PLAN_OVERDUE": "see that the executor is ready: arb status; then arb resume",
}

_PRODUCER = "mend the strategy: arb strategy check"
_BOOKS = "arb books; a book heals by itself, a quiet one: orderbook.stale_after_ms"
_RULES = "the strategy rounds to the venue's rules: arb strategy check"

DENIALS: dict[str, str] = {
    "MALFORMED": _PRODUCER,
    "SEVERAL_ASSETS": _PRODUCER,
    "ORDER_KIND": 'an order that rests needs legs = "maker-taker" of its strategy',
    "QUOTE_LIMITS": "risk.quote_assets, or [risk.per_quote.ASSET]",
    "HALTED": "arb status shows the cause",
    "REDUCING": "arb status shows the cause; arb resume where an operator asked for it",
    "EXECUTOR_NOT_READY": "arb status shows why; start the executor",
    "VENUE_NOT_TRADED": "venues.NAME.trade = true, with its keys",
    "VENUE_DOWN": "arb status shows why; mend key or account at the venue, then arb resume",
    "VENUE_MAINTENANCE": "wait for its end: maintenance of the venue in arb.toml",
    "DUPLICATE": "nothing: it was approved already",
    "EXPIRED": "arb latency; or scanner.opportunity_ttl_ms",
    "OPPORTUNITY_AGE": "arb latency; or risk.opportunity_age_ms_max",
    "ARITHMETIC": _PRODUCER,
    "EDGE_MAX": "look at the prices: arb books; or risk.edge_bps_max",
    "BOOK_UNKNOWN": "arb books; is the orderbook service up: arb status",
    "BOOK_NOT_LIVE": _BOOKS,
    "BOOK_AGE": "arb latency; or risk.book_age_ms_max",
    "CLOCK_SKEW": "set this machine's clock (NTP); or risk.clock_skew_ms_max",
    "PRICE_BAND": "look at the prices: arb books; or risk.price_band_bps_max",
    "DEPEG": "look at the dollar's books: arb books; or risk.depeg_bps_max",
    "NO_RULES": "the venue's list was not read: arb tail alert --since 0",
    "LOT": _RULES,
    "TICK": _RULES,
    "NOTIONAL_MIN": "larger plans: notional_max of the scanner or strategy",
    "ASSET_VALUE": _BOOKS,
    "UNHEDGED": _PRODUCER,
    "ORDER_NOTIONAL": "risk.order_notional_max, or smaller plans",
    "PORTFOLIO_SHARE": "more money at the venues, or risk.plan_portfolio_bps_max",
    "INSTRUMENT_NOTIONAL": "close positions, or risk.instrument_notional_max",
    "VENUE_NOTIONAL": "close positions there, or risk.venue_notional_max",
    "TOTAL_NOTIONAL": "close positions, or risk.total_notional_max",
    "NET_NOTIONAL": "hedge or close positions, or risk.net_notional_max",
    "STRATEGY_NOTIONAL": "close its rounds, or its notional_max",
    "ORDER_RATE": "nothing, it passes; or risk.orders_per_minute_max",
    "OPEN_ORDERS": "nothing, it passes; or risk.open_orders_max",
    "ASSET_NET": "hedge or close it, or net_max of [risk.per_asset.ASSET]",
    "ASSET_GROSS": "close some of it, or gross_max of [risk.per_asset.ASSET]",
    "PLANS_IN_FLIGHT": "nothing, it passes; or risk.plans_in_flight_max",
    "PAIR_IN_FLIGHT": "nothing: it passes as soon as that plan has ended",
    "RESTING_ORDERS": "nothing, it passes; or risk.resting_orders_max",
    "SELF_TRADE": "nothing: it passes as soon as that order has ended",
    "EQUITY_UNKNOWN": _BOOKS,
    "DAILY_LOSS": "find out why: arb pnl; or risk.daily_loss_max",
    "ROLLING_LOSS": "find out why: arb pnl; or risk.rolling_loss_max",
    "DRAWDOWN": "find out why: arb pnl; or risk.drawdown_max",
    "LOSING_STREAK": "find out why: arb pnl; then arb resume, or wait",
    "BALANCE_UNKNOWN": "arb balances; the key must be allowed to read the account",
    "BALANCE": "arb balances; transfer there: arb rebalance",
    "LEVERAGE": "more margin at the venue, or risk.leverage_max",
    "LIQUIDATION": "more margin at the venue, or risk.liquidation_bps_min",
    "INVENTORY_UNKNOWN": "arb balances; the venue has not reported lately",
    "INVENTORY_BAND": "arb rebalance; or the band in [inventory]",
    "INVENTORY_EDGE": "arb rebalance; or inventory.skew_bps_max",
    "OPENS_POSITION": "a strategy of rounds opens positions: docs/strategies.md",
    "LOSS_CAP": "risk.loss_cap_bps or risk.plan_loss_max above the fees of both legs",
    "ROUND_UNKNOWN": _PRODUCER,
    "ROUND_STATE": "nothing, it passes; arb status shows the round",
    "ROUNDS_OPEN": "close rounds: arb status shows them",
    "DIRECTIONAL_BUDGET": "directional_notional_max of the strategy",
    "DIRECTIONAL_SIZE": "directional_equity and directional_risk_bps of the strategy",
    "DIRECTIONAL_STOP": "stop_bps of the strategy",
    "OPENING_COST": "risk.loss_cap_bps or risk.plan_loss_max",
    "REDUCE_ONLY": _PRODUCER,
}
PASSING = frozenset({"DUPLICATE", "PAIR_IN_FLIGHT", "SELF_TRADE", "ORDER_RATE", "OPEN_ORDERS"})
"""Denials of a system that trades: what is denied waits for another plan to end."""
OF_STATE = frozenset({"HALTED", "REDUCING", "EXECUTOR_NOT_READY"})
"""Denials that only repeat the trading state."""

GATES: dict[str, str] = {
    "QUOTE_MISMATCH": "instruments with the same quote asset, or the conversion strategy",
    "INVERSE": "a strategy of rounds trades these: docs/strategies.md",
    "NO_RULES": "the venue's list was not read: arb tail alert --since 0",
    "INACTIVE": "nothing: the venue does not trade it now",
    "BOOK_NOT_LIVE": _BOOKS,
    "BOOK_AGE": "arb latency; or book_age_ms_max of the scanner or strategy",
    "OPENS_POSITION": "a strategy of rounds opens positions: docs/strategies.md",
    "COOLDOWN": "nothing, it passes; or scanner.cooldown_ms",
    "PRICES_TAKEN": "nothing: another opportunity takes these prices",
    "INVENTORY_EDGE": "arb rebalance; or inventory.skew_bps_max",
    "INVENTORY_BAND": "arb rebalance; or the band in [inventory]",
    "LOT": "nothing: less is offered than the venues' lot",
    "NOTIONAL_MIN": "larger plans: notional_max of the scanner or strategy",
}


def cause_of(reason: str) -> str:
    """Return the code that begins the reason of a trading state; empty where it has none."""
    code = reason.partition(":")[0]
    return code if code in HALTS else ""
