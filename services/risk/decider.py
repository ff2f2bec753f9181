"""Decides on an opportunity by the present ledger and books: plan or denial. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from services.risk.approval import approved_plan, denied, reservation_of, round_of
from services.risk.decision_context import DecisionContext
from services.risk.exposure import ZERO, Ledger
from services.risk.inventory_limits import inventory_limits
from services.risk.judgement import RuleBook
from services.risk.market import LatestBooks
from services.risk.quote_limits import LimitsByQuote
from services.risk.reasons import Denial
from services.risk.shrink import SHRINKS_MAX, may_shrink, shrink
from services.risk.signals import look_up, offer_of
from services.risk.soft_limits import opening_limits, opening_scale
from services.risk.stops import keep_stop
from services.risk.trading import TradingControl, TradingStatus
from shared.config_limits import RiskConfig
from shared.config_sections import Config, StrategyConfig, same_books
from shared.domain.instrument import split_instrument
from shared.domain.rounding import exact
from shared.domain.windows import window_of
from shared.messages.arb import Opportunity, Signal
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.rounds import Intent
from shared.messages.terms import Shrunk

_NO_BUDGET = StrategyConfig(id="none", class_="none")


class Decider:
    """Judges opportunities, reserves what an approved one may use, and counts.

    Args:
        config: Limits, and what each strategy may hold by single legs.
        venues: Those that may be traded.
        market: Views and rules.
    """

    def __init__(self, config: Config, venues: frozenset[str], market: LatestBooks) -> None:
        self._venues, self._market = venues, market
        self._strategies = {each.id: each for each in config.strategies}
        self._maintenance = {
            name: [window_of(text) for text in venue.maintenance]
            for name, venue in config.venues.items()
            if venue.maintenance
        }
        self._same_books = same_books(config.venues)
        self._inventory = inventory_limits(config)
        self.use_limits(config)
        self._last: tuple[Opportunity, Ledger, TradingControl] | None = None
        self._approved = self._shrunk = 0
        self._denied: dict[str, int] = {}

    def use_limits(self, config: Config) -> None:
        """Decide by these limits from now on."""
        self._limits = _limits_of(config)
        self._by_quote = LimitsByQuote(self._limits)
        self._opening_scale = opening_scale(config.risk) or 1
        self._rules = RuleBook(
            self._by_quote.all() or [self._limits],
            has_maintenance=bool(self._maintenance),
            has_inventory=self._inventory is not None,
            has_strategy_limits=any(each.notional_max for each in config.strategies),
        )

    def counters(self) -> Mapping[str, int]:
        """Return plans approved, how many of them smaller than offered, and denied.

        ``plans_denied_<REASON>`` splits the latter.
        """
        split = {f"plans_denied_{reason}": count for reason, count in self._denied.items()}
        denied_all = sum(self._denied.values())
        approved = {"plans_approved": self._approved, "plans_shrunk": self._shrunk}
        return {**approved, "plans_denied": denied_all, **split}

    def decide(
        self,
        found: Opportunity,
        ledger: Ledger,
        control: TradingControl,
        status: TradingStatus,
        now_ns: int,
    ) -> ApprovedPlan | Denied:
        """Return the plan or denial of an opportunity; reserve in the ledger what it may use."""
        return self._decide(found, ledger, control, status, now_ns)[0]

    def _decide(
        self,
        found: Opportunity,
        ledger: Ledger,
        control: TradingControl,
        status: TradingStatus,
        now_ns: int,
    ) -> tuple[ApprovedPlan | Denied, Opportunity]:
        """Return the decision, and the opportunity as it was approved: maybe smaller."""
        if not found.round_id:
            self._last = found, ledger, control
        context = self._context(found, ledger, control, status, now_ns)
        context, denial, shrunk = self._judge(context)
        if denial is not None:
            return self._deny(found.opportunity_id, denial, now_ns), found
        found = context.opportunity
        reservation = reservation_of(context)
        ledger.reserve(reservation)
        if found.round_id:
            ledger.rounds.begin(round_of(context), reservation.plan_id)
        if found.intent is Intent.OPEN and context.is_directional and context.round is not None:
            keep_stop(context.round, found.stop_bps, context.rules[context.legs[0].market.book])
        self._approved += 1
        self._shrunk += shrunk is not None
        return approved_plan(found, reservation, now_ns, context.inventory_cost, shrunk), found

    def _judge(
        self, context: DecisionContext
    ) -> tuple[DecisionContext, Denial | None, Shrunk | None]:
        """Judge an opportunity, made smaller where a limit on size lets only a part of it pass.

        What is denied all the same is denied for the first reason.
        """
        first = self._rules.judge(context)
        if first is None:
            return context, None, None
        denial, offered, limits = first, context.opportunity, dict[str, None]()
        least = offered.qty * exact(context.config.shrink_share_min)
        for _ in range(SHRINKS_MAX):
            if denial.share is None or not may_shrink(offered):
                break
            smaller = shrink(context.opportunity, denial.share, context.rules)
            if smaller is None or smaller.qty < least:
                break
            limits[denial.reason.value] = None
            context = dataclasses.replace(context, opportunity=smaller, inventory_cost=None)
            judged = self._rules.judge(context)
            if judged is None:
                was = Shrunk(qty=offered.qty, notional=offered.notional, limits=[*limits])
                return context, None, was
            denial = judged
        return context, first, None

    def last(self) -> Opportunity | None:
        """Return the last opportunity that belongs to no round."""
        return self._last[0] if self._last is not None else None

    def decide_idly(self, found: Opportunity, now_ns: int) -> ApprovedPlan | Denied | None:
        """Decide on an opportunity like the last one without reserving anything."""
        if self._last is None:
            return None
        _, ledger, control = self._last
        context = self._context(found, ledger, control, control.now(now_ns), now_ns)
        context, denial, shrunk = self._judge(context)
        if denial is not None:
            return denied(found.opportunity_id, denial, now_ns)
        held = reservation_of(context)
        return approved_plan(context.opportunity, held, now_ns, context.inventory_cost, shrunk)

    def _context(
        self,
        found: Opportunity,
        ledger: Ledger,
        control: TradingControl,
        status: TradingStatus,
        now_ns: int,
    ) -> DecisionContext:
        limits, entry = self._by_quote.of(found.quote), self._entry(found.strategy_id)
        return DecisionContext(
            opportunity=found,
            now_ns=now_ns,
            config=limits or self._limits,
            has_limits=limits is not None,
            ledger=ledger,
            state=status.state,
            state_reason=status.reason,
            executor_obstacle=status.executor_obstacle,
            venues=self._venues,
            venues_down=control.venues_down,
            views=self._market.views,
            rules=self._market.rules,
            directional_max=self._directional_max(found),
            strategy_max=entry.notional_max * self._opening_scale,
            wants_sequence=entry.legs == "sequential",
            wants_resting=entry.legs == "maker-taker",
            hedge_deadline_ms=entry.hedge_deadline_ms,
            maintenance=self._maintenance,
            same_books=self._same_books,
            inventory=self._inventory,
        )

    def decide_signal(
        self,
        signal: Signal,
        ledger: Ledger,
        control: TradingControl,
        status: TradingStatus,
        now_ns: int,
    ) -> ApprovedPlan | Denied:
        """Size a signal, decide on it like on any single leg, and return the result."""
        context = look_up(signal, self._entry(signal.strategy_id), self._market)
        if isinstance(context, Denial):
            return self._deny(signal.signal_id, context, now_ns)
        quote = split_instrument(signal.instrument).quote
        limits = self._by_quote.of(quote) or self._limits  # without any, an opening is denied
        found = offer_of(context, ledger, limits.order_notional_max, now_ns)
        if isinstance(found, Denial):
            return self._deny(signal.signal_id, found, now_ns)
        decided, found = self._decide(found, ledger, control, status, now_ns)
        known = ledger.rounds.get(signal.strategy_id, signal.round_id)
        if isinstance(decided, ApprovedPlan) and found.intent is Intent.OPEN and known is not None:
            known.risk_quote = context.risk_of(found)
        return decided

    def _directional_max(self, found: Opportunity) -> Decimal:
        """Return what a strategy may hold by single legs: in units of ``quote_assets`` only."""
        if self._by_quote.has_own(found.quote):
            return ZERO
        return self._entry(found.strategy_id).directional_notional_max

    def _entry(self, strategy_id: str) -> StrategyConfig:
        """Return a strategy's configuration; one that is not configured may hold nothing."""
        found = self._strategies.get(strategy_id)
        return _NO_BUDGET if found is None else found

    def _deny(self, found_id: str, denial: Denial, now_ns: int) -> Denied:
        self._denied[denial.reason] = self._denied.get(denial.reason, 0) + 1
        return denied(found_id, denial, now_ns)


def _limits_of(config: Config) -> RiskConfig:
    """Return the limits on what is opened, which keep below the soft ones.

    No venue refuses orders on paper for their time, also those of a replay: there, what a venue
    sent says when it was recorded.
    """
    limits = opening_limits(config.risk)
    if config.executor.mode != "paper":
        return limits
    return msgspec.structs.replace(limits, clock_skew_ms_max=0)
