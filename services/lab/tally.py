"""Counts of what the strategies of a world did and lived through. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.lab.kinds import Kind
from shared.messages.arb import Indication
from shared.messages.execution import ApprovedPlan, Fill
from shared.messages.rounds import RoundState, StrategyPosition, round_key


@dataclass(slots=True)
class Tally:
    """Of one world; a round counts as opened once risk says that it holds something."""

    kind: Kind = Kind.PAIRS
    plans: Counter[str] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    """By strategy; empty: of plans found at a venue without their records."""
    indications: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    """By service."""
    opened: dict[str, str] = field(default_factory=dict)
    """Round -> its strategy; also of those that were closed."""
    closed: dict[str, str] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    """Round -> why risk closed it: its stop or its time."""
    hits: dict[str, dict[str, None]] = field(default_factory=dict)
    """Round -> the services that died while it was open."""

    def on_plan(self, plan: ApprovedPlan) -> None:
        """A plan was approved."""
        self.plans[plan.strategy] += 1

    def on_fill(self, fill: Fill) -> None:
        """A fill was told for the first time."""
        self.fills[fill.strategy] += 1

    def on_crash(self, service: str) -> None:
        """A process of a service died."""
        self.crashes[service] += 1
        for key in self.opened.keys() - self.closed.keys():
            self.hits.setdefault(key, {})[service] = None

    def on_indication(self, found: Indication) -> None:
        """A strategy that only watches has found something."""
        self.indications[found.strategy_id] += 1

    def on_position(self, told: StrategyPosition) -> None:
        """Risk tells of a round."""
        key = round_key(told.strategy_id, told.round_id)
        if told.state is not RoundState.CLOSED and any(leg.qty for leg in told.legs):
            self.opened[key] = told.strategy_id
        elif told.state is RoundState.CLOSED and key in self.opened:
            self.closed[key] = told.strategy_id
            if told.ending:
                self.endings[key] = str(told.ending)


def added_up(tallies: Iterable[Tally]) -> dict[str, Any]:
    """Return the fields of the report that tell of strategies."""
    worlds, crashes, survived = Counter[str](), Counter[str](), Counter[str]()
    plans, fills, indications = Counter[str](), Counter[str](), Counter[str]()
    opened, closed, endings = Counter[str](), Counter[str](), Counter[str]()
    for each in tallies:
        worlds[each.kind.value] += 1
        crashes += each.crashes
        survived.update(name for key in each.closed for name in each.hits.get(key, ()))
        plans += each.plans
        fills += each.fills
        indications += each.indications
        endings.update(each.endings.values())
        opened.update(each.opened.values())
        closed.update(each.closed.values())
    return {
        "worlds": dict(sorted(worlds.items())),
        "crashes_by_service": dict(sorted(crashes.items())),
        "plans_by_strategy": dict(sorted(plans.items())),
        "fills_by_strategy": dict(sorted(fills.items())),
        "rounds_opened": dict(sorted(opened.items())),
        "rounds_closed": dict(sorted(closed.items())),
        "rounds_ended_by_risk": dict(sorted(endings.items())),
        "rounds_closed_after_crash": dict(sorted(survived.items())),
        "indications": dict(sorted(indications.items())),
    }
