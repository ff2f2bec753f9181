"""A backtest on a recording: the engines that trade, on one heap, against recorded books. Pure.

What a replay does, with nodes for hosts, and with accounts that have latency, tiers of fees,
funding and margin. Under the terms of a replay it decides what the replay decides, to the byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from services.lab.backtest_port import BacktestPort, accounts_under
from services.lab.backtest_terms import BacktestConfig
from services.lab.chain import Chain
from services.lab.equity import DAYS_MAX, Curve, capital_of, profits_of
from services.lab.node import Node
from services.lab.output import OutputFile, when
from services.lab.process import Process
from services.lab.recorded import Contents, RecordedVenues
from services.lab.replay import FEEDS, Replay, Terms, config_for
from services.lab.round_trips import RoundTrips
from services.lab.table_feed import TableEngine, TableVenues
from services.lab.tables import Tables
from shared.config_sections import Config, VenueConfig
from shared.domain.instrument import is_spot
from shared.engine import Engine, Given
from shared.errors import ConfigError
from shared.messages.base import BookState, Message
from shared.messages.execution import ApprovedPlan, Fill, PlanDone
from shared.messages.market import BookDelta, DepthView, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.strategies.port import Bars
from shared.strategy_files import load_strategies
from shared.strategy_inputs import check_strategies, inputs_of
from shared.venues.registry import EVERY, load_feed
from shared.watch.report import Ending

DAY_NS = 86_400 * 1_000_000_000
MS = 1_000_000
TRADES_MAX = 10_000
"""Fills and ends of plans that a report lists; older ones are in its sums only."""


class Backtest(Replay):
    """One recording, traded once.

    Args:
        contents: The recording.
        config: Of the services; its venues are those of the recording.
        terms: Latency and accounts.
        decisions: Takes every entry of the decision streams, one JSON object a line.
    """

    accounts: BacktestPort

    def __init__(
        self,
        contents: Contents | Tables,
        config: Config,
        terms: BacktestConfig,
        decisions: OutputFile | None = None,
    ) -> None:
        played = Terms(config=config, hop_ns=terms.hop_ns, accounts=accounts_under(terms))
        super().__init__(contents, decisions, terms=played)
        self.fills: deque[Fill] = deque(maxlen=TRADES_MAX)
        self.done: deque[PlanDone] = deque(maxlen=TRADES_MAX)
        self.fill_count = 0
        self._in_flight: dict[str, None] = {}  # each ends, and risk bounds how many there are
        self.curve = Curve()
        self.days = Curve(DAYS_MAX)
        """Profit at every midnight of UTC."""
        self.trips = RoundTrips(contents.first_ns, contents.last_ns)
        self._expect_midnight(contents.first_ns)
        self.holes: list[VenueStatus] = []
        """The first time that each book was told to have one."""

    def _new_venues(self) -> RecordedVenues | TableVenues:
        self._chain = Chain(self.kernel, self.terms.hop_ns, self.decisions)
        if isinstance(self.contents, Tables):
            self._chain.is_busy = lambda: bool(self._in_flight)
            closings = closings_ns(self.config)
            return TableVenues(self.kernel, self.contents, self._chain.sleep, closings)
        return super()._new_venues()

    def _new_ingestor(self, config: Config, given: Given) -> Engine:
        if isinstance(self.contents, Tables):
            return TableEngine(self.contents, given.source)
        return super()._new_ingestor(config, given)

    def _new_hosts(self, processes: Sequence[Process]) -> Mapping[str, Node]:
        return {each.service: Node(each, self._chain, self.on_published) for each in processes}

    def _notify(self, messages: Sequence[Message]) -> None:
        self._chain.notify(messages)

    def _append(self, messages: Sequence[Message]) -> None:
        """Do nothing: ``on_published`` appends what every process says."""

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Append what was said to its stream, keep what the report lists, wake the readers."""
        first = messages[0]
        if len(messages) == 1:  # nearly always
            if type(first) is DepthView:
                self._see(first)
                self._chain.pass_on(messages)
                return
            if type(first) is BookDelta:
                self._chain.pass_on(messages)
                return
        self._chain.append(messages)
        if type(first) is not DepthView:
            for message in messages:
                self.trips.on_message(message)
                if type(message) is Fill:
                    self.fills.append(message)
                    self.fill_count += 1
                elif type(message) is ApprovedPlan:
                    self._in_flight[message.plan_id] = None
                elif type(message) is PlanDone:
                    self._in_flight.pop(message.plan_id, None)
                    self.done.append(message)
                elif type(message) is VenueStatus and message.state is BookState.GAP:
                    self._note_hole(message)
        super().on_published(service, messages)

    def _note_hole(self, status: VenueStatus) -> None:
        book = status.venue, status.instrument
        if book in self.contents.rules and book not in {
            (each.venue, each.instrument) for each in self.holes
        }:
            self.holes.append(status)

    def refuse_holes(self) -> None:
        """Refuse a run on books that were not whole.

        Raises:
            ConfigError: With the first of them.
        """
        keep = 'backtest.holes = "keep" trades on with what there is'
        for status in self.holes:
            at = when(status.ts_ns)
            raise ConfigError(
                f"{status.venue} {status.instrument} has a hole at {at}: {status.reason}; {keep}"
            )
        for venue, instrument in sorted(self.contents.rules):
            why = self.collector.never_synced(venue, instrument)
            if why is not None:
                raise ConfigError(f"{venue} {instrument} was never LIVE: {why}; {keep}")

    def _on_look(self) -> None:
        self._sample()

    def _sample(self, *, is_last: bool = False) -> None:
        profits = profits_of(self.accounts.accounts.values(), self._views_live)
        self.curve.add(self.kernel.now_ns(), profits, is_last=is_last)

    def _expect_midnight(self, after_ns: int) -> None:
        midnight_ns = (after_ns // DAY_NS + 1) * DAY_NS
        if midnight_ns <= self.contents.last_ns:
            self.kernel.at(midnight_ns, lambda: self._end_day(midnight_ns))

    def _end_day(self, midnight_ns: int) -> None:
        self.days.add(midnight_ns, profits_of(self.accounts.accounts.values(), self._views_live))
        self._expect_midnight(midnight_ns)

    def _wind_down(self, ended: Ending) -> None:
        for account in self.accounts.accounts.values():
            account.end()
        super()._wind_down(ended)
        self._sample(is_last=True)

    def _why_not_quiet(self, unknown: Mapping[str, str]) -> str:
        """Return it; here nobody can still be asked what funding paid."""
        if not unknown:
            return super()._why_not_quiet(unknown)
        names = ", ".join(
            f"{venue} {name}"
            for venue, name in sorted(self.contents.rules)
            if venue in unknown and not is_spot(name)
        )
        return (
            f"what funding paid is unknown: {names} was held at a full hour or a settlement of "
            "which the data tell no rate or no mark; play data with its funding, like a store with "
            "an imported history"
        )

    def capital(self) -> dict[str, Decimal]:
        """Return what the accounts began with, by the quote asset that it is valued in."""
        return capital_of(self.accounts.accounts.values(), self._views_live)


def configured(config: Config, contents: Contents | Tables, where: str) -> Config:
    """Return a configuration whose venues are those of the data, and leave other books out.

    Raises:
        ConfigError: It names a venue or instrument that is not in the data, the data have a venue
            that it does not name, or a strategy is not right.
    """
    recorded = config_for(contents).venues
    for venue in recorded if config.venues else ():
        if venue not in config.venues:
            raise ConfigError(
                f"{where}: the data have {venue}, which no [venues.{venue}] names; add it, or "
                "leave all [venues.*] out to take what was recorded"
            )
    venues: dict[str, VenueConfig] = {}
    for venue, wanted in (config.venues or recorded).items():
        there = recorded[venue].instruments if venue in recorded else []
        missing = [name for name in wanted.instruments if name not in there]
        if missing:
            raise ConfigError(
                f"{where}: venues.{venue}.instruments: {missing[0]} is not in the data; there are: "
                f"{', '.join(there) or f'none of {venue}'}"
            )
        adapter, url = wanted.adapter or venue, wanted.rest_url
        if not wanted.adapter and venue not in EVERY:
            # nobody here can connect to it, and nobody does; several of them are not one venue
            adapter, url = _of_most_feeds(), url or f"https://{venue}.invalid"
        one = msgspec.structs.replace(wanted, feeds=FEEDS, adapter=adapter, rest_url=url)
        venues[venue] = msgspec.structs.replace(one, two_feeds=False)  # data are of one ingestor
    contents.rules = {
        (venue, name): _with_fee(rules, venues[venue])
        for (venue, name), rules in contents.rules.items()
        if venue in venues and name in venues[venue].instruments
    }
    executor = msgspec.structs.replace(config.executor, mode="paper")
    bus = msgspec.structs.replace(config.bus, shards=1)
    found = msgspec.structs.replace(config, venues=venues, executor=executor, bus=bus)
    check_strategies(found, where)
    return found


def closings_ns(config: Config) -> list[int]:
    """Return how long after its end a bar is closed by the strategies that ask for bars, rising."""
    found = {
        wanted.lateness_ms * MS
        for each in load_strategies(config)
        if each.strategy is not None
        for wanted in inputs_of(each.strategy, each.id)
        if isinstance(wanted, Bars)
    }
    return sorted(found)


def _of_most_feeds() -> str:
    """Return the adapter that stands for a venue of which tables may hold anything."""
    return max(EVERY, key=lambda adapter: len(load_feed(adapter).extras))


def _with_fee(rules: InstrumentRules, venue: VenueConfig) -> InstrumentRules:
    fee = venue.taker_fee_bps
    return rules if fee is None else msgspec.structs.replace(rules, taker_fee_bps=fee)
