"""What `arb top` knows of the running system, bounded, and whether it is current. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from shared.measure_names import CPU
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Message
from shared.messages.control import Alert, Heartbeat, Severity
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    ExecutorReady,
    PlanDone,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.market import DepthView, Funding, InstrumentInfo, VenueStatus
from shared.messages.rounds import ROUNDS_MAX, RoundState, RoundsTold, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.watch.remembered import Remembered

OFFERS_MAX: Final = 500
LOG_MAX: Final = 1_000
PROCESSES_MAX: Final = 200
NAMES_MAX: Final = 100
SILENT_NS: Final = 5_000_000_000
"""Heartbeats, reports and views come every second or oftener."""
FORGET_NS: Final = 3_600_000_000_000
Place = tuple[str, str]
"""Venue and instrument."""
K = TypeVar("K")
M = TypeVar("M", DepthView, Heartbeat)


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that happened. ``number`` counts from the start."""

    number: int
    ts_ns: int
    source: str
    level: str
    text: str


@dataclass(slots=True)
class Plan:
    """An approved plan, and how it ended."""

    approved: ApprovedPlan
    done: PlanDone | None = None


class Watched:
    """Folds messages into the newest of everything."""

    def __init__(self) -> None:
        self.where = ""
        self.problem = "not connected yet"
        self.ts_problem_ns = 0
        self.state: TradingStateChanged | None = None
        self.risk: RiskReport | None = None
        self.executor: ExecutorReady | None = None
        self.rounds: dict[str, StrategyPosition] = {}
        self.beats: dict[tuple[str, str, str], Heartbeat] = {}
        self.cpu_ratio: dict[tuple[str, str, str], float] = {}
        """Part of one processor between the last two heartbeats, by process."""
        self.views: dict[Place, DepthView] = {}
        self.funding: dict[Place, Funding] = {}
        self.rules: dict[Place, InstrumentRules] = {}
        self.offers: deque[Opportunity] = deque(maxlen=OFFERS_MAX)
        self.answers: Remembered[str] = Remembered(OFFERS_MAX)
        """What became of an opportunity, by its id."""
        self.plans: Remembered[Plan] = Remembered(OFFERS_MAX)
        self.near_misses: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.log: deque[LogLine] = deque(maxlen=LOG_MAX)
        self._logged = 0
        self._feeds: Remembered[BookState] = Remembered(PROCESSES_MAX)

    # Redis

    def on_connected(self, where: str) -> None:
        """Note that Redis answers."""
        if self.problem and self.ts_problem_ns:
            self._say(self.ts_problem_ns, "redis", "info", "Redis answers again")
        self.where, self.problem, self.ts_problem_ns = where, "", 0

    def on_lost(self, problem: str, now_ns: int) -> None:
        """Note that Redis cannot be read, and since when."""
        if not self.ts_problem_ns:
            self.ts_problem_ns = now_ns
            self._say(now_ns, "redis", "critical", problem)
        self.problem = problem

    # Messages

    def on_books(self, messages: Iterable[Message], now_ns: int) -> None:
        """Take in the newest views; a book that is not told any more goes after an hour."""
        for message in messages:
            if isinstance(message, DepthView):
                self.views[message.venue, message.instrument] = message
        self.views = _young(self.views, now_ns)

    def on_funding(self, messages: Iterable[Message], now_ns: int) -> None:
        """Take in the newest funding rates."""
        for message in messages:
            if isinstance(message, Funding):
                self.funding[message.venue, message.instrument] = message
        self.funding = {
            place: rate
            for place, rate in self.funding.items()
            if now_ns - rate.ts_recv_ns < FORGET_NS
        }

    def on_rules(self, messages: Iterable[Message]) -> None:
        """Take in venues' rules, which have their fees."""
        for message in messages:
            if isinstance(message, InstrumentInfo):
                self.rules[message.rules.venue, message.rules.instrument] = message.rules

    def on_message(self, message: Message) -> None:
        """Take in a message of the decision streams."""
        match message:
            case Heartbeat():
                self._on_beat(message)
            case TradingStateChanged():
                self._on_state(message)
            case RiskReport():
                self.risk = message
            case ExecutorReady():
                self.executor = message
            case StrategyPosition():
                self._on_round(message)
            case RoundsTold():
                still = set(message.rounds)
                self.rounds = {key: each for key, each in self.rounds.items() if key in still}
            case Opportunity():
                self.offers.append(message)
            case NearMiss():
                _count(self.near_misses, message.gate, message.count)
            case Denied():
                _count(self.denied, message.reason, 1)
                self.answers.put(message.opportunity_id, f"denied {message.reason}")
            case ApprovedPlan():
                self.plans.put(message.plan_id, Plan(message))
                self.answers.put(message.opportunity_id, "approved")
            case PlanDone():
                self._on_done(message)
            case Alert():
                text = f"{message.code}: {message.text}"
                self._say(message.ts_ns, message.service, message.severity, text)
            case VenueStatus() if not message.instrument:
                self._on_feed(message)
            case _:
                pass

    def _on_beat(self, beat: Heartbeat) -> None:
        key = beat.service, beat.instance, beat.process
        before = self.beats.get(key)
        if before is None:
            self.beats = _young(self.beats, beat.ts_ns)
            if len(self.beats) >= PROCESSES_MAX:
                return
        elif CPU in beat.gauges and CPU in before.gauges and beat.ts_ns > before.ts_ns:
            used_s = beat.gauges[CPU] - before.gauges[CPU]
            self.cpu_ratio[key] = used_s / (beat.ts_ns - before.ts_ns) * 1e9
        for other in [k for k in self.beats if k[:2] == key[:2] and k != key]:
            # One that has started since takes the place of the one not heard any more.
            if self.beats[other].ts_ns <= beat.ts_started_ns:
                del self.beats[other]
        self.beats[key] = beat
        self.cpu_ratio = {k: ratio for k, ratio in self.cpu_ratio.items() if k in self.beats}

    def _on_state(self, state: TradingStateChanged) -> None:
        before = self.state
        if before is None or (before.state, before.reason) != (state.state, state.reason):
            why = f" ({state.reason})" if state.reason else ""
            self._say(state.ts_ns, "risk", "info", f"trading is {state.state}{why}")
        self.state = state

    def _on_round(self, held: StrategyPosition) -> None:
        if held.state is RoundState.CLOSED:
            self.rounds.pop(held.key, None)
        elif held.key in self.rounds or len(self.rounds) < ROUNDS_MAX:
            self.rounds[held.key] = held

    def _on_done(self, done: PlanDone) -> None:
        plan = self.plans.items.get(done.plan_id)
        if plan is None:
            return
        plan.done = done
        self.answers.put(plan.approved.opportunity_id, str(done.outcome).lower())
        why = f" ({done.reason})" if done.reason else ""
        text = f"plan {done.plan_id} {done.outcome}{why}"
        self._say(done.ts_ns, "executor", "info", text)

    def _on_feed(self, status: VenueStatus) -> None:
        place = status.venue, status.source
        before = self._feeds.put(place, status.state)
        if before is not status.state:
            level = "info" if status.state is BookState.LIVE else "warning"
            why = f" ({status.reason})" if status.reason else ""
            feed = f", feed {status.feed}," if status.feed else ""
            text = f"market data of {status.venue}{feed} is {status.state}{why}"
            self._say(status.ts_ns, "ingestor", level, text)

    def _say(self, ts_ns: int, source: str, level: Severity | str, text: str) -> None:
        self._logged += 1
        words = " ".join(text.split())
        self.log.append(LogLine(self._logged, ts_ns, source, str(level), words))


def is_silent(ts_ns: int, now_ns: int) -> bool:
    """Tell whether what was told last is too old to be true of now."""
    return now_ns - ts_ns >= SILENT_NS


def _young(items: dict[K, M], now_ns: int) -> dict[K, M]:
    return {key: each for key, each in items.items() if now_ns - each.ts_ns < FORGET_NS}


def _count(counts: Counter[str], name: str, n: int) -> None:
    if name in counts or len(counts) < NAMES_MAX:
        counts[name] += n
