"""Who runs, who reads which book, and who was disabled for what reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.scanner.figures import disabled_alert
from services.scanner.hosted import Hosted
from services.scanner.rounds import RoundKeeper
from services.scanner.watched import Watch
from shared.messages.base import Message
from shared.strategies.port import Depth, Instance

READERS_MAX = 4_096
"""Books whose readers and newest view are remembered."""


class Roster:
    """The strategies of one host.

    Args:
        instances: As configured; of those with a problem only the problem is reported.
        rounds: Says what becomes of the rounds of who is disabled.
        watch: Of the process around it.
    """

    def __init__(
        self, instances: Sequence[Instance], rounds: RoundKeeper, watch: Watch | None
    ) -> None:
        self._rounds = rounds
        self.all = [Hosted(each, each.strategy) for each in instances if each.strategy]
        self.running = list(self.all)
        self.alerts: list[Message] = []
        """To be published with the next step."""
        self.disabled: dict[str, str] = {}
        """Strategy -> why it does not run."""
        self._problems = {each.id: each.problem for each in instances if each.problem}
        for hosted in self.all:
            if problem := hosted.declare(watch):
                self._problems[hosted.id] = problem
                self.running.remove(hosted)
        self._readers: dict[tuple[str, str], tuple[Hosted, ...]] = {}
        self._everyone: tuple[Hosted, ...] | None = None  # where all want all

    def report_problems(self, now_ns: int) -> None:
        """Tell who could not begin."""
        for strategy_id, problem in self._problems.items():
            self._note_disabled(strategy_id, problem, now_ns)

    def readers_of(self, book: tuple[str, str], now_ns: int) -> tuple[Hosted, ...]:
        """Return who wants the views and rules of a book."""
        if self._everyone is not None:
            return self._everyone
        readers = self._readers.get(book)
        if readers is None:
            readers = tuple(
                hosted
                for hosted in self.running
                if any(wanted.covers(*book) for wanted in hosted.inputs)
            )
            for hosted in readers:
                hosted.begin_warmup(now_ns)
            if len(self._readers) < READERS_MAX:
                self._readers[book] = readers
            if all(Depth() in hosted.inputs for hosted in self.running):
                self._everyone = readers
        return readers

    def disable(self, strategy_id: str, reason: str, now_ns: int) -> None:
        """Call a strategy no more."""
        if all(hosted.id != strategy_id for hosted in self.running):
            return
        self.running = [hosted for hosted in self.running if hosted.id != strategy_id]
        self._readers.clear()
        self._everyone = None
        self._note_disabled(strategy_id, reason, now_ns)

    def _note_disabled(self, strategy_id: str, reason: str, now_ns: int) -> None:
        self.disabled[strategy_id] = reason
        self.alerts.append(
            disabled_alert(strategy_id, f"{reason}{self._rounds.fate(strategy_id)}", now_ns)
        )
