"""What each round of a strategy holds, from the fills of its plans. Pure, saved with the ledger.

A round is opened by a plan with the intent OPEN and named by its strategy. Every fill is booked to
the round of its plan; those of plans that the executor made itself (late fills, adopted orders)
carry the round on. What an operator sold or bought (FLATTEN) closes what rounds hold against it,
oldest first; what they hold against each other in a derivative, of which the venue shows nothing,
ends with it (``cancel_out``). Spot counts over all venues together, as everywhere
(``domain/accounting.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Final

import msgspec

from services.risk.adopted_fills import AdoptedFills
from services.risk.funding_known import NOTHING_KNOWN, FundingKnownOf, funding_certainty
from services.risk.round_closes import cancel_out, close_against, close_by_adopted, part_of
from shared.domain.accounting import Books, holding_key, worst_certainty
from shared.domain.executions import Execution, execution_of
from shared.domain.instrument import split_instrument
from shared.domain.ownership import reduced_text
from shared.domain.stops import stop_price
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, Fill, PlanDone
from shared.messages.rounds import (
    MARKETS_OF_ROUND_MAX,
    Intent,
    RoundLeg,
    RoundState,
    StrategyPosition,
    round_key,
)

ROUNDS_OPEN_MAX: Final = 64
"""Rounds that are not closed; a further one is not opened."""
ROUNDS_CLOSED_MAX: Final = 32
"""Closed rounds kept, the newest: a late fill still finds its own."""
PLANS_OF_ROUND_MAX: Final = 64
"""Plans of a round known by their ids, the newest; fills of older ones name the round."""
ZERO: Final = Decimal(0)

IsDust = Callable[[str, str, Decimal], bool]
"""Venue, instrument and base units -> too small to be traded there."""


class Round(msgspec.Struct, kw_only=True):
    """One round. ``fees`` are by ``venue|instrument`` and asset.

    ``plans`` are the ids of its plans. ``risk_quote`` is what it may lose at the stop of its
    signal. ``is_dust`` says that what is left was too small to trade when a plan ended.
    ``ts_late_ns`` is when a fill came last of a plan that is not in flight, ``ts_traded_ns`` the
    venue's time of the newest fill.
    ``stop_bps`` is how far from its entry it stops, on ``stop_tick`` (0: no stop is kept for it);
    ``ending`` is why it is being closed by that.
    """

    strategy: str
    round_id: str
    base: str
    quote: str
    is_directional: bool
    ts_opened_ns: int
    horizon_ns: int = 0
    books: Books = msgspec.field(default_factory=Books)
    fees: dict[str, dict[str, Decimal]] = {}
    plans: list[str] = []
    is_dust: bool = False
    halted: str = ""
    risk_quote: Decimal = ZERO
    ts_late_ns: int = 0
    stop_bps: Decimal = ZERO
    stop_tick: Decimal = ZERO
    ending: str = ""
    ts_traded_ns: int = 0

    @property
    def key(self) -> str:
        """Its name among the rounds of all strategies."""
        return round_key(self.strategy, self.round_id)

    @property
    def held(self) -> dict[str, Decimal]:
        """Signed base units by key of the holding; what is not zero."""
        return self.books.opened()

    @property
    def net(self) -> Decimal:
        """Base units that its legs together leave unhedged; see ``Books.opened_base``."""
        return sum(self.books.opened_base().values(), ZERO)

    @property
    def was_traded(self) -> bool:
        """Whether anything was ever filled."""
        return bool(self.books.quantities)

    @property
    def stop_side(self) -> Side | None:
        """The side that opened what it holds; ``None`` where it holds nothing."""
        return None if not self.net else Side.BUY if self.net > 0 else Side.SELL

    @property
    def stop(self) -> Decimal | None:
        """The price at which it is closed; ``None`` without a stop, or where there is none."""
        side = self.stop_side
        if side is None or self.stop_bps <= 0:
            return None
        holding = self.books.holdings.get(next(iter(self.held)))
        entry = None if holding is None else holding.entry
        if not entry:
            return None
        price = stop_price(side, abs(entry), self.stop_bps, self.stop_tick)
        return price if price > 0 else None

    def state(self, in_flight: Intent | None) -> RoundState:
        """Return how far it has come; ``in_flight`` is what a plan of it is under way for."""
        if in_flight is not None:
            return RoundState.OPENING if in_flight is Intent.OPEN else RoundState.CLOSING
        if self.is_dust or not self.held:
            return RoundState.CLOSED
        return RoundState.HALTED if self.halted else RoundState.OPEN

    def add_plan(self, plan_id: str) -> None:
        """Remember a plan of it, the oldest making room."""
        if plan_id not in self.plans:
            self.plans.append(plan_id)
            del self.plans[:-PLANS_OF_ROUND_MAX]

    def trade(self, done: Execution) -> None:
        """Book an execution and its fee."""
        self.is_dust = False
        self.ts_traded_ns = max(self.ts_traded_ns, done.ts_ns)
        self.books.trade(done)
        self._note_fee(done)

    def fee_told(self, done: Execution) -> None:
        """Book the fee of an execution that came without one; others it never had are left out."""
        if self.books.result(done.cash).fees_missing > 0:
            self.books.fee_told(done)
            self._note_fee(done)

    def position(
        self, in_flight: Intent | None, now_ns: int, funding: FundingKnownOf = NOTHING_KNOWN
    ) -> StrategyPosition:
        """Return it as a message; ``funding`` says by venue how far payments are known."""
        books = self.books
        return StrategyPosition(
            ts_ns=now_ns,
            strategy_id=self.strategy,
            round_id=self.round_id,
            state=self.state(in_flight),
            base=self.base,
            quote=self.quote,
            legs=[self._leg(key, qty) for key, qty in books.quantities.items()],
            unhedged=self.net,
            realized={quote: result.realized for quote, result in books.results.items()},
            certainty=worst_certainty(*(result.certainty for result in books.results.values())),
            funding={q: r.funding for q, r in books.results.items() if r.funding},
            funding_certainty=funding_certainty(books, self.ts_traded_ns, funding),
            is_directional=self.is_directional,
            ts_opened_ns=self.ts_opened_ns,
            horizon_ns=self.horizon_ns,
            reason=self.halted,
            stop=self.stop,
            ending=self.ending,
        )

    def _leg(self, key: str, qty: Decimal) -> RoundLeg:
        venue, _, instrument = key.partition("|")
        holding = self.books.holdings.get(holding_key(venue, instrument))
        kind = split_instrument(instrument).kind
        entry = holding.entry_of(kind) if holding is not None and qty else None
        fees = self.fees.get(key, {})
        return RoundLeg(
            venue=venue,
            instrument=instrument,
            qty=qty,
            entry=None if entry is None else abs(entry),
            fees=dict(fees),
        )

    def _note_fee(self, done: Execution) -> None:
        if done.fee:
            name = split_instrument(done.instrument)
            asset = done.fee_asset or name.settle or name.quote
            of_market = self.fees.setdefault(f"{done.venue}|{done.instrument}", {})
            of_market[asset] = of_market.get(asset, ZERO) + done.fee


class Rounds(msgspec.Struct, dict=True):
    """All rounds by ``strategy|round``, oldest first; closed ones up to a bound.

    ``adopted`` are fills that may turn out to be those of a round.
    """

    rounds: dict[str, Round] = {}
    adopted: AdoptedFills = msgspec.field(default_factory=AdoptedFills)

    @cached_property
    def touched(self) -> dict[str, bool]:
        """Rounds to publish, and whether a fill reopened them; not saved."""
        return {}

    def get(self, strategy: str, round_id: str) -> Round | None:
        """Return a round that is known."""
        return self.rounds.get(round_key(strategy, round_id))

    def begin(self, new: Round, plan_id: str) -> Round:
        """Return the round that a plan belongs to, begun with ``new`` where there is none yet."""
        found = self.rounds.get(new.key)
        if found is None or not found.was_traded:
            found = self.rounds[new.key] = new
        found.add_plan(plan_id)
        self.touch(found.key)
        return found

    def add_plan(self, key: str, plan_id: str) -> None:
        """Note a further plan of a round."""
        if (found := self.rounds.get(key)) is not None:
            found.add_plan(plan_id)
            self.touch(key)

    def of_plan(self, plan_id: str) -> Round | None:
        """Return the round that a plan belongs to."""
        return next((each for each in self.rounds.values() if plan_id in each.plans), None)

    def book(self, fill: Fill, *, is_new: bool, in_flight: bool) -> None:
        """Book a fill, or the fee of one that is not new, to the round of its plan.

        ``in_flight`` tells that its plan has not ended.
        """
        done = execution_of(fill)
        found = self.of_plan(fill.plan_id) or self._named(fill)
        if found is None:
            if is_new and (fill.reduced_by or fill.strategy == OPERATOR_STRATEGY):
                done, why = part_of(done, done.qty - fill.of_no_round), reduced_text(fill)
                self._touch_all(close_against(self.rounds.values(), done, why, fill.of_rounds))
            elif not (fill.reduced_by or fill.strategy or in_flight):
                self.adopted.keep(fill)
            return
        self._book_adopted(self.adopted.take(fill.plan_id), found.strategy, found.round_id)
        was_closed = not in_flight and found.state(None) is RoundState.CLOSED
        if is_new:
            found.trade(done)
            if not in_flight:
                found.ts_late_ns = max(found.ts_late_ns, fill.ts_ns)
        else:
            found.fee_told(done)
        self.touch(found.key, is_reopened=was_closed and found.state(None) is not RoundState.CLOSED)

    def claim(self, done: PlanDone, *, is_even: bool = True) -> dict[str, Decimal]:
        """Book the fills of a plan that were reported before its round was known.

        One that evens out a late fill belongs to the round of that, if there is one. Another one
        without a round may, if it is even, have closed a round before its record was lost.
        Returns base units by key of the holding where it left a position that no round holds.
        """
        fills = self.adopted.take(done.plan_id)
        owner = self.of_plan(done.late_of) if done.late_of and not done.round_id else None
        if owner is not None:
            self._book_adopted(fills, owner.strategy, owner.round_id)
        elif done.strategy and done.round_id:
            self._book_adopted(fills, done.strategy, done.round_id)
        elif done.late_of:
            self.adopted.take(done.late_of)  # the late fill, which these evened out
        else:
            taken = fills if is_even else []
            closed, left = close_by_adopted(self.rounds.values(), taken, done.began_with)
            if closed is not None:
                self.add_plan(closed.key, done.plan_id)
            return left
        return {}

    def _book_adopted(self, fills: Iterable[Fill], strategy: str, round_id: str) -> None:
        """Book fills that were told before the round of their plan was known."""
        for fill in fills:
            named = msgspec.structs.replace(fill, strategy=strategy, round_id=round_id)
            self.book(named, is_new=True, in_flight=False)

    def on_plan_end(self, plan_id: str, failure: str, is_dust: IsDust) -> None:
        """Take the end of a plan in; ``failure`` says why it left something over.

        Its intent says nothing of what is left: an opening that was unwound leaves dust as well.
        """
        found = self.of_plan(plan_id)
        if found is None:
            return
        if failure:
            found.halted = failure
        else:
            self._note_dust(found, is_dust)
        self.touch(found.key)

    def cancel_out(
        self, in_flight: Mapping[str, Intent], prices: Mapping[str, Decimal], now_ns: int
    ) -> None:
        """End what rounds hold against each other, but for those of which a plan is in flight."""
        here = [each for key, each in self.rounds.items() if key not in in_flight]
        self._touch_all(cancel_out([x for x in here if not x.is_dust], prices, now_ns))

    def on_operator_end(self, in_flight: Mapping[str, Intent], is_dust: IsDust) -> None:
        """Take the end of a plan in that belongs to no round: of FLATTEN, which closes any."""
        for found in self.rounds.values():
            if found.held and not found.is_dust and found.key not in in_flight:
                self._note_dust(found, is_dust)
                if found.is_dust:
                    self.touch(found.key)

    def release_halted(self) -> None:
        """Release halted rounds after an operator has dealt with the failure."""
        for found in self.rounds.values():
            if found.halted:
                found.halted = ""
                self.touch(found.key)

    def forget(self, is_closed: Callable[[Round], bool]) -> None:
        """Drop the oldest closed rounds beyond the bound."""
        closed = [key for key, each in self.rounds.items() if is_closed(each)]
        for key in closed[: max(0, len(closed) - ROUNDS_CLOSED_MAX)]:
            del self.rounds[key]

    def touch(self, key: str, *, is_reopened: bool = False) -> None:
        """Note that a round has changed."""
        self.touched[key] = self.touched.get(key, False) or is_reopened

    def _touch_all(self, changed: Iterable[Round]) -> None:
        for each in changed:
            self.touch(each.key)

    def take_touched(self) -> dict[str, bool]:
        """Return the rounds that have changed since this was last asked."""
        touched = dict(self.touched)
        self.touched.clear()
        return touched

    def held_on(self, market: str) -> Decimal:
        """Return the net base units that all rounds hold on ``venue|instrument``."""
        return sum((each.books.quantities.get(market, ZERO) for each in self.rounds.values()), ZERO)

    def _named(self, fill: Fill) -> Round | None:
        """Return the round that a fill names; create it if it is no longer known."""
        if not (fill.round_id and fill.strategy):
            return None
        key = round_key(fill.strategy, fill.round_id)
        found = self.rounds.get(key)
        if found is None:
            base, quote, _ = split_instrument(fill.instrument)
            found = self.rounds[key] = Round(
                strategy=fill.strategy,
                round_id=fill.round_id,
                base=base,
                quote=quote,
                is_directional=False,
                ts_opened_ns=fill.ts_ns,
            )
        found.add_plan(fill.plan_id)
        return found

    def _note_dust(self, found: Round, is_dust: IsDust) -> None:
        found.is_dust = all(
            self._is_dust_of(found, key, qty, is_dust) for key, qty in found.held.items()
        )

    @staticmethod
    def _is_dust_of(found: Round, key: str, qty: Decimal, is_dust: IsDust) -> bool:
        """Tell whether what is left of a holding can be traded on none of its markets."""
        places = [market for market in found.books.quantities if _key_of(market) == key]
        return all(is_dust(*_place(market), abs(qty)) for market in places)


def positions(
    rounds: Rounds,
    keys: Iterable[str],
    in_flight: Mapping[str, Intent],
    funding: FundingKnownOf,
    now_ns: int,
) -> list[StrategyPosition]:
    """Return the messages about some rounds."""
    known = rounds.rounds
    return [
        known[key].position(in_flight.get(key), now_ns, funding) for key in keys if key in known
    ]


def has_room(found: Round, markets: list[str]) -> bool:
    """Tell whether a round may trade on these markets too."""
    return len({*found.books.quantities, *markets}) <= MARKETS_OF_ROUND_MAX


def _place(market: str) -> tuple[str, str]:
    venue, _, instrument = market.partition("|")
    return venue, instrument


def _key_of(market: str) -> str:
    return holding_key(*_place(market))
