"""The steps by which inventory is moved between venues: transfers, and trades at both. Pure.

A step is sized on what is held and on the books as they are; nothing here carries one out. What a
step cannot be sized to is said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.depth import ExactLevel, Walked, base_worth, walk_exact
from shared.domain.fees import MONEY_STEP, ONE_BP, fee_amount
from shared.domain.instrument import split_instrument
from shared.domain.inventory import Stock, plain
from shared.domain.rounding import lot_common, qty_to_lot
from shared.messages.base import Side

_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_WIDE = Context(prec=700)
SIZINGS_MAX: Final = 8
"""An average price is rounded against us, so a size may miss what is there by a lot; each try makes
up for it."""

PriceOf = Callable[[str, Decimal], Decimal | None]
"""Asset and signed units held -> what closing them fetches, or costs, per unit in the quote asset
of the report; ``None`` where nothing prices it."""


class TransferWay(NamedTuple):
    """A network that carries an asset from one venue to another.

    Attributes:
        asset: What it carries.
        giver: Where it is withdrawn.
        taker: Where it is deposited.
        network: As the venues name it.
        fee: Units of the asset that are taken off on the way; ``None``: unknown.
        minutes: Until it is credited; ``None``: unknown.
        least: The smallest withdrawal.
    """

    asset: str
    giver: str
    taker: str
    network: str
    fee: Decimal | None
    minutes: Decimal | None
    least: Decimal = _ZERO

    @property
    def text(self) -> str:
        """It in words."""
        over = f" over {self.network}" if self.network else ""
        return f"transfer of {self.asset} from {self.giver} to {self.taker}{over}"


class Market(NamedTuple):
    """A spot book that may be traded now, best level first, with the venue's rules."""

    venue: str
    instrument: str
    bids: Sequence[ExactLevel]
    asks: Sequence[ExactLevel]
    lot_size: Decimal
    fee_bps: Decimal
    qty_min: Decimal = _ZERO
    qty_max: Decimal | None = None
    notional_min: Decimal = _ZERO


class TradeWay(NamedTuple):
    """Selling at one venue and buying the same at another: moves ``asset`` from giver to taker.

    Of the base asset the giver sells, of the quote asset it buys; the other asset of the instrument
    moves the other way.
    """

    asset: str
    sell: Market
    buy: Market

    @property
    def is_base(self) -> bool:
        """Whether it is meant to move the base asset."""
        return self.asset == split_instrument(self.sell.instrument).base

    @property
    def giver(self) -> str:
        """Which venue gives the asset."""
        return self.sell.venue if self.is_base else self.buy.venue

    @property
    def taker(self) -> str:
        """Which venue gets it."""
        return self.buy.venue if self.is_base else self.sell.venue

    @property
    def text(self) -> str:
        """It in words."""
        return f"{self.sell.instrument} sold at {self.sell.venue}, bought at {self.buy.venue}"


Way = TransferWay | TradeWay


class Transfer(NamedTuple):
    """A withdrawal and its deposit. ``cost`` is in the quote asset of the report.

    ``qty`` leaves, ``arrives`` is deposited; ``None`` is unknown, and so are ``fee``, ``minutes``
    and ``cost``.
    """

    way: TransferWay
    qty: Decimal
    arrives: Decimal | None
    cost: Decimal | None
    why: str = ""

    @property
    def minutes(self) -> Decimal | None:
        """How long it takes."""
        return self.way.minutes


class Order(NamedTuple):
    """One side of a trade at the prices of a book: quote units, the fee charged in these."""

    venue: str
    side: Side
    qty: Decimal
    price_avg: Decimal
    price_worst: Decimal
    notional: Decimal
    fee: Decimal


