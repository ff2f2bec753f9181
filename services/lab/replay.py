"""A recording through the whole system, on the recording's own time: the same bytes every time.

Five engines in one thread, the ingestor's fed with the recorded frames, the executor's orders
filled on paper. The services start ``HEAD_START_NS`` before the first frame, as live ones would be
ready; after the last one HALT is commanded, and plans in flight end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from services.executor.paper import PaperGateway
from services.executor.paper_account import paper_account
from services.executor.paper_conditions import conditions_at
from services.ingestor.engine import IngestorEngine
from services.lab.decisions import Decisions, DecisionServer
from services.lab.host import Host
from services.lab.kernel import Kernel
from services.lab.keys import keys_for
from services.lab.life import Life
from services.lab.node import Node
from services.lab.output import OutputFile
from services.lab.paper import PaperPort, not_here
from services.lab.process import Process, readers_of, streams_of
from services.lab.processes import Outside, processes_of
from services.lab.recorded import Contents, RecordedVenues, venue_settings
from services.lab.table_feed import TableVenues
from services.lab.tables import Tables
from shared.bus.memory import MemoryBus
from shared.config_sections import (
    Config,
    ExecutorConfig,
    StrategyConfig,
    VenueConfig,
)
from shared.domain.valuation import closes
from shared.engine import Action, Engine, Given
from shared.messages.base import BookState, Message
from shared.messages.control import Command, CommandKind, Heartbeat
from shared.messages.market import DepthView
from shared.strategy_inputs import check_strategies
from shared.watch.collector import Collector
from shared.watch.dust import beside_rounds
from shared.watch.report import Ending, value_as_reported

_MS = 1_000_000
HEAD_START_NS = 10_000 * _MS
HOP_NS = 200_000
"""What a hop over the bus takes, about as measured between two processes of one machine."""
PAPER_LATENCY_NS = 20 * _MS
LOOKS_MAX = 4_000
LOOK_NS = 100 * _MS
PROGRESS_NS = 1_000 * _MS
FLATTEN_AFTER_NS = 12_000 * _MS
QUIET_NS_MAX = 57_000 * _MS
FEEDS: Final = ("depth", "trades", "funding")
"""Whatever was recorded comes with a book, so a strategy may want all of it."""


def config_of(contents: Contents | Tables, strategies: Sequence[StrategyConfig]) -> Config:
    """Return the configuration that plays a recording.

    Raises:
        ConfigError: A strategy is not right, or wants what is not in the recording.
    """
    config = msgspec.structs.replace(config_for(contents), strategies=list(strategies))
    check_strategies(config, "--strategies")
    return config


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run is played under.

    Attributes:
        config: Of the services.
        hop_ns: What a hop over the bus takes.
        accounts: Makes the venues' accounts.
    """

    config: Config
    hop_ns: int = HOP_NS
    accounts: Callable[[Kernel, Contents | Tables, Config], PaperPort]


def paper_accounts(kernel: Kernel, contents: Contents | Tables, config: Config) -> PaperPort:
    """Return paper accounts, as the executor has them."""
    return PaperPort(
        kernel,
        {
            venue: PaperGateway(
                venue,
                contents.rules,
                kernel,
                wait=not_here,
                account=paper_account(venue, contents.rules, config),
                conditions=conditions_at(venue, config),
            )
            for venue in sorted(config.venues)
        },
        latency_ns=PAPER_LATENCY_NS,
    )


