"""Holds a short perpetual against spot, or against another perpetual, for the funding. Pure.

    C  = 2 (f_s + f_l) + both spreads + what the open basis lacks        per unit of notional
    n* = ceil(C / F)            settlements of the predicted rate F that earn it

Opens where the rates of the last settlements reach ``enter_bps_per_hour``, n* settlements fit into
``hold_hours_max``, what is left a year after cost and borrow reaches ``apr_bps_min``, liquidation
is ``distance_bps_min`` away, and no settlement within ``guard_ms`` would charge us. Closes after
``exit_count`` settlements in a row predicted below ``exit_bps_per_hour``, before one that would
charge more than ``flip_bps``, by time, near liquidation, and at once what is left where the venue
took a leg away. Never because a payment arrived. What it holds, only risk says (``on_position``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from shared.domain.carry import (
    Act,
    CarryCost,
    CarryLimits,
    Offer,
    Verdict,
    decide_close,
    decide_open,
)
from shared.domain.contracts import Contract
from shared.domain.funding import Predicted
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.market import DepthView, Funding, FundingSettled
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.carry_markets import CarryMarkets, CarryPair, FundingCarryParams
from shared.strategies.demo import Demo
from shared.strategies.features.perp_rates import due_to_us
from shared.strategies.near_misses import Stopped
from shared.strategies.port import Depth, FundingOf, Input, Strategy
from shared.strategies.round_plans import (
    RoundTerms,
    Wanted,
    close_round,
    is_uneven,
    plan_round,
)

PENDING_NS = 3_000_000_000
"""After an offer without a word of risk about its round, the next one may be made."""
_ZERO, _BPS = Decimal(0), Decimal(10_000)
_MS, _HOUR_MS = 1_000_000, 3_600_000
_LINEAR = Contract(InstrumentKind.LINEAR)

DEMO = Demo(
    params={
        "settled_count": 1,
        "enter_bps_per_hour": 1_500.0,  # 4 bps of a settlement: eight hours pass in 10 s
        "exit_bps_per_hour": 500.0,
        "exit_count": 2,
        "hold_hours_max": 0.0125,  # 45 s
        "basis_credit_bps_max": 60.0,
        "guard_ms": 1_000,
        "cooldown_ms": 10_000,
    },
    premium_bps=90.0,
    funding_interval_s=10,
)


class FundingCarry(Strategy[FundingCarryParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "HISTORY": ("settlements",),
        "NO_RATE": (),
        "SETTLED": ("settled_bps_per_hour", "needs_bps_per_hour"),
        "BREAK_EVEN": ("cost_bps", "predicted_bps", "settlements"),
        "APR": ("net_apr_bps", "needs_apr_bps", "cost_bps"),
        "GUARD": ("charges_bps",),
        "MARGIN": ("distance_bps", "needs_bps"),
        "FADES": ("settlements_below",),
        "HELD": ("round",),
    }

    def set_up(self) -> None:
        """Begin without books; refuse an exit that is no lower than the entry."""
        given = self.params
        if given.exit_bps_per_hour >= given.enter_bps_per_hour:
            raise ValueError(
                f"exit_bps_per_hour {given.exit_bps_per_hour} is not below enter_bps_per_hour "
                f"{given.enter_bps_per_hour}: it would open and close at the same rate"
            )
        self._limits = CarryLimits(
            enter_bps_per_hour=exact(given.enter_bps_per_hour),
            exit_bps_per_hour=exact(given.exit_bps_per_hour),
            exit_count=given.exit_count,
            hold_hours_max=exact(given.hold_hours_max),
            apr_bps_min=exact(given.apr_bps_min),
            guard_ms=given.guard_ms,
            distance_bps_min=exact(given.distance_bps_min),
        )
        self._markets = CarryMarkets(given, self.near_misses)
        self._rounds: dict[str, StrategyPosition] = {}
        self._tried_ns: dict[str, int] = {}
        self._counts = {"opens": 0, "closes": 0}
        self._next_ns = 0

    def inputs(self) -> Sequence[Input]:
        """Return both books and the funding of the perpetuals, or all."""
        given = self.params
        short = given.short_venue, given.short_instrument
        long = given.long_venue, given.long_instrument
        perps = [short] if long[1] and is_spot(long[1]) else [short, long]
        books = [Depth(*each) for each in (short, long)]
        return tuple(dict.fromkeys([*books, *(FundingOf(*each) for each in perps)]))

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note what an instrument's orders must look like, and what they cost."""
        book = self._markets.book((rules.venue, rules.instrument))
        if book is not None:
            book.rules = rules
        return ()

    def on_funding(self, funding: Funding | FundingSettled, now_ns: int) -> Sequence[Opportunity]:
        """Note what settled and what is predicted."""
        place = funding.venue, funding.instrument
        if self._markets.book(place) is None or place not in self._markets.rates:
            return ()
        self._markets.rates[place].take(funding)
        for pair in self._markets.pairs_of[place]:
            predicted = self._markets.predicted(pair)
            if predicted is not None:
                pair.below.take(predicted)
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at the pairs of a book."""
        place = view.venue, view.instrument
        book = self._markets.book(place)
        if book is None:
            return ()
        book.view = view
        out: list[Opportunity] = []
        for pair in self._markets.pairs_of[place]:
            held = self._round_of(pair)
            found = self._close(held, now_ns) if held else self._open(pair, now_ns)
            if isinstance(found, Opportunity):
                out.append(found)
            elif found is not None:
                assert pair.route is not None
                self.near_misses.count(pair.route, found, now_ns)
        return out

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Opportunity]:
        """Take what risk says about a round."""
        if position.state is not RoundState.CLOSED:
            self._rounds[position.round_id] = position
            return ()
        self._tried_ns.pop(position.round_id, None)
        if self._rounds.pop(position.round_id, None) is not None:
            places = {(leg.venue, leg.instrument) for leg in position.legs}
            for pair in self._markets.pairs:
                if not places or pair.short_at in places:
                    pair.ts_cool_ns = now_ns + self.params.cooldown_ms * _MS
                    pair.pending_ns = 0
        return ()

    def on_timer(self, now_ns: int) -> Sequence[Opportunity]:
        """Look at every round: time passes without views, too."""
        self._next_ns = now_ns + 1_000 * _MS
        found = [self._close(held, now_ns) for held in self._rounds.values()]
        return [each for each in found if isinstance(each, Opportunity)]

    def next_deadline_ns(self) -> int | None:
        """Every second while a round is open."""
        return self._next_ns if self._rounds else None

    def counters(self) -> Mapping[str, int]:
        """Return offers to open and to close, and pairs beyond the bound."""
        return {**self._counts, "pairs_refused": self._markets.pairs_refused}

    def gauges(self) -> Mapping[str, float]:
        """Return pairs and open rounds."""
        return {"pairs": len(self._markets.pairs), "rounds": len(self._rounds)}

    # Opening

    def _open(self, pair: CarryPair, now_ns: int) -> Opportunity | Stopped | None:
        given, short, long = self.params, pair.short, pair.long
        if short.rules is None or long.rules is None:
            return Stopped("NO_RULES", (long.rules is not None, short.rules is not None))
        are_live = [book.is_live(now_ns, given.book_age_ms_max) for book in (long, short)]
        if not all(are_live):
            return Stopped("BOOK_NOT_LIVE", tuple("LIVE" if live else "NOT" for live in are_live))
        if stopped := self._rate_obstacle(pair, now_ns):  # nearly always
            return stopped
        left_ns = max(pair.ts_cool_ns, pair.pending_ns) - now_ns
        if left_ns > 0:
            return Stopped("COOLDOWN", (left_ns // _MS,))
        qty = self._markets.size(pair)
        if isinstance(qty, Stopped):
            return qty
        if stopped := self._carry_obstacle(pair, qty, now_ns):
            return stopped
        assert short.view is not None
        assert long.view is not None
        orders = [
            Wanted(long.view, long.rules, Side.BUY, qty),
            Wanted(short.view, short.rules, Side.SELL, qty),
        ]
        base = split_instrument(pair.short_at[1]).base
        terms = RoundTerms(
            self.id,
            f"{base}.{pair.long_at[0]}.{pair.short_at[0]}.{now_ns // _MS}",
            Intent.OPEN,
            given.opportunity_ttl_ms,
            round(given.hold_hours_max * _HOUR_MS),
        )
        found = plan_round(terms, orders, now_ns)
        if found is not None:
            pair.pending_ns = now_ns + PENDING_NS
            self._counts["opens"] += 1
        return found

    def _rate_obstacle(self, pair: CarryPair, now_ns: int) -> Stopped | None:
        """Return what of the rates alone opens nothing."""
        predicted = self._markets.predicted(pair)
        if predicted is None or predicted.ts_funding_ns <= now_ns:
            return Stopped("NO_RATE", ())
        settled = self._markets.settled_per_hour(pair, now_ns)
        if settled is None:
            return Stopped("HISTORY", (len(self._markets.rates[pair.short_at].history),))
        if settled * _BPS < self._limits.enter_bps_per_hour:
            needs = self.params.enter_bps_per_hour
            return Stopped("SETTLED", (round(settled * _BPS, 4), needs), float(settled * _BPS))
        if pair.below.count:
            return Stopped("FADES", (pair.below.count,))
        receive, pay = self._markets.rates[pair.short_at].predicted, self._markets.paying(pair)
        assert receive is not None
        charges = due_to_us(receive, pay, now_ns, self.params.guard_ms * _MS)
        return Stopped("GUARD", (round(-charges * _BPS, 4),)) if charges < 0 else None

    def _carry_obstacle(self, pair: CarryPair, qty: Decimal, now_ns: int) -> Stopped | None:
        """Return what of costs, yield and margin opens nothing, at this quantity."""
        given = self.params
        cost = self._markets.cost(pair, qty)
        if cost is None:
            return Stopped("BOOK_NOT_LIVE", ("THIN", "THIN"))
        distance = self._markets.distance_at_opening(pair, qty)
        predicted = self._markets.predicted(pair)
        offer = Offer(
            self._markets.settled_per_hour(pair, now_ns),
            predicted,
            cost.total_bps / _BPS,
            exact(given.borrow_apr_bps) / _BPS,
            distance,
        )
        verdict = decide_open(offer, self._limits, now_ns)
        if verdict.act is Act.OPEN:
            return None
        assert predicted is not None
        return _stopped(verdict, cost, predicted, distance, given)

    # Closing

    def _close(self, held: StrategyPosition, now_ns: int) -> Opportunity | Stopped | None:
        """Close a round that is due; nothing while a plan is in flight."""
        is_open = held.state in {RoundState.OPEN, RoundState.HALTED}
        is_early = now_ns < self._tried_ns.get(held.round_id, 0)
        if not is_open or is_early or not self._is_due(held, now_ns):
            return Stopped("HELD", (held.round_id,))
        age_ms_max, ttl_ms = self.params.book_age_ms_max, self.params.opportunity_ttl_ms
        found = close_round(held, self._markets.books, now_ns, age_ms_max=age_ms_max, ttl_ms=ttl_ms)
        if found is not None:
            self._tried_ns[held.round_id] = now_ns + ttl_ms * _MS
            self._counts["closes"] += 1
        return found

    def _is_due(self, held: StrategyPosition, now_ns: int) -> bool:
        given = self.params
        if now_ns - held.ts_opened_ns >= round(given.hold_hours_max * _HOUR_MS) * _MS:
            return True
        pair = self._markets.pair_of(held)
        if pair is not None and self._flips(pair, now_ns):
            return True
        verdict = decide_close(
            self._limits,
            below_count=0 if pair is None else pair.below.count,
            distance_bps=min(self._markets.distances(held), default=None),
            is_adl=is_uneven(held, self._markets.books),
        )
        return verdict.act is Act.CLOSE

    def _flips(self, pair: CarryPair, now_ns: int) -> bool:
        """Tell whether a settlement within ``guard_ms`` would charge more than is borne."""
        receive = self._markets.rates[pair.short_at].predicted
        if receive is None:
            return False
        due = due_to_us(receive, self._markets.paying(pair), now_ns, self.params.guard_ms * _MS)
        return due * _BPS < -exact(self.params.flip_bps)

    # What is known

    def _round_of(self, pair: CarryPair) -> StrategyPosition | None:
        """Return the round that holds a leg of a pair; one without legs yet holds every pair."""
        for held in self._rounds.values():
            places = {(leg.venue, leg.instrument) for leg in held.legs}
            if not places or pair.short_at in places:
                return held
        return None


def _stopped(
    verdict: Verdict,
    cost: CarryCost,
    predicted: Predicted,
    distance: Decimal,
    given: FundingCarryParams,
) -> Stopped:
    """Return why nothing opens, with the figures behind it."""
    cost_bps, rate_bps = round(cost.total_bps, 2), round(predicted.rate * _BPS, 4)
    net_bps = None if verdict.apr is None else round(verdict.apr.net * _BPS)
    told: dict[str, tuple[object, ...]] = {
        "BREAK_EVEN": (cost_bps, rate_bps, verdict.settlements),
        "APR": (net_bps, given.apr_bps_min, cost_bps),
        "MARGIN": (round(distance), given.distance_bps_min),
        "GUARD": (-rate_bps,),
    }
    return Stopped(verdict.cause.value, told.get(verdict.cause.value, ()))
