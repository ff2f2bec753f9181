"""The executor's way to the accounts of a backtest: as late as the terms say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from services.executor import actions as act
from services.executor.paper import PaperGateway
from services.executor.paper_conditions import Conditions
from services.lab.backtest_account import BacktestAccount, Liquidation
from services.lab.backtest_terms import WAYS, BacktestConfig
from services.lab.clocks import Clocks
from services.lab.fill_costs import FillCosts
from services.lab.kernel import Kernel
from services.lab.latencies import Latencies
from services.lab.paper import PaperPort, not_here
from services.lab.recorded import Contents
from services.lab.tables import Tables
from shared.accounts.gateway import FillReport, OrderReport
from shared.config_sections import Config
from shared.domain.instrument import split_instrument
from shared.engine import Action, Result
from shared.messages.base import BookState, Message, Side
from shared.messages.execution import OrderStatus
from shared.messages.market import DepthView, Funding, FundingSettled, Mark
from shared.messages.terms import OrderTerms


class BacktestPort(PaperPort):
    """All venues' accounts.

    A request reaches the book that is received ``feed_ms`` after its arrival: what is received is
    that old. The answer leaves at once.
    """

    def __init__(
        self,
        kernel: Kernel,
        gateways: Mapping[str, PaperGateway],
        accounts: Mapping[str, BacktestAccount],
        terms: BacktestConfig,
        costs: FillCosts,
    ) -> None:
        super().__init__(kernel, gateways, latency_ns=0)
        self.accounts, self._terms, self.costs = accounts, terms, costs
        self.clocks = Clocks()
        self._draw = Random(f"{terms.seed}/latency")
        self._ways = {
            (venue, way): Latencies(terms.way(venue, way), f"{terms.seed}/{venue}/{way}")
            for venue in accounts
            for way in WAYS
        }

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Send a request, and its answer back."""
        kernel, terms = self._kernel, self._terms
        venue, sent_ns = venue_of(action), kernel.now_ns()
        jitter_ns = terms.ns(venue, "jitter_ms")
        there_ns = self._ways[venue, "order"].draw_ns() + self._jitter(jitter_ns)
        back_ns = self._ways[venue, "answer"].draw_ns() + self._jitter(jitter_ns)
        feed_ns = terms.ns(venue, "feed_ms")

        def arrive() -> None:
            answer = self.answer(action, sent_ns)
            if answer is None:
                return
            if back_ns > feed_ns:
                kernel.after(back_ns - feed_ns, lambda: deliver(answer))
            else:
                deliver(answer)

        kernel.after(there_ns + feed_ns, arrive)

    def _jitter(self, jitter_ns: int) -> int:
        return self._draw.randrange(jitter_ns + 1) if jitter_ns else 0

    def answer(self, action: Action, sent_ns: int) -> Result | None:
        """Return what a venue answers now, and split what an order that arrives costs."""
        answer = super().answer(action, sent_ns)
        if isinstance(action, act.Submit):
            order_id, terms = action.order.client_order_id, action.order.terms
            report = self.gateways[terms.venue].order(order_id)
            for fill in () if report is None else report.fills:
                self.costs.on_fill(order_id, terms.market, fill.side, fill.qty, fill.price)
        return answer

    def on_view(self, view: DepthView) -> None:
        """Take the newest view of a book."""
        super().on_view(view)
        if view.state is BookState.LIVE:
            self.costs.on_view(view)
            self.clocks.on_view(view)

    def on_message(self, message: Message) -> None:
        """Take decisions, marks and funding in."""
        kind = type(message)
        self.costs.on_message(message)
        if kind is Mark or kind is Funding:
            assert isinstance(message, Mark | Funding)
            account = self.accounts.get(message.venue)
            if account is None:
                return
            closed = account.on_mark(message.instrument, message.mark_price)
            if closed is not None:
                report = report_of(closed, len(account.liquidations))
                self.gateways[message.venue].remember(report)
                self.costs.on_forced(closed.instrument, abs(closed.qty), closed.price)
            if isinstance(message, Funding):
                self._expect(account, message)
        elif isinstance(message, FundingSettled) and message.venue in self.accounts:
            self.accounts[message.venue].on_settled(message)

    def _expect(self, account: BacktestAccount, funding: Funding) -> None:
        instant_ns, name = account.on_funding(funding), funding.instrument
        if instant_ns is not None and instant_ns >= self._kernel.now_ns():
            self._kernel.at(instant_ns, lambda: account.on_instant(name, instant_ns))


def report_of(closed: Liquidation, number: int) -> OrderReport:
    """Return the venue's own order that closed a position, as the executor will find it."""
    name, fee_asset = closed.instrument, split_instrument(closed.instrument).cash
    side = Side.SELL if closed.qty > 0 else Side.BUY
    order_id, qty = f"liquidation-{number}", abs(closed.qty)
    fill = FillReport(
        trade_id=order_id,
        venue_order_id=order_id,
        instrument=name,
        side=side,
        price=closed.price,
        qty=qty,
        fee=closed.fee,
        fee_asset=fee_asset,
        ts_venue_ns=closed.ts_ns,
    )
    return OrderReport(
        client_order_id="",
        terms=OrderTerms(
            venue=closed.venue, instrument=name, side=side, qty=qty, price_limit=closed.price
        ),
        status=OrderStatus.FILLED,
        venue_order_id=order_id,
        filled_qty=qty,
        fills=(fill,),
        forced="liquidation",
    )


def venue_of(action: Action) -> str:
    """Return the venue that an action of the executor goes to."""
    if isinstance(action, act.Submit):
        return action.order.terms.venue
    if isinstance(action, act.Query | act.Cancel):
        return action.key.venue
    assert isinstance(action, act.Fetch), "there are no other actions"
    return action.venue


def accounts_under(
    terms: BacktestConfig,
) -> Callable[[Kernel, Contents | Tables, Config], BacktestPort]:
    """Return what makes the accounts of these terms."""

    def make(kernel: Kernel, contents: Contents | Tables, config: Config) -> BacktestPort:
        accounts = {
            venue: BacktestAccount(
                venue,
                contents.rules,
                config.executor.paper_balance,
                quote_assets=config.risk.quote_assets,
                terms=terms.of(venue),
                now_ns=kernel.now_ns,
            )
            for venue in sorted(config.venues)
        }
        gateways = {
            venue: PaperGateway(
                venue,
                contents.rules,
                kernel,
                wait=not_here,
                account=account,
                conditions=Conditions(venue, terms.conditions(venue), section="backtest"),
            )
            for venue, account in accounts.items()
        }
        return BacktestPort(kernel, gateways, accounts, terms, FillCosts(config.risk.quote_assets))

    return make
