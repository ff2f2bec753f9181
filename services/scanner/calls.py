"""Calls strategies under a watchdog and filters which of their outputs are published. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.scanner.hosted import Hosted, opens_round
from services.scanner.roster import Roster
from services.scanner.watched import Failed, Watch, asked
from shared.messages.base import Message
from shared.strategies.failure import describe

_TIMES = (int, type(None))
COUNTERS = ("opportunities", "outputs_in_warmup", "opens_too_early")


class Calls:
    """Calls strategies of a roster; one that fails is disabled there.

    Args:
        roster: The strategies.
        watch: Of the process around it.
    """

    def __init__(self, roster: Roster, watch: Watch | None) -> None:
        self._roster, self._watch = roster, watch
        self.counters = dict.fromkeys(COUNTERS, 0)

    def ask(
        self, hosted: Hosted, call: Callable[[Any, int], Sequence[Any]], given: Any, now_ns: int
    ) -> Sequence[Message]:
        """Call a strategy; return what may be published of what it returns."""
        watch = self._watch
        if watch is not None:
            watch.begin(hosted.id)
        try:
            found = call(given, now_ns)
            out = self._accept(hosted, found, now_ns) if found else ()
            if type(hosted.near_misses.next_ns) not in _TIMES:
                raise TypeError("it changed near_misses.next_ns; count by near_misses.count(...)")
            if hosted.wants_timer:
                hosted.note_deadline(now_ns)
            return out
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # tidy-ok: another's code, told in an alert
            self._roster.disable(hosted.id, describe(error), now_ns)
            return ()
        finally:
            if watch is not None:
                watch.end()

    def keep_back(self, found: Sequence[Message]) -> None:
        """Count what a strategy returned while it caught up; it is not published."""
        self.counters["outputs_in_warmup"] += len(found)
        self.counters["opportunities"] -= len(found)

    def report_held_back(self, hosted: Hosted, held: Sequence[Message], now_ns: int) -> None:
        """Tell a strategy which of its outputs were held back, unless it has just been disabled."""
        if held and hosted.id not in self._roster.disabled:
            self.ask(hosted, hosted.on_held_back, held, now_ns)

    def ask_misses(self, hosted: Hosted, now_ns: int) -> Sequence[Message]:
        """Return the near misses of a strategy that are due."""
        try:
            with asked(hosted.id, self._watch):
                return hosted.near_misses.due(hosted.detector, hosted.id, now_ns)
        except Failed as error:  # it shows a strategy's own values
            self._roster.disable(hosted.id, f"near misses: {error}", now_ns)
            return ()

    def _accept(self, hosted: Hosted, found: Sequence[Any], now_ns: int) -> Sequence[Message]:
        """Return what of a call's outputs may be published.

        Raises:
            TypeError: One is no opportunity.
            ValueError: One has an impossible value, or there are too many.
        """
        out = hosted.stamped(found, now_ns)
        if hosted.warmup_ns and hosted.is_warming_up(now_ns):
            # It is not told: afterwards it is to know what one knows that was never interrupted.
            self.counters["outputs_in_warmup"] += len(out)
            return ()
        if not hosted.knows_rounds and (early := [each for each in out if opens_round(each)]):
            out = [each for each in out if not opens_round(each)]
            self.counters["opens_too_early"] += len(early)
            hosted.on_held_back(early, now_ns)
        self.counters["opportunities"] += len(out)
        return out
