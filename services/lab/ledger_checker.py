"""Checks of the ledger: a HALT survives, lost data halts, another system's data is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from services.executor.actions import Submit
from services.executor.engine import ExecutorEngine
from services.executor.funding import payment_key
from services.executor.funding_record import FundingRecord
from services.lab.account import FORCED
from services.lab.losses import FOREIGN
from services.lab.positions import fill_key_of, key_of
from services.risk.engine import RiskEngine
from services.risk.halt_causes import HaltCause
from shared.engine import Action
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill as ExchangeFill
from shared.ledger import DATA_LOST
from shared.messages.base import Message, TradingState
from shared.messages.control import Command, CommandKind
from shared.messages.execution import TradingStateChanged

if TYPE_CHECKING:
    from services.lab.world import World

NEWS_MS, APART_MS = 1_200, 4_000
"""Longer than news of a fill take, and until a position that differs has been looked into."""
KEEPERS = ("risk", "executor")
"""The services that keep the ledger."""


class LedgerChecker:
    """Watches what risk and the executor make of the marks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_halted = False
        """An operator has halted, risk has confirmed it, and no operator has resumed."""
        self._commanded_ns = 0
        """Time of the last command if it was a HALT (UNIX ns); 0 if it was another."""
        self._is_lost = False
        """Data was lost, and nobody has resumed."""
        self.was_lost = False
        """Data was lost at some time: more than the last moment."""
        self._is_known = False
        """A process that had seen what was lost has looked again."""
        self._began_anew = False
        """Trading went on although there had been a HALT."""
        self.is_foreign = False
        """The bus has the data of another mode."""

    def on_published(self, messages: Sequence[Message]) -> None:
        """Look at commands, and at what risk makes of them."""
        for message in messages:
            if isinstance(message, Command):
                halts = message.kind in {CommandKind.HALT, CommandKind.FLATTEN}
                self._commanded_ns = message.ts_ns if halts else 0
                if message.kind is CommandKind.RESUME:
                    self._is_halted = self._is_lost = self._began_anew = False
            elif isinstance(message, TradingStateChanged):
                self._on_state(message)
        states = [each for each in messages if isinstance(each, TradingStateChanged)]
        if states:
            self._confirm(states[-1])

    def _on_state(self, changed: TradingStateChanged) -> None:
        if changed.state is TradingState.HALTED or not self._is_halted:
            return
        if self._is_lost:
            self._began_anew = True
        if self._is_known or not self._is_lost:
            self._report_halt()

    def _confirm(self, changed: TradingStateChanged) -> None:
        """Apply the state that risk published last: it may have read the commands only now."""
        risk = self._world.engine("risk")
        if isinstance(risk, RiskEngine) and changed.reason.startswith(HaltCause.OPERATOR):
            was_read = risk.state.trading.command_ns >= self._commanded_ns > 0
            self._is_halted = self._is_halted or was_read

    def _report_halt(self) -> None:
        self._world.checkers.report("halt_kept", "trading went on without a RESUME")

    def on_look(self) -> None:
        """A process reads the marks that had read them before the loss."""
        self._is_known = self._is_lost
        if self._is_known and self._began_anew:
            self._report_halt()

    def on_lost_moment(self) -> None:
        """The bus lost its last moment. The HALT may be lost too, before any process read it."""
        self._is_halted = self._is_lost = self._began_anew = False
        self._commanded_ns = 0

    def on_loss(self, kind: str) -> None:
        """The bus lost what every process has seen; what it has now may be another's."""
        self.is_foreign = kind == FOREIGN
        self.was_lost = True
        self._is_lost, self._is_known = not self.is_foreign, False

    def on_action(self, action: Action) -> None:
        """Report an order that is sent while the data on the bus belongs to another system."""
        if self.is_foreign and isinstance(action, Submit):
            self._world.checkers.report("foreign_ledger", "an order left on the data of another")

    @property
    def is_refused(self) -> bool:
        """Whether the data is another system's and all keepers of the ledger have reported that."""
        return self.is_foreign and not self._not_refusing()

    def _not_refusing(self) -> list[str]:
        hosts = self._world.hosts.values()
        return [host.name for host in hosts if host.service in KEEPERS and not host.refusal]

    def check_quiet(self) -> None:
        """Compare with what must have come of it."""
        world, report = self._world, self._world.checkers.report
        if self.is_foreign:
            for name in self._not_refusing():
                report("foreign_ledger", f"{name} does not refuse the data of another mode")
            return
        executor, risk = world.engine("executor"), world.engine("risk")
        assert isinstance(executor, ExecutorEngine)
        assert isinstance(risk, RiskEngine)
        is_known = self._is_lost and self._is_known
        if is_known and DATA_LOST not in risk.state.trading.trips:
            report("loss_heard", "risk has not halted for lost data")
        if is_known and not executor.state.locked.startswith(DATA_LOST):
            report("loss_heard", "the executor has not halted for lost data")


