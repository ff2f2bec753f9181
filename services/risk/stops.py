"""The stops of signals: kept with the round and watched by risk, not by the strategy. Pure.

What a signal opened has a stop (a distance from its average entry) and a time. Both are part of the
round in the ledger, so they survive the restart of every service. They are compared with what
closing the round would get in its own book now. Once reached, a stop stays reached: the round is
closed by reducing plans, judged like any close, until it holds nothing: tried again while its books
stand still, too.

A book that is not LIVE, or too old, prices nothing and triggers no stop; if it stays so,
an alert is sent. Risk sees the newest view of a book every 50 ms: a price in between is not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from hashlib import blake2b
from typing import Final

import msgspec

from services.risk.exposure import ZERO, Ledger
from services.risk.market import LatestBooks
from services.risk.rounds import Round
from services.risk.trading import alert
from shared.config_sections import Config
from shared.domain.depth import walk_exact
from shared.domain.instrument import MarketKey
from shared.domain.stops import Exit, exit_of
from shared.messages.arb import Opportunity
from shared.messages.base import Message, Side
from shared.messages.control import Severity
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.market import DepthView
from shared.messages.rounds import RoundState, round_key
from shared.messages.rules import InstrumentRules
from shared.strategies.round_plans import KnownBook, close_round, taken_side

RETRY_NS: Final = 1_000_000_000
"""Between two attempts to close a round of which the last was denied."""
ATTEMPT_NS: Final = 200_000_000
"""And between two of which the last was approved: it may have filled nothing, or been refused."""
UNWATCHED_NS: Final = 10_000_000_000
"""A stop whose book prices nothing for so long is alerted."""
HELD_MS_MAX: Final = 2**53
"""Of a signal that states no time."""
_MS: Final = 1_000_000
_CAN_CLOSE: Final = frozenset((RoundState.OPEN, RoundState.HALTED))
_COUNTER_OF: Final = {Exit.STOP: "stops_reached", Exit.TIME: "stops_timed_out"}


class RoundStops:
    """Compares the stops of open rounds with their books, and closes what has reached its own.

    Args:
        market: Views and rules, as risk received them.
        book_age_ms_max: Of a view that may price anything.
    """

    def __init__(self, market: LatestBooks, book_age_ms_max: int) -> None:
        self._market, self._age_ms_max = market, book_age_ms_max
        self.watched_markets: dict[MarketKey, list[str]] = {}
        """Books in which stops are watched, and the rounds that have them."""
        self._next_ns: dict[str, int] = {}
        self._again_ns: dict[str, int] = {}
        """When a round at its stop is looked at again, though its books stand still."""
        self._denied: dict[str, str] = {}
        self._unpriced_ns: dict[str, int] = {}
        self._alerted: dict[str, bool] = {}
        self._alerts: list[Message] = []
        self.counters = {"stops_reached": 0, "stops_timed_out": 0, "stop_plans": 0}

    def use_limits(self, config: Config) -> None:
        """Price by views of this age from now on."""
        self._age_ms_max = config.risk.book_age_ms_max

    def follow(self, ledger: Ledger) -> None:
        """Note which rounds have a stop, and where; after every change of the rounds."""
        self.watched_markets = {}
        watched: dict[str, bool] = {}
        for key, each in ledger.rounds.rounds.items():
            if each.stop_bps > 0 and each.held and not each.is_dust:
                watched[key] = True
                for market in _markets(each):
                    self.watched_markets.setdefault(market, []).append(key)
        for memory in (
            self._next_ns,
            self._again_ns,
            self._denied,
            self._unpriced_ns,
            self._alerted,
        ):
            for key in [key for key in memory if key not in watched]:
                del memory[key]

    def leaves(self, view: DepthView, ledger: Ledger) -> bool:
        """Tell whether a view needs no work: no stop in its book, no round to publish."""
        return (
            view.venue,
            view.instrument,
        ) not in self.watched_markets and not ledger.rounds.touched

    def close(
        self,
        ledger: Ledger,
        now_ns: int,
        market: MarketKey | None,
        decide: Callable[[Opportunity, int], list[Message]],
    ) -> list[Message]:
        """Let risk judge what closes the rounds that are due; return its decisions and alerts."""
        out: list[Message] = []
        for offer in self.due(ledger, now_ns, market):
            decided = decide(offer, now_ns)
            out += [*decided, *self.answered(offer, decided[0], now_ns)]
        return out + self.take_alerts()

    def due(
        self, ledger: Ledger, now_ns: int, market: MarketKey | None = None
    ) -> list[Opportunity]:
        """Return what closes the rounds whose stop or time is reached, to be judged.

        Args:
            ledger: A stop that is reached now is noted in its rounds.
            now_ns: Now.
            market: The one whose book has changed; every market if ``None``.
        """
        keys = self.rounds if market is None else self.watched_markets.get(market, [])
        found: list[Opportunity] = []
        in_flight = ledger.rounds_in_flight
        for key in keys:
            held = ledger.rounds.rounds.get(key)
            if held is None or held.state(in_flight.get(key)) not in _CAN_CLOSE:
                continue
            self._judge(held, ledger, now_ns)
            if held.ending and now_ns >= self._next_ns.get(key, 0):
                self._again_ns[key] = now_ns + ATTEMPT_NS
                plan = self._closing(held, now_ns)
                if plan is not None:
                    found.append(plan)
        return found

    def next_attempt_ns(self, ledger: Ledger) -> int | None:
        """Return when a round is to be looked at again that has reached its stop."""
        if not self._again_ns:
            return None
        rounds, in_flight = ledger.rounds.rounds, ledger.rounds_in_flight
        due = [
            max(at_ns, self._next_ns.get(key, 0))
            for key, at_ns in self._again_ns.items()
            if rounds[key].state(in_flight.get(key)) in _CAN_CLOSE
        ]
        return min(due, default=None)

    def answered(self, offer: Opportunity, answer: Message, now_ns: int) -> list[Message]:
        """Take the decision on what ``due`` returned; return alerts for the operator."""
        key = round_key(offer.strategy_id, offer.round_id)
        if isinstance(answer, ApprovedPlan):
            self.counters["stop_plans"] += 1
            self._denied.pop(key, None)
            self._next_ns[key] = now_ns + ATTEMPT_NS
        elif isinstance(answer, Denied):
            self._next_ns[key] = now_ns + RETRY_NS
            if self._denied.get(key) != answer.reason:
                self._denied[key] = answer.reason
                why = " ".join(f"{name}={value}" for name, value in answer.context.items())
                text = f"round {key} is at its stop and cannot be closed: {answer.reason} {why}"
                self._alerts.append(alert(now_ns, Severity.CRITICAL, "STOP_DENIED", text, key))
        return self.take_alerts()

    def take_alerts(self) -> list[Message]:
        """Return the alerts since the last call."""
        alerts, self._alerts = self._alerts, []
        return alerts

    @property
    def rounds(self) -> list[str]:
        """The rounds that have a stop."""
        return list(dict.fromkeys(key for keys in self.watched_markets.values() for key in keys))

    def _judge(self, held: Round, ledger: Ledger, now_ns: int) -> None:
        """Note in a round that its stop or its time is reached."""
        if held.ending:
            return
        side, stop = held.stop_side, held.stop
        books = self._books(held)
        is_priced = all(book.is_live(now_ns, self._age_ms_max) for book in books.values())
        self._note_priced(held.key, now_ns, is_priced=is_priced)
        if not is_priced or side is None:
            return
        for market, book in books.items():
            price = _executable(book, side, abs(_markets(held)[market]))
            if price is None:
                continue
            why = exit_of(
                side,
                stop=stop if stop is not None else (ZERO if side is Side.BUY else price + 1),
                executable=price,
                wanted=None,
                ts_opened_ns=held.ts_opened_ns,
                now_ns=now_ns,
                held_ms_max=held.horizon_ns // _MS or HELD_MS_MAX,
            )
            if why is not None:
                held.ending = why
                self.counters[_COUNTER_OF[why]] += 1
                ledger.rounds.touch(held.key)
                text = (
                    f"round {held.key} is closed by its {why.value.lower()}: closing gets {price} "
                    f"at {' '.join(market)}, the stop is {stop}"
                )
                code = "STOP_REACHED" if why is Exit.STOP else "STOP_TIME"
                self._alerts.append(alert(now_ns, Severity.WARNING, code, text, held.key))
                return

    def _closing(self, held: Round, now_ns: int) -> Opportunity | None:
        plan = close_round(
            held.position(None, now_ns), self._books(held), now_ns, age_ms_max=self._age_ms_max
        )
        if plan is None:
            return None
        # A plan that filled nothing is made again, also where the book has not moved since.
        text = f"{plan.opportunity_id}|{now_ns}"
        attempt = blake2b(text.encode(), digest_size=8).hexdigest()
        return msgspec.structs.replace(plan, detector="stop", opportunity_id=attempt)

    def _books(self, held: Round) -> dict[MarketKey, KnownBook]:
        found: dict[MarketKey, KnownBook] = {}
        for market in _markets(held):
            found[market] = book = KnownBook()
            book.view, book.rules = self._market.views.get(market), self._market.rules.get(market)
        return found

    def _note_priced(self, key: str, now_ns: int, *, is_priced: bool) -> None:
        """Alert once where the books of a round price nothing, and once when they do again."""
        if is_priced:
            self._unpriced_ns.pop(key, None)
            if self._alerted.pop(key, False):
                text = f"the stop of round {key} is watched again"
                self._alerts.append(alert(now_ns, Severity.INFO, "STOP_WATCHED", text, key))
            return
        since_ns = self._unpriced_ns.setdefault(key, now_ns)
        if now_ns - since_ns >= UNWATCHED_NS and key not in self._alerted:
            self._alerted[key] = True
            text = (
                f"the stop of round {key} is not watched: its book has not been LIVE for "
                f"{(now_ns - since_ns) // 1_000_000_000} s"
            )
            self._alerts.append(alert(now_ns, Severity.CRITICAL, "STOP_UNWATCHED", text, key))


def keep_stop(found: Round, stop_bps: Decimal, rules: InstrumentRules) -> None:
    """Keep the stop of a signal with the round that it opens."""
    found.stop_bps, found.stop_tick = stop_bps, rules.tick_size


def _markets(held: Round) -> dict[MarketKey, Decimal]:
    """Return what a round holds, by venue and instrument; what is zero left out."""
    found: dict[MarketKey, Decimal] = {}
    for market, qty in held.books.quantities.items():
        if qty:
            venue, _, instrument = market.partition("|")
            found[venue, instrument] = qty
    return found


def _executable(book: KnownBook, side: Side, qty: Decimal) -> Decimal | None:
    """Return what closing a quantity gets on average, or as much of it as the book holds."""
    assert book.view is not None
    closing = side.opposite
    levels = taken_side(book.view, closing)
    qty = min(qty, sum((size for _, size in levels), ZERO))
    walked = walk_exact(levels, qty, closing) if qty > 0 else None
    return None if walked is None else walked.price_avg
