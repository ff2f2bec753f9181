"""What kind of market a world has, and so which strategies can trade in it. Pure.

Most worlds have pairs: the same assets on three venues. The others are built for one strategy, with
no more books than those: triangles, two quote assets and their conversion, public trades of which
bars are made, perpetuals whose funding pays, linear ones and ones settled in coins, and public
trades that fill orders which rest. One that is made for all of them at once has what each needs; no
seed draws it, a run asks for it.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from services.lab.listings import (
    BASES,
    INVERSES,
    LISTINGS,
    MONEY,
    PERPETUALS,
    PRICES,
    STABLE,
    TRIANGLES,
    conversions,
)
from services.lab.variety import bases_of, exchanges_of, perpetual_of
from shared.exchange.exchange import Exchange


class Kind(StrEnum):
    """What a world's market is made of."""

    PAIRS = "pairs"
    TRIANGLE = "triangle"
    CONVERSION = "conversion"
    TREND = "trend"
    CARRY = "carry"
    INVERSE = "inverse"
    QUOTES = "quotes"
    ALL = "all"


CHANCES = {
    Kind.PAIRS: 0.56,
    Kind.TRIANGLE: 0.1,
    Kind.CONVERSION: 0.1,
    Kind.TREND: 0.12,
    Kind.CARRY: 0.12,
}
INVERSE_CHANCE = 0.4
"""That the perpetual of a world of carry is an inverse one, settled in coins."""
PAID = frozenset((Kind.CARRY, Kind.INVERSE, Kind.ALL))
"""Worlds whose perpetual pays funding to who is short."""
QUOTES_SHARE = 0.18
"""Of what would be worlds of pairs, that have public trades and a strategy that quotes."""
PRINTED = frozenset((Kind.TREND, Kind.QUOTES, Kind.ALL))
"""Worlds with public trades."""
BARRED = frozenset((Kind.TREND, Kind.ALL))
"""Worlds with bars, made of their public trades."""
QUOTED = frozenset((Kind.QUOTES, Kind.ALL))
"""Worlds in which orders of ours rest."""
HELD = PAID | {Kind.TREND}
"""Worlds that always have a perpetual, and its base asset as spot on two venues or more."""
CROSSED = frozenset((Kind.TRIANGLE, Kind.CONVERSION, Kind.ALL))
"""Worlds with markets between assets."""
CONVERTED = frozenset((Kind.CONVERSION, Kind.ALL))
"""Worlds with two quote assets, of which one may lose its peg."""
DEPEG_CHANCE = 0.3


def kind_of(seed: int) -> Kind:
    """Return the kind of a world."""
    draw = Random(f"{seed}/kind")
    kind = draw.choices(list(CHANCES), list(CHANCES.values()))[0]
    if kind is Kind.PAIRS:
        is_quoted = Random(f"{seed}/quotes").random() < QUOTES_SHARE
        return Kind.QUOTES if is_quoted else kind
    is_inverse = Random(f"{seed}/inverse").random() < INVERSE_CHANCE
    return Kind.INVERSE if kind is Kind.CARRY and is_inverse else kind


def exchanges_of_kind(seed: int, kind: Kind) -> dict[str, Exchange]:
    """Return the venues of a world, by name."""
    draw = Random(f"{seed}/market kind")
    if kind is Kind.TRIANGLE:
        return exchanges_of(seed, TRIANGLES)
    if kind is Kind.CONVERSION:
        return exchanges_of(seed, conversions(draw.choice(STABLE)))
    if kind is Kind.ALL:
        return _exchanges_for_all(seed, draw)
    if kind in HELD:
        base = draw.choice(BASES)
        spot = [[each for each in of_venue if each.base == base] for of_venue in LISTINGS]
        listed = INVERSES if kind is Kind.INVERSE else PERPETUALS
        perpetuals = [each for each in listed if each.base == base]
        return exchanges_of(seed, spot[::2]) | perpetual_of(seed, perpetuals, always=True)
    bases = [draw.choice(BASES)] if kind is Kind.QUOTES else bases_of(seed, BASES)
    spot = [[each for each in of_venue if each.base in bases] for of_venue in LISTINGS]
    if kind is Kind.QUOTES:
        return exchanges_of(seed, spot)
    perpetuals = [each for each in PERPETUALS if each.base in bases]
    return exchanges_of(seed, spot) | perpetual_of(seed, perpetuals)


def _exchanges_for_all(seed: int, draw: Random) -> dict[str, Exchange]:
    """Return venues with a triangle, a conversion, spot of one pair twice and its perpetual."""
    with_triangle, (_, with_conversion, _) = TRIANGLES[0], conversions(draw.choice(STABLE))
    plain = [LISTINGS[2][0]]
    listed = INVERSES if draw.random() < INVERSE_CHANCE else PERPETUALS
    perpetuals = [each for each in listed if each.base == plain[0].base]
    spot = exchanges_of(seed, [with_triangle, with_conversion, plain])
    return spot | perpetual_of(seed, perpetuals, always=True)


def prices_of(exchanges: dict[str, Exchange]) -> dict[str, float]:
    """Return what the assets of these venues are worth at first, in ``MONEY``."""
    quotes = {each.quote for x in exchanges.values() for each in x.by_instrument.values()}
    return PRICES | {asset: 1.0 for asset in STABLE if asset in quotes and asset != MONEY}
