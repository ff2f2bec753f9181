"""A whole world of one seed: exchanges, market, bus, services, and faults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from random import Random

import msgspec

from services.executor.engine import ExecutorEngine
from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.settings import VenueSettings
from services.lab.account import AccountPort, news_of
from services.lab.account_streams import AccountStreams, is_streamed
from services.lab.chaos import Chaos
from services.lab.checkers import Checkers
from services.lab.feed import Feed, settings_of
from services.lab.funding import PerpetualFunding
from services.lab.hashed_server import HashedServer
from services.lab.host import RETRY_NS, Host
from services.lab.kernel import Kernel, between
from services.lab.kinds import PRINTED, Kind, exchanges_of_kind, kind_of, prices_of
from services.lab.life import Life
from services.lab.listings import MONEY, STABLE, least_base
from services.lab.losses import Witnesses
from services.lab.market import MarketModel
from services.lab.moves import Moves
from services.lab.positions import has_derivatives
from services.lab.prints import PublicTrades
from services.lab.process import readers_of, streams_of
from services.lab.processes import Outside, processes_of
from services.lab.publishing import publish_command
from services.lab.strategies import strategies_of
from services.lab.switches import Switches, dead_man_s_of
from services.lab.trace import NoTrace
from services.lab.variety import (
    clocks_of,
    instances_of,
    inventory_of,
    pace_of,
    start_balances,
    with_limits,
)
from services.risk.engine import RiskEngine
from shared.config_limits import QuoteLimits, RiskConfig
from shared.config_sections import (
    BusConfig,
    Config,
    ExecutorConfig,
    OrderbookConfig,
    ScannerConfig,
    VenueConfig,
)
from shared.domain.rounding import exact
from shared.engine import Action, Engine, Given
from shared.errors import BusUnavailable
from shared.exchange.exchange import Exchange
from shared.ledger_engine import LedgerEngine
from shared.messages.base import Message, TradingState
from shared.messages.control import Command, CommandKind
from shared.streams import StreamSpec

_US = 1_000
_MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
LOOK_NS = 500_000_000
SWEPT_NS = 2_500_000_000
"""This long after a plan ended, the executor has read the venues' executions once more."""
HOP_NS, LONG_HOP_MS = (80 * _US, 400 * _US), (5, 60)
LONG_HOP_CHANCE = 0.01
"""How long a hop over the bus takes, and how long it takes now and then."""
RESTART_NS = (30 * _MS, 200 * _MS)
SLOW_RESTART_NS = (200 * _MS, 900 * _MS)
SLOW_RESTART_CHANCE = 0.2
"""How long a process is away that has died."""


