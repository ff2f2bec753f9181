"""An account of one world in the lab: what happened, in order, one line each, to be read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from services.executor import actions as act
from services.lab.trace_text import (
    answer_text,
    ended_text,
    filled_text,
    order_text,
    plan_text,
    request_text,
    round_text,
)
from shared.engine import Action, Result
from shared.exchange.orders import Fill as ExchangeFill
from shared.exchange.orders import Order
from shared.messages.base import Message
from shared.messages.control import Alert, Command
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    ExecutorReady,
    Fill,
    FundingPaid,
    OrderEvent,
    PlanDone,
    TradingStateChanged,
)
from shared.messages.market import DepthView
from shared.messages.rounds import StrategyPosition

if TYPE_CHECKING:
    from services.lab.world import World

NS_PER_S = 1_000_000_000


class NoTrace:
    """What a world tells that nobody traces."""

    def tell(self, kind: str, text: str) -> None:
        """Take a line of this kind."""

    def on_published(self, messages: Sequence[Message]) -> None:
        """Take messages that are on the bus."""

    def on_action(self, action: Action) -> None:
        """Take a request, as it leaves."""


class Trace(NoTrace):
    """Writes what happens in one world; it only looks, so the world is the same without it.

    A line has the virtual time since the start in seconds, what kind of thing it tells, and that.
    What is published every second is told when it changes.

    Args:
        world: The world, before it starts.
        write: Takes every line.
    """

    def __init__(self, world: World, write: Callable[[bytes], None]) -> None:
        self._kernel, self._write = world.kernel, write
        self._start_ns = world.kernel.now_ns()
        self._told: dict[str, str] = {}
        """What is repeated, by what it is about: as it was told last."""
        self._texts: dict[type[Message], Callable[[Any], None]] = {
            ApprovedPlan: lambda plan: self.tell("plan", plan_text(plan)),
            PlanDone: lambda done: self.tell("plan", ended_text(done)),
            Denied: self._denied,
            OrderEvent: lambda event: self.tell("order", order_text(event)),
            Fill: lambda fill: self.tell("fill", filled_text(fill)),
            FundingPaid: self._funding_paid,
            StrategyPosition: self._position,
            TradingStateChanged: self._trading_state,
            ExecutorReady: self._executor_ready,
            Alert: self._alert,
            Command: self._command,
            DepthView: self._view,
        }
        world.trace = self
        world.account.answer_listeners.append(self.on_answer)
        for exchange in world.exchanges.values():
            exchange.order_listeners.append(self._on_venue_order)

    def tell(self, kind: str, text: str) -> None:
        """Write a line of this kind; line breaks in what a venue or an error says are escaped."""
        at_s = (self._kernel.now_ns() - self._start_ns) / NS_PER_S
        whole = text.replace("\r", "\\r").replace("\n", "\\n")
        self._write(f"{at_s:12.6f} s  {kind:<8}  {whole}\n".encode())

    def on_published(self, messages: Sequence[Message]) -> None:
        """Tell messages that are on the bus."""
        for message in messages:
            text = self._texts.get(type(message))
            if text is not None:
                text(message)

    def on_action(self, action: Action) -> None:
        """Tell a request to a venue that trades, as it leaves."""
        if isinstance(action, act.Submit | act.Cancel):
            self.tell("request", request_text(action))

    def on_answer(self, result: Result) -> None:
        """Tell what a venue answered or pushed about orders, fills and positions."""
        text = answer_text(result)
        if text:
            self.tell("answer", text)

    def _on_venue_order(self, order: Order, what: str, fill: ExchangeFill | None) -> None:
        listing = order.request.listing
        text = f"{listing.venue}: {order.request.client_id or order.id} {what}"
        if fill is not None:
            text += (
                f" {fill.trade_id}: {fill.side} {fill.qty} {listing.instrument} at {fill.price}, "
                f"fee {fill.fee} {fill.fee_asset}"
            )
        self.tell("venue", text)

    def _changed(self, kind: str, about: str, text: str) -> None:
        if self._told.get(about) != text:
            self._told[about] = text
            self.tell(kind, text)

    def _denied(self, denied: Denied) -> None:
        numbers = ", ".join(f"{name} {value}" for name, value in denied.context.items())
        self.tell("denied", f"{denied.opportunity_id}: {denied.reason} {numbers}".rstrip())

    def _funding_paid(self, paid: FundingPaid) -> None:
        text = f"{paid.venue}: {paid.instrument} {paid.payment_id} {paid.amount} {paid.asset}"
        self.tell("funding", text)

    def _position(self, told: StrategyPosition) -> None:
        self._changed("round", f"round {told.key}", round_text(told))

    def _trading_state(self, told: TradingStateChanged) -> None:
        self._changed("trading", "trading", f"{told.state}: {told.reason}".rstrip(": "))

    def _executor_ready(self, told: ExecutorReady) -> None:
        state = "ready" if told.ready else f"not ready: {told.reason}"
        down = "".join(f"; {name} is down: {why}" for name, why in told.venues_down.items())
        waiting = "".join(f"; {plan} waits: {why}" for plan, why in told.plans_waiting.items())
        self._changed("executor", "executor", state + down + waiting)

    def _alert(self, alert: Alert) -> None:
        self.tell("alert", f"{alert.service} {alert.severity} {alert.code}: {alert.text}")

    def _command(self, command: Command) -> None:
        self.tell("command", f"{command.kind} of {command.operator}, {command.command_id}")

    def _view(self, view: DepthView) -> None:
        name = f"{view.venue} {view.instrument}"
        self._changed("book", f"book {name}", f"{name} is {view.state}")
