"""What orders lock, cost and earn: between an order and the account's ledger. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from shared.domain.instrument import InstrumentName, split_instrument
from shared.exchange.accounts import AccountLedger
from shared.exchange.listing import Listing
from shared.exchange.orders import Fill, Order, Refusal, RefusedError
from shared.messages.base import Side
from shared.messages.terms import OrderType

BPS = Decimal(10_000)
ZERO = Decimal(0)


def needed(
    instrument: InstrumentName, side: Side, *, qty: Decimal, cost: Decimal, fee: Decimal
) -> tuple[str, Decimal]:
    """Return the asset that trading ``qty`` for ``cost`` takes from an account, and how much of it.

    Of a perpetual that is the fee; what margin it ties up is the account's own matter.
    """
    if instrument.settle is not None:
        return instrument.settle, fee
    if side is Side.BUY:
        return instrument.quote, cost + fee
    return instrument.base, qty


class Settlement:
    """Locks funds for orders and books their fills.

    Fees are charged in quote, or in ``fee_asset`` at its market price (``mid``) while it lasts.
    """

    def __init__(
        self, ledger: AccountLedger, fee_asset: str, mid: Callable[[str], Decimal | None]
    ) -> None:
        self.ledger, self.fee_asset, self._mid = ledger, fee_asset, mid

    def lock(self, order: Order, reachable: list[tuple[int, int]], reducing: Decimal) -> None:
        """Lock what the order may cost at worst.

        ``reducing`` is what other open reduce-only orders of the instrument will close already.

        Raises:
            RefusedError: Not enough, or a reduce-only order that does not reduce.
        """
        asset, amount, refusal = self._cost(order, reachable, reducing)
        if not self.ledger.lock(asset, amount):
            raise RefusedError(refusal)
        order.locked, order.lock_asset = amount, asset

    def _cost(
        self, order: Order, reachable: list[tuple[int, int]], reducing: Decimal
    ) -> tuple[str, Decimal, Refusal]:
        """Return asset and amount of what an order may cost, and what a lack of it is called."""
        request, listing = order.request, order.request.listing
        if request.type is OrderType.LIMIT:
            reachable = [(order.ticks, order.lots)]
        cost = sum((listing.worth(listing.qty(n), listing.price(t)) for t, n in reachable), ZERO)
        if listing.perpetual:
            position = self.ledger.positions.get(listing.instrument)
            if request.reduce_only:
                held = position.qty if position else Decimal(0)
                qty = listing.qty(order.lots)
                if held * request.side.signed(qty) >= 0 or qty + reducing > abs(held):
                    raise RefusedError(Refusal.REDUCE_ONLY)
            qty = listing.qty(order.lots)
            price = qty / cost if listing.inverse else cost / qty
            amount = self.ledger.margin_needed(listing, request.side, qty, price)
            asset, refusal = listing.settle, Refusal.MARGIN
        else:
            fee = Decimal(0) if self.fee_asset else cost * listing.taker_bps / BPS
            name, refusal = split_instrument(listing.instrument), Refusal.BALANCE
            qty = listing.qty(order.lots)
            asset, amount = needed(name, request.side, qty=qty, cost=cost, fee=fee)
        return asset, _cents(amount), refusal

    def relock(self, order: Order, ticks: int, lots: int, reducing: Decimal) -> None:
        """Lock what the rest of an open order may cost with another price and quantity.

        What costs less is always taken, also when losses have used up what was free.

        Raises:
            RefusedError: Not enough, or it would not reduce; what was locked stays so.
        """
        rest = replace(order, ticks=ticks, lots=lots - order.filled_lots, filled_lots=0, fills=[])
        asset, amount, refusal = self._cost(rest, [], reducing)
        assert asset == order.lock_asset, "side and listing are as they were"
        more = amount - order.locked
        if more <= 0:
            self.ledger.unlock(asset, -more)
        elif not self.ledger.lock(asset, more):
            raise RefusedError(refusal)
        order.locked = amount

    def fill(self, order: Order, ticks: int, lots: int, *, maker: bool) -> Fill:
        """Book a fill; the caller gives it its trade id and time."""
        listing, side = order.request.listing, order.request.side
        price, qty = listing.price(ticks), listing.qty(lots)
        share = order.locked
        if lots < order.remaining_lots:
            share = _cents(order.locked * lots / order.remaining_lots)
        self.ledger.unlock(order.lock_asset, share)
        order.locked -= share
        pnl = Decimal(0)
        if listing.perpetual:
            pnl = self.ledger.settle_perpetual(listing, side, qty, price)
        else:
            self.ledger.settle_spot(listing.base, listing.quote, side, qty, price)
        fee, asset = self._charge(listing, side, qty, price, maker=maker)
        order.filled_lots += lots
        order.cost += listing.worth(qty, price)
        if order.fee_asset in {"", asset}:
            order.fee, order.fee_asset = order.fee + fee, asset
        return Fill(
            trade_id=0,
            order_id=order.id,
            client_id=order.request.client_id,
            listing=listing,
            side=side,
            ticks=ticks,
            lots=lots,
            fee=fee,
            fee_asset=asset,
            maker=maker,
            ts_ms=0,
            pnl=pnl,
        )

    def _charge(
        self, listing: Listing, side: Side, qty: Decimal, price: Decimal, *, maker: bool
    ) -> tuple[Decimal, str]:
        """Charge the fee of one fill; return it and its asset."""
        bps = listing.maker_bps if maker else listing.taker_bps
        in_quote = listing.worth(qty, price) * bps / BPS
        asset, fee = listing.settle, in_quote
        preferred = self.fee_asset
        if preferred:
            rate = self._mid(f"{preferred}/{listing.settle}")
            if rate and self.ledger.balance(preferred).free >= in_quote / rate:
                asset, fee = preferred, in_quote / rate
            elif side is Side.BUY:
                asset, fee = listing.base, qty * bps / BPS
        fee = _cents(fee)
        self.ledger.charge(asset, fee)
        return fee, asset


def _cents(amount: Decimal) -> Decimal:
    """Round down to the finest unit accounts are kept in, so that sums stay exact."""
    return amount.quantize(Decimal("1e-8"), rounding=ROUND_DOWN)
