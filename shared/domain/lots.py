"""First in, first out: what was bought when, at what price, and what became of it. Pure, Decimal.

For export; the ledger goes by average cost (``accounting.py``), and both leave the same cash. A lot
is (part of) one execution that opened or extended a position, closed by (part of) one that reduced
it; whatever is closed splits off as a lot of its own. No amount is divided, so nothing is rounded
but the share of a fee, and the shares are together the fee. Of an inverse contract, whose quantity
is in quote units, the amounts are coins: each lot's are rounded to ``MONEY_STEP``, so those of an
execution that was split differ from the ledger's by as much as that per part.

Lots are kept where the ledger keeps holdings: a derivative at its venue, spot over all venues, and
apart by strategy. Fills of no strategy close whatever is open, as in ``strategy_books.py``.

Fees stand beside what was bought and sold for, in the asset in which they were charged, and are
never added to it. The units that a fee takes out of what is held are gone all the same: they close
lots (or open a short one, for a fee in the base asset of what is sold short) at a price of zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec

from shared.domain.accounting import ZERO, holding_key
from shared.domain.executions import cost_of
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.strategy_books import UNKNOWN
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, Fill

FEE: Final = "fee"
"""Stands for a trade's id where a fee took the units."""
OF_NOBODY: Final = (UNKNOWN, OPERATOR_STRATEGY)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a lot: base units at a price, or units that a fee took at a price of zero.

    ``fee`` is this lot's share of the execution's, ``None`` where the venue has not reported it.
    """

    ts_ns: int
    venue: str
    trade_id: str
    price: Decimal
    fee: Decimal | None
    fee_asset: str


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """Base units bought (or sold short) at once, and sold (or bought back) at once, or still open.

    ``opened_amount`` is what they cost (short: brought), ``closed_amount`` what they brought
    (short: cost), in quote units and without fees; of an inverse contract what its quote units are
    worth in coins, which its long gains by when they become fewer.
    """

    strategy: str
    instrument: str
    side: Side
    qty: Decimal
    opened: Point
    closed: Point | None = None

    @property
    def opened_amount(self) -> Decimal:
        """Quote units at the opening."""
        return self._amount(self.opened)

    @property
    def closed_amount(self) -> Decimal | None:
        """Quote units at the closing; ``None`` while it is open."""
        return None if self.closed is None else self._amount(self.closed)

    @property
    def profit(self) -> Decimal | None:
        """What the price brought, fees apart; ``None`` while it is open."""
        before, after = self.opened_amount, self.closed_amount
        if after is None:
            return None
        is_inverse = split_instrument(self.instrument).kind is InstrumentKind.INVERSE
        grew = after - before
        return grew if (self.side is Side.BUY) is not is_inverse else -grew

    def _amount(self, point: Point) -> Decimal:
        return cost_of(self.instrument, self.qty, point.price)


class Lots:
    """Takes fills in the order in which they were booked, each once; gives lots."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], deque[Lot]] = {}
        self._closed: list[Lot] = []

    def trade(self, fill: Fill) -> None:
        """Book a fill: close what is open against it, oldest first, and open the rest."""
        key = holding_key(fill.venue, fill.instrument)
        strategy = fill.strategy or UNKNOWN
        left = _Part(fill.qty, _point(fill))
        for owner in self._owners(strategy, key):
            left = self._close((owner, key), fill.side, left)
        if left.qty:
            lot = Lot(
                strategy=strategy,
                instrument=fill.instrument,
                side=fill.side,
                qty=left.qty,
                opened=left.point,
            )
            self._open.setdefault((strategy, key), deque()).append(lot)
        self._take_fee_units(fill, strategy, key)

    def closed(self) -> list[Lot]:
        """Return the lots that are closed, in the order of their closing."""
        return list(self._closed)

    def open(self) -> list[Lot]:
        """Return the lots that are open, by strategy and instrument, the oldest first."""
        return [lot for _, lots in sorted(self._open.items()) for lot in lots]

    def _owners(self, strategy: str, key: str) -> Iterator[str]:
        """Whose lots a fill may close: its own first."""
        yield strategy
        there = sorted(owner for owner, held in self._open if held == key)
        others = there if strategy in OF_NOBODY else OF_NOBODY
        yield from (owner for owner in others if owner != strategy)

    def _close(self, place: tuple[str, str], side: Side, left: _Part) -> _Part:
        """Close lots of the other side with what is left; return what is left then."""
        lots = self._open.get(place)
        while lots and left.qty and lots[0].side is not side:
            lot = lots.popleft()
            if lot.qty > left.qty:
                taken, kept = _Part(lot.qty, lot.opened).split(left.qty)
                lots.appendleft(_lot(lot, kept))
                lot = _lot(lot, taken)
            part, left = left.split(lot.qty)
            self._closed.append(msgspec.structs.replace(lot, closed=part.point))
        return left

    def _take_fee_units(self, fill: Fill, strategy: str, key: str) -> None:
        """Let a fee in units of what is held as spot close lots, or open a short one."""
        name = split_instrument(fill.instrument)
        asset = fill.fee_asset or name.cash
        if not fill.fee or asset == name.cash:
            return
        held = f"{asset}/{name.cash}"
        side = Side.SELL if fill.fee > 0 else Side.BUY
        point = Point(
            ts_ns=fill.ts_ns, venue=fill.venue, trade_id=FEE, price=ZERO, fee=ZERO, fee_asset=""
        )
        left = self._close((strategy, held), side, _Part(abs(fill.fee), point))
        if left.qty and held == key:
            lot = Lot(
                strategy=strategy, instrument=held, side=side, qty=left.qty, opened=left.point
            )
            self._open.setdefault((strategy, held), deque()).append(lot)


class _Part(msgspec.Struct, frozen=True):
    """Some base units and the end of a lot that they are."""

    qty: Decimal
    point: Point

    def split(self, qty: Decimal) -> tuple[_Part, _Part]:
        """Return the part of ``qty`` units and the rest; their fees are together the fee."""
        fee = self.point.fee
        if qty == self.qty or not fee:
            share = fee
        else:
            exponent = fee.as_tuple().exponent
            assert isinstance(exponent, int), "messages hold finite numbers"
            step = min(MONEY_STEP, Decimal(1).scaleb(exponent))
            share = (fee * qty / self.qty).quantize(step, ROUND_DOWN)
        rest = None if fee is None or share is None else fee - share
        return (
            _Part(qty, msgspec.structs.replace(self.point, fee=share)),
            _Part(self.qty - qty, msgspec.structs.replace(self.point, fee=rest)),
        )


def _lot(lot: Lot, part: _Part) -> Lot:
    return msgspec.structs.replace(lot, qty=part.qty, opened=part.point)


def _point(fill: Fill) -> Point:
    cash = split_instrument(fill.instrument).cash
    return Point(
        ts_ns=fill.ts_ns,
        venue=fill.venue,
        trade_id=fill.trade_id,
        price=fill.price,
        fee=fill.fee,
        fee_asset="" if fill.fee is None else fill.fee_asset or cash,
    )
