"""Orders in a row that turn an asset into others and back: what they pay, and how much of it. Pure.

Each leg buys or sells on one book; what it gives out is what the next one takes in. Used for cycles
on one venue, and for buying in one quote asset, selling in another and converting between them.

Sizing has two steps. The greedy one walks all books together and stops where the next unit misses
the least edge: the *marginal* product, not the average one. The exact one then gives each order
whole lots: for every number of lots of the coarsest leg near that size it takes the least start
that reaches it and sees what comes out. Given the lots of one leg the rest follows, so trying them
all is trying everything. What a leg cannot use is dust, and worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.depth import ExactLevel, base_worth, walk_exact
from shared.domain.fees import MONEY_STEP, ONE_BP, edge_bps
from shared.domain.rounding import qty_to_lot
from shared.messages.base import Side

LOTS_TRIED: Final = 32
"""Numbers of lots of the coarsest leg that are tried, from a few above the greedy size down."""
LOTS_ABOVE: Final = 4
"""More lots than the greedy size may leave less dust, and earn the edge on all of it."""
NOISE: Final = Decimal("1e-20")
"""What is left of a level by dividing, as a share of it."""
ROUNDINGS_MAX: Final = 4
"""An order misses by a fee or an average that is rounded against us; each try makes up for it."""
_ZERO = Decimal(0)
_ONE = Decimal(1)
_WIDE = Context(prec=700)


class PathLeg(NamedTuple):
    """One order of a path.

    Attributes:
        side: BUY takes quote units in and gives base units; SELL the other way round.
        levels: Of the side of the book that is taken, best first.
        lot_size: Step of the quantity, base units.
        fee_bps: Of what is traded.
        is_fee_in_base: In which asset the fee is taken. A buy's fee in base leaves less to go on
            with; a sell's makes the order smaller than what was there.
        qty_min: Least order in base units.
        qty_max: Largest, ``None`` for unlimited.
        notional_min: Least worth of an order in quote units.
    """

    side: Side
    levels: Sequence[ExactLevel]
    lot_size: Decimal
    fee_bps: Decimal = _ZERO
    is_fee_in_base: bool = False
    qty_min: Decimal = _ZERO
    qty_max: Decimal | None = None
    notional_min: Decimal = _ZERO


class Traded(NamedTuple):
    """What one leg does: ``spent`` and ``got`` with the fee, ``dust`` of what came in is left."""

    qty: Decimal
    price_avg: Decimal
    price_worst: Decimal
    levels_used: int
    fee: Decimal
    spent: Decimal
    got: Decimal
    dust: Decimal


class Outcome(NamedTuple):
    """What a path does with a start: both amounts in the asset it begins and ends with."""

    legs: tuple[Traded, ...]
    spent: Decimal
    got: Decimal

    @property
    def net(self) -> Decimal:
        """Profit after all fees, dust counted as nothing."""
        return self.got - self.spent

    @property
    def edge_bps(self) -> Decimal:
        """The same over what was spent, rounded down."""
        return edge_bps(self.net, self.spent)


def marginal(leg: PathLeg, price: Decimal) -> Decimal:
    """Return what a unit taken in gives out at one price, after the fee."""
    fee = leg.fee_bps * ONE_BP
    if leg.side is Side.BUY:
        return (_ONE - fee) / price if leg.is_fee_in_base else _ONE / (price * (_ONE + fee))
    return price / (_ONE + fee) if leg.is_fee_in_base else price * (_ONE - fee)


def greedy(legs: Sequence[PathLeg], need: Decimal, start_max: Decimal) -> Decimal:
    """Return the start whose last unit still gives ``need`` units, walking all books together.

    Args:
        legs: In their order.
        need: What a unit must become: 1 plus the least edge as a fraction.
        start_max: Cap.
    """
    legs = [_within(leg) for leg in legs]
    places = [0] * len(legs)
    if not all(leg.levels for leg in legs):
        return _ZERO
    left = [_room(leg, leg.levels[0]) for leg in legs]
    start = _ZERO
    while start < start_max:
        rates = [marginal(leg, leg.levels[at][0]) for leg, at in zip(legs, places, strict=True)]
        product, step = _ONE, start_max - start
        for rate, room in zip(rates, left, strict=True):
            step = min(step, room / product)
            product *= rate
        if product < need:
            break
        start += step
        amount = step
        for number, rate in enumerate(rates):
            left[number] -= amount
            amount *= rate
            if left[number] > NOISE * _room(legs[number], legs[number].levels[places[number]]):
                continue
            places[number] += 1
            if places[number] == len(legs[number].levels):
                return start
            left[number] = _room(legs[number], legs[number].levels[places[number]])
    return min(start, start_max)


def simulate(legs: Sequence[PathLeg], start: Decimal) -> Outcome | None:
    """Return what comes of ``start``, order by order in whole lots.

    ``None`` if a leg is left with less than its least order, or its book holds too little.
    """
    amount, done = start, []
    for leg in legs:
        traded = trade(leg, amount)
        if traded is None:
            return None
        done.append(traded)
        amount = traded.got
    return Outcome(tuple(done), done[0].spent, amount)


def trade(leg: PathLeg, amount: Decimal) -> Traded | None:
    """Return the largest order that ``amount`` pays for; ``None`` if the venue takes none."""
    if leg.side is Side.SELL:
        fee = leg.fee_bps * ONE_BP if leg.is_fee_in_base else _ZERO
        qty = amount / (_ONE + fee)
    else:
        qty = _affordable(leg, amount)
    if leg.qty_max is not None:
        qty = min(qty, leg.qty_max)
    qty = qty_to_lot(min(qty, sum((there for _, there in leg.levels), _ZERO)), leg.lot_size)
    for _ in range(ROUNDINGS_MAX):
        traded = order(leg, qty) if qty > 0 else None
        if traded is None:
            return None
        if traded.spent <= amount:
            return traded._replace(dust=amount - traded.spent)
        over = traded.spent - amount
        qty -= _up_to_lot(over if leg.side is Side.SELL else over / traded.price_avg, leg.lot_size)
    return None


def order(leg: PathLeg, qty: Decimal) -> Traded | None:
    """Return what an order of ``qty`` does; ``None`` if it is too small or the book too thin."""
    walked = walk_exact(leg.levels, qty, leg.side)
    if walked is None or qty < leg.qty_min or (leg.qty_max is not None and qty > leg.qty_max):
        return None
    notional = qty * walked.price_avg
    # At the least price of the walk, so that the venue cannot find it too small.
    least = walked.price_worst if leg.side is Side.SELL else leg.levels[0][0]
    if qty * least < leg.notional_min:
        return None
    fee = _fee(qty if leg.is_fee_in_base else notional, leg.fee_bps)
    if leg.side is Side.BUY:
        spent, got = notional, qty
    else:
        spent, got = qty, notional
    if leg.is_fee_in_base is (leg.side is Side.BUY):
        got -= fee
    else:
        spent += fee
    if got <= 0:
        return None
    return Traded(qty, *walked, fee, spent, got, _ZERO)


def best_outcome(
    legs: Sequence[PathLeg], need: Decimal, start_max: Decimal, *, lots_tried: int = LOTS_TRIED
) -> Outcome | None:
    """Return the outcome near the greedy size that earns most beyond the least edge.

    ``None`` where nothing is left after lots; whether its edge is enough is for the caller to see.
    """
    legs = [_within(leg) for leg in legs]
    start = greedy(legs, need, start_max)
    if start <= 0:
        return None
    number, lots = _coarsest(legs, start)
    best, most = None, _ZERO
    first = lots + LOTS_ABOVE
    for count in range(first, max(0, first - lots_tried), -1):
        found = _of_lots(legs, number, count * legs[number].lot_size, start_max)
        if found is None:
            continue
        beyond = found.got - need * found.spent
        if best is None or beyond > most:
            best, most = found, beyond
    return best


def _within(leg: PathLeg) -> PathLeg:
    """Return a leg whose levels hold no more than its largest order."""
    if leg.qty_max is None:
        return leg
    levels, left = [], leg.qty_max
    for price, there in leg.levels:
        if left <= 0:
            break
        levels.append((price, min(there, left)))
        left -= there
    return leg._replace(levels=levels)


def _coarsest(legs: Sequence[PathLeg], start: Decimal) -> tuple[int, int]:
    """Return the leg that ``start`` makes the fewest lots of, and how many."""
    amount, fewest = start, (0, -1)
    for number, leg in enumerate(legs):
        got = _flow(leg, amount)
        base, fee = got if leg.side is Side.BUY else amount, leg.fee_bps * ONE_BP
        if leg.is_fee_in_base:  # the order itself: before a buy's fee, without a sell's
            base = base / (_ONE - fee) if leg.side is Side.BUY else base / (_ONE + fee)
        lots = int(base / leg.lot_size * (_ONE + NOISE))
        if fewest[1] < 0 or lots < fewest[1]:
            fewest = number, lots
        amount = got
    return fewest


def _of_lots(
    legs: Sequence[PathLeg], number: int, qty: Decimal, start_max: Decimal
) -> Outcome | None:
    """Return what the least start does that makes leg ``number`` an order of ``qty``."""
    fixed = order(legs[number], qty)
    if fixed is None:
        return None
    before: list[Traded] = []
    wanted = fixed.spent
    for leg in reversed(legs[:number]):
        traded = _reach(leg, wanted)
        if traded is None:
            return None
        before.append(traded)
        wanted = traded.spent
    if wanted > start_max:
        return None
    done = [*reversed(before), fixed]
    amount = fixed.got
    for leg in legs[number + 1 :]:
        traded = trade(leg, amount)
        if traded is None:
            return None
        done.append(traded)
        amount = traded.got
    for at in range(1, number + 1):
        done[at] = done[at]._replace(dust=done[at - 1].got - done[at].spent)
    return Outcome(tuple(done), done[0].spent, amount)


def _reach(leg: PathLeg, wanted: Decimal) -> Traded | None:
    """Return the least order that gives at least ``wanted``."""
    fee = leg.fee_bps * ONE_BP
    if leg.side is Side.BUY:
        qty = wanted / (_ONE - fee) if leg.is_fee_in_base else wanted
    else:
        found = base_worth(leg.levels, wanted if leg.is_fee_in_base else wanted / (_ONE - fee))
        if found is None:
            return None
        qty = found
    for _ in range(ROUNDINGS_MAX):
        qty = _large_enough(leg, qty)
        traded = order(leg, qty)
        if traded is None or traded.got >= wanted:
            return traded
        missing = wanted - traded.got
        more = missing if leg.side is Side.BUY else missing / traded.price_worst
        qty += _up_to_lot(more, leg.lot_size)
    return None


def _large_enough(leg: PathLeg, qty: Decimal) -> Decimal:
    """Return the least quantity from ``qty`` on that is of whole lots and not below a minimum.

    The worth of a sell is counted at the last level it takes, so it may fall as the order grows.
    """
    qty = _up_to_lot(max(qty, leg.qty_min), leg.lot_size)
    below = _ZERO
    for price, there in leg.levels:
        least = max(qty, _up_to_lot(leg.notional_min / price, leg.lot_size))
        if leg.side is Side.BUY or least <= below + there:
            return least
        below += there
    return qty


def _affordable(leg: PathLeg, amount: Decimal) -> Decimal:
    """Return the base units that ``amount`` quote units buy, the fee in quote paid too."""
    fee = _ZERO if leg.is_fee_in_base else leg.fee_bps * ONE_BP
    qty, left = _ZERO, amount / (_ONE + fee)
    for price, there in leg.levels:
        if left <= price * there:
            return qty + left / price
        qty += there
        left -= price * there
    return qty


def _flow(leg: PathLeg, amount: Decimal) -> Decimal:
    """Return what ``amount`` becomes without lots, along the book."""
    got = _ZERO
    for level in leg.levels:
        step = min(amount, _room(leg, level))
        got += step * marginal(leg, level[0])
        amount -= step
        if amount <= 0:
            break
    return got


def _room(leg: PathLeg, level: ExactLevel) -> Decimal:
    """Return what a leg takes in until a level is used up."""
    price, qty = level
    taken = qty * price if leg.side is Side.BUY else qty
    pays_fee_on_top = leg.is_fee_in_base is (leg.side is Side.SELL)
    return taken * (_ONE + leg.fee_bps * ONE_BP) if pays_fee_on_top else taken


def _up_to_lot(qty: Decimal, lot_size: Decimal) -> Decimal:
    return (qty / lot_size).to_integral_value(ROUND_CEILING) * lot_size


def _fee(amount: Decimal, fee_bps: Decimal) -> Decimal:
    return (amount * fee_bps * ONE_BP).quantize(MONEY_STEP, ROUND_CEILING, _WIDE)
