"""The first page: what state trading is in, and what is wrong, each with its age. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from services.dashboard.decisions import Decisions
from services.dashboard.events import Events
from services.dashboard.flatten_cost import flatten_cost
from services.dashboard.health import Health
from services.dashboard.market import Market
from services.dashboard.money import Money
from services.dashboard.plans import Plans
from services.dashboard.topic import Topic
from services.dashboard.values import amount, moment, ms, rounded
from shared.feed_statuses import of_venues

CELLS_MAX: Final = 64


class Overview:
    """Puts together what the other parts know."""

    def __init__(self, venues: Iterable[str], market: Market, health: Health) -> None:
        self._venues = tuple(venues)
        self._market, self._health = market, health
        self.topic = Topic("overview", CELLS_MAX, is_card=True)

    def show(
        self, money: Money, decisions: Decisions, plans: Plans, events: Events, now_ns: int
    ) -> None:
        """Bring the cells up to date."""
        cells = self._of_state(money, now_ns)
        cells |= {
            "result": money.results(),
            "venues": self._of_venues(money, now_ns),
            "processes": self._health.processes(now_ns),
            "alerts": events.severities(),
            "quiet": _quiet(decisions, now_ns),
            "plans": {
                "approved": plans.approved,
                "kept": len(plans),
                "outcomes": dict(sorted(plans.outcomes().items())),
            },
            "denied": dict(sorted(decisions.denied.items())),
            "flatten_cost": flatten_cost(money.risk, self._market, now_ns),
        }
        for name, value in cells.items():
            self.topic.put(name, value)

    def _of_state(self, money: Money, now_ns: int) -> dict[str, Any]:
        state, risk, executor = money.state, money.risk, money.executor
        return {
            "state": state.state if state is not None else None,
            "cause": state.reason if state is not None else None,
            "state_since_ms": moment(state.ts_since_ns) if state is not None else None,
            "state_as_of_ms": ms(state.ts_ns) if state is not None else None,
            "mode": executor.mode if executor is not None else "unknown",
            "is_bus_read": self._health.is_bus_read(now_ns),
            "bus_reason": self._health.reason,
            "bus_as_of_ms": moment(self._health.read_ns // 1_000_000_000 * 1_000_000_000),
            "money_as_of_ms": ms(risk.ts_ns) if risk is not None else None,
            "exposure": (
                [
                    {"asset": asset, "qty": amount(qty)}
                    for asset, qty in sorted(risk.exposure.items())
                    if qty
                ]
                if risk is not None
                else None
            ),
            "plans_in_flight": risk.plans_in_flight if risk is not None else None,
            "executor_as_of_ms": ms(executor.ts_ns) if executor is not None else None,
            "is_executor_ready": executor.ready if executor is not None else None,
            "executor_reason": executor.reason if executor is not None else "",
            "orders_unsettled": executor.unknown_orders if executor is not None else None,
        }

    def _of_venues(self, money: Money, now_ns: int) -> list[dict[str, Any]]:
        books = self._market.live_books(now_ns)
        down = money.executor.venues_down if money.executor is not None else None
        feeds = of_venues(self._market.feeds)
        rows = []
        for venue in self._venues:
            feed = feeds.get(venue)
            live, every = books.get(venue, (0, 0))
            stops = {k: why for k, why in (down or {}).items() if k.partition("|")[0] == venue}
            rows.append(
                {
                    "venue": venue,
                    "feed": feed.state if feed is not None else None,
                    "feed_reason": feed.reason if feed is not None else "",
                    "feed_as_of_ms": ms(feed.ts_ns) if feed is not None else None,
                    "orders": None if down is None else "down" if stops else "up",
                    "orders_reason": "; ".join(f"{k}: {why}" for k, why in stops.items())[:300],
                    "books_live": live,
                    "books": every,
                }
            )
        return rows


def _quiet(decisions: Decisions, now_ns: int) -> dict[str, Any]:
    miss = decisions.best_miss(now_ns)
    return {
        "last_opportunity_ms": moment(decisions.last_opportunity_ns),
        "opportunities": decisions.found,
        "best_bps": rounded(miss.edge_bps_best) if miss is not None else None,
        "gate": miss.gate if miss is not None else None,
        "near_misses": decisions.missed,
    }
