"""Dashboard: folds what the bus says into topics of rows; it decides nothing, writes nothing. Pure.

``refresh`` brings the topics up to date that somebody looks at; what nobody looks at is kept as the
messages that it was told in. Figures keep the time at which their source said them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from services.dashboard.charts import Charts
from services.dashboard.decisions import Decisions
from services.dashboard.events import Events
from services.dashboard.health import Health
from services.dashboard.market import Market
from services.dashboard.money import Money
from services.dashboard.overview import Overview
from services.dashboard.plans import Plans
from services.dashboard.requests import (
    DecisionsRead,
    ReadDecisions,
    ReadFailed,
    ReadStreams,
    StreamsRead,
)
from services.dashboard.topic import Topic
from shared import histogram
from shared.config_sections import Config
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Certainty, Message
from shared.messages.control import Alert, Heartbeat
from shared.messages.execution import ApprovedPlan, Denied, Fill, OrderEvent, PlanDone
from shared.messages.market import DepthView, Funding, InstrumentInfo, VenueStatus
from shared.messages.rounds import RoundsTold, StrategyPosition
from shared.watch.collector import Collector
from shared.watch.latency import MEASURES

DECISIONS_EVERY_NS: Final = 500_000_000
STREAMS_EVERY_NS: Final = 5_000_000_000
SAMPLE_EVERY_NS: Final = 1_000_000_000
SET_BACK_NS: Final = 1_000_000_000
"""A clock that is this much behind what it said before was set back."""
SETTLE_NS: Final = 10_000_000_000
"""For so long after that what was written before it may still arrive."""
SETTINGS_MAX: Final = 1_000
AUDIT_MAX: Final = 200
AGE_MS_MAX: Final[Mapping[str, int | None]] = {
    "overview": 3_000,
    "books": 2_000,
    "depth": 2_000,
    "spreads": 2_000,
    "near_misses": None,
    "opportunities": None,
    "plans": None,
    "positions": 3_000,
    "pnl": 3_000,
    "funding": 120_000,
    "health": 10_000,
    "alerts": None,
    "log": None,
    "settings": None,
    "audit": None,
    "charts": 3_000,
}
"""Every topic, and from what age its figures are shown as old (ms); ``None``: they are events."""
_SELDOM: Final = frozenset(("spreads", "near_misses", "positions", "pnl", "funding", "health"))
"""Topics that are brought up to date once a second."""
_KEPT: Final = (Heartbeat, StrategyPosition, RoundsTold)
"""What the collector keeps: latencies, and rounds."""


class DashboardEngine:
    """Everything that is shown."""

    def __init__(self, config: Config) -> None:
        collector = Collector()
        self._collector, self._market, self._plans = collector, Market(config), Plans()
        self._decisions, self._events, self._charts = Decisions(), Events(), Charts()
        self._money = Money(collector, self._plans, config.inventory.balance_age_ms_max)
        self._health = Health(collector, self._market, config.bus.shards)
        self._overview = Overview(config.venues, self._market, self._health)
        self.settings, self.audit = Topic("settings", SETTINGS_MAX), Topic("audit", AUDIT_MAX)
        topics = (
            self._overview.topic,
            *(self._market.books, self._market.depth, self._market.spreads, self._market.funding),
            *(self._decisions.opportunities, self._decisions.near_misses),
            *(self._plans.topic, self._money.positions, self._money.pnl, self._health.topic),
            *(self._events.alerts, self._events.log, self.settings, self.audit),
            self._charts.topic,
        )
        self.topics: Mapping[str, Topic] = {topic.name: topic for topic in topics}
        assert self.topics.keys() == AGE_MS_MAX.keys()
        self._decisions_due_ns: int | None = 0
        self._streams_due_ns: int | None = 0
        self._sample_due_ns = 0
        self._now_ns = self._settled_ns = 0
        self._seldom_due_ns: dict[str, int] = {}
        self._latencies: dict[str, dict[int, int]] = {}
        self._failed = 0
        self._refused: Mapping[Any, int] = {}

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin with nothing: what is needed is read from the streams."""
        del saved
        return self.on_timer(now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Fold one input."""
        del redelivered
        self._note_time(now_ns)
        match message:
            case DecisionsRead():
                self._health.on_read(now_ns)
                self._decisions_due_ns = now_ns + DECISIONS_EVERY_NS
                for each in message.messages:
                    self._fold(each, now_ns)
            case StreamsRead():
                self._health.on_streams(message, now_ns)
                self._streams_due_ns = now_ns + STREAMS_EVERY_NS
            case ReadFailed():
                self._on_failed(message, now_ns)
            case Message():
                self._fold(message, now_ns)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Ask for what is due, and take a sample of what is plotted."""
        self._note_time(now_ns)
        out = Step()
        if self._decisions_due_ns is not None and self._decisions_due_ns <= now_ns:
            self._decisions_due_ns = None
            out.at_once.append(ReadDecisions())
        if self._streams_due_ns is not None and self._streams_due_ns <= now_ns:
            self._streams_due_ns = None
            out.at_once.append(ReadStreams())
        if self._sample_due_ns <= now_ns:
            self._sample_due_ns = now_ns + SAMPLE_EVERY_NS
            self._sample(now_ns)
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when something is due."""
        due = (self._decisions_due_ns, self._streams_due_ns)
        return min([self._sample_due_ns, *(at for at in due if at is not None)])

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return readings of Redis that failed, and what was refused, by why."""
        refused = {f"refused_{why}": count for why, count in self._refused.items()}
        return {"readings_failed": self._failed, **refused}

    def gauges(self) -> Mapping[str, float]:
        """It has none."""
        return {}

    def count_refusals(self, refused: Mapping[Any, int]) -> None:
        """Take over what the server counts, so that it is told with the rest."""
        self._refused = refused

    @property
    def mode(self) -> str:
        """paper, simulated or live; ``unknown`` until the executor says so."""
        executor = self._money.executor
        return executor.mode if executor is not None else "unknown"

    @property
    def charts(self) -> Charts:
        """The windows of what is plotted."""
        return self._charts

    def refresh(self, wanted: Mapping[str, Collection[str] | None], now_ns: int) -> None:
        """Bring topics up to date.

        Args:
            wanted: Their names, each with the rows that are named (``None``: it is not known which
                are looked at).
            now_ns: UNIX ns.
        """
        self._note_time(now_ns)
        for name, rows in wanted.items():
            if name not in _SELDOM or now_ns >= self._seldom_due_ns.get(name, 0):
                self._seldom_due_ns[name] = now_ns + SAMPLE_EVERY_NS
                self._refresh(name, rows, now_ns)

    def _refresh(self, name: str, rows: Collection[str] | None, now_ns: int) -> None:
        match name:
            case "overview":
                self._overview.show(self._money, self._decisions, self._plans, self._events, now_ns)
            case "books":
                self._market.show_books()
            case "depth":
                if rows is not None:
                    self._market.show_depth(frozenset(rows))
            case "spreads":
                self._market.show_spreads(now_ns)
            case "funding":
                self._market.show_funding()
            case "opportunities":
                self._decisions.show_opportunities(now_ns)
            case "near_misses":
                self._decisions.show_near_misses()
            case "plans":
                self._plans.show()
            case "positions":
                self._money.show_positions()
            case "pnl":
                self._money.show_pnl()
            case "health":
                self._health.show(now_ns)

    def _note_time(self, now_ns: int) -> None:
        """Begin anew where the machine's clock was set back.

        What was told before would be newer than all that is told now, and never old.
        """
        if now_ns < self._now_ns - SET_BACK_NS:
            self._now_ns, self._settled_ns = now_ns, now_ns + SETTLE_NS
            self._forget_later(now_ns)
            self._sample_due_ns = now_ns
            self._seldom_due_ns.clear()
            if self._decisions_due_ns is not None:
                self._decisions_due_ns = now_ns
            if self._streams_due_ns is not None:
                self._streams_due_ns = now_ns
        self._now_ns = max(self._now_ns, now_ns)

    def _forget_later(self, now_ns: int) -> None:
        than_ns = now_ns + SET_BACK_NS
        self._money.forget_later(than_ns)
        self._market.forget_later(than_ns)
        self._health.forget_later(than_ns)
        self._plans.forget_later(than_ns)
        self._decisions.forget_later(than_ns)
        self._events.forget_later(than_ns)

    def _fold(self, message: Message, now_ns: int) -> None:
        if isinstance(message, _KEPT):
            self._collector.on_message(message)
        match message:
            case DepthView():
                self._market.on_view(message)
            case Funding():
                self._market.on_funding(message)
            case InstrumentInfo():
                self._market.on_rules(message)
            case VenueStatus():
                self._market.on_status(message)
            case Heartbeat():
                self._health.on_beat(message, now_ns)
            case Opportunity():
                self._decisions.on_opportunity(message)
            case NearMiss():
                self._decisions.on_near_miss(message)
            case ApprovedPlan():
                self._decisions.on_plan(message)
                self._plans.on_plan(message)
            case OrderEvent():
                self._plans.on_order(message)
            case Fill():
                self._plans.on_fill(message)
            case Denied():
                self._decisions.on_denied(message)
                self._events.on_message(message)
            case PlanDone():
                self._plans.on_done(message)
                self._events.on_message(message)
            case Alert():
                self._events.on_message(message)
            case _:
                self._money.on_message(message)
                self._events.on_message(message)

    def _on_failed(self, failed: ReadFailed, now_ns: int) -> None:
        self._failed += 1
        self._health.on_lost(failed.reason)
        if isinstance(failed.action, ReadDecisions):
            self._decisions_due_ns = now_ns + DECISIONS_EVERY_NS
        else:
            self._streams_due_ns = now_ns + STREAMS_EVERY_NS

    def _sample(self, now_ns: int) -> None:
        """Put this second's figures into the charts; what is too old or not known is a hole."""
        if now_ns < self._settled_ns:
            self._forget_later(now_ns)
        risk = self._money.risk
        limit_ns = (AGE_MS_MAX["pnl"] or 0) * 1_000_000
        if risk is not None:
            is_known = self._money.certainty() is not Certainty.UNKNOWN
            is_known = is_known and now_ns - risk.ts_ns < limit_ns
            for name, figures in (
                ("equity", risk.equity),
                ("today", risk.today),
                ("drawdown", risk.drawdown),
            ):
                values = {f"{name}|{q}": float(x) if is_known else None for q, x in figures.items()}
                self._charts.put("quote", values, now_ns)
        self._charts.put("us", self._latency_now(), now_ns)
        best = self._market.best_nets(now_ns)
        self._charts.put("bps", {f"spread|{group}": net for group, net in best.items()}, now_ns)
        mids = self._market.mids(now_ns)
        self._charts.put("price", {f"price|{book}": mid for book, mid in mids.items()}, now_ns)

    def _latency_now(self) -> dict[str, float | None]:
        """Return percentiles (us) of what was measured since the last time."""
        found: dict[str, Any] = {}
        for name in MEASURES:
            after = self._collector.latency(name)
            new = histogram.subtract(after, self._latencies.get(name, {}))
            self._latencies[name] = after
            for label, fraction in (("p50", 0.5), ("p99", 0.99)):
                value_ns = histogram.percentile(new, fraction)
                found[f"latency|{name}|{label}"] = None if value_ns is None else value_ns / 1e3
        return found


ENGINE = EngineSpec(new=lambda config, given: DashboardEngine(config))
