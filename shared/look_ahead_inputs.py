"""Trades, marks, funding and bars of the look-ahead test's made-up market. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.order import ZERO
from shared.messages.arb import Opportunity
from shared.messages.base import Certainty, Side
from shared.messages.market import DepthView, Funding, FundingSettled, Mark, Trade
from shared.messages.rounds import Intent, RoundLeg, RoundState, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.features.bars import Bar
from shared.strategies.port import Bars, FundingOf, Input, Strategy, Trades

MadeUp = Trade | Mark | Funding | FundingSettled | Bar
"""What there is beside views and rules."""
Timed = tuple[int, Any]
"""A time and what happens then."""

VIEWS_PER_BAR = 20
BARS_AT_ONCE_MAX = 120
"""Short bars that end while one of the longest is made; of more there are holes."""
SETTLED_EVERY, SETTLED_HOURS = 40, 3
"""After so many views the last settlements are told, an hour apart."""
_MS, _S = 1_000_000, 1_000_000_000
_HOUR_NS = 3_600 * _S


def hand_over(strategy: Strategy[Any], message: MadeUp, now_ns: int) -> Sequence[Any]:
    """Call what takes such a message."""
    if isinstance(message, Bar):
        return strategy.on_bar(message, now_ns)
    if isinstance(message, Trade):
        return strategy.on_trade(message, now_ns)
    if isinstance(message, Mark):
        return strategy.on_mark(message, now_ns)
    return strategy.on_funding(message, now_ns)


def junk_of(message: MadeUp, draw: Random) -> MadeUp:
    """Return a message of the same kind and place with other numbers."""
    price = draw.uniform(1.0, 1_000.0)
    if isinstance(message, Bar):
        return msgspec.structs.replace(
            message, open=price, high=price * 1.5, low=price / 2, close=price * draw.uniform(0.5, 2)
        )
    if isinstance(message, Trade):
        return msgspec.structs.replace(message, price=price, qty=draw.uniform(0.1, 9.0))
    if isinstance(message, Mark):
        return msgspec.structs.replace(message, mark_price=price, index_price=price)
    return msgspec.structs.replace(message, rate=draw.uniform(-0.01, 0.01))


def with_inputs(events: Sequence[Timed], wanted: Sequence[Input], seed: int) -> list[Timed]:
    """Return the events with all that is wanted among them; bars make time go on faster."""
    if not wanted:
        return list(events)
    draw, out = Random(seed), list[Timed]()
    bars = _BarsOfViews([each for each in wanted if isinstance(each, Bars)])
    shift_ns = views = 0
    for at_ns, message in events:
        now_ns = at_ns + shift_ns
        if isinstance(message, InstrumentRules):
            bars.begin(message, now_ns)
            out.append((now_ns, message))
            continue
        view = msgspec.structs.replace(message, ts_ns=now_ns, ts_recv_ns=now_ns)
        out.append((now_ns, view))
        bars.take(view)
        views += 1
        out += [(now_ns, each) for each in _beside(view, wanted, views, draw)]
        if views % VIEWS_PER_BAR == 0 and bars.longest_ns:
            later_ns = bars.next_end_ns(now_ns)
            shift_ns += later_ns - now_ns
            out += [(later_ns, bar) for bar in bars.closed(later_ns)]
    return out


def _beside(
    view: DepthView, wanted: Sequence[Input], number: int, draw: Random
) -> Iterator[Trade | Mark | Funding | FundingSettled]:
    kinds = {type(each) for each in wanted if each.covers(view.venue, view.instrument)}
    middle = _middle(view)
    at: dict[str, Any] = {
        "venue": view.venue,
        "instrument": view.instrument,
        "ts_recv_ns": view.ts_recv_ns,
    }
    if Trades in kinds and draw.random() < 0.7:
        side, qty = draw.choice([Side.BUY, Side.SELL]), round(draw.uniform(0.01, 5.0), 3)
        yield Trade(
            **at,
            trade_id=str(number),
            side=side,
            price=middle,
            qty=qty,
            ts_venue_ns=view.ts_recv_ns,
        )
    if FundingOf in kinds and split_instrument(view.instrument).kind is not InstrumentKind.SPOT:
        rate = round(draw.gauss(1e-4, 2e-4), 8)
        due_ns = (view.ts_recv_ns // _HOUR_NS + 1) * _HOUR_NS
        yield Mark(**at, mark_price=middle, index_price=middle)
        yield Funding(
            **at,
            mark_price=middle,
            index_price=middle,
            rate=rate,
            ts_funding_ns=due_ns,
            interval_ns=_HOUR_NS,
        )
        if number % SETTLED_EVERY == 0:
            for hours in range(SETTLED_HOURS, 0, -1):
                ts_ns = due_ns - hours * _HOUR_NS
                yield FundingSettled(**at, rate=rate, ts_funding_ns=ts_ns, interval_ns=_HOUR_NS)


def _middle(view: DepthView) -> float:
    return (view.bids[0][0] + view.asks[0][0]) / 2


class RoundsOf:
    """What risk would tell a strategy of the rounds that it proposes, were all of them filled.

    They follow from the strategy's own outputs, so they tell it nothing of what comes.
    """

    def __init__(self) -> None:
        self._open: dict[str, StrategyPosition] = {}

    def after(self, outputs: Sequence[Any], now_ns: int) -> list[StrategyPosition]:
        """Return the positions that follow from what was outputs."""
        told = []
        for each in outputs:
            if not isinstance(each, Opportunity) or each.intent is Intent.INSTANT:
                continue
            legs = dict.fromkeys(((leg.venue, leg.instrument) for leg in each.legs), ZERO)
            before = self._open.get(each.round_id)
            for held in before.legs if before is not None else ():
                legs[held.venue, held.instrument] = held.qty
            for leg in each.legs:
                legs[leg.venue, leg.instrument] += leg.side.signed(leg.qty)
            state = RoundState.OPEN if any(legs.values()) else RoundState.CLOSED
            position = StrategyPosition(
                ts_ns=now_ns,
                strategy_id=each.strategy_id or "check",
                round_id=each.round_id,
                state=state,
                base=each.base,
                quote=each.quote,
                legs=[
                    RoundLeg(venue=v, instrument=i, qty=q, entry=each.legs[0].price_avg)
                    for (v, i), q in legs.items()
                ],
                unhedged=sum(legs.values(), ZERO),
                realized={},
                certainty=Certainty.KNOWN,
                ts_opened_ns=before.ts_opened_ns if before is not None else now_ns,
                horizon_ns=each.horizon_ns,
            )
            self._open[each.round_id] = position
            told.append(position)
        return told


class _BarsOfViews:
    """Bars of the middles of views, for the inputs that ask for bars."""

    def __init__(self, wanted: Sequence[Bars]) -> None:
        self._wanted = wanted
        self.longest_ns = max((each.interval_s * _S for each in wanted), default=0)
        self._lateness_ns = max((each.lateness_ms * _MS for each in wanted), default=0)
        self._middles: dict[tuple[str, str], list[float]] = {}
        self._ends: dict[tuple[str, str, int], int] = {}

    def begin(self, rules: InstrumentRules, now_ns: int) -> None:
        """Make bars of an instrument, where they are wanted."""
        for each in self._wanted:
            if each.covers(rules.venue, rules.instrument):
                length_ns = each.interval_s * _S
                key = rules.venue, rules.instrument, length_ns
                self._ends[key] = now_ns // length_ns * length_ns

    def take(self, view: DepthView) -> None:
        """Note where the market is."""
        self._middles.setdefault((view.venue, view.instrument), []).append(_middle(view))

    def next_end_ns(self, now_ns: int) -> int:
        """Return when the longest bar of the present time will have been closed."""
        return (now_ns // self.longest_ns + 1) * self.longest_ns + self._lateness_ns

    def closed(self, now_ns: int) -> Iterator[Bar]:
        """Yield the bars that are over, each at the prices since the last ones."""
        over_ns = now_ns - self._lateness_ns
        for (venue, instrument, length_ns), end_ns in self._ends.items():
            prices = self._middles.get((venue, instrument))
            if not prices:
                continue
            count = min((over_ns - end_ns) // length_ns, BARS_AT_ONCE_MAX)
            first_ns = over_ns // length_ns * length_ns - count * length_ns
            for number in range(count):
                yield Bar(
                    start_ns=first_ns + number * length_ns,
                    interval_ns=length_ns,
                    open=prices[0],
                    high=max(prices),
                    low=min(prices),
                    close=prices[-1],
                    volume=float(len(prices)),
                    quote_volume=sum(prices),
                    trades=len(prices),
                    venue=venue,
                    instrument=instrument,
                )
            self._ends[venue, instrument, length_ns] = over_ns // length_ns * length_ns
        for place, prices in self._middles.items():
            self._middles[place] = prices[-1:]
