"""Rounds reported by risk, and what happens to those whose strategy does not run. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from shared.messages.arb import Opportunity
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.market import DepthView
from shared.messages.rounds import RoundState, RoundsTold, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.round_plans import KnownBook, close_round

CLOSE_NS = 1_000_000_000
"""Between two attempts to close a round whose strategy is disabled."""
BOOK_AGE_MS_MAX = 2_000
"""Of the views that such a round is closed against."""
ROUNDS_MAX = 256
"""Rounds remembered; risk has fewer open."""
BOOKS_MAX = 4_096
_OPEN = frozenset((RoundState.OPEN, RoundState.HALTED))


class KnownRounds:
    """Remembers rounds for the host: a strategy that has failed cannot be asked any more.

    Args:
        on_disable: Of every configured strategy: ``close`` or ``keep``.
    """

    def __init__(self, on_disable: Mapping[str, str]) -> None:
        self._on_disable = on_disable
        self._rounds: dict[str, StrategyPosition] = {}
        self._rules: dict[tuple[str, str], InstrumentRules] = {}
        self._tried_ns: dict[str, int] = {}
        self._orphans: dict[str, bool] = {}

    def take_rules(self, rules: InstrumentRules) -> None:
        """Note an instrument's rules."""
        market = rules.venue, rules.instrument
        if market in self._rules or len(self._rules) < BOOKS_MAX:
            self._rules[market] = rules

    def take_list(self, told: RoundsTold) -> None:
        """Forget rounds that are not listed: they are closed, and their last message was missed."""
        open_now = dict.fromkeys(told.rounds)
        self._rounds = {key: each for key, each in self._rounds.items() if key in open_now}

    def take(self, position: StrategyPosition, now_ns: int) -> list[Message]:
        """Note a round; alert once where no strategy is configured that it could belong to."""
        key = position.key
        if position.state is RoundState.CLOSED:
            self._rounds.pop(key, None)
            self._tried_ns.pop(key, None)
            self._orphans.pop(key, None)
            return []
        if key in self._rounds or len(self._rounds) < ROUNDS_MAX:
            self._rounds[key] = position
        if position.strategy_id in self._on_disable or key in self._orphans:
            return []
        if len(self._orphans) < ROUNDS_MAX:
            self._orphans[key] = True
        text = f"round {key} is open, and no strategy {position.strategy_id} is configured"
        return [
            Alert(
                ts_ns=now_ns,
                service="scanner",
                severity=Severity.CRITICAL,
                code="ROUND_WITHOUT_STRATEGY",
                text=f"{text}: nothing closes it but an operator",
                subject=key,
            )
        ]

    def fate(self, strategy_id: str) -> str:
        """Describe what happens to the open rounds of a strategy; empty without any."""
        held = [each.round_id for each in self._rounds.values() if each.strategy_id == strategy_id]
        if not held:
            return ""
        closes = self._on_disable.get(strategy_id) == "close"
        what = "are closed" if closes else "are kept for the operator"
        return f"; its rounds {', '.join(held)} {what}"

    def notes(self, disabled: Mapping[str, str]) -> dict[str, str]:
        """Return the open rounds of strategies that do not run."""
        found = {}
        for key, each in self._rounds.items():
            if each.strategy_id in disabled or each.strategy_id not in self._on_disable:
                closes = self._on_disable.get(each.strategy_id) == "close"
                fate = "being closed" if closes else "kept for the operator"
                found[f"round {key}"] = f"{each.state}, its strategy does not run: {fate}"
        return found

    def next_ns(self, disabled: Mapping[str, str]) -> int | None:
        """Return when the next round is to be closed, ``None`` without one."""
        due = [self._tried_ns.get(key, 0) + CLOSE_NS for key in self._to_close(disabled)]
        return min(due, default=None)

    def closing(
        self,
        disabled: Mapping[str, str],
        views: Mapping[tuple[str, str], DepthView],
        now_ns: int,
    ) -> list[Opportunity]:
        """Return what closes the rounds of disabled strategies whose rule says so."""
        found: list[Opportunity] = []
        for key in self._to_close(disabled):
            if now_ns < self._tried_ns.get(key, 0) + CLOSE_NS:
                continue
            self._tried_ns[key] = now_ns
            held = self._rounds[key]
            books = {(leg.venue, leg.instrument): KnownBook() for leg in held.legs}
            for market, book in books.items():
                book.view, book.rules = views.get(market), self._rules.get(market)
            plan = close_round(held, books, now_ns, age_ms_max=BOOK_AGE_MS_MAX)
            if plan is not None:
                found.append(msgspec.structs.replace(plan, detector="on_disable"))
        return found

    def _to_close(self, disabled: Mapping[str, str]) -> list[str]:
        return [
            key
            for key, each in self._rounds.items()
            if each.strategy_id in disabled
            and self._on_disable.get(each.strategy_id) == "close"
            and each.state in _OPEN
        ]