class Replay:
    """One recording, played once. Implements what hosts need of the world around them.

    Args:
        contents: The recording.
        decisions: Takes every entry of the decision streams, one JSON object a line.
        strategies: Run instead of the built-in one.
        terms: Other ones than paper accounts and the usual hops.

    Raises:
        ConfigError: A strategy is not right, or wants what is not in the recording.
    """

    def __init__(
        self,
        contents: Contents | Tables,
        decisions: OutputFile | None = None,
        strategies: Sequence[StrategyConfig] = (),
        *,
        terms: Terms | None = None,
    ) -> None:
        self.contents = contents
        self.terms = terms or Terms(config=config_of(contents, strategies), accounts=paper_accounts)
        self.config = self.terms.config
        self.kernel = Kernel(contents.first_ns - HEAD_START_NS)
        self.decisions = Decisions(decisions)
        self.server = DecisionServer(self.kernel, self.decisions)
        self.collector = Collector()
        self.venues = self._new_venues()
        self._views: dict[tuple[str, str], DepthView] = {}
        self._views_live: dict[tuple[str, str], DepthView] = {}
        self.accounts = self.terms.accounts(self.kernel, contents, self.config)
        outside = Outside(
            uniform=Random(0).uniform,
            transports={"ingestor": self.venues, "executor": self.accounts},
            engines={"ingestor": self._new_ingestor},
        )
        self._hosts: Mapping[str, Host] = {}
        self.hosts = self._new_hosts(processes_of(self.config, outside))

    def _new_venues(self) -> RecordedVenues | TableVenues:
        assert isinstance(self.contents, Contents)
        return RecordedVenues(self.kernel, self.contents)

    def _new_hosts(self, processes: Sequence[Process]) -> Mapping[str, Host | Node]:
        """Return what hosts the engines, by service."""
        self._hosts = {process.service: Host(process, self) for process in processes}
        return self._hosts

    def _new_ingestor(self, config: Config, given: Given) -> Engine:
        """Return one whose venues are those of the recording."""
        assert isinstance(self.contents, Contents)
        settings = venue_settings(self.contents)
        return IngestorEngine(settings, source=given.source, uniform=given.uniform)

    # What hosts need

    def hop_ns(self) -> int:
        """Every hop takes the same time."""
        return self.terms.hop_ns

    def crash_point(self, service: str) -> None:
        """Nobody dies in a replay."""

    def on_action(self, action: Action, *, is_at_once: bool) -> None:
        """Nobody looks."""

    def on_crash(self, host: Life) -> None:
        """Nobody dies in a replay."""
        raise AssertionError(f"{host.service} ended in a replay")

    def pauses(self, host: Life) -> bool:
        """Nobody stands still in a replay."""
        return False

    def on_effect(self, host: Life) -> None:
        """Nobody looks."""

    def is_gone(self, owner: str) -> bool:
        """Nobody dies in a replay."""
        return False

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Collect the messages and wake the services that read them."""
        for message in messages:
            if type(message) is DepthView:
                self._see(message)
            else:
                self.collector.on_message(message)
                self.accounts.on_message(message)
        self._notify(messages)

    def _notify(self, messages: Sequence[Message]) -> None:
        """Wake their readers."""
        written = streams_of(messages)
        for name in readers_of(written):
            if name in self._hosts:
                self._hosts[name].notify(written)

    # The run

    def run(self, on_progress: Callable[[float], None] = lambda market_s: None) -> Ending:
        """Play it to its end, and wind down; ``on_progress`` gets the market seconds played."""
        ended, kernel, first_ns = Ending(), self.kernel, self.contents.first_ns
        for host in self.hosts.values():
            host.start()
        look_ns = max(PROGRESS_NS, (self.contents.last_ns - first_ns) // LOOKS_MAX)
        kernel.run_until(first_ns - 1)
        self.venues.play()
        while not self.venues.is_over or kernel.now_ns() < self.contents.last_ns:
            self._play_until(kernel.now_ns() + look_ns)
            self._on_look()
            on_progress((kernel.now_ns() - first_ns) / 1e9)
        kernel.run_until(kernel.now_ns() + LOOK_NS)
        ended.books_live = sum(v.state is BookState.LIVE for v in self._views.values())
        self._wind_down(ended)
        self._beat()
        self._value(ended)
        self._note_problems(ended)
        ended.extra["replay"] = {
            "market_s": round((self.contents.last_ns - first_ns) / 1e9, 1),
            "steps": kernel.steps,
            "complete": self.venues.is_over,
            "decisions": self.decisions.count,
            "hash": self.decisions.digest.hexdigest(),
        }
        return ended

    def _play_until(self, until_ns: int) -> None:
        """Play up to the next look."""
        self.kernel.run_until(until_ns)

    def _on_look(self) -> None:
        """Look at what there is now and then; a replay has no need to."""

    def _note_problems(self, ended: Ending) -> None:
        """Note what a user must look at: then the run has not ended well."""
        collector = self.collector
        for venue, instrument in sorted(self.contents.rules):
            why = collector.never_synced(venue, instrument)
            if why is not None:
                ended.problems.append(
                    f"{venue} {instrument} was never LIVE: {why}; arb verify shows more"
                )
        if malformed := collector.counter("ingestor", "malformed"):
            ended.problems.append(
                f"{malformed} frames of the recording are malformed; arb verify says which"
            )
        exposure = {asset: qty for asset, qty in collector.books.exposure.items() if qty}
        left = beside_rounds(exposure, collector.rounds.values())
        if left:
            text = ", ".join(f"{asset} {qty:+f}" for asset, qty in sorted(left.items()))
            ended.problems.append(f"exposure is left: {text}")

    def _wind_down(self, ended: Ending) -> None:
        """Halt, let what is in flight end, and flatten what is left.

        What directional rounds hold stays open where no book prices it any more: it is valued.
        """
        halted_ns = commanded_ns = self._send_command(CommandKind.HALT, "end of the run")
        while not self.collector.is_quiet(commanded_ns):
            waited_ns = self.kernel.now_ns() - halted_ns
            if waited_ns > QUIET_NS_MAX:
                if self.collector.is_quiet(commanded_ns, but_rounds=True):
                    return
                ended.problems.append(self._why_not_quiet(self.collector.funding.unknown()))
                return
            late = waited_ns > FLATTEN_AFTER_NS and self.collector.books.opened()
            if late and not ended.flattened:
                ended.flattened = True
                commanded_ns = self._send_command(
                    CommandKind.FLATTEN, "positions left at the end of the run"
                )
            self.kernel.run_until(self.kernel.now_ns() + LOOK_NS)

    def _why_not_quiet(self, unknown: Mapping[str, str]) -> str:
        """Return what is still open; ``unknown`` says by venue why funding is not known."""
        why = "; ".join(unknown.values()) or "plans or orders have no end"
        return f"not quiet after the halt: {why}"

    def _send_command(self, kind: CommandKind, reason: str) -> int:
        now_ns = self.kernel.now_ns()
        command = Command(
            ts_ns=now_ns, command_id=f"replay-{kind}", kind=kind, operator="arb", reason=reason
        )
        self._append([command])
        self.on_published("operator", [command])
        return now_ns

    def _append(self, messages: Sequence[Message]) -> None:
        bus = MemoryBus(self.server, service="operator", keys=keys_for("operator"))
        bus.apply(None, messages)

    def _see(self, view: DepthView) -> None:
        key = view.venue, view.instrument
        self.accounts.on_view(view)
        self._views[key] = view
        if view.state is BookState.LIVE:
            self._views_live[key] = view

    def _beat(self) -> None:
        """Let the collector know what every engine has counted."""
        for host in self.hosts.values():
            assert host.engine is not None, "nobody dies in a replay"
            self.collector.on_message(
                Heartbeat(
                    ts_ns=self.kernel.now_ns(),
                    service=host.service,
                    instance=f"{host.service}-1",
                    pid=0,
                    ts_started_ns=self.contents.first_ns - HEAD_START_NS,
                    ready=True,
                    reason="",
                    http_port=0,
                    counters=dict(host.engine.counters()),
                    gauges=dict(host.engine.gauges()),
                    latency={},
                    inputs={},
                )
            )

    def _value(self, ended: Ending) -> None:
        """Value what is open at the last books that were LIVE; the accounts are on paper."""
        collector, closing = self.collector, ended.closing
        closing.find = closes(self._views_live.values())
        closing.fee_bps = {key: rules.taker_fee_bps for key, rules in self.contents.rules.items()}
        value_as_reported(collector, closing)


def config_for(contents: Contents | Tables) -> Config:
    """Return the configuration of a replay: the recorded books, paper execution."""
    by_venue: dict[str, list[str]] = {}
    for venue, instrument in sorted(contents.rules):
        by_venue.setdefault(venue, []).append(instrument)
    return Config(
        venues={
            venue: VenueConfig(instruments=names, feeds=FEEDS) for venue, names in by_venue.items()
        },
        executor=ExecutorConfig(mode="paper", paper_latency_ms=PAPER_LATENCY_NS // _MS),
    )
