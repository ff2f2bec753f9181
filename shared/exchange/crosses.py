"""Markets between assets: what they are worth, when they are apart, and a peg that may break. Pure.

A market's fair price is what its base asset is worth there over what its quote asset is. A stable
coin wanders around 1 and, if asked for, loses its peg now and then: within two seconds it falls,
stays down for a while, and comes back. Single markets are pushed away from the others, by more than
three orders cost, and fade when somebody trades against that. All of it depends on the seed and the
tick alone, and on draws of its own: the other markets are the same with and without these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from shared.exchange.listing import Listing

MONEY: Final = "USDT"
"""What everything else is priced in."""
STABLE: Final = frozenset(("USDC", "USD"))
AT_PAR: Final = frozenset(("USD",))
"""Those that coins may be sold for though no market exchanges them."""
STABLE_VOLATILITY_BPS = 0.05  # per 50 ms
STABLE_KEPT = 0.99  # of what a stable coin is away from 1, after 50 ms
GAP_S = (3.0, 6.0)  # between dislocations
FIRST_S = 4.0
EDGE_BPS = (12.0, 40.0)  # beyond three taker fees
LIFE_S = (1.5, 4.0)
FADE = 0.94  # of a dislocation that somebody trades against, in 50 ms
DEPEG_FIRST_S = 20.0
DEPEG_GAP_S = (40.0, 80.0)
DEPEG_STAYS_S = (4.0, 10.0)
DEPEG_STEP = 0.07  # of the way, in 50 ms: nearly there after two seconds

Worth = Callable[[str, str], float]
"""Venue and asset -> its price in ``MONEY``."""


def is_cross(listing: Listing) -> bool:
    """Tell whether a market is one of these: its price is not simply that of its base asset."""
    return not listing.perpetual and (listing.quote != MONEY or listing.base in STABLE)


class Crosses:
    """Fair prices of the markets between assets.

    Args:
        markets: Venue and listing of each.
        worth: What other assets are worth.
        seed: Of its own draws.
        tick_ms: Length of a tick.
        depeg_bps: How far a stable coin falls when its peg breaks; 0: it never does.
    """

    def __init__(
        self,
        markets: Sequence[tuple[str, Listing]],
        worth: Worth,
        seed: int,
        *,
        tick_ms: int,
        depeg_bps: float = 0.0,
    ) -> None:
        self._random = Random(f"{seed}/crosses")
        self._worth, self._ticks_per_s = worth, 1_000 / tick_ms
        self._scale = tick_ms / 50
        self._depeg_bps = depeg_bps
        assets = {asset for _, x in markets for asset in (x.base, x.quote)}
        exchanged = {x.base for _, x in markets if x.base in STABLE}
        # What nothing exchanges is worth as much as MONEY, and no cross of it closes a cycle.
        self.at_par = (assets & AT_PAR) - exchanged
        self._pushed = [
            (v, x) for v, x in markets if x.base not in STABLE and x.quote not in self.at_par
        ]
        self.stable_bps = dict.fromkeys(sorted(assets & STABLE - self.at_par), 0.0)
        self._peg_bps = dict.fromkeys(self.stable_bps, 0.0)
        self._noise_bps = dict.fromkeys(self.stable_bps, 0.0)
        self.apart_bps: dict[tuple[str, str], float] = {}
        self._ends: dict[tuple[str, str], int] = {}
        self._taken: set[tuple[str, str]] = set()
        self._next = self._ticks(FIRST_S)
        self._next_depeg = self._ticks(DEPEG_FIRST_S)
        self._peg_back = 0

    def step(self, tick: int) -> None:
        """Move to a tick."""
        draw, scale = self._random, self._scale
        if self._depeg_bps and self.stable_bps:
            self._break_peg(tick)
        for coin in self.stable_bps:
            move = draw.gauss(0.0, STABLE_VOLATILITY_BPS * scale**0.5)
            self._noise_bps[coin] = self._noise_bps[coin] * STABLE_KEPT**scale + move
            target = -self._depeg_bps if tick < self._peg_back else 0.0
            step = (target - self._peg_bps[coin]) * (1 - (1 - DEPEG_STEP) ** scale)
            self._peg_bps[coin] += step
            self.stable_bps[coin] = self._noise_bps[coin] + self._peg_bps[coin]
        for key in [key for key, ends in self._ends.items() if ends <= tick]:
            del self._ends[key], self.apart_bps[key]
            self._taken.discard(key)
        for key in self._taken:
            self.apart_bps[key] *= FADE**scale
        if self._pushed and tick >= self._next:
            self._push(tick)

    def fair(self, venue: str, listing: Listing) -> float:
        """Return a market's mid price in its quote units."""
        price = self.worth(venue, listing.base) / self.worth(venue, listing.quote)
        return price * (1 + self.apart_bps.get((venue, listing.instrument), 0.0) / 10_000)

    def worth(self, venue: str, asset: str) -> float:
        """Return what an asset is worth in ``MONEY``."""
        if asset == MONEY or asset in self.at_par:
            return 1.0
        bps = self.stable_bps.get(asset)
        return self._worth(venue, asset) if bps is None else 1 + bps / 10_000

    def absorb(self, venue: str, instrument: str) -> None:
        """A client traded in a market that is apart: that fades."""
        if (venue, instrument) in self.apart_bps:
            self._taken.add((venue, instrument))

    def _break_peg(self, tick: int) -> None:
        if tick < self._next_depeg:
            return
        stays_s = self._random.uniform(*DEPEG_STAYS_S)
        self._peg_back = tick + self._ticks(2.0 + stays_s)
        self._next_depeg = tick + self._ticks(self._random.uniform(*DEPEG_GAP_S))

    def _push(self, tick: int) -> None:
        """Push one market away from the others, unless the one drawn is apart already."""
        draw = self._random
        venue, listing = draw.choice(self._pushed)
        size = 3 * float(listing.taker_bps) + draw.uniform(*EDGE_BPS)
        sign = draw.choice((-1, 1))
        ends = tick + self._ticks(draw.uniform(*LIFE_S))
        self._next = tick + self._ticks(draw.uniform(*GAP_S))
        key = venue, listing.instrument
        if key not in self.apart_bps:
            self.apart_bps[key], self._ends[key] = sign * size, ends

    def _ticks(self, seconds: float) -> int:
        return max(1, round(seconds * self._ticks_per_s))
