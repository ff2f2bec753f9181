"""The look-ahead test: what comes later must not change what was said before. Pure.

A strategy is run on a market, and again on the same market with all that comes after some moment
replaced by garbage. Whatever it returned up to that moment must be the same bytes; if it is not, it
knew what it could not have known, or depends on something else than its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

import msgspec

from shared.config_limits import DOLLARS
from shared.domain.instrument import split_instrument
from shared.look_ahead_inputs import MadeUp, RoundsOf, hand_over, junk_of, with_inputs
from shared.messages.base import BookState
from shared.messages.market import DepthView, Level
from shared.messages.rounds import StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.port import Depth, Input, Strategy, check_deadline

LEVELS = 5
STEP_NS = 20_000_000
TIMER_NS_MIN = 1_000_000
START_NS = 1_700_000_000_000_000_000
APART_BPS = 60.0
"""How far venues of the made-up market drift apart: far enough to pay now and then."""
COIN_PRICE = 100.0
"""At the start, of every coin in dollars."""
DOLLARS_PER_COIN = 1_000.0
"""Of a market that exchanges dollars a level holds so many times what it holds of a coin."""
_BPS = 1e-4

_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(DepthView).decode


class Event(NamedTuple):
    """Something that happens to a strategy."""

    now_ns: int
    message: DepthView | InstrumentRules | MadeUp


class Finding(NamedTuple):
    """What is wrong: at which event, and in words."""

    at: int
    text: str


Make = Callable[[], Strategy[Any]]


def run(make: Make, events: Sequence[Event]) -> list[bytes]:
    """Return what a new strategy returns at each event, as bytes; timers before it count to it.

    Rounds that it proposes are told as filled before the next event.
    """
    strategy, outputs, rounds = make(), [], RoundsOf()
    told: list[StrategyPosition] = []
    for now_ns, message in events:
        found: list[Any] = []
        for position in told:
            found += _listed(strategy.on_position(position, now_ns), "on_position")
        for _ in range(STEP_NS // TIMER_NS_MIN):
            deadline_ns = strategy.next_deadline_ns()
            check_deadline(deadline_ns)
            if deadline_ns is None or deadline_ns > now_ns:
                break
            found += _listed(strategy.on_timer(max(deadline_ns, now_ns - STEP_NS)), "on_timer")
        if isinstance(message, DepthView):
            found += _listed(strategy.on_depth(message, now_ns), "on_depth")
        elif isinstance(message, InstrumentRules):
            found += _listed(strategy.on_rules(message, now_ns), "on_rules")
        else:
            found += _listed(hand_over(strategy, message, now_ns), f"at a {type(message).__name__}")
        told = rounds.after(found, now_ns)
        outputs.append(_ENCODE(found))
    return outputs


def _listed(found: Any, where: str) -> Sequence[Any]:
    """Refuse what a strategy's host would refuse.

    Raises:
        TypeError: It is no list.
    """
    if type(found) not in {list, tuple}:
        raise TypeError(f"{where} returned a {type(found).__name__}; return a list")
    listed: Sequence[Any] = found
    return listed


def examine(make: Make, events: Sequence[Event], cuts: Sequence[int], seed: int) -> Finding | None:
    """Run the test at every cut; return the first finding.

    Args:
        make: Makes the strategy, as new each time.
        events: The market.
        cuts: Numbers of events after which everything is garbage.
        seed: Of the garbage.
    """
    whole = run(make, copy(events))
    given = copy(events)
    if run(make, given) != whole:
        return Finding(0, "two runs on the same market differ: it depends on more than its inputs")
    if given != list(events):
        return Finding(0, "it changes the messages that it is given, which others read as well")
    for cut in cuts:
        cut_off = [*copy(events[:cut]), *garbage(events[cut:], seed + cut)]
        outputs = run(make, cut_off)
        for at in range(cut):
            if outputs[at] != whole[at]:
                text = f"what it returns at event {at} depends on what comes after event {cut - 1}"
                return Finding(at, text)
    return None


def copy(events: Sequence[Event]) -> list[Event]:
    """Return the same events, sharing nothing that can be changed."""
    return [
        Event(now_ns, _DECODE(_ENCODE(m)) if isinstance(m, DepthView) else m)
        for now_ns, m in events
    ]


def market(
    books: Sequence[tuple[str, str]], length: int, seed: int, inputs: Sequence[Input] = ()
) -> list[Event]:
    """Return a made-up market: rules of every book, then views in turn, LIVE nearly always.

    With ``inputs`` of other kinds there are also trades, marks, funding and bars.
    """
    others = [each for each in inputs if not isinstance(each, Depth)]
    return [Event(*each) for each in with_inputs(_views(books, length, seed), others, seed)]


def _views(books: Sequence[tuple[str, str]], length: int, seed: int) -> list[Event]:
    draw = Random(seed)
    events = [Event(START_NS, _rules(venue, instrument)) for venue, instrument in books]
    fair: dict[str, float] = {}
    apart = dict.fromkeys(books, 0.0)
    for number in range(length):
        book = draw.choice(books)
        instrument = book[1]
        now_ns = START_NS + (number + 1) * STEP_NS
        drift = 1 + draw.gauss(0, 1) * _BPS
        known = _worth_of(instrument, fair)
        fair[instrument] = known or fair.get(instrument, COIN_PRICE) * drift
        apart[book] = 0.9 * apart[book] + draw.gauss(0, 0.3) * APART_BPS * _BPS
        middle = fair[instrument] * (1 + apart[book])
        state = BookState.LIVE if draw.random() < 0.97 else BookState.STALE
        view = _view(book, middle, now_ns, draw, state=state, seq=number)
        events.append(Event(now_ns, view))
    return events


def _worth_of(instrument: str, fair: Mapping[str, float]) -> float | None:
    """Return what a spot market between coins, or of a dollar, is worth; ``None`` of any other.

    It is what its two assets are worth in dollars: the prices of a cycle agree, and only how far a
    venue is apart makes one pay.
    """
    base, quote, settle = split_instrument(instrument)
    if settle is not None or (quote == DOLLARS[0] and base not in DOLLARS):
        return None
    worth = [
        1.0 if asset in DOLLARS else fair.get(f"{asset}/{DOLLARS[0]}", COIN_PRICE)
        for asset in (base, quote)
    ]
    return worth[0] / worth[1]


def garbage(events: Sequence[Event], seed: int) -> list[Event]:
    """Return as many events at the same times, and nothing else in common."""
    draw = Random(seed)
    views = [(m.venue, m.instrument) for _, m in events if isinstance(m, DepthView)]
    if not views:
        return []
    return [
        Event(now_ns, junk_of(m, draw))
        if not isinstance(m, DepthView | InstrumentRules)
        else Event(now_ns, _junk(draw.choice(views), now_ns, draw))
        for now_ns, m in events
    ]


def _junk(book: tuple[str, str], now_ns: int, draw: Random) -> DepthView:
    middle, state = draw.uniform(1.0, 1_000.0), draw.choice(list(BookState))
    return _view(book, middle, now_ns, draw, state=state, seq=draw.randrange(10**6))


def _view(
    book: tuple[str, str],
    middle: float,
    now_ns: int,
    draw: Random,
    *,
    state: BookState,
    seq: int,
) -> DepthView:
    coins = DOLLARS_PER_COIN if book[1].partition("/")[0] in DOLLARS else 1.0

    def side(sign: int) -> list[Level]:
        first = middle * (1 + sign * draw.uniform(0.5, 3.0) * _BPS)
        return [
            (round(first * (1 + sign * level * _BPS), 6), round(draw.uniform(0.5, 20.0) * coins, 3))
            for level in range(LEVELS)
        ]

    return DepthView(
        venue=book[0],
        instrument=book[1],
        state=state,
        epoch=1,
        seq=seq,
        bids=side(-1),
        asks=side(1),
        ts_recv_ns=now_ns,
        ts_ns=now_ns,
    )


def _rules(venue: str, instrument: str) -> InstrumentRules:
    return InstrumentRules(
        venue=venue,
        instrument=instrument,
        tick_size=Decimal("0.000001"),
        lot_size=Decimal("0.001"),
        qty_min=Decimal("0.001"),
        notional_min=Decimal(5),
        taker_fee_bps=Decimal(10),
        maker_fee_bps=Decimal(10),
    )
