"""Closes rounds by trades outside their own plans: an operator's, and adopted plans'. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from shared.domain.accounting import Books, holding_key, holding_place
from shared.domain.executions import Execution, cost_of, execution_of
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import split_instrument
from shared.messages.base import Side
from shared.messages.execution import Fill

if TYPE_CHECKING:
    from services.risk.rounds import Round

ZERO: Final = Decimal(0)
BEYOND_MAX: Final = Decimal("0.01")
"""Share of a holding by which a close may exceed it: fees in the base asset, rests of lots."""


def close_against(
    rounds: Iterable[Round],
    done: Execution,
    halted: str = "",
    of_rounds: Mapping[str, Decimal] = MappingProxyType({}),
) -> list[Round]:
    """Book what an operator or a venue traded to the rounds that hold against it; return those.

    ``halted`` is why they are HALTED then: a venue closes one leg of them. ``of_rounds`` is what
    the executor says of rounds with a plan in flight there: that much was closed of each, and what
    they hold beyond it is closed by their plans. Only what no other round holds is closed of them.
    """
    closed: dict[str, Round] = {}
    left, market = done.qty, f"{done.venue}|{done.instrument}"
    # First those that hold it at that very venue.
    found_first = sorted(rounds, key=lambda r: market not in r.books.quantities)
    named = [(each, of_rounds[each.key]) for each in found_first if each.key in of_rounds]
    others = [(each, done.qty) for each in found_first if each.key not in of_rounds]
    beyond = [(each, done.qty) for each, _ in named]
    for found, most in (*named, *others, *beyond):
        qty = min(left, most, _closable(found, done))
        if qty <= ZERO:
            continue
        found.trade(part_of(done, qty))
        found.halted = halted or found.halted
        closed[found.key] = found
        left -= qty
    return list(closed.values())


def cancel_out(rounds: Sequence[Round], prices: Mapping[str, Decimal], now_ns: int) -> list[Round]:
    """End what rounds hold against each other in derivatives; return those that changed.

    A venue shows the net of all rounds, so no order can close it. One round sells to the other, at
    the price last traded there and without a fee: together they earn nothing by it.
    """
    changed: dict[str, Round] = {}
    for key in sorted({key for each in rounds for key in each.held if _is_derivative(key)}):
        market = "|".join(holding_place(key))
        price = prices.get(market)
        if price is None:
            continue
        longs = [each for each in rounds if each.held.get(key, ZERO) > 0]
        shorts = [each for each in rounds if each.held.get(key, ZERO) < 0]
        while longs and shorts:
            qty = min(longs[0].held[key], -shorts[0].held[key])
            for found, side in ((longs[0], Side.SELL), (shorts[0], Side.BUY)):
                found.trade(_exchanged(market, side.signed(qty), price, now_ns))
                changed[found.key] = found
            longs = [each for each in longs if each.held.get(key)]
            shorts = [each for each in shorts if each.held.get(key)]
    return list(changed.values())


def cancel_unowned(
    rounds: Sequence[Round],
    opened: Mapping[str, Decimal],
    base: str,
    prices: Mapping[str, Decimal],
    now_ns: int,
) -> list[Round]:
    """End rounds of a base of which nothing is open any more; return those that changed.

    ``opened`` is all that is held, by key of the holding. After a loss of records an adopted plan
    may have closed a round that did not show it: then the round and what no round holds are two
    halves of nothing, and an order that closes the round would open a position. At the price last
    traded there and without a fee, as in ``cancel_out``. Call it while no plan of that base is
    open: what one has opened so far is not over.
    """
    changed: dict[str, Round] = {}
    held: dict[str, Decimal] = {}
    for key, qty in ((key, qty) for each in rounds for key, qty in each.held.items()):
        if _base_of(key) == base:
            held[key] = held.get(key, ZERO) + qty
    of_base = {key: qty for key, qty in opened.items() if _base_of(key) == base}
    if any(abs(qty) > BEYOND_MAX * abs(held.get(key, ZERO)) for key, qty in of_base.items()):
        return []
    for key in sorted(held):
        unowned = of_base.get(key, ZERO) - held[key]
        for found in rounds:
            if found.is_dust:
                continue
            for market, qty in list(found.books.quantities.items()):
                venue, _, instrument = market.partition("|")
                price = prices.get(market)
                if holding_key(venue, instrument) != key or price is None or qty * unowned >= 0:
                    continue
                closed = min(abs(qty), abs(unowned), abs(found.held.get(key, ZERO)))
                if not closed:
                    continue
                found.trade(_exchanged(market, -closed if qty > 0 else closed, price, now_ns))
                unowned += closed if qty > 0 else -closed
                changed[found.key] = found
    return list(changed.values())


def close_by_adopted(
    rounds: Iterable[Round], fills: list[Fill], began_with: Mapping[str, Decimal]
) -> tuple[Round | None, dict[str, Decimal]]:
    """Book an adopted plan to the round that it closed, if its record was lost; return that.

    The approval to close a round may be lost with its orders: then the round looks open, though the
    venues have closed it. A plan that left positions in derivatives is taken for such a close where
    a round holds against all that it left; if none does, returns what it left. Spot is not looked
    at alone: there a plan is even in itself. ``began_with`` is what the plan evened out beside its
    fills, by key of the holding.
    """
    books = Books()
    for fill in fills:
        books.trade(execution_of(fill))
    left = books.opened()
    for key, qty in began_with.items():
        left[key] = left.get(key, ZERO) + qty
    left = {key: qty for key, qty in left.items() if qty}
    if not any(map(_is_derivative, left)):
        return None, {}
    near = {each.key: rest for each in rounds if (rest := _rest(each, left)) is not None}
    if not near:
        return None, left
    found = min((each for each in rounds if each.key in near), key=lambda each: near[each.key])
    for fill in fills:
        found.trade(execution_of(fill))
    return found, {}


def _exchanged(market: str, signed: Decimal, price: Decimal, now_ns: int) -> Execution:
    """Return what a round gets from, or gives to, another one or nobody; no fee is paid."""
    venue, _, instrument = market.partition("|")
    return Execution(
        venue=venue,
        instrument=instrument,
        side=Side.BUY if signed > 0 else Side.SELL,
        qty=abs(signed),
        cost=cost_of(instrument, abs(signed), price),
        fee=ZERO,
        ts_ns=now_ns,
    )


def _is_derivative(key: str) -> bool:
    return bool(holding_place(key)[0])


def _base_of(key: str) -> str:
    return split_instrument(holding_place(key)[1]).base


def _rest(found: Round, left: dict[str, Decimal]) -> Decimal | None:
    """Return the base units that a round would still hold; ``None`` if that would not close it."""
    held = found.held
    for key, qty in left.items():
        before = held.get(key, ZERO)
        if before * qty >= 0 or abs(qty) > abs(before) * (1 + BEYOND_MAX):
            return None
    return sum((abs(qty + left.get(key, ZERO)) for key, qty in held.items()), ZERO)


def _closable(found: Round, done: Execution) -> Decimal:
    held = found.held.get(holding_key(done.venue, done.instrument), ZERO)
    return max(ZERO, -held if done.side is Side.BUY else held)


def part_of(done: Execution, qty: Decimal) -> Execution:
    """Return ``qty`` of an execution with its share of cost and fee."""
    if qty == done.qty:
        return done

    def share(amount: Decimal) -> Decimal:
        return (amount * qty / done.qty).quantize(MONEY_STEP, ROUND_HALF_EVEN)

    return msgspec.structs.replace(
        done,
        qty=qty,
        cost=share(done.cost),
        fee=None if done.fee is None else share(done.fee),
        fee_quote=None if done.fee_quote is None else share(done.fee_quote),
    )
