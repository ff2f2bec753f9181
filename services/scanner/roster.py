"""Which strategies run, which books each reads, and why others are disabled. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.scanner.figures import disabled_alert
from services.scanner.hosted import Hosted
from services.scanner.rounds import KnownRounds
from services.scanner.watched import Failed, Watch, asked
from shared.bus.port import shard_of
from shared.messages.base import Message
from shared.strategies.port import Depth, Instance


class Share(NamedTuple):
    """What one of several scanners runs.

    Attributes:
        strategies: Names of the strategies that run here.
        shards: Owned here; strategies that work per base asset read the books in them.
        shards_all: How many there are.
    """

    strategies: frozenset[str]
    shards: frozenset[int]
    shards_all: int

    @property
    def is_whole(self) -> bool:
        """Whether every shard is owned here."""
        return len(self.shards) == self.shards_all

    def covers(self, instrument: str) -> bool:
        """Tell whether an instrument's shard is owned here."""
        return shard_of(instrument, self.shards_all) in self.shards


READERS_MAX = 4_096
"""Books whose readers and newest view are remembered."""


class Roster:
    """The strategies of one host.

    Args:
        instances: As configured; one with a problem does not run, its problem is reported.
        rounds: Decides what happens to the rounds of disabled strategies.
        watch: Interrupts strategies that take too long; ``None`` without one.
    """

    def __init__(
        self, instances: Sequence[Instance], rounds: KnownRounds, watch: Watch | None
    ) -> None:
        self._rounds, self._watch = rounds, watch
        self.all = [Hosted(each, each.strategy) for each in instances if each.strategy]
        self.alerts: list[Message] = []
        """To be published with the next step."""
        self.disabled: dict[str, str] = {}
        """Strategy -> why it does not run."""
        self._problems = {each.id: each.problem for each in instances if each.problem}
        for hosted in self.all:
            if problem := hosted.declare(watch):
                self._problems[hosted.id] = problem
        self.share: Share | None = None
        """What this scanner runs of what is configured, ``None`` for all of it."""
        self.running: list[Hosted] = []
        self._readers: dict[tuple[str, str], tuple[Hosted, ...]] = {}
        self.everyone: tuple[Hosted, ...] | None = None
        """The readers of any book, where all want all."""
        self._settle()

    def report_problems(self, now_ns: int) -> None:
        """Report the strategies that could not start."""
        for strategy_id, problem in self._problems.items():
            if strategy_id not in self.disabled and self.is_mine(strategy_id):
                self._note_disabled(strategy_id, problem, now_ns)

    def is_mine(self, strategy_id: str) -> bool:
        """Tell whether a strategy belongs to this scanner, running or disabled."""
        return self.share is None or strategy_id in self.share.strategies

    def take_share(self, share: Share, now_ns: int) -> list[str]:
        """Run this share of the strategies; return the names of those new here, sorted.

        A strategy that is given up is reset: should it come back, another scanner has run it since.
        """
        before = set() if self.share is None else {hosted.id for hosted in self.running}
        self.share = share
        for hosted in self.all:
            if hosted.id in before and not self.is_mine(hosted.id):
                try:
                    with asked(hosted.id, self._watch):
                        hosted.begin_anew()
                except Failed as error:
                    self._problems[hosted.id] = str(error)
        self._settle()
        self.report_problems(now_ns)
        return [hosted.id for hosted in self.running if hosted.id not in before]

    def shard_of(self, instrument: str) -> int:
        """Return the shard of an instrument."""
        return 0 if self.share is None else shard_of(instrument, self.share.shards_all)

    def reads_all_shards(self) -> bool:
        """Tell whether a strategy runs here that looks across base assets."""
        return any(not hosted.by_base for hosted in self.running)

    def readers_of(self, book: tuple[str, str], now_ns: int) -> tuple[Hosted, ...]:
        """Return the strategies that read the views and rules of a book."""
        if self.everyone is not None:
            return self.everyone
        readers = self._readers.get(book)
        if readers is None:
            is_own = self.share is None or self.share.covers(book[1])
            readers = tuple(
                hosted
                for hosted in self.running
                if (is_own or not hosted.by_base)
                and any(wanted.covers(*book) for wanted in hosted.inputs)
            )
            for hosted in readers:
                hosted.begin_warmup(now_ns)
            if len(self._readers) < READERS_MAX:
                self._readers[book] = readers
            all_want_all = all(Depth() in hosted.inputs for hosted in self.running)
            if all_want_all and (self.share is None or self.share.is_whole):
                self.everyone = readers
        return readers

    def disable(self, strategy_id: str, reason: str, now_ns: int) -> None:
        """Stop calling a strategy."""
        if any(hosted.id == strategy_id for hosted in self.running):
            self._note_disabled(strategy_id, reason, now_ns)
            self._settle()

    def disabled_here(self) -> Mapping[str, str]:
        """Return why strategies do not run that this scanner would run."""
        if self.share is None:
            return self.disabled
        return {name: why for name, why in self.disabled.items() if self.is_mine(name)}

    def _settle(self) -> None:
        self.running = [
            hosted
            for hosted in self.all
            if hosted.id not in self.disabled
            and hosted.id not in self._problems
            and self.is_mine(hosted.id)
        ]
        self._readers.clear()
        self.everyone = None

    def _note_disabled(self, strategy_id: str, reason: str, now_ns: int) -> None:
        self.disabled[strategy_id] = reason
        self.alerts.append(
            disabled_alert(strategy_id, f"{reason}{self._rounds.fate(strategy_id)}", now_ns)
        )
