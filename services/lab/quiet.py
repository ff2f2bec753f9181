"""Checks a world that is quiet again: compares all accounts with the venues'."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from services.executor.engine import ExecutorEngine
from services.lab.checkers import ZERO, Checkers
from services.lab.ledger_checker import (
    check_reduced,
    funding_left_alone,
    left_alone,
    of_others,
)
from services.lab.positions import at_cost, fill_key_of, key_of, position_of
from services.risk.engine import RiskEngine
from services.risk.rounds import Rounds
from shared.domain.accounting import Books, holding_place, unrealized
from shared.domain.instrument import split_instrument
from shared.domain.quantities import base_of, is_inverse
from shared.domain.strategy_books import StrategyBooks
from shared.exchange.orders import Fill as ExchangeFill
from shared.ledger import DATA_LOST
from shared.messages.base import Side
from shared.messages.execution import PlanOutcome

if TYPE_CHECKING:
    from services.lab.world import World

ROUNDED = Decimal("1e-20")
"""Sums of figures that were divided differ in their last digits by the order they were added in."""


class QuietChecks:
    """Compares everything with what the venues hold."""

    def __init__(self, world: World, checkers: Checkers) -> None:
        self._world, self._checkers = world, checkers

    def check(self) -> None:
        """Compare everything with what the venues hold."""
        world, ledger = self._world, self._checkers.ledger
        ledger.check_quiet()
        if ledger.is_foreign:
            return
        for venue, exchange in world.exchanges.items():
            for asset, start in world.start_balances[venue].items():
                if exchange.ledger.total(asset) != start:
                    self._checkers.report(
                        "conservation", f"{venue} {asset}: {exchange.ledger.total(asset)}"
                    )
            if exchange.open_orders:
                self._checkers.report("open_orders", f"{venue} has {len(exchange.open_orders)}")
            told = {key for key in self._checkers.fills if key.venue == venue}
            alone = set(map(fill_key_of, left_alone(world, exchange)))
            ours = {fill_key_of(fill) for fill in exchange.fills if key_of(fill)}
            truth = ours - (alone - told)
            truth |= {key for key in told if self._checkers.fills[key].reduced_by}
            if told != truth:
                text = f"{venue}: {len(truth - told)} were not told, {len(told - truth)} never were"
                self._checkers.report("every_fill", text)
        executor, risk = world.engine("executor"), world.engine("risk")
        assert isinstance(executor, ExecutorEngine)
        assert isinstance(risk, RiskEngine)
        if self._checkers.is_emptied and not executor.state.locked.startswith(DATA_LOST):
            self._checkers.report("after_loss", "all data was lost, and trading was not halted")
        self._check_books("executor", executor.state.books)
        self._check_books("risk", risk.ledger.books)
        if wrong := strategies_differ(risk.ledger.books, risk.ledger.strategies):
            self._checkers.report("strategies_add_up", wrong)
        unknown = [o for o in executor.state.orders.values() if not o.life.is_terminal]
        if unknown:
            names = ", ".join(sorted(order.client_order_id for order in unknown)[:3])
            self._checkers.report("no_unknown", f"{len(unknown)} orders are not over: {names}")
        if risk.ledger.reservations:
            self._checkers.report(
                "reservations", f"held when quiet: {sorted(risk.ledger.reservations)}"
            )
        check_reduced(world)
        self._checkers.rounds.check_quiet()
        self.check_flat(executor.state.books, risk.ledger.rounds)

    def _check_books(self, service: str, books: Books) -> None:
        world = self._world
        for venue, exchange in world.exchanges.items():
            not_ours = of_others(world, exchange)
            not_ours += left_alone(world, exchange)
            for asset, start in world.start_balances[venue].items():
                truth = at_cost(exchange, asset) - start
                truth -= world.chaos.transfers.net(venue, asset)
                truth -= funding_left_alone(world, venue, asset)
                truth -= sum((_change(fill, asset) for fill in not_ours), ZERO)
                ours = books.inventory.get(f"{venue}|{asset}", ZERO)
                ours -= _cost_of_positions(books, venue, asset)
                if ours != truth:
                    text = f"{service} has {ours} {asset} at {venue}, the venue {truth}"
                    self._checkers.report("ledger_is_truth", text)
            for instrument, held in exchange.ledger.positions.items():
                truth = held.qty - position_of(not_ours, instrument)
                ours = books.quantities.get(f"{venue}|{instrument}", ZERO)
                if ours != truth:
                    text = f"{service} holds {ours} {instrument} at {venue}, the venue {truth}"
                    self._checkers.report("positions", text)

    def check_flat(self, books: Books, rounds: Rounds) -> None:
        """See that nothing is open but what rounds hold, or what risk halted for and told."""
        of_rounds: dict[str, Decimal] = {}
        for each in rounds.rounds.values():
            for key, qty in each.held.items():
                of_rounds[key] = of_rounds.get(key, ZERO) + qty
        done = self._checkers.done.values()
        if any(each.outcome is PlanOutcome.FAILED for each in done):
            return
        told = self._checkers.unowned
        bases = {split_instrument(instrument).base for _, instrument in told}
        for asset in self._world.prices:
            if asset in bases:
                continue
            held = books.exposure.get(asset, ZERO)
            held -= sum((r.net for r in rounds.rounds.values() if r.base == asset), ZERO)
            held -= _earned_in_coins(books, asset)
            if abs(held) > self._dust(asset):
                self._checkers.report("flat", f"{held} {asset} is left and no plan failed")
        for key, held in books.opened().items():
            venue, instrument = holding_place(key)
            left = held - of_rounds.get(key, ZERO)
            if (venue, instrument) in told:
                continue
            base, quote, _ = split_instrument(instrument)
            left_base = base_of(instrument, left, self._world.price(base, quote))
            if venue and abs(left_base) > self._dust(base):
                text = f"{left} {instrument} is open at {venue} and no plan failed"
                self._checkers.report("flat", text)

    def _dust(self, asset: str) -> Decimal:
        """Return what plans may have left of an asset: too little to trade, or not in time."""
        most = self._world.dust(asset)
        told = (abs(done.dust.get(asset, ZERO)) for done in self._checkers.done.values())
        left = (qty for (_, of), qty in self._checkers.ends.left.items() if of == asset)
        return most + sum((min(each, most) for each in told), ZERO) + sum(left, ZERO)


def strategies_differ(whole: Books, strategies: StrategyBooks) -> str:
    """Return what the strategies' accounts add up to wrongly; empty if they are the whole."""
    price = Decimal(1)
    parts = strategies.figures(whole, lambda *_: price).values()
    open_profit = unrealized(whole.positions(lambda *_: price))
    for quote, result in whole.results.items():
        earned = [part.earned[quote] for part in parts if quote in part.earned]
        ours = (
            sum((each.realized for each in earned), ZERO),
            sum((each.unrealized or ZERO for each in earned), ZERO),
            sum((each.fees for each in earned), ZERO),
        )
        theirs = (result.realized, open_profit.get(quote) or ZERO, result.fees)
        if any(abs(a - b) > ROUNDED for a, b in zip(ours, theirs, strict=True)):
            return f"realized, unrealized and fees in {quote} are {ours}, not {theirs}"
    for key, holding in whole.holdings.items():
        accounts = strategies.accounts.values()
        held = [books.holdings[key].qty for books in accounts if key in books.holdings]
        if sum(held, ZERO) != holding.qty:
            return f"{sum(held, ZERO)} of {key} are held, not {holding.qty}"
    return ""


