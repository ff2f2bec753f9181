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

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, NamedTuple

import msgspec

from shared.domain.carry import (
    Act,
    CarryCost,
    CarryLimits,
    Offer,
    Verdict,
    decide_close,
    decide_open,
)
from shared.domain.funding import Predicted
from shared.domain.instrument import is_spot
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.market import Funding, FundingSettled
from shared.messages.rounds import StrategyPosition
from shared.strategies.carry_markets import CarryMarkets, FundingCarryParams
from shared.strategies.carry_terms import carry_terms
from shared.strategies.demo import Demo
from shared.strategies.features.perp_rates import due_to_us
from shared.strategies.near_misses import Stopped
from shared.strategies.port import Depth, FundingOf, Input
from shared.strategies.round_plans import (
    Wanted,
    is_uneven,
)
from shared.strategies.rounds import RoundPair, RoundStrategy, RoundTiming

_BPS = Decimal(10_000)
_MS, _HOUR_MS = 1_000_000, 3_600_000

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
    more_venues=True,  # a second one with perpetuals
)


class FundingCarry(RoundStrategy[FundingCarryParams]):
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
        **RoundStrategy.gates,
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
        self._carry = CarryMarkets(given, self.near_misses)
        self.begin(
            self._carry,
            RoundTiming(
                given.book_age_ms_max,
                given.cooldown_ms,
                given.opportunity_ttl_ms,
                round(given.hold_hours_max * _HOUR_MS),
            ),
        )

    def inputs(self) -> Sequence[Input]:
        """Return both books and the funding of the perpetuals, or all."""
        given = self.params
        short = given.short_venue, given.short_instrument
        long = given.long_venue, given.long_instrument
        perps = [short] if long[1] and is_spot(long[1]) else [short, long]
        books = [Depth(*each) for each in (short, long)]
        return tuple(dict.fromkeys([*books, *(FundingOf(*each) for each in perps)]))

    def on_funding(self, funding: Funding | FundingSettled, now_ns: int) -> Sequence[Opportunity]:
        """Note what settled and what is predicted."""
        market = funding.venue, funding.instrument
        if self._carry.book(market) is None or market not in self._carry.rates:
            return ()
        self._carry.rates[market].take(funding)
        for pair in self._carry.pairs_of[market]:
            predicted = self._carry.predicted(pair)
            if predicted is not None:
                self._carry.below(pair).take(predicted)
        return ()

    # Opening

    def look(self, pair: RoundPair, now_ns: int) -> Stopped | None:
        """Return what of the rates alone opens nothing."""
        predicted = self._carry.predicted(pair)
        if predicted is None or predicted.ts_funding_ns <= now_ns:
            return Stopped("NO_RATE", ())
        settled = self._carry.settled_per_hour(pair, now_ns)
        if settled is None:
            return Stopped("HISTORY", (len(self._carry.rates[pair.sold_at].history),))
        if settled * _BPS < self._limits.enter_bps_per_hour:
            needs = self.params.enter_bps_per_hour
            return Stopped("SETTLED", (round(settled * _BPS, 4), needs), float(settled * _BPS))
        if self._carry.below(pair).count:
            return Stopped("FADES", (self._carry.below(pair).count,))
        receive, pay = self._carry.rates[pair.sold_at].predicted, self._carry.paying(pair)
        assert receive is not None
        charges = due_to_us(receive, pay, now_ns, self.params.guard_ms * _MS)
        return Stopped("GUARD", (round(-charges * _BPS, 4),)) if charges < 0 else None

    def orders(self, pair: RoundPair, now_ns: int) -> Sequence[Wanted] | Stopped:
        """Return both orders, where cost, yield and margin allow them."""
        sized = self._carry.size(pair)
        if isinstance(sized, Stopped):
            return sized
        if stopped := self._carry_obstacle(pair, sized, now_ns):
            return stopped
        return pair.orders(*sized)

    def _carry_obstacle(
        self, pair: RoundPair, sized: tuple[Decimal, Decimal], now_ns: int
    ) -> Stopped | None:
        """Return what of costs, yield and margin opens nothing, at these quantities."""
        judged = self._judged(pair, sized, now_ns)
        if judged is None:
            return Stopped("BOOK_NOT_LIVE", ("THIN", "THIN"))
        if judged.verdict.act is Act.OPEN:
            return None
        return _stopped(judged, self.params)

    def _judged(
        self, pair: RoundPair, sized: tuple[Decimal, Decimal], now_ns: int
    ) -> _Judged | None:
        """Return verdict and costs of quantities; ``None`` where a book does not hold them."""
        cost = self._carry.cost(pair, sized[0])
        if cost is None:
            return None
        distance = self._carry.distance_at_opening(pair, sized)
        predicted = self._carry.predicted(pair)
        offer = Offer(
            self._carry.settled_per_hour(pair, now_ns),
            predicted,
            cost.total_bps / _BPS,
            exact(self.params.borrow_apr_bps) / _BPS,
            distance,
        )
        assert predicted is not None
        return _Judged(decide_open(offer, self._limits, now_ns), cost, predicted, distance)

    def explained(self, pair: RoundPair, found: Opportunity, now_ns: int) -> Opportunity:
        """Return an opening with the funding it is expected to earn, and what the round costs."""
        quantities = {leg.market: leg.qty for leg in found.legs}
        judged = self._judged(pair, (quantities[pair.bought_at], quantities[pair.sold_at]), now_ns)
        assert judged is not None, "it was just judged, on the same books"
        apr, count = judged.verdict.apr, judged.verdict.settlements
        assert apr is not None
        assert count is not None
        terms = carry_terms(
            judged.predicted,
            judged.cost,
            notional=found.notional,
            until_ns=now_ns + found.horizon_ns,
            settlements_to_earn=count,
            apr=apr,
            liquidation_bps=judged.distance,
        )
        return msgspec.structs.replace(found, carry=terms)

    # Closing

    def is_due(self, held: StrategyPosition, now_ns: int) -> bool:
        """Tell whether time, rates or margin end a round, or the venue took a leg away."""
        given = self.params
        if now_ns - held.ts_opened_ns >= round(given.hold_hours_max * _HOUR_MS) * _MS:
            return True
        pair = self._carry.pair_of(held)
        if pair is not None and self._flips(pair, now_ns):
            return True
        verdict = decide_close(
            self._limits,
            below_count=0 if pair is None else self._carry.below(pair).count,
            distance_bps=min(self._carry.distances(held), default=None),
            is_adl=is_uneven(held, self._carry.books),
        )
        return verdict.act is Act.CLOSE

    def _flips(self, pair: RoundPair, now_ns: int) -> bool:
        """Tell whether a settlement within ``guard_ms`` would charge more than is borne."""
        receive = self._carry.rates[pair.sold_at].predicted
        if receive is None:
            return False
        due = due_to_us(receive, self._carry.paying(pair), now_ns, self.params.guard_ms * _MS)
        return due * _BPS < -exact(self.params.flip_bps)


class _Judged(NamedTuple):
    """A verdict on an opening, and the figures behind it."""

    verdict: Verdict
    cost: CarryCost
    predicted: Predicted
    distance: Decimal


def _stopped(judged: _Judged, given: FundingCarryParams) -> Stopped:
    """Return why nothing opens, with the figures behind it."""
    verdict, cost, predicted, distance = judged
    cost_bps, rate_bps = round(cost.total_bps, 2), round(predicted.rate * _BPS, 4)
    net_bps = None if verdict.apr is None else round(verdict.apr.net * _BPS)
    told: dict[str, tuple[object, ...]] = {
        "BREAK_EVEN": (cost_bps, rate_bps, verdict.settlements),
        "APR": (net_bps, given.apr_bps_min, cost_bps),
        "MARGIN": (round(distance), given.distance_bps_min),
        "GUARD": (-rate_bps,),
    }
    return Stopped(verdict.cause.value, told.get(verdict.cause.value, ()))
