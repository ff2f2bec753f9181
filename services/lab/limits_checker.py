"""Checks approved plans against the limits of risk that a world has drawn, by what is true there.

Risk knows a little less than the lab: what was published a moment ago it may not have read yet, and
what was lost with the bus it cannot know. The checks allow for that. What closes a round is under
none of these limits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from services.executor.engine import ExecutorEngine
from services.executor.ids import parse_client_order_id, plan_key
from services.lab.exposure_checker import ExposureChecker
from services.lab.holdings import (
    Flows,
    Held,
    flows_in_flight,
    flows_of,
    held_by_fills,
    worst,
    worth_of_side,
)
from services.lab.inventory_checker import InventoryChecker
from services.lab.rounds_checker import went_on_lately
from services.risk.price_limits import median
from shared.accounts.gateway import OrderRequest
from shared.config_limits import DOLLARS
from shared.domain.fees import BPS
from shared.domain.instrument import split_instrument
from shared.domain.rounding import exact
from shared.domain.windows import window_of
from shared.messages.base import BookState, Side
from shared.messages.execution import ApprovedPlan, OrderPurpose, PlanLeg
from shared.messages.market import DepthView
from shared.messages.rounds import Intent

if TYPE_CHECKING:
    from services.lab.world import World

ZERO: Final = Decimal(0)
MS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
COUNTED_NS: Final = 59 * SECOND_NS
"""Risk counts the orders of a minute by whole seconds: all that are as new as this are in it."""
UNREAD_NS: Final = SECOND_NS
"""Risk has read what was published so long ago, or the books that it knows are too old for it."""
SHARE_SLACK: Final = Decimal("1.25")
"""What accounts hold is worth so much more at most than at the first prices."""
ASSET_SLACK: Final = Decimal("1.5")
"""What evens out plans is no plan of its own, and may be on its way."""


class LimitsChecker:
    """Watches plans, and the books that limits on prices and clocks go by."""

    def __init__(self, world: World) -> None:
        self._world, self._risk = world, world.config.risk
        self._inventory, self._exposure = InventoryChecker(world), ExposureChecker(world)
        executor = world.config.executor
        self._judged = executor.venue_error_rate_max, executor.venue_latency_ms_max
        self._windows = {
            venue: [window_of(text) for text in settings.maintenance]
            for venue, settings in world.config.venues.items()
            if settings.maintenance
        }
        self._mids: dict[tuple[str, str], list[tuple[int, Decimal]]] = {}
        """When the middle of each book that is LIVE was published, and what it was: of late."""
        self._timeless_ns: dict[tuple[str, str], int] = {}
        """When a view of a book without the venue's time was published last."""
        self._off_peg_ns: dict[str, int] = {}
        """Since when every view of a book of two dollars is LIVE and beyond the limit."""

    def on_view(self, view: DepthView) -> None:
        """Note what a published view says of prices and of its venue's clock."""
        book, now_ns = (view.venue, view.instrument), self._world.kernel.now_ns()
        if view.ts_venue_ns is None:
            self._timeless_ns[book] = now_ns
        if not (self._risk.price_band_bps_max or self._risk.depeg_bps_max):
            return
        if view.state is not BookState.LIVE or not (view.bids and view.asks):
            self._mids.pop(book, None)
            self._off_peg_ns.pop(view.instrument, None)
            return
        middle = (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
        told = self._mids.setdefault(book, [])
        told.append((now_ns, middle))
        while len(told) > 1 and told[1][0] <= now_ns - UNREAD_NS:
            del told[0]
        if abs(middle - 1) * BPS <= exact(self._risk.depeg_bps_max):
            self._off_peg_ns.pop(view.instrument, None)
        else:
            self._off_peg_ns.setdefault(view.instrument, now_ns)

    def on_submit(self, order: OrderRequest) -> None:
        """A leg goes to no venue whose last answers, as the executor noted them, are too bad."""
        executor = self._world.engine("executor")
        if not any(self._judged) or order.purpose is not OrderPurpose.LEG:
            return
        if isinstance(executor, ExecutorEngine):
            answers = executor.state.answers.get(order.terms.venue)
            if answers is not None and (why := answers.flaw(*self._judged)):
                self._report("weak_venue", f"{order.client_order_id}: {order.terms.venue} {why}")

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check a plan that was approved now, before it counts among those in flight."""
        risk = self._risk
        most = risk.plan_loss_max
        if most and plan.intent is Intent.INSTANT and plan.quote != "BTC" and plan.loss_cap > most:
            self._report("loss_cap", f"plan {plan.plan_id} may lose {plan.loss_cap}, not {most}")
        if plan.intent is Intent.CLOSE:
            return
        self._inventory.on_plan(plan)
        self._exposure.on_plan(plan)
        self._check_venues(plan)
        if risk.plan_portfolio_bps_max and not plan.values:
            self._check_share(plan)
        if risk.price_band_bps_max:
            self._check_band(plan)
        if risk.depeg_bps_max:
            self._check_peg(plan)
        if self._world.checkers.has_lost_records:
            return  # risk cannot know what was sent or traded
        if risk.orders_per_minute_max:
            self._check_rate(plan)
        if risk.per_asset and not plan.values:
            self._check_assets(plan)

    def _report(self, checker: str, text: str) -> None:
        self._world.checkers.report(checker, text)

    def _check_venues(self, plan: ApprovedPlan) -> None:
        """No venue is in a window of maintenance, and none says another time than ours.

        What an ingestor that stood still reads afterwards came late, which hides that a venue's
        clock is ahead.
        """
        since_ns = plan.ts_ns - self._risk.book_age_ms_max * MS - UNREAD_NS
        for leg in plan.legs:
            for window in self._windows.get(leg.venue, ()):
                if window.left_ns(plan.ts_ns):
                    text = f"plan {plan.plan_id} opens at {leg.venue} within {window.text}"
                    self._report("maintenance", text)
            ahead_ms = self._world.feed.clocks_ms.get(leg.venue, 0)
            is_told = max(self._timeless_ns.get(leg.market, 0), self._read_late_ns()) < since_ns
            if is_told and abs(ahead_ms) > 2 * self._risk.clock_skew_ms_max:
                text = f"plan {plan.plan_id} opens at {leg.venue}, {ahead_ms} ms ahead of us"
                self._report("clock_skew", text)

    def _read_late_ns(self) -> int:
        """Return when an ingestor last went on that had stood still."""
        hosts = self._world.hosts.values()
        return max((host.went_on_ns for host in hosts if host.service == "ingestor"), default=0)

    def _check_share(self, plan: ApprovedPlan) -> None:
        """The dearer side is no larger a share of what all accounts hold, at the first prices."""
        world, held = self._world, ZERO
        for exchange in world.exchanges.values():
            for asset, balance in exchange.ledger.balances.items():
                held += (balance.free + balance.used) * world.price(asset, plan.quote)
        share = exact(self._risk.plan_portfolio_bps_max) / BPS
        dearer = max(worth_of_side(plan.legs, side) for side in Side)
        if dearer > held * share * SHARE_SLACK:
            text = f"plan {plan.plan_id} trades {dearer} {plan.quote} of {held}"
            self._report("portfolio_share", text)

    def _check_band(self, plan: ApprovedPlan) -> None:
        """No leg is priced far from what the other books of its pair were, where all were fresh."""
        if went_on_lately(self._world, "risk"):
            return  # it reads now what came meanwhile
        band = exact(self._risk.price_band_bps_max) / BPS
        for leg in plan.legs:
            spans = [self._span(book, plan.ts_ns) for book in self._others(leg)]
            known = [span for span in spans if span is not None]
            least = median([low for low, _ in known])
            most = median([high for _, high in known])
            if least is None or most is None or len(known) < len(spans):
                continue
            if not least * (1 - band) <= leg.price_limit <= most * (1 + band):
                text = f"plan {plan.plan_id}: {leg.text}, others are at {least} to {most}"
                self._report("price_band", text)

    def _span(self, book: tuple[str, str], now_ns: int) -> tuple[Decimal, Decimal] | None:
        """Return between what risk may take the middle of a book to be; ``None``: it may not."""
        told = self._mids.get(book)
        if not told or not told[0][0] <= now_ns - UNREAD_NS < told[-1][0]:
            return None
        middles = [middle for _, middle in told]
        return min(middles), max(middles)

    def _others(self, leg: PlanLeg) -> list[tuple[str, str]]:
        pair = split_instrument(leg.instrument)[:2]
        return [
            (venue, instrument)
            for venue, exchange in self._world.exchanges.items()
            for instrument in exchange.by_instrument
            if split_instrument(instrument)[:2] == pair and (venue, instrument) != leg.market
        ]

    def _check_peg(self, plan: ApprovedPlan) -> None:
        """No dollar that it touches was worth much more or less than another for a while."""
        if went_on_lately(self._world, "risk"):
            return  # it reads now what came meanwhile
        touched = {asset for leg in plan.legs for asset in split_instrument(leg.instrument)}
        for instrument, off_ns in self._off_peg_ns.items():
            base, quote, _ = split_instrument(instrument)
            if not (base in DOLLARS and quote in DOLLARS and touched & {base, quote}):
                continue
            if plan.ts_ns - off_ns > UNREAD_NS:
                self._report("depeg", f"plan {plan.plan_id} is in {base} and {quote}")

    def _check_rate(self, plan: ApprovedPlan) -> None:
        """With it no venue is sent more legs in a minute than it may be sent orders."""
        checkers, limit = self._world.checkers, self._risk.orders_per_minute_max
        approved = {plan_key(p.plan_id) for p in checkers.plans.values() if p.resting is None}
        for venue in {leg.venue for leg in plan.legs}:
            sent = 0
            for order in self._world.exchanges[venue].orders.values():
                parsed = parse_client_order_id(order.request.client_id)
                record = checkers.orders.get(order.request.client_id)
                is_leg = record is not None and record.purpose is OrderPurpose.LEG
                is_recent = order.ts_ms * MS > plan.ts_ns - COUNTED_NS
                sent += is_leg and is_recent and parsed is not None and parsed[0] in approved
            wanted = sum(leg.venue == venue for leg in plan.legs)
            if sent + wanted > limit:
                text = f"plan {plan.plan_id} makes {sent + wanted} orders a minute at {venue}"
                self._report("order_rate", text)

    def _check_assets(self, plan: ApprovedPlan) -> None:
        """Net and gross of an asset stay within their limits, whatever side fills alone."""
        checkers = self._world.checkers
        held, flows = held_by_fills(checkers), flows_in_flight(checkers)
        wanted = flows_of(plan)
        for asset in sorted({place[0] for place, _ in wanted} & self._risk.per_asset.keys()):
            limits = self._risk.per_asset[asset]
            of_asset = {place: qty for place, qty in held.items() if place[0] == asset}
            before = [flow for flow in flows if flow[0][0] == asset]
            after = before + [flow for flow in wanted if flow[0][0] == asset]
            for name, limit, at_worst in (
                ("net", limits.net_max, _net),
                ("gross", limits.gross_max, _gross),
            ):
                now, then = at_worst(of_asset, before), at_worst(of_asset, after)
                if limit and then > limit * ASSET_SLACK and then > now:
                    text = f"plan {plan.plan_id} may make {then} {asset} {name}, not {limit}"
                    self._report(f"asset_{name}", text)


def _net(held: Held, flows: Flows) -> Decimal:
    return worst(sum(held.values(), ZERO), [qty for _, qty in flows])


def _gross(held: Held, flows: Flows) -> Decimal:
    places = held.keys() | {place for place, _ in flows}
    return sum(
        (worst(held.get(p, ZERO), [qty for place, qty in flows if place == p]) for p in places),
        ZERO,
    )