def _earned_in_coins(books: Books, asset: str) -> Decimal:
    """Return what inverse contracts have earned of a coin, which stays in the account."""
    earned = (
        holding.realized
        for key, holding in books.holdings.items()
        if is_inverse(instrument := holding_place(key)[1])
        and split_instrument(instrument).base == asset
    )
    return sum(earned, ZERO)


def _cost_of_positions(books: Books, venue: str, asset: str) -> Decimal:
    """Return what the open positions cost that are settled in an asset at a venue."""
    held = ((*holding_place(key), holding) for key, holding in books.holdings.items())
    costs = (
        holding.cost
        for at, instrument, holding in held
        if at == venue and split_instrument(instrument).settle == asset
    )
    return sum(costs, ZERO)


def _change(fill: ExchangeFill, asset: str) -> Decimal:
    """Return how a fill changed the balance of an asset."""
    sign = 1 if fill.side is Side.BUY else -1
    change = ZERO
    if asset == fill.listing.base and not fill.listing.perpetual:
        change += sign * fill.qty
    if fill.listing.inverse:
        coins = sign * fill.listing.worth(fill.qty, fill.price)
        change += coins if asset == fill.listing.base else ZERO
    elif asset == fill.listing.quote:
        change -= sign * fill.qty * fill.price
    return change - fill.fee if asset == fill.fee_asset else change
