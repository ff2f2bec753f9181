"""Cycles of markets that end in the asset they began with, indexed by market. Pure.

Cycles are enumerated once. Then a market's update re-evaluates the cycles that it is in and no
other, both ways round, as a product of what a unit becomes at the best prices. Floats find, Decimal
decides: what pays here is walked along its books (``path.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.messages.base import Side

CYCLES_MAX: Final = 65_536
"""Cycles kept, those of fewer legs first: of four, a large venue has 75,000 through one asset."""


class Market(NamedTuple):
    """A spot market at a venue."""

    venue: str
    instrument: str


class CycleLeg(NamedTuple):
    """One trade of a cycle: BUY takes the quote asset in, SELL the base asset."""

    market: int
    side: Side


class Cycle(NamedTuple):
    """Assets in the order in which they are held, the first again at the end, and the trades."""

    assets: tuple[str, ...]
    legs: tuple[CycleLeg, ...]

    def backwards(self) -> Cycle:
        """Return the same markets the other way round."""
        legs = tuple(CycleLeg(leg.market, leg.side.opposite) for leg in reversed(self.legs))
        return Cycle(self.assets[:1] + self.assets[:0:-1], legs)

    def begun_at(self, number: int) -> Cycle:
        """Return the same cycle, begun at its trade ``number``."""
        return Cycle(
            self.assets[number:] + self.assets[:number], self.legs[number:] + self.legs[:number]
        )


class Cycles(NamedTuple):
    """Cycles among some markets, one way round each, and those of each market by its number.

    ``is_whole``: there are no others; else looking for them ended at the bound.
    """

    markets: tuple[Market, ...]
    cycles: tuple[Cycle, ...]
    of_market: tuple[tuple[int, ...], ...]
    is_whole: bool


def enumerate_cycles(
    markets: Iterable[Market],
    *,
    legs_max: int = 3,
    cycles_max: int = CYCLES_MAX,
    through: str | None = None,
) -> Cycles:
    """Return the cycles of three to ``legs_max`` trades through as many different assets.

    Shorter ones come first, so that a full table lacks the longest. Derivatives are no trade of one
    asset for another, and are left out.

    Args:
        markets: At one venue or several; then a cycle needs an inventory at each.
        legs_max: Longest cycle.
        cycles_max: Cycles kept.
        through: An asset in which all of them begin; ``None`` for every cycle.
    """
    listed = tuple(market for market in markets if _is_spot(market.instrument))
    ways: dict[str, list[tuple[str, CycleLeg]]] = {}
    for number, market in enumerate(listed):
        base, quote, _ = split_instrument(market.instrument)
        ways.setdefault(base, []).append((quote, CycleLeg(number, Side.SELL)))
        ways.setdefault(quote, []).append((base, CycleLeg(number, Side.BUY)))
    every = chain.from_iterable(_of_length(ways, legs, through) for legs in range(3, legs_max + 1))
    found = list(islice(every, cycles_max))
    is_whole = next(every, None) is None
    of_market: list[list[int]] = [[] for _ in listed]
    for number, cycle in enumerate(found):
        for leg in cycle.legs:
            of_market[leg.market].append(number)
    return Cycles(listed, tuple(found), tuple(map(tuple, of_market)), is_whole)


def _of_length(
    ways: dict[str, list[tuple[str, CycleLeg]]], length: int, through: str | None
) -> Iterator[Cycle]:
    """Yield each cycle once: begun at its first asset by name, towards the lesser neighbour."""
    reach: dict[str, dict[str, list[CycleLeg]]] = {}
    for asset, steps in ways.items():
        for other, leg in steps:
            reach.setdefault(asset, {}).setdefault(other, []).append(leg)

    def walk(assets: tuple[str, ...], legs: tuple[CycleLeg, ...]) -> Iterator[Cycle]:
        if len(assets) == length:
            if assets[1] < assets[-1]:
                for leg in reach[assets[-1]].get(assets[0], ()):
                    yield Cycle(assets, (*legs, leg))
            return
        for other, steps in reach[assets[-1]].items():
            if other not in assets and (through is not None or other > assets[0]):
                for leg in steps:
                    yield from walk((*assets, other), (*legs, leg))

    for asset in sorted(reach) if through is None else [through] if through in reach else []:
        yield from walk((asset,), ())


class Paying(NamedTuple):
    """A cycle whose product at the best prices is ``product``; ``is_backwards``: the other way."""

    cycle: int
    is_backwards: bool
    product: float


class CycleBoard:
    """The newest best prices of all markets, as what a unit becomes, and the products of cycles.

    A market without a price to trust has a rate of zero, so none of its cycles pays.
    """

    def __init__(self, cycles: Cycles) -> None:
        self._rates = [0.0] * (2 * len(cycles.markets))  # of each market: buy, then sell
        slots = [_slots(cycle.legs) for cycle in cycles.cycles]
        self._of_market = tuple(
            tuple((number, *slots[number]) for number in numbers) for numbers in cycles.of_market
        )
        self.evaluations = 0

    def forget(self, market: int) -> None:
        """Price nothing over a market: its book is not LIVE."""
        self._rates[2 * market] = self._rates[2 * market + 1] = 0.0

    def update(
        self, market: int, bid: float, ask: float, fee: float, *, least: float
    ) -> Sequence[Paying]:
        """Take best prices in, and return what pays at least ``least`` among the market's cycles.

        Args:
            market: Its number.
            bid: Best bid, above zero.
            ask: Best ask, above zero.
            fee: Taker fee as a fraction; in whichever asset, the better case for a buy.
            least: Product that is worth a closer look: 1 plus the least edge.
        """
        rates = self._rates
        rates[2 * market] = 1.0 / (ask * (1.0 + fee))
        rates[2 * market + 1] = bid * (1.0 - fee)
        mine = self._of_market[market]
        self.evaluations += 2 * len(mine)
        found: list[Paying] | None = None  # nearly always
        for number, forth, back in mine:
            there = again = 1.0
            for slot in forth:
                there *= rates[slot]
            for slot in back:
                again *= rates[slot]
            if there >= least:
                found = [*(found or ()), Paying(number, False, there)]
            if again >= least:
                found = [*(found or ()), Paying(number, True, again)]
        return found or ()

    def product(self, cycle: Cycle) -> float:
        """Return what a unit becomes on a cycle at the best prices; 0 where one is not known."""
        product = 1.0
        for slot in _slots(cycle.legs)[0]:
            product *= self._rates[slot]
        return product


def _slots(legs: Sequence[CycleLeg]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where a cycle's rates lie, one way and the other."""
    forth = tuple(2 * leg.market + (leg.side is Side.SELL) for leg in legs)
    back = tuple(2 * leg.market + (leg.side is Side.BUY) for leg in legs)
    return forth, back


def _is_spot(instrument: str) -> bool:
    return split_instrument(instrument).kind is InstrumentKind.SPOT
