"""Opportunities with what became of them, and what stopped the comparisons that were none. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from services.dashboard.topic import Topic
from services.dashboard.values import amount, ms, rounded
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.execution import ApprovedPlan, Denied

OPPORTUNITIES_MAX: Final = 100
NEAR_MISSES_MAX: Final = 500
UNANSWERED_NS: Final = 2_000_000_000
"""An opportunity that nobody has answered for so long after its end has expired."""
EARLY_MAX: Final = 200
REASONS_MAX: Final = 200
NEAR_MISS_FOR_NS: Final = 900_000_000_000


@dataclass(slots=True)
class _Found:
    opportunity: Opportunity
    denied: Denied | None = None
    plan_id: str = ""


@dataclass(slots=True)
class _Missed:
    last: NearMiss
    count: int = 0


@dataclass(slots=True)
class Decisions:
    """The newest of what was found and of what was not."""

    opportunities: Topic = field(default_factory=lambda: Topic("opportunities", OPPORTUNITIES_MAX))
    near_misses: Topic = field(default_factory=lambda: Topic("near_misses", NEAR_MISSES_MAX))
    found: int = 0
    missed: int = 0
    last_opportunity_ns: int = 0
    denied: Counter[str] = field(default_factory=Counter)
    _found: dict[str, _Found] = field(default_factory=dict)
    _missed: dict[str, _Missed] = field(default_factory=dict)
    _early: dict[str, Denied | ApprovedPlan] = field(default_factory=dict)

    def on_opportunity(self, message: Opportunity) -> None:
        """Keep the newest opportunities, each once."""
        key = message.opportunity_id
        if key in self._found or message.ts_ns < self._oldest_ns():
            return
        self.found += 1
        self.last_opportunity_ns = max(self.last_opportunity_ns, message.ts_ns)
        self._found[key] = _Found(message)
        if len(self._found) > OPPORTUNITIES_MAX:
            oldest = min(self._found, key=lambda k: self._found[k].opportunity.ts_ns)
            del self._found[oldest]
        # Answers travel on other streams, and may be heard first.
        answer = self._early.pop(key, None)
        if isinstance(answer, Denied):
            self._answer(answer)
        elif answer is not None:
            self.on_plan(answer)

    def on_denied(self, message: Denied) -> None:
        """Count a denial, and note it at its opportunity."""
        if message.reason in self.denied or len(self.denied) < REASONS_MAX:
            self.denied[message.reason] += 1
        self._answer(message)

    def on_plan(self, message: ApprovedPlan) -> None:
        """Note at an opportunity that risk has approved a plan."""
        if (found := self._found.get(message.opportunity_id)) is not None:
            found.plan_id = message.plan_id
        else:
            self._keep_early(message.opportunity_id, message)

    def on_near_miss(self, message: NearMiss) -> None:
        """Count what one gate stopped of one pair."""
        self.missed += message.count
        key = "|".join(
            (
                message.strategy_id or message.detector,
                f"{message.buy_venue} {message.buy_instrument}",
                f"{message.sell_venue} {message.sell_instrument}",
                message.gate,
            )
        )
        missed = self._missed.pop(key, None) or _Missed(message)
        missed.last, missed.count = message, missed.count + message.count
        self._missed[key] = missed
        if len(self._missed) > NEAR_MISSES_MAX:
            del self._missed[next(iter(self._missed))]

    def forget_later(self, than_ns: int) -> None:
        """Forget what is said to be of a later time: else nothing newer would find room."""
        for key in [k for k, v in self._found.items() if v.opportunity.ts_ns > than_ns]:
            del self._found[key]
        self._missed = {k: v for k, v in self._missed.items() if v.last.ts_ns <= than_ns}
        if self.last_opportunity_ns > than_ns:
            found = (each.opportunity.ts_ns for each in self._found.values())
            self.last_opportunity_ns = max(found, default=0)

    def best_miss(self, now_ns: int) -> NearMiss | None:
        """Return the near miss of the last minutes that came nearest to an opportunity."""
        known = [
            missed.last
            for missed in self._missed.values()
            if missed.last.edge_bps_best is not None
            and now_ns - missed.last.ts_ns < NEAR_MISS_FOR_NS
        ]
        return max(known, key=lambda miss: miss.edge_bps_best or 0.0, default=None)

    def show_opportunities(self, now_ns: int) -> None:
        """Bring the opportunities up to date."""
        self.opportunities.replace(
            {key: _row_of(found, now_ns) for key, found in self._found.items()}
        )

    def show_near_misses(self) -> None:
        """Bring the near misses up to date."""
        self.near_misses.replace({key: _row_of_miss(m) for key, m in self._missed.items()})

    def _oldest_ns(self) -> int:
        if len(self._found) < OPPORTUNITIES_MAX:
            return 0
        return min(found.opportunity.ts_ns for found in self._found.values())

    def _answer(self, message: Denied) -> None:
        if (found := self._found.get(message.opportunity_id)) is not None:
            found.denied = message
        else:
            self._keep_early(message.opportunity_id, message)

    def _keep_early(self, key: str, message: Denied | ApprovedPlan) -> None:
        self._early[key] = message
        if len(self._early) > EARLY_MAX:
            del self._early[next(iter(self._early))]


def _row_of(found: _Found, now_ns: int) -> dict[str, Any]:
    message, denied = found.opportunity, found.denied
    if found.plan_id:
        fate = "planned"
    elif denied is not None:
        fate = "denied"
    else:
        is_over = now_ns > message.ts_expire_ns + UNANSWERED_NS
        fate = "expired" if is_over else "waiting"
    return {
        "ts_ms": ms(message.ts_ns),
        "strategy": message.strategy_id or message.detector,
        "detector": message.detector,
        "base": message.base,
        "quote": message.quote,
        "qty": amount(message.qty),
        "notional": amount(message.notional),
        "gross": amount(message.gross),
        "fees": amount(message.fees),
        "net": amount(message.net),
        "edge_bps": amount(message.edge_bps),
        "legs": [
            {
                "venue": leg.venue,
                "instrument": leg.instrument,
                "side": leg.side,
                "qty": amount(leg.qty),
                "price_avg": amount(leg.price_avg),
                "price_limit": amount(leg.price_limit),
                "fee_bps": amount(leg.fee_bps),
                "fee": amount(leg.fee),
            }
            for leg in message.legs
        ],
        "fate": fate,
        "denied_reason": denied.reason if denied is not None else None,
        "denied_context": denied.context if denied is not None else {},
        "plan_id": found.plan_id or None,
    }


def _row_of_miss(missed: _Missed) -> dict[str, Any]:
    last = missed.last
    return {
        "strategy": last.strategy_id or last.detector,
        "gate": last.gate,
        "buy_venue": last.buy_venue,
        "buy_instrument": last.buy_instrument,
        "sell_venue": last.sell_venue,
        "sell_instrument": last.sell_instrument,
        "count": missed.count,
        "best_bps": rounded(last.edge_bps_best),
        "needs_bps": rounded(last.needs_bps),
        "context": last.context,
        "ts_ms": ms(last.ts_ns),
    }
