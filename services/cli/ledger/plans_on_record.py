"""Plans and orders on record: whose a fill is, and whether an order explains it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.domain.ownership import OrdersOnRecord
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone


@dataclass(slots=True)
class PlansOnRecord:
    """Folds the messages about plans and orders; ``orders`` are those announced."""

    orders: OrdersOnRecord = field(default_factory=OrdersOnRecord)
    _strategies: dict[str, str] = field(default_factory=dict)

    def on_message(self, message: Message) -> None:
        """Note a plan, an order or a plan's end; other messages are ignored."""
        match message:
            case ApprovedPlan():
                self._strategies[message.plan_id] = message.strategy
            case OrderEvent():
                if not self.orders.refuses(message):
                    self.orders.announce(message)
            case PlanDone():
                self.orders.end(message.plan_id)
            case _:
                pass

    def strategy_of(self, fill: Fill) -> str:
        """Return the strategy of a fill: its plan's, else the one it names; may be empty."""
        return self._strategies.get(fill.plan_id) or fill.strategy
