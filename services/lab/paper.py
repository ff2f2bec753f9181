"""The executor's outside in a replay: paper accounts, answered after a fixed latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.executor import actions as act
from services.executor.paper import PaperGateway
from services.lab.kernel import Kernel
from services.lab.process import at_once
from shared.domain.instrument import is_spot
from shared.engine import Action, Result
from shared.errors import OutcomeUnknown, Rejected, Unavailable
from shared.messages.base import Message
from shared.messages.market import DepthView


class PaperPort:
    """All venues' accounts on paper, as the executor reaches them.

    Args:
        kernel: Time.
        gateways: By venue.
        latency_ns: What an order needs to its venue; the answer is there at once.
    """

    def __init__(
        self, kernel: Kernel, gateways: Mapping[str, PaperGateway], *, latency_ns: int
    ) -> None:
        self._kernel, self._latency_ns = kernel, latency_ns
        self.gateways = gateways

    def on_view(self, view: DepthView) -> None:
        """Take the newest view of a book: orders that arrive from now on fill against it."""
        gateway = self.gateways.get(view.venue)
        if gateway is not None:
            gateway.on_view(view)

    def on_message(self, message: Message) -> None:
        """Take in what else is published: funding that settles pays paper accounts."""
        for gateway in self.gateways.values():
            gateway.on_message(message)

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Answer after the latency; an order fills against the view of that moment."""
        sent_ns = self._kernel.now_ns()

        def arrive() -> None:
            answer = self.answer(action, sent_ns)
            if answer is not None:
                deliver(answer)

        self._kernel.after(self._latency_ns, arrive)

    def answer(self, action: Action, sent_ns: int) -> Result | None:
        """Return what a venue answers to a request that arrives now; ``None`` to a cancel."""
        try:
            return self._answered(action, sent_ns)
        except Unavailable as error:
            if isinstance(action, act.Query):
                return act.QueryFailed(action.key, str(error), error.cause)
            assert isinstance(action, act.Fetch), "a submission has answers of its own"
            return act.FetchFailed(action, str(error), error.cause)

    def _answered(self, action: Action, sent_ns: int) -> Result | None:
        if isinstance(action, act.Submit):
            order = action.order
            try:
                report = self.gateways[order.terms.venue].fill(order)
            except Rejected as error:
                return act.SubmitRefused(order.client_order_id, str(error), sent_ns, error.cause)
            except Unavailable as error:
                return act.SubmitNotSent(order.client_order_id, str(error), error.cause)
            except OutcomeUnknown as error:
                return act.SubmitLost(order.client_order_id, str(error), sent_ns)
            return act.Submitted(report, sent_ns)
        if isinstance(action, act.Query):
            gateway = self.gateways[action.key.venue]
            return act.QueryAnswered(action.key, at_once(gateway.query(action.key)))
        if isinstance(action, act.Cancel | act.FollowAccount):
            return None
        assert isinstance(action, act.Fetch), "there are no other actions"
        gateway = self.gateways[action.venue]
        if isinstance(action, act.CheckAccount):
            return act.AccountChecked(action.venue, ())
        if isinstance(action, act.FetchOpenOrders):
            return act.OpenOrdersAnswered(action.venue, ())
        if isinstance(action, act.FetchFills):
            fills = at_once(gateway.fills_since(action.instruments, action.since_ns))
            return act.FillsAnswered(action.venue, tuple(fills))
        if isinstance(action, act.FetchFunding):
            payments = at_once(gateway.funding_since(action.instruments, action.since_ns))
            return act.FundingAnswered(action.venue, tuple(payments), action.until_ns)
        perpetual = [name for name in action.instruments if not is_spot(name)]
        positions = at_once(gateway.positions(perpetual))
        return act.BalancesAnswered(action.venue, at_once(gateway.balances()), positions)


async def not_here() -> None:
    """Stand for the wait of a gateway whose orders travel in virtual time."""
    raise AssertionError("orders of the lab travel in virtual time, see carry_out")
