"""Positions and profit from fills, fees, funding, transfers and closing prices. Pure, Decimal.

This is the only module that adds money. The method is **average cost**, and realized means closed:

* A *holding* is a signed quantity of base units and its *cost* in quote units (what was paid for a
  long, minus what was received for a short). Derivatives have one holding per venue and instrument.
  Spot has one per instrument over all venues, because a coin is the same coin everywhere: a
  purchase on one venue and a sale on another close each other at once.
* An execution against the sign of a holding closes ``min(|qty|, |holding|)``. It releases that
  share of the cost, ``cost * closed / |holding|`` rounded to ``MONEY_STEP`` (the whole cost where
  the whole holding is closed), and realizes the difference to its own price. What is left of the
  execution opens a holding at its own price. What is not closed has realized nothing.
* An inverse contract is settled in its base asset, coins. Its quantity is in quote units (contracts
  times their size), and to buy ``N`` of them at ``P`` is to receive ``N / P`` coins that are owed
  back: its holding has ``-N / P`` coins for its cost, and the same average cost method gives
  ``N * (1/entry - 1/exit)``, its result in coins, with the harmonic mean for its entry. Only what
  each execution is worth in coins is rounded, to ``MONEY_STEP``. Its ``exposure`` is those coins as
  they were at the prices traded: spot bought for as many quote units as were sold of the contract
  is worth the same at every price, and coins earned or paid are themselves held.
* A fee is realized when it is charged. A fee in another asset than the quote lowers the holding of
  that asset and is valued at the price of that moment, where one is known.
* ``inventory`` is how trading, fees and funding changed the balance of each asset at each venue.

Whatever the rounding of a released share, ``realized + unrealized`` is exactly the cash that came
in plus the holdings at their closing prices: what one share gains the remaining cost loses.

Amounts in different assets are never added: every result belongs to one quote asset. Where a plan
trades several assets, its result is stated in the one it began with: an exchange of two others is
two trades against that asset, one sold and one bought for the same amount, at the price that the
plan says (``plain_trades``). Which price that is moves profit between the two, and cancels out in
their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import msgspec

from shared.domain.booked_balances import by_venue
from shared.domain.executions import Execution, plain_trades
from shared.domain.fees import MONEY_STEP, plus_known
from shared.domain.holding import Holding
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.quantities import is_inverse
from shared.messages.base import Certainty, Side

ZERO = Decimal(0)
CHANGES_MAX = 32
"""Executions of a derivative, or seconds full of them, remembered with their time, per market."""
_SECOND_NS = 1_000_000_000
_DOUBT = (Certainty.KNOWN, Certainty.ESTIMATED, Certainty.UNKNOWN)


def signed_qty(side: Side, qty: Decimal) -> Decimal:
    """Return base units as the account sees them: a buy brings in, a sell takes out."""
    return qty if side is Side.BUY else -qty


def worst_certainty(*parts: Certainty) -> Certainty:
    """Return the least certain of several figures, which is how certain their sum is."""
    return max(parts, key=_DOUBT.index, default=Certainty.KNOWN)


class TradingResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was earned and paid in one quote asset, or coin that inverse contracts settle in.

    ``realized`` is after fees and with funding. ``fees_missing`` counts fees that the venue has not
    reported yet, ``fees_unpriced`` fees in an asset without a price, ``unaccounted`` payments of
    funding in any other asset than that of settlement; ``is_estimated`` says that a fee was valued
    at a price. ``unpriced`` is what fees without a price came to, by asset: they are in no other
    figure.
    """

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    fees_missing: int = 0
    fees_unpriced: int = 0
    unaccounted: int = 0
    is_estimated: bool = False
    unpriced: dict[str, Decimal] = {}

    @property
    def certainty(self) -> Certainty:
        """How well the whole result is known."""
        return Certainty.UNKNOWN if self.fees_unpriced else self.certainty_apart

    @property
    def certainty_apart(self) -> Certainty:
        """How well ``realized`` is known, but for the fees that are ``unpriced``."""
        if self.fees_missing or self.unaccounted:
            return Certainty.UNKNOWN
        return Certainty.ESTIMATED if self.is_estimated else Certainty.KNOWN


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """An open holding valued at the price at which it could be closed now.

    ``venue`` is empty for spot, which is held over all venues together. ``close_price`` and
    ``unrealized`` (quote units; of inverse contracts coins) are ``None`` while no book can price
    the whole quantity.
    """

    venue: str
    instrument: str
    qty: Decimal
    entry: Decimal
    close_price: Decimal | None
    unrealized: Decimal | None


ClosingPrice = Callable[[str, str, Decimal], Decimal | None]
"""Venue (empty: any), instrument and signed base units held -> price per unit to close them."""


