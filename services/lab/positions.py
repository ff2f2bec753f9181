"""Faults of derivatives only: positions that no plan opened, and outdated reports of them.

No plan opens a position in a derivative yet. The lab makes them as they come about in earnest: an
order of ours is found at the venue after the bus lost its record (the executor adopts it and closes
what it opened), the venue refuses while that is tried (the plan fails, and an operator's FLATTEN
closes it later), or somebody else trades in the account: the venue itself, when it liquidates or
deleverages, or a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from services.executor.ids import client_order_id, parse_client_order_id, plan_key
from services.lab.account import FORCED
from services.lab.kinds import HELD
from shared.domain.instrument import is_spot
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Fill, IncomingOrder, RefusedError
from shared.messages.base import Side
from shared.messages.control import CommandKind
from shared.messages.fill_key import FillKey

if TYPE_CHECKING:
    from services.lab.chaos import Chaos
    from services.lab.world import World

_MS = 1_000_000
FOREIGN_NS = (500 * _MS, 5_000 * _MS)
NOTIONAL = (200.0, 2_500.0)
FIRST_LOSS_CHANCE, SELDOM_LOSS_CHANCE = 0.5, 0.15
"""Seldom where rounds are to be held: an order that nobody can close halts trading."""
FIRST_LOSS_NS = (1_800 * _MS, 3_000 * _MS)
"""Early enough for all that may follow from it."""
CLOSED_CHANCE = 0.7
"""That the venue refuses while a lost order is evened out."""
CLOSED_NS = (7_500 * _MS, 9_500 * _MS)
"""Beyond the deadline of a plan, restart included."""
RESUME_AFTER_NS = (300 * _MS, 1_500 * _MS)
OLD_NS = (300 * _MS, 3_000 * _MS)
OWN_CHANCE = 0.5
"""That a foreign order closes what is held, as a liquidation does, and is no trade of its own."""
FORCED_CHANCE = 0.4
"""That the venue itself does that, and says so when it is asked for the order."""
FORCED_SHARES = (Decimal(1), Decimal("0.5"))
"""All of a position, as a liquidation takes, or a part, as deleveraging does."""
ZERO = Decimal(0)


class Positions:
    """Draws and does it, in worlds that have a venue of perpetuals."""

    def __init__(self, world: World, chaos: Chaos) -> None:
        self._world, self._chaos = world, chaos
        self._random = Random(f"{world.seed}/positions")
        self._exchange = next((e for e in world.exchanges.values() if has_derivatives(e)), None)
        self._lost = self._forced = 0
        self.refuses = ""
        """The venue at which what was lost cannot be closed now."""

    def start(self) -> None:
        """Begin."""
        if self._exchange is not None:
            self._chaos.again(FOREIGN_NS, self._interfere)
            is_held = self._world.kind in HELD
            if self._random.random() < (SELDOM_LOSS_CHANCE if is_held else FIRST_LOSS_CHANCE):
                first_ns = self._random.randrange(*FIRST_LOSS_NS)
                self._world.kernel.after(first_ns, self._chaos.bus.lose_last_moment)

    def on_loss(self) -> None:
        """With the bus's last moment the record of an order of ours is lost."""
        exchange = self._exchange
        if exchange is None:
            return
        self._lost += 1
        key = plan_key(f"{self._world.seed} lost {self._lost}")
        side = self._random.choice((Side.BUY, Side.SELL))
        self._order(exchange, self._listing(exchange), side, client_order_id(key, 0, 0))
        if self._random.random() < CLOSED_CHANCE:
            lasts_ns = self._random.randrange(*CLOSED_NS)
            self._chaos.set_conditions(exchange.venue, {"refused": 1.0}, lasts_ns)
            self.refuses = exchange.venue
            self._world.kernel.after(lasts_ns, self._flatten)

    def _flatten(self) -> None:
        self.refuses = ""
        self._world.note("an operator says FLATTEN")
        self._world.send_command(CommandKind.FLATTEN)
        self._world.kernel.after(self._random.randrange(*RESUME_AFTER_NS), self._resume)

    def _resume(self) -> None:
        if self._chaos.is_on:  # a world that ends stays halted
            self._world.send_command(CommandKind.RESUME)

    def _interfere(self) -> None:
        """Somebody else trades, or what the venue tells of positions is old for a while."""
        exchange = self._exchange
        assert exchange is not None
        if self._random.random() < 0.3:
            self._chaos.set_conditions(
                exchange.venue, {"old_positions": True}, self._random.randrange(*OLD_NS)
            )
            return
        listing = self._listing(exchange)
        held = exchange.ledger.positions.get(listing.instrument)
        side, qty, name = self._random.choice((Side.BUY, Side.SELL)), ZERO, ""
        if held is not None and held.qty and self._random.random() < OWN_CHANCE:
            side, qty = Side.SELL if held.qty > 0 else Side.BUY, abs(held.qty)
            if self._random.random() < FORCED_CHANCE:
                name, qty = self._force(listing, qty)
        self._order(exchange, listing, side, name, qty)

    def call_margin(self) -> None:
        """The venue closes of every position there: its collateral is gone."""
        exchange = self._exchange
        assert exchange is not None
        for listing in exchange.by_instrument.values():
            held = exchange.ledger.positions.get(listing.instrument)
            if self._chaos.is_on and held is not None and held.qty:
                side = Side.SELL if held.qty > 0 else Side.BUY
                name, qty = self._force(listing, abs(held.qty))
                self._order(exchange, listing, side, name, qty)

    def _force(self, listing: Listing, held: Decimal) -> tuple[str, Decimal]:
        """Return name and size of an order by which the venue itself closes of a position."""
        self._forced += 1
        lots = int(held / listing.lot * self._random.choice(FORCED_SHARES))
        return f"{FORCED}{self._forced}", max(lots, 1) * listing.lot

    def _listing(self, exchange: Exchange) -> Listing:
        return self._random.choice(list(exchange.by_instrument.values()))

    def _order(
        self, exchange: Exchange, listing: Listing, side: Side, name: str, qty: Decimal = ZERO
    ) -> None:
        """Trade at the venue, beside the executor."""
        resting = exchange.books[listing.instrument].side(side.opposite).depth(1)
        if not resting:
            return
        price = listing.price(resting[0][0])
        if not qty:
            worth = float(listing.notional(listing.lot, price))
            lots = int(self._random.uniform(*NOTIONAL) / worth)
            qty = listing.qty(max(1, lots))
        request = IncomingOrder(
            listing=listing, terms=listing.terms(side, qty, price), client_id=name
        )
        try:
            order = exchange.place(request, self._world.kernel.now_ns() // _MS)
        except RefusedError:
            return  # too little for the venue
        self._chaos.fault(
            f"{exchange.venue}: {name or 'somebody else'} trades {side} {order.filled_lots} lots "
            f"of {listing.instrument}, and nobody here knows"
        )


def has_derivatives(exchange: Exchange) -> bool:
    """Tell whether an exchange lists anything but spot."""
    return any(not is_spot(name) for name in exchange.by_instrument)


def key_of(fill: Fill) -> str:
    """Return the plan's key in a fill's order id; empty if the order is not ours."""
    return _plan_key_in(fill.client_id)


def is_ours(client_id: str) -> bool:
    """Tell whether an order's id is one that the executor makes."""
    return bool(_plan_key_in(client_id))


@lru_cache(maxsize=4_096)
def _plan_key_in(client_id: str) -> str:
    parsed = parse_client_order_id(client_id)
    return parsed[0] if parsed else ""


def fill_key_of(fill: Fill) -> FillKey:
    """Return the key by which a fill of a venue is told."""
    listing = fill.listing
    return FillKey(listing.venue, listing.instrument, str(fill.trade_id), fill.side)


def position_of(fills: Iterable[Fill], instrument: str) -> Decimal:
    """Return the position that these fills make, signed base units."""
    mine = (fill for fill in fills if fill.listing.instrument == instrument)
    return sum((fill.side.signed(fill.qty) for fill in mine), ZERO)


def at_cost(exchange: Exchange, asset: str) -> Decimal:
    """Return an asset's balance less what its open positions cost.

    A fill changes that by what it paid or received and its fee, whoever traded in the account
    before it; the balance alone by the profit on the average entry of all of them.
    """
    balance = exchange.ledger.balance(asset)
    held = (
        -p.cost if p.inverse else p.cost
        for p in exchange.ledger.positions.values()
        if p.asset == asset
    )
    return balance.free + balance.used - sum(held, ZERO)
