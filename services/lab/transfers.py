"""Balances that change behind our back: withdrawals, deposits, and a venue's margin call.

What is withdrawn is booked elsewhere at the venue, so that its books still add up.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from services.lab.positions import has_derivatives
from services.lab.variety import SHORT, SHORT_OF_OTHERS

if TYPE_CHECKING:
    from services.lab.chaos import Chaos
    from services.lab.world import World

_MS = 1_000_000
CHANCE = 0.25
"""That something is withdrawn in a world, and later paid in again."""
WITHDRAWN_NS = (200 * _MS, 2_500 * _MS)
"""When, after the start."""
AWAY_NS = (2_000 * _MS, 8_000 * _MS)
"""How much later it is paid in again."""
CALLED_CHANCE = 0.5
"""That a venue of perpetuals calls for margin once its collateral is gone."""
CALLED_NS = (300 * _MS, 2_000 * _MS)
"""How long after the withdrawal it closes positions, in whole or in part."""
ZERO = Decimal(0)


class Transfers:
    """Draws withdrawals and margin calls, and carries them out."""

    def __init__(self, world: World, chaos: Chaos) -> None:
        self._world, self._chaos = world, chaos
        self._random = Random(f"{world.seed}/transfers")
        self._moved: dict[tuple[str, str], Decimal] = defaultdict(Decimal)

    def start(self) -> None:
        """Begin, in some worlds: never where accounts are kept to inventory targets."""
        if self._random.random() < CHANCE and not self._world.config.inventory.targets:
            self._world.kernel.after(self._random.randrange(*WITHDRAWN_NS), self._withdraw)

    def net(self, venue: str, asset: str) -> Decimal:
        """Return what was paid in at a venue less what was withdrawn."""
        return self._moved.get((venue, asset), ZERO)

    def _withdraw(self) -> None:
        """Leave an account as much of an asset as a plan or two need, or less."""
        world, draw = self._world, self._random
        places = [(v, asset) for v, each in world.start_balances.items() for asset in each]
        venue, asset = draw.choice(places)
        ledger = world.exchanges[venue].ledger
        free = ledger.balance(asset).free
        left = SHORT.get(asset, SHORT_OF_OTHERS) * draw.choice((1, 2)) / 2
        amount = free - ledger.position_margin(asset) - left
        if not self._chaos.is_on or amount <= 0:
            return
        self._chaos.fault(f"{venue}: {amount} {asset} are withdrawn, and nobody here knows")
        world.checkers.funds.on_withdrawal(venue, asset, free, free - amount)
        self._move(venue, asset, -amount)
        world.kernel.after(draw.randrange(*AWAY_NS), partial(self._pay_in, venue, asset, amount))
        if has_derivatives(world.exchanges[venue]) and draw.random() < CALLED_CHANCE:
            world.kernel.after(draw.randrange(*CALLED_NS), self._chaos.positions.call_margin)

    def _pay_in(self, venue: str, asset: str, amount: Decimal) -> None:
        self._world.note(f"{venue}: {amount} {asset} are paid in")
        self._world.checkers.funds.on_deposit(venue, asset)
        self._move(venue, asset, amount)

    def _move(self, venue: str, asset: str, amount: Decimal) -> None:
        self._moved[venue, asset] += amount
        self._world.checkers.transfers.on_transfer(venue, asset, self.net(venue, asset))
        self._world.exchanges[venue].ledger.transfer(asset, amount)