class Books(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Accounts over a sequence of executions; they start empty and hold only what changed.

    Attributes:
        holdings: ``venue|instrument`` of a derivative, or the instrument alone for spot.
        quantities: ``venue|instrument`` -> signed base units traded there, after base fees; of
            inverse contracts quote units.
        exposure: Base asset -> net base units over spot and derivatives, after base fees.
        inventory: ``venue|asset`` -> change of that balance by trading, fees and funding.
        transfers: ``venue|asset`` -> change of that balance by deposits and withdrawals.
        results: Quote asset, or coin of settlement -> what was earned in it.
        changes: ``venue|instrument`` of a derivative -> time and signed base units of its newest
            executions: who held what when funding settled, which is told later.
    """

    holdings: dict[str, Holding] = {}
    quantities: dict[str, Decimal] = {}
    exposure: dict[str, Decimal] = {}
    inventory: dict[str, Decimal] = {}
    transfers: dict[str, Decimal] = {}
    results: dict[str, TradingResult] = {}
    changes: dict[str, list[tuple[int, Decimal]]] = {}

    def trade(self, done: Execution) -> None:
        """Book an execution and its fee."""
        if done.report_asset:
            for part in plain_trades(done):
                self._trade(part)
        else:
            self._trade(done)

    def _trade(self, done: Execution) -> None:
        market = _market_of(done.venue, done.instrument)
        qty, cost = done.qty, done.cost
        if done.side is not Side.BUY:
            qty, cost = -qty, -cost
        in_coins = market.kind is InstrumentKind.INVERSE
        _add(self.quantities, market.key, qty)
        _add(self.exposure, market.base, cost if in_coins else qty)
        if market.kind is not InstrumentKind.SPOT and done.ts_ns:
            self._note_change(market.key, done.ts_ns, qty)
        result = self.result(market.cash)
        realized = self._holding(market.holding).trade(qty, -cost if in_coins else cost)
        result.realized += realized
        if market.kind is InstrumentKind.SPOT:
            _add(self.inventory, market.base_balance, qty)
            _add(self.inventory, market.cash_balance, -cost)
        elif realized:
            _add(self.inventory, market.cash_balance, realized)
        if done.fee is None:
            result.fees_missing += 1
        else:
            self.charge(done)

    def _note_change(self, market: str, ts_ns: int, qty: Decimal) -> None:
        """Remember what was traded when; beyond the bound those of one second become one.

        Funding settles on full seconds, and an order may be many executions within one.
        """
        changes = self.changes.setdefault(market, [])
        changes.append((ts_ns, qty))
        if len(changes) <= CHANGES_MAX:
            return
        for number, (one, other) in enumerate(pairwise(changes)):
            if -(-one[0] // _SECOND_NS) == -(-other[0] // _SECOND_NS):
                changes[number : number + 2] = [(max(one[0], other[0]), one[1] + other[1])]
                return
        del changes[0]

    def fee_told(self, done: Execution) -> None:
        """Book the fee of an execution that was booked before without one."""
        assert done.fee is not None
        self.result(done.cash).fees_missing -= 1
        for part in plain_trades(done):
            self.charge(part)

    def charge(self, done: Execution) -> None:
        """Take a fee out of the asset it is charged in; it is realized in that of settlement."""
        fee = done.fee
        if not fee:
            return
        market = _market_of(done.venue, done.instrument)
        base, cash = market.base, market.cash
        in_coins = market.kind is InstrumentKind.INVERSE
        result = self.result(cash)
        asset = done.fee_asset or cash
        is_cash = asset == cash
        _add(self.inventory, market.cash_balance if is_cash else f"{done.venue}|{asset}", -fee)
        if is_cash:
            if in_coins:
                _add(self.exposure, base, -fee)
            self._holding(market.holding).realized -= fee
            result.realized -= fee
            result.fees += fee
            return
        value = None if in_coins else done.fee_quote
        if asset == base:
            _add(self.exposure, base, -fee)
            if market.kind is InstrumentKind.SPOT:
                _add(self.quantities, market.key, -fee)
            value = (fee * done.cost / done.qty).quantize(MONEY_STEP)
        elif value is None:
            result.fees_unpriced += 1
            _add(result.unpriced, asset, fee)
            value = ZERO
        else:
            result.is_estimated = True
        # The units are given away: sold at their value, which is spent on the fee.
        result.realized += self._holding(f"{asset}/{cash}").trade(-fee, -value) - value
        result.fees += value

    def fund(self, venue: str, instrument: str, amount: Decimal, asset: str = "") -> None:
        """Book a funding payment of a derivative (received: positive).

        ``asset`` is what it was paid in, without one that of its settlement. In any other than that
        it changes a balance, and the result becomes unknown.
        """
        name = split_instrument(instrument)
        asset = asset or name.cash
        result = self.result(name.cash)
        _add(self.inventory, f"{venue}|{asset}", amount)
        if asset == name.cash == name.base:  # coins, which are held from now on
            _add(self.exposure, asset, amount)
        if asset != name.cash:
            result.unaccounted += 1
            return
        self._holding(holding_key(venue, instrument)).realized += amount
        result.realized += amount
        result.funding += amount

    def held_at(self, venue: str, instrument: str, ts_ns: int) -> Decimal:
        """Return the signed base units of a derivative that were held at an instant of the venue.

        What was traded longer ago than the changes kept counts as held all the time. Without a time
        it is what is held now.
        """
        key = f"{venue}|{instrument}"
        later = (qty for at_ns, qty in self.changes.get(key, ()) if at_ns > ts_ns > 0)
        return self.quantities.get(key, ZERO) - sum(later, ZERO)

    def transfer(self, venue: str, asset: str, amount: Decimal) -> None:
        """Book a deposit (positive) or withdrawal: it moves a balance and earns nothing."""
        _add(self.transfers, f"{venue}|{asset}", amount)

    def result(self, quote: str) -> TradingResult:
        """Return the result in a quote asset, made at first sight."""
        result = self.results.get(quote)
        if result is None:
            result = self.results[quote] = TradingResult()
        return result

    def positions(self, price: ClosingPrice) -> list[Position]:
        """Return what is open, valued where it could be closed; sorted by key."""
        return [
            _valued(key, holding, price)
            for key, holding in sorted(self.holdings.items())
            if holding.qty
        ]

    def opened(self) -> dict[str, Decimal]:
        """Return what our trades hold open: key of a holding -> signed base units.

        Unlike a holding's own quantity this leaves out fees that were paid in that asset for trades
        of another one: they are spent, there is nothing to close.
        """
        if not any(self.quantities.values()):
            return {}  # as of every round that is closed, each second
        totals: dict[str, Decimal] = {}
        for place, qty in self.quantities.items():
            _add(totals, holding_key(*holding_place(place)), qty)
        return {key: qty for key, qty in sorted(totals.items()) if qty}

    def opened_base(self) -> dict[str, Decimal]:
        """Return the same in base units: inverse contracts count as the coins at their entry."""
        opened = self.opened()
        for key in opened:
            if is_inverse(holding_place(key)[1]) and (holding := self.holdings.get(key)):
                opened[key] = -holding.cost
        return opened

    def cost_of(self, key: str, qty: Decimal) -> Decimal:
        """Return what ``qty`` of a holding cost at its average entry; zero if it is empty."""
        holding = self.holdings.get(key)
        if holding is None or not holding.qty:
            return ZERO
        return holding.cost if qty == holding.qty else holding.cost / holding.qty * qty

    def inventory_change(self) -> dict[str, dict[str, Decimal]]:
        """Return per venue and asset how trading changed the balance; zeros are left out."""
        return by_venue(self.inventory)

    def _holding(self, key: str) -> Holding:
        holding = self.holdings.get(key)
        if holding is None:
            holding = self.holdings[key] = Holding()
        return holding


class _Market(NamedTuple):
    """The names under which a venue's instrument is booked; ``cash`` is what it is settled in."""

    base: str
    quote: str
    kind: InstrumentKind
    key: str
    holding: str
    base_balance: str
    cash: str
    cash_balance: str


@lru_cache(maxsize=65_536)  # asked for with every execution
def _market_of(venue: str, instrument: str) -> _Market:
    name = split_instrument(instrument)
    return _Market(
        base=name.base,
        quote=name.quote,
        kind=name.kind,
        key=f"{venue}|{instrument}",
        holding=holding_key(venue, instrument),
        base_balance=f"{venue}|{name.base}",
        cash=name.cash,
        cash_balance=f"{venue}|{name.cash}",
    )


@lru_cache(maxsize=65_536)
def holding_key(venue: str, instrument: str) -> str:
    """Return where an instrument is held: spot over all venues, a derivative at one."""
    return instrument if is_spot(instrument) else f"{venue}|{instrument}"


@lru_cache(maxsize=65_536)
def holding_place(key: str) -> tuple[str, str]:
    """Return venue (empty for spot) and instrument of a holding's key."""
    venue, bar, instrument = key.rpartition("|")
    return (venue, instrument) if bar else ("", key)


def funding_unknown(books: Books, told: Mapping[str, str]) -> dict[str, str]:
    """Return by venue why funding of derivatives held there may be incomplete.

    ``told`` has the reason for each venue that was ever read, empty where all payments are known.
    """
    held = sorted({holding_place(key)[0] for key in books.holdings} - {""})
    why = {venue: told.get(venue, "its payments were never read") for venue in held}
    return {venue: reason for venue, reason in why.items() if reason}


def _valued(key: str, holding: Holding, price: ClosingPrice) -> Position:
    venue, instrument = holding_place(key)
    close = price(venue, instrument, holding.qty)
    name = split_instrument(instrument)
    entry = holding.entry_of(name.kind)
    assert entry is not None
    return Position(
        venue=venue,
        instrument=instrument,
        qty=holding.qty,
        entry=entry,
        close_price=close,
        unrealized=None if close is None else holding.unrealized(name.kind, close),
    )


def unrealized(positions: list[Position]) -> dict[str, Decimal | None]:
    """Return the open profit per asset of settlement; ``None`` where a position has no price."""
    totals: dict[str, Decimal | None] = {}
    for position in positions:
        cash = split_instrument(position.instrument).cash
        totals[cash] = plus_known(totals.get(cash, ZERO), position.unrealized)
    return totals


def _add(totals: dict[str, Decimal], key: str, amount: Decimal) -> None:
    totals[key] = totals.get(key, ZERO) + amount
