"""Counts of what the strategies of a world did: plans, rounds, indications. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.lab.kinds import Kind
from shared.messages.arb import Indication
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import RoundState, StrategyPosition, round_key


@dataclass(slots=True)
class Tally:
    """Of one world; a round counts as opened once risk says that it holds something."""

    kind: Kind = Kind.PAIRS
    plans: Counter[str] = field(default_factory=Counter)
    indications: Counter[str] = field(default_factory=Counter)
    opened: dict[str, str] = field(default_factory=dict)
    """Round -> its strategy; also of those that were closed."""
    closed: dict[str, str] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    """Round -> why risk closed it: its stop or its time."""

    def on_plan(self, plan: ApprovedPlan) -> None:
        """A plan was approved."""
        self.plans[plan.strategy] += 1

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
    worlds: Counter[str] = Counter()
    plans: Counter[str] = Counter()
    indications: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    for each in tallies:
        worlds[each.kind.value] += 1
        plans += each.plans
        indications += each.indications
        endings.update(each.endings.values())
        opened.update(each.opened.values())
        closed.update(each.closed.values())
    return {
        "worlds": dict(sorted(worlds.items())),
        "plans_by_strategy": dict(sorted(plans.items())),
        "rounds_opened": dict(sorted(opened.items())),
        "rounds_closed": dict(sorted(closed.items())),
        "rounds_ended_by_risk": dict(sorted(endings.items())),
        "indications": dict(sorted(indications.items())),
    }