class Trade(NamedTuple):
    """Selling at one venue and buying the same quantity at another, both at once.

    ``cost_own`` is in the instrument's quote asset, ``cost`` in that of the report (``None``:
    unknown); negative: the prices differ by more than the fees, it earns that.
    """

    way: TradeWay
    sell: Order
    buy: Order
    cost: Decimal | None
    why: str = ""

    @property
    def cost_own(self) -> Decimal:
        """What is paid more than received."""
        return self.spent - self.received

    @property
    def spent(self) -> Decimal:
        """Quote units that leave the buying venue."""
        return self.buy.notional + self.buy.fee

    @property
    def received(self) -> Decimal:
        """Quote units that come to the selling venue."""
        return self.sell.notional - self.sell.fee

    @property
    def minutes(self) -> Decimal:
        """How long it takes: it is done at once."""
        return _ZERO


Step = Transfer | Trade


def arriving(step: Step) -> Decimal:
    """Return the units of a way's asset that reach the taker; at most, where that is unknown."""
    if isinstance(step, Transfer):
        return step.qty if step.arrives is None else step.arrives
    return step.buy.qty if step.way.is_base else step.received


def leaving(step: Step) -> Decimal:
    """Return the units of a way's asset that leave the giver."""
    if isinstance(step, Transfer):
        return step.qty
    return step.sell.qty if step.way.is_base else step.spent


def size_step(
    way: Way, qty: Decimal, stock: Stock, price_of: PriceOf, *, to_target: bool = False
) -> Step | str:
    """Return the step that brings about ``qty`` to the taker, or in words why there is none.

    It is made larger for a least order or withdrawal, and smaller where a band, a balance or a book
    ends; the caller sees by ``arriving`` how much it became.

    Args:
        way: How it is moved.
        qty: Units of the way's asset.
        stock: What is held before it.
        price_of: What a unit costs, for the report.
        to_target: Make it larger, until giver or taker is at its target.
    """
    if to_target:
        qty = max(qty, stock.to_target((way.giver, way.asset), (way.taker, way.asset)))
    if isinstance(way, TransferWay):
        return _size_transfer(way, qty, stock, price_of)
    return _size_trade(way, qty, stock, price_of)


def apply(step: Step, stock: Stock, sign: int = 1) -> None:
    """Count what a step moves; with a ``sign`` of -1 count it as not moved again."""
    if isinstance(step, Transfer):
        stock.take((step.way.giver, step.way.asset), sign * step.qty)
        stock.put((step.way.taker, step.way.asset), sign * arriving(step))
        return
    base, quote, _ = split_instrument(step.way.sell.instrument)
    stock.take((step.sell.venue, base), sign * step.sell.qty)
    stock.put((step.buy.venue, base), sign * step.buy.qty)
    stock.take((step.buy.venue, quote), sign * step.spent)
    stock.put((step.sell.venue, quote), sign * step.received)


def _size_transfer(way: TransferWay, qty: Decimal, stock: Stock, price_of: PriceOf) -> Step | str:
    giver, taker = (way.giver, way.asset), (way.taker, way.asset)
    fee, room = way.fee or _ZERO, stock.room(taker)
    sent = max(qty + fee, way.least)
    most = stock.spare(giver) if room is None else min(stock.spare(giver), room + fee)
    if sent > most:
        sent = _step(most, ROUND_DOWN)
    else:
        sent = min(_step(sent, ROUND_CEILING), _step(most, ROUND_DOWN))
    if sent <= 0:
        return f"{way.text}: nothing may move"
    if sent <= fee or sent < way.least:
        movable = f"{way.text}: the {plain(most)} that may move"
        if sent <= fee:
            return f"{movable} are no more than its fee of {plain(fee)}"
        return f"{movable} are less than its least of {plain(way.least)}"
    return Transfer(
        way=way,
        qty=sent,
        arrives=None if way.fee is None else sent - way.fee,
        cost=_cost(way.asset, way.fee, price_of),
    )


