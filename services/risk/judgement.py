"""Which rules a plan must pass, by what it is for, in the order in which they are asked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from services.risk import (
    asset_limits,
    exposure_limits,
    inventory_limits,
    limits,
    loss_limits,
    margin_limits,
    path_limits,
    portfolio_limits,
    price_limits,
    quote_limits,
    resting_limits,
    round_limits,
    venue_limits,
)
from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial
from shared.config_limits import RiskConfig
from shared.messages.rounds import Intent

Rule = Callable[[DecisionContext], Denial | None]
OFFER_RULES: tuple[Rule, ...] = (
    limits.well_formed,
    resting_limits.may_rest,
    round_limits.round_named,
    quote_limits.limits_known,
    limits.trading_state,
    limits.executor_ready,
    limits.venues_traded,
    limits.venues_up,
    limits.not_approved_before,
    limits.not_expired,
    limits.opportunity_age,
    limits.arithmetic,
)
"""They need nothing but the offer. What a plan would do is worked out after them."""
INSTANT_RULES: tuple[Rule, ...] = (
    venue_limits.maintenance,
    limits.edge_max,
    limits.books_trusted,
    venue_limits.clock_skew,
    price_limits.price_band,
    price_limits.depeg,
    limits.venue_rules,
    limits.hedged,
    limits.order_notional,
    portfolio_limits.portfolio_share,
    limits.instrument_notional,
    limits.venue_notional,
    limits.total_notional,
    exposure_limits.net_notional,
    exposure_limits.strategy_notional,
    asset_limits.net_of_asset,
    asset_limits.gross_of_asset,
    venue_limits.order_rate,
    exposure_limits.open_orders,
    limits.plans_in_flight,
    resting_limits.resting_orders,
    resting_limits.self_trade,
    loss_limits.equity_known,
    loss_limits.daily_loss,
    loss_limits.rolling_loss,
    loss_limits.drawdown,
    loss_limits.losing_streak,
    limits.balances,
    margin_limits.leverage,
    margin_limits.liquidation,
    inventory_limits.inventory,
    limits.opens_no_position,
    limits.loss_cap,
)
PATH_RULES: tuple[Rule, ...] = (
    venue_limits.maintenance,
    limits.edge_max,
    limits.books_trusted,
    venue_limits.clock_skew,
    price_limits.price_band,
    price_limits.depeg,
    limits.venue_rules,
    path_limits.values_trusted,
    path_limits.evened,
    limits.order_notional,
    portfolio_limits.portfolio_share,
    limits.instrument_notional,
    limits.venue_notional,
    limits.total_notional,
    exposure_limits.net_notional,
    exposure_limits.strategy_notional,
    asset_limits.net_of_asset,
    asset_limits.gross_of_asset,
    venue_limits.order_rate,
    exposure_limits.open_orders,
    limits.plans_in_flight,
    resting_limits.self_trade,
    loss_limits.equity_known,
    loss_limits.daily_loss,
    loss_limits.rolling_loss,
    loss_limits.drawdown,
    loss_limits.losing_streak,
    limits.balances,
    margin_limits.leverage,
    margin_limits.liquidation,
    inventory_limits.inventory,
    path_limits.loss_cap,
)
"""For instant profit through several assets."""
OPEN_RULES: tuple[Rule, ...] = (
    venue_limits.maintenance,
    round_limits.edge_max_of_pairs,
    limits.books_trusted,
    venue_limits.clock_skew,
    price_limits.price_band,
    price_limits.depeg,
    limits.venue_rules,
    round_limits.round_may_open,
    round_limits.no_late_fill,
    round_limits.hedged_or_directional,
    round_limits.directional_stop,
    limits.order_notional,
    portfolio_limits.portfolio_share,
    limits.instrument_notional,
    limits.venue_notional,
    limits.total_notional,
    exposure_limits.net_notional,
    exposure_limits.strategy_notional,
    asset_limits.net_of_asset,
    asset_limits.gross_of_asset,
    venue_limits.order_rate,
    exposure_limits.open_orders,
    round_limits.directional_budget,
    limits.plans_in_flight,
    resting_limits.self_trade,
    loss_limits.equity_known,
    loss_limits.daily_loss,
    loss_limits.rolling_loss,
    loss_limits.drawdown,
    loss_limits.losing_streak,
    limits.balances,
    margin_limits.leverage,
    margin_limits.liquidation,
    limits.loss_cap,
    round_limits.opening_cost,
)
CLOSE_RULES: tuple[Rule, ...] = (
    limits.books_trusted,
    limits.venue_rules,
    round_limits.round_may_close,
    round_limits.no_late_fill,
    round_limits.only_reduces,
)
"""No limit on what is opened, no balance and no edge keeps a position from being closed."""
RULES: dict[Intent, tuple[Rule, ...]] = {
    Intent.INSTANT: INSTANT_RULES,
    Intent.OPEN: OPEN_RULES,
    Intent.CLOSE: CLOSE_RULES,
}


ASKED_WHERE_SET: Final[Mapping[Rule, str]] = {
    venue_limits.clock_skew: "clock_skew_ms_max",
    venue_limits.order_rate: "orders_per_minute_max",
    price_limits.price_band: "price_band_bps_max",
    price_limits.depeg: "depeg_bps_max",
    portfolio_limits.portfolio_share: "plan_portfolio_bps_max",
    exposure_limits.net_notional: "net_notional_max",
    exposure_limits.open_orders: "open_orders_max",
    margin_limits.leverage: "leverage_max",
    margin_limits.liquidation: "liquidation_bps_min",
    asset_limits.net_of_asset: "per_asset",
    asset_limits.gross_of_asset: "per_asset",
    loss_limits.rolling_loss: "rolling_loss_max",
    loss_limits.drawdown: "drawdown_max",
}
"""The rules that deny nothing where a limit of ``[risk]`` is 0 or empty. All others are asked."""


class RuleBook:
    """The rules that a configuration asks for, in the order of the tables above.

    Decisions are rare, so that each call of one finds its code out of the processor's caches: rules
    whose limit is nowhere set are left out at the start.

    Args:
        limits: Those of every quote asset.
        has_maintenance: Whether any venue has windows of maintenance.
        has_inventory: Whether what venues should hold is kept to.
        has_strategy_limits: Whether any strategy has a limit on all that it holds.
    """

    def __init__(
        self,
        limits: Iterable[RiskConfig],
        *,
        has_maintenance: bool,
        has_inventory: bool,
        has_strategy_limits: bool,
    ) -> None:
        every = list(limits)
        unset = {
            rule
            for rule, name in ASKED_WHERE_SET.items()
            if not any(getattr(each, name) for each in every)
        }
        if not has_maintenance:
            unset.add(venue_limits.maintenance)
        if not has_inventory:
            unset.add(inventory_limits.inventory)
        if not has_strategy_limits:
            unset.add(exposure_limits.strategy_notional)
        self._of_paths = tuple(rule for rule in PATH_RULES if rule not in unset)
        self._by_intent = {
            intent: tuple(rule for rule in rules if rule not in unset)
            for intent, rules in RULES.items()
        }

    def judge(self, context: DecisionContext) -> Denial | None:
        """Return the denial of the first rule that denies, or ``None``: the plan may be made."""
        for rule in OFFER_RULES:
            denial = rule(context)
            if denial is not None:
                return denial
        context.look_up_legs()
        by_intent = self._by_intent[context.opportunity.intent]
        for rule in self._of_paths if context.values else by_intent:
            denial = rule(context)
            if denial is not None:
                return denial
        return None