class World:
    """Everything of one seed. Implements what hosts need of it.

    Args:
        seed: Of everything.
        kind: What its market is made of; ``None``: the seed draws it.
    """

    def __init__(self, seed: int, kind: Kind | None = None) -> None:
        self.seed = seed
        self.random = Random(f"{seed}/world")
        self.kernel = Kernel(START_NS)
        self.server = HashedServer(self.kernel)
        self.story: list[tuple[int, str]] = []
        self.trace, self.crashes = NoTrace(), 0
        self.kind = self._kind() if kind is None else kind
        self.exchanges = self._new_exchanges()
        self.prices = prices_of(self.exchanges)
        self.market = MarketModel(self.exchanges, self.prices, Random(f"{seed}/market"), self.kind)
        self.start_balances = start_balances(self.exchanges)
        self.instances, self.pace = instances_of(seed), pace_of(seed)
        self.moves = Moves(self)
        config = with_limits(config_for(self.exchanges, self.instances.shards), seed, self.prices)
        chosen = config.strategies or strategies_of(seed, config, self.kind)
        executor = msgspec.structs.replace(
            config.executor,
            account_streams=is_streamed(seed),
            dead_man_s=dead_man_s_of(seed, self.kind),
        )
        changed = {
            "strategies": chosen,
            "executor": executor,
            "orderbook": OrderbookConfig(refresh_ms=self.pace.refresh_ms),
            "inventory": inventory_of(seed, self.start_balances, self.prices),
        }
        self.config = msgspec.structs.replace(config, **changed)
        self.checkers = Checkers(self)
        self.funding = {
            venue: PerpetualFunding(self, exchange)
            for venue, exchange in self.exchanges.items()
            if has_derivatives(exchange)
        }
        self.chaos = Chaos(self, Random(f"{seed}/chaos"))
        self.streams = AccountStreams(self, news_of)
        self.switches = Switches(seed, self.kernel, self.exchanges, self.note)
        self.account = AccountPort(
            self.kernel,
            self.exchanges,
            Random(f"{seed}/account"),
            self.note,
            self.checkers.on_arrival,
            paid=lambda asked: self.funding[asked.venue].answer(asked),
            follow=self.streams.follow,
            switches=self.switches,
        )
        self.account.request_listeners += self.checkers.request_listeners
        self.feed = self._new_feed(Random(f"{seed}/feed"))
        self.trades = PublicTrades(self) if self.kind in PRINTED else None
        outside = Outside(
            uniform=Random(f"{seed}/jitter").uniform,
            transports={
                "ingestor": self.feed.port(),
                "ingestor-2": self.feed.port(),
                "executor": self.account,
                "executor-2": self.account,
            },
            engines={"ingestor": self._new_ingestor, "risk": self.checkers.lowered.new_risk},
        )
        processes = processes_of(self.config, outside, self.instances.second)
        self.witnesses = Witnesses(self)
        self.hosts = {process.name: Host(process, self) for process in processes}
        self._hosts_of: dict[str, list[Host]] = {}
        for host in self.hosts.values():
            self._hosts_of.setdefault(host.service, []).append(host)

    def note(self, text: str) -> None:
        """Add a line to the story of the seed."""
        self.story.append((self.kernel.now_ns(), text))
        self.trace.tell("world", text)

    def _kind(self) -> Kind:
        return kind_of(self.seed)

    def _new_exchanges(self) -> dict[str, Exchange]:
        return exchanges_of_kind(self.seed, self.kind)

    def _new_feed(self, random: Random) -> Feed:
        clocks_ms = clocks_of(self.seed, self.exchanges)
        return Feed(self.kernel, self.exchanges, random, clocks_ms)

    def _venue_settings(self) -> list[VenueSettings]:
        return settings_of(self.exchanges)

    def _new_ingestor(self, config: Config, given: Given) -> IngestorEngine:
        """Return one that serves the lab's exchanges, which no registry knows."""
        settings = self._venue_settings()
        return IngestorEngine(settings, source=given.source, uniform=given.uniform)

    def hop_ns(self) -> int:
        """A few hundred microseconds, now and then much more."""
        is_long, draw_bits = self.random.random() < LONG_HOP_CHANCE, self.random.getrandbits
        return between(draw_bits, LONG_HOP_MS) * _MS if is_long else between(draw_bits, HOP_NS)

    def crash_point(self, service: str) -> None:
        """Give chaos the chance to crash the service between two effects."""
        self.chaos.crash_point(service)

    def engine(self, service: str) -> Engine | None:
        """Return the engine of a service that does its work now; of a shared one, the first."""
        for host in self._hosts_of.get(service, ()):
            if host.is_active:
                engine = host.engine
                if isinstance(engine, LedgerEngine):
                    return engine.inner if engine.has_begun else None
                return engine
        return None

    def notify(self, services: Iterable[str], written: Iterable[StreamSpec] = ()) -> None:
        """Wake every process of these services, for what was written to these streams."""
        for service in services:
            for host in self._hosts_of.get(service, ()):
                host.notify(written)

    def pauses(self, host: Life) -> bool:
        """Let chaos stop the process between two effects."""
        return self.chaos.pauses(host)

    def on_effect(self, host: Life) -> None:
        """Check that no other process does the same work."""
        self.checkers.on_effect(host)

    def is_gone(self, owner: str) -> bool:
        """Tell whether a process has ended, in worlds where that can be seen."""
        name, _, start = owner.partition("#")
        host = self.hosts.get(name)
        if host is None or not self.instances.sees_the_dead:
            return False
        return not host.lives or host.starts != int(start)

    def dust(self, asset: str) -> Decimal:
        """Return how much of an asset a plan may leave because no venue trades so little."""
        listed = [x for e in self.exchanges.values() for x in e.by_instrument.values()]
        least = [least_base(x, self.price(asset, x.quote)) for x in listed if x.base == asset]
        if not least:  # it is only what others are traded for
            least = [
                max(x.qty_min * self.price(x.base, asset), x.notional_min)
                for x in listed
                if x.quote == asset and x.base in STABLE
            ]
        return max(least, default=Decimal(0))

    def price(self, asset: str, quote: str = MONEY) -> Decimal:
        """Return what an asset was worth at first, in units of another."""
        return exact(self.prices.get(asset, 1.0)) / exact(self.prices.get(quote, 1.0))

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Check the messages and wake the services that read them."""
        self.trace.on_published(messages)
        self.checkers.on_published(messages)
        self.chaos.forger.check(messages)
        self.moves.on_published(service, messages)
        streams = streams_of(messages)
        self.notify(readers_of(streams), streams)

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """Check the action, and let chaos follow it."""
        self.trace.on_action(action)
        self.checkers.on_action(action, is_at_once=is_at_once)
        self.chaos.on_action(action)

    def on_crash(self, host: Life) -> None:
        """Start it again a little later."""
        self.crashes += 1
        self.checkers.tally.on_crash(host.service)
        between_ns = SLOW_RESTART_NS if self.random.random() < SLOW_RESTART_CHANCE else RESTART_NS
        away_ns = max(self.random.randrange(*between_ns), self.chaos.away_ns(host.service))
        self.note(host.refusal or f"{host.name} died, and starts again after {away_ns // _MS} ms")
        self.kernel.after(away_ns, host.start)

    def start(self) -> None:
        """Let everything begin."""
        self.market.move(self.kernel.now_ns())
        for host in self.hosts.values():
            host.start()
        self.moves.start()
        self._look()
        for funding in self.funding.values():
            funding.start()
        self.witnesses.start()

    def can_trade(self) -> bool:
        """Tell whether risk lets anybody trade, or a plan is under way."""
        return self.is_open() or self.checkers.has_plans_in_flight

    def is_open(self) -> bool:
        """Tell whether risk lets anybody trade."""
        risk = self.engine("risk")
        if not isinstance(risk, RiskEngine):
            return False
        return risk.state.trading.published is not TradingState.HALTED

    def send_command(self, kind: CommandKind) -> None:
        """Publish an operator's command, again until the bus takes it.

        Who resumes after a position was found that no round holds says FLATTEN first, as told.
        """
        if kind is CommandKind.RESUME and self.checkers.unowned:
            self.send_command(CommandKind.FLATTEN)
        now_ns = self.kernel.now_ns()
        command = Command(
            ts_ns=now_ns, command_id=f"lab-{kind}-{now_ns}", kind=kind, operator="lab", reason=""
        )
        try:
            publish_command(self, command)
        except BusUnavailable:
            self.kernel.after(RETRY_NS, lambda: self.send_command(kind))

    def is_quiet(self) -> bool:
        """Whether all plans have ended, late fills were looked for, and all orders are known.

        A lock hides what the executor still asks the venues; a FLATTEN waits for its books.
        """
        executor, risk = self.engine("executor"), self.engine("risk")
        return (
            isinstance(executor, ExecutorEngine)
            and isinstance(risk, RiskEngine)
            and executor.obstacle == executor.state.locked
            and executor.is_recovered
            and executor.reconciler.has_read_all
            and not executor.state.open_plans()
            and not executor.state.flatten
            and not executor.gauges().get("unknown_orders", 0.0)
            and not risk.ledger.reservations
            and all(
                self.kernel.now_ns() - plan.ts_done_ns > SWEPT_NS
                for plan in executor.state.plans.values()
            )
        )

    def why_not_quiet(self) -> str:
        """Return what is still open."""
        executor, risk = self.engine("executor"), self.engine("risk")
        if not isinstance(executor, ExecutorEngine) or not isinstance(risk, RiskEngine):
            return "a process does not live"
        return (
            f"executor: {executor.obstacle or 'ready'}, open plans "
            f"{executor.state.unfinished()}, FLATTEN {executor.state.flatten or 'is over'}, "
            f"{executor.gauges()}; risk holds {sorted(risk.ledger.reservations)}"
        )

    def _look(self) -> None:
        self.checkers.uneven.look()
        self.checkers.stops.look()
        self.checkers.dead_man.look()
        self.checkers.access.look()
        self.kernel.after(LOOK_NS, self._look)


LIMITS_IN_BTC = QuoteLimits(
    order_notional_max=Decimal("0.15"),
    instrument_notional_max=Decimal(2),
    venue_notional_max=Decimal(4),
    total_notional_max=Decimal(8),
    daily_loss_max=Decimal("0.02"),
)


def config_for(exchanges: dict[str, Exchange], shards: int = 1) -> Config:
    """Return the configuration of the services."""
    return Config(
        bus=BusConfig(shards=shards),
        venues={
            name: VenueConfig(instruments=list(exchange.by_instrument))
            for name, exchange in exchanges.items()
        },
        scanner=ScannerConfig(notional_max=3_000.0, cooldown_ms=50),
        risk=RiskConfig(plans_in_flight_max=8, per_quote={"BTC": LIMITS_IN_BTC}),
        executor=ExecutorConfig(mode="simulated", dead_man_s=0),
    )