def funding_left_alone(world: World, venue: str, asset: str) -> Decimal:
    """Return the funding paid in an asset before the ledger began, or began again.

    The executor books no settlement of that time, and keeps what it had booked before. Where its
    record of those bookings is lost, what it has booked is taken to be right.
    """
    executor, funding = world.engine("executor"), world.funding.get(venue)
    if funding is None or not isinstance(executor, ExecutorEngine):
        return Decimal(0)
    began_ns = executor.state.began_ns
    record = executor.state.funding.get(venue, FundingRecord())
    if 0 < record.forgotten_ns <= began_ns:
        paid_in_all = world.exchanges[venue].ledger.funding.get(asset, Decimal(0))
        return paid_in_all - executor.state.books.result(asset).funding
    return sum(
        (
            paid.amount
            for paid in funding.paid()
            if paid.asset == asset
            and paid.ts_venue_ns <= began_ns
            and payment_key(paid) not in record.seen
        ),
        Decimal(0),
    )


def funding_is_booked(world: World) -> bool:
    """Tell whether the executor and risk have booked all that the venues paid."""
    executor, risk = world.engine("executor"), world.engine("risk")
    if not isinstance(executor, ExecutorEngine) or not isinstance(risk, RiskEngine):
        return False
    for venue, funding in world.funding.items():
        payments = funding.paid()
        for asset in {paid.asset for paid in payments}:
            truth = sum((paid.amount for paid in payments if paid.asset == asset), Decimal(0))
            truth -= funding_left_alone(world, venue, asset)
            for books in (executor.state.books, risk.ledger.books):
                if books.result(asset).funding != truth:
                    return False
    return True


def left_alone(world: World, exchange: Exchange) -> list[ExchangeFill]:
    """Return fills of plans without a record where a ledger began again.

    The first plan of a ledger was lost with the bus's last moment. The executor cannot know whether
    it is hedged, so it halts (``DATA_LOST``), alerts an operator and leaves it alone. The same
    holds for an order of a plan that an older copy knows, if it lacks the order.
    """
    executor = world.engine("executor")
    if not isinstance(executor, ExecutorEngine):
        return []
    state, before = executor.state, set(executor.state.before)
    began_ms = state.began_ns // 1_000_000 if world.checkers.ledger.was_lost else 0

    def is_left(fill: ExchangeFill) -> bool:
        plan = fill.client_id[2:14]
        if fill.client_id in state.orders:
            return False  # a late fill that was found again led to the plan that it is of
        return plan in before or (fill.ts_ms < began_ms and plan in state.plans)

    return [fill for fill in exchange.fills if is_left(fill)]


def of_others(world: World, exchange: Exchange) -> list[ExchangeFill]:
    """Return the fills of an exchange that are not ours, and what of a venue's own is not.

    A position may be held by us and by others; which part of it a venue closed by itself is ours
    the executor says, and ``reduced`` sees that it says so. Our part is given as traded back beside
    the whole fill: what inverse contracts cost is rounded to coins for each of the two.
    """
    found: list[ExchangeFill] = []
    for fill in exchange.fills:
        told = world.checkers.fills.get(fill_key_of(fill))
        if key_of(fill):
            continue
        if told is None:
            found.append(fill)
            continue
        lots = fill.listing.lots(told.qty)
        if lots is not None and lots < fill.lots:
            fee = -(told.fee or Decimal(0))
            found += [fill, replace(fill, side=fill.side.opposite, lots=lots, fee=fee)]
    return found


def check_reduced(world: World) -> None:
    """Check that what a venue closed of a position of ours was booked as ours.

    Not where orders of ours were filled just before, or a while after: the executor may have known
    of them only when it had been told of this.
    """
    for venue, exchange in world.exchanges.items():
        held: dict[str, Decimal] = {}
        fills = list(exchange.fills)
        alone = set(map(fill_key_of, left_alone(world, exchange)))
        for fill in fills:
            name, signed = fill.listing.instrument, fill.side.signed(fill.qty)
            before = held.get(name, Decimal(0))
            told = world.checkers.fills.get(fill_key_of(fill))
            if key_of(fill):
                held[name] = before + (Decimal(0) if fill_key_of(fill) in alone else signed)
            elif fill.client_id.startswith(FORCED) and signed * before < 0:
                part = min(fill.qty, abs(before))
                is_asked = all(_is_apart(each, fill) for each in fills)
                if told is not None or is_asked:
                    held[name] = before + fill.side.signed(part if told is None else told.qty)
                if told is None and is_asked:
                    text = f"{venue} closed {part} of {before} {name} by itself, and nobody says so"
                    world.checkers.report("reduced", text)


def _is_apart(other: ExchangeFill, forced: ExchangeFill) -> bool:
    """Whether a fill does not bear on what was known to be ours when the venue closed it."""
    if not key_of(other) or other.listing.instrument != forced.listing.instrument:
        return True
    return not -NEWS_MS < other.ts_ms - forced.ts_ms < APART_MS
