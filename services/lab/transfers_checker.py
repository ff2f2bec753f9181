"""Checks that what the executor tells as moved was withdrawn or paid in, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from services.lab.ledger_checker import left_alone, of_others
from shared.messages.balances import BalanceMoved

if TYPE_CHECKING:
    from services.lab.world import World

ZERO = Decimal(0)


class TransfersChecker:
    """Watches what is told of balances.

    Not where others trade in the account, or a ledger began again: what they changed looks like a
    transfer, and is told as one.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._net: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [ZERO])
        """What was paid in less what was withdrawn, at the start and after each transfer."""
        self.told: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        """What was told as moved, by venue and asset, since the bus last lost anything."""

    def on_bus_lost(self) -> None:
        """Forget what was told: it may be lost, and is told again then."""
        self.told.clear()

    def on_transfer(self, venue: str, asset: str, net: Decimal) -> None:
        """Note a transfer, and what all of them come to."""
        self._net[venue, asset].append(net)

    def on_moved(self, told: BalanceMoved) -> None:
        """Compare all that was told of a balance with what moved between any two moments."""
        world, place = self._world, (told.venue, told.asset)
        self.told[place] += told.amount
        exchange = world.exchanges[told.venue]
        is_anew = world.checkers.ledger.was_lost
        if is_anew or of_others(world, exchange) or left_alone(world, exchange):
            return
        net, total = self._net[place], self.told[place]
        if not any(total == later - before for before in net for later in net):
            text = f"{total} {told.asset} are told as moved at {told.venue}, {net[-1]} were"
            world.checkers.report("transfers", text)