def _size_trade(way: TradeWay, qty: Decimal, stock: Stock, price_of: PriceOf) -> Step | str:
    base, quote, _ = split_instrument(way.sell.instrument)
    lot = lot_common(way.sell.lot_size, way.buy.lot_size)
    most = qty_to_lot(_most(way, stock, base, quote), lot)
    wanted = qty if way.is_base else _base_for(way.sell.bids, qty, way.sell.fee_bps, most)
    least = _least(way, lot)
    wanted = min(most, max(_up(wanted, lot), least))
    spare, room = stock.spare((way.buy.venue, quote)), stock.room((way.sell.venue, quote))
    for _ in range(SIZINGS_MAX):
        if wanted < least or wanted <= 0:
            break
        sides = _order(way.sell, Side.SELL, wanted), _order(way.buy, Side.BUY, wanted)
        if sides[0] is None or sides[1] is None:
            break
        made = Trade(way, sides[0], sides[1], None)
        if made.spent <= spare and (room is None or made.received <= room):
            return made._replace(cost=_cost(quote, made.cost_own, price_of))
        wanted -= lot
    return f"{way.text}: what balances, bands and books allow is below the least order"


def _most(way: TradeWay, stock: Stock, base: str, quote: str) -> Decimal:
    """Return the base units that balances, bands, books and largest orders allow."""
    sell, buy = way.sell, way.buy
    bounds = [stock.spare((sell.venue, base))]
    bounds += [sum((there for _, there in side), _ZERO) for side in (sell.bids, buy.asks)]
    bounds += [each.qty_max for each in (sell, buy) if each.qty_max is not None]
    room = stock.room((buy.venue, base))
    if room is not None:
        bounds.append(room)
    spare = stock.spare((buy.venue, quote)) / (_ONE + buy.fee_bps * ONE_BP)
    bounds.append(_worth(buy.asks, spare))
    room = stock.room((sell.venue, quote))
    if room is not None:
        bounds.append(_worth(sell.bids, room / (_ONE - sell.fee_bps * ONE_BP)))
    return min(bounds)


def _base_for(
    bids: Sequence[ExactLevel], amount: Decimal, fee_bps: Decimal, most: Decimal
) -> Decimal:
    """Return the base units whose sale brings ``amount`` quote units in after its fee."""
    found = base_worth(bids, amount / (_ONE - fee_bps * ONE_BP))
    return most if found is None else found


def _worth(levels: Sequence[ExactLevel], amount: Decimal) -> Decimal:
    """Return the base units that ``amount`` trades for, at most those that are there."""
    found = base_worth(levels, amount)
    return sum((there for _, there in levels), _ZERO) if found is None else found


def _least(way: TradeWay, lot: Decimal) -> Decimal:
    """Return the least quantity that both venues take, at the worst price of either side."""
    least = [way.sell.qty_min, way.buy.qty_min, lot]
    for market, price in ((way.sell, way.sell.bids[-1][0]), (way.buy, way.buy.asks[0][0])):
        least.append(market.notional_min / price)
    return _up(max(least), lot)


def _order(market: Market, side: Side, qty: Decimal) -> Order | None:
    levels = market.bids if side is Side.SELL else market.asks
    walked: Walked | None = walk_exact(levels, qty, side)
    if walked is None:
        return None
    notional = qty * walked.price_avg
    fee = fee_amount(notional, market.fee_bps)
    return Order(market.venue, side, qty, walked.price_avg, walked.price_worst, notional, fee)


def _cost(asset: str, amount: Decimal | None, price_of: PriceOf) -> Decimal | None:
    """Return what an amount of an asset that is spent costs in the quote asset of the report."""
    if amount is None:
        return None
    if not amount:
        return _ZERO
    price = price_of(asset, -amount)
    return None if price is None else _step(amount * price, ROUND_CEILING)


def _step(qty: Decimal, rounding: str) -> Decimal:
    return qty.quantize(MONEY_STEP, rounding, _WIDE)


def _up(qty: Decimal, lot: Decimal) -> Decimal:
    return (qty / lot).to_integral_value(ROUND_CEILING) * lot
