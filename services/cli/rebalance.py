"""What `arb rebalance` proposes, from the balances, books and rules on the bus. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from services.cli.export import iso
from shared import config_inventory
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.domain.depth import are_levels, exact_levels
from shared.domain.instrument import is_spot
from shared.domain.inventory import Held, Target, VenueAsset
from shared.domain.rebalance import Inventory, plan_rebalance
from shared.domain.rebalance_plan import Row
from shared.domain.rebalance_steps import Market, Order, PriceOf, Step, Transfer, TransferWay
from shared.domain.valuation import closing_prices
from shared.errors import ConfigError
from shared.messages.base import BookState, Message
from shared.messages.execution import BalanceReport, ExecutorReady
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules
from shared.streams import EXEC_EVENT, MD_DEPTH, MD_INSTRUMENT
from shared.watch.link import Link

SCHEMA = 1
RULES_WINDOW_MS = 10_000
_ZERO = Decimal(0)
Arriving = Mapping[VenueAsset, Decimal]


class LatestOnBus:
    """The newest of what the bus says about balances, books and rules."""

    def __init__(self) -> None:
        self.balances: dict[str, BalanceReport] = {}
        self.views: dict[tuple[str, str], DepthView] = {}
        self.rules: dict[tuple[str, str], InstrumentRules] = {}
        self.executor: ExecutorReady | None = None

    def take(self, messages: Iterable[Message]) -> None:
        """Fold messages, the oldest first; those of other types are ignored."""
        for message in messages:
            match message:
                case BalanceReport():
                    self.balances[message.venue] = message
                case DepthView():
                    self.views[message.venue, message.instrument] = message
                case InstrumentInfo():
                    self.rules[message.rules.venue, message.rules.instrument] = message.rules
                case ExecutorReady():
                    self.executor = message
                case _:
                    pass


async def propose(
    link: Link, config: Config, *, only: str | None = None, arriving: Arriving | None = None
) -> dict[str, Any]:
    """Return the proposal as a plain record.

    Args:
        link: The running system.
        config: With its section ``[inventory]``.
        only: ``transfers`` or ``trades``; ``None`` is both.
        arriving: What is on its way to a place and on no account yet.
    """
    latest = LatestOnBus()
    age_ms_max = config.inventory.balance_age_ms_max
    latest.take(item.message for item in await link.recent(EXEC_EVENT, age_ms_max))
    latest.take(item.message for item in await link.recent(MD_INSTRUMENT, RULES_WINDOW_MS))
    latest.take(item.message for item in await link.recent(MD_DEPTH))
    return proposal(latest, config, SystemClock.now_ns(), only=only, arriving=arriving or {})


def proposal(
    latest: LatestOnBus, config: Config, now_ns: int, *, only: str | None, arriving: Arriving
) -> dict[str, Any]:
    """Return the proposal that follows from the newest messages. Pure."""
    targets = targets_of(config)
    unknown, held = _balances(latest, config, now_ns, arriving)
    markets, left_out = _markets(latest, config, now_ns)
    age_ns_max = config.risk.book_age_ms_max * 1_000_000
    prices = closing_prices(
        view
        for view in latest.views.values()
        if is_spot(view.instrument) and now_ns - view.ts_ns <= age_ns_max
    )
    quote = config.inventory.quote
    inventory = Inventory(
        targets,
        held,
        unknown,
        config_inventory.transfer_ways(config.inventory, targets),
        markets,
        _price_in(quote, prices),
    )
    takes = {"transfers": _is_transfer, "trades": lambda way: not _is_transfer(way)}
    plan = plan_rebalance(inventory, takes[only]) if only else plan_rebalance(inventory)
    return {
        "schema": SCHEMA,
        "time": iso(now_ns),
        "quote": quote,
        "whole": plan.is_whole,
        "cost": plan.cost,
        "cost_known": plan.cost_known,
        "costs_unknown": plan.costs_unknown,
        "minutes": plan.minutes,
        "steps": [_step_record(step) for step in plan.steps],
        "targets": [_row_record(row) for row in plan.rows],
        "markets_left_out": left_out,
    }


def parse_arriving(texts: Sequence[str], config: Config) -> dict[VenueAsset, Decimal]:
    """Return what ``--arriving VENUE:ASSET:QTY`` says, summed by place.

    Raises:
        ConfigError: A text says nothing, or a venue and asset without a target.
    """
    places = {(target.venue, target.asset) for target in config.inventory.targets}
    found: dict[VenueAsset, Decimal] = {}
    for text in texts:
        venue, _, rest = text.partition(":")
        asset, _, number = rest.partition(":")
        try:
            qty = Decimal(number)
        except InvalidOperation:
            qty = Decimal("NaN")
        if not (qty.is_finite() and qty > 0):
            raise ConfigError(f"--arriving {text!r}: give VENUE:ASSET:QTY, like venue-1:BTC:0.5")
        if (venue, asset) not in places:
            raise ConfigError(f"--arriving {text!r}: {asset} at {venue} has no target")
        found[venue, asset] = found.get((venue, asset), _ZERO) + qty
    return found


def targets_of(config: Config) -> list[Target]:
    """Return the configured targets.

    Raises:
        ConfigError: There are none.
    """
    if not config.inventory.targets:
        raise ConfigError(
            "no [[inventory.targets]] in the configuration, so that nothing is out of its band; "
            "add one, as arb.example.toml shows"
        )
    return config_inventory.targets_of(config.inventory)


def _balances(
    latest: LatestOnBus, config: Config, now_ns: int, arriving: Arriving
) -> tuple[dict[str, str], dict[VenueAsset, Held]]:
    """Return venue -> why its balances are unknown, and what is held at the others."""
    limit_ms = config.inventory.balance_age_ms_max
    unknown: dict[str, str] = {}
    held: dict[VenueAsset, Held] = {}
    for venue in sorted({target.venue for target in config.inventory.targets}):
        report = latest.balances.get(venue)
        if report is None:
            unknown[venue] = (
                f"no balances of {venue} in the last {limit_ms / 1e3:g} s of exec.event"
            )
        elif now_ns - report.ts_ns > limit_ms * 1e6:
            age_s = (now_ns - report.ts_ns) / 1e9
            unknown[venue] = f"{venue} reported its balances {age_s:,.0f} s ago"
    for venue, report in sorted(latest.balances.items()):
        if venue in unknown or venue not in config.venues:
            continue
        for asset, balance in sorted(report.balances.items()):
            held[venue, asset] = Held(balance.free, balance.used)
    for place, qty in arriving.items():
        here = held.get(place, Held(_ZERO))
        held[place] = here._replace(used=here.used + qty)
    return unknown, held


def _is_transfer(way: object) -> bool:
    return isinstance(way, TransferWay)


def _markets(
    latest: LatestOnBus, config: Config, now_ns: int
) -> tuple[list[Market], dict[str, str]]:
    """Return the spot books that may be traded, and why others of our venues may not."""
    found, left_out = [], {}
    for name, venue in sorted(config.venues.items()):
        for instrument in sorted(venue.instruments):
            if not (venue.trade and is_spot(instrument)):
                continue
            market = name, instrument
            why = _why_not(latest, market, config.risk.book_age_ms_max, now_ns)
            if why:
                left_out["|".join(market)] = why
                continue
            view, rules = latest.views[market], latest.rules[market]
            found.append(
                Market(
                    venue=name,
                    instrument=instrument,
                    bids=exact_levels(view.bids, len(view.bids)),
                    asks=exact_levels(view.asks, len(view.asks)),
                    lot_size=rules.lot_size,
                    fee_bps=rules.taker_fee_bps,
                    qty_min=rules.qty_min,
                    qty_max=rules.qty_max,
                    notional_min=rules.notional_min,
                )
            )
    return found, left_out


def _why_not(latest: LatestOnBus, market: tuple[str, str], age_ms_max: int, now_ns: int) -> str:
    """Return why a market must not be traded on now; empty where it may."""
    view, rules = latest.views.get(market), latest.rules.get(market)
    if view is None:
        return "no book of it"
    if view.state is not BookState.LIVE:
        return f"its book is {view.state}"
    if now_ns - view.ts_ns > age_ms_max * 1e6:
        return f"its book is {(now_ns - view.ts_ns) / 1e9:,.1f} s old"
    if not (view.bids and view.asks and are_levels(view.bids) and are_levels(view.asks)):
        return "its book is empty on a side"
    if rules is None:
        return "its rules are unknown"
    if not rules.active:
        return rules.reason or "it is not traded"
    down = latest.executor.venues_down if latest.executor else {}
    return down.get(market[0], "") or down.get("|".join(market), "")


def _price_in(quote: str, prices: Any) -> PriceOf:
    """Return what a unit of an asset is worth in ``quote`` on the books."""

    def price(asset: str, qty: Decimal) -> Decimal | None:
        found: Decimal | None = prices("", f"{asset}/{quote}", qty)
        return Decimal(1) if asset == quote else found

    return price


def _step_record(step: Step) -> dict[str, Any]:
    if isinstance(step, Transfer):
        return {
            "kind": "transfer",
            "asset": step.way.asset,
            "from": step.way.giver,
            "to": step.way.taker,
            "network": step.way.network,
            "qty": step.qty,
            "arrives": step.arrives,
            "fee": step.way.fee,
            "cost": step.cost,
            "minutes": step.minutes,
            "why": step.why,
        }
    return {
        "kind": "trade",
        "instrument": step.way.sell.instrument,
        "qty": step.sell.qty,
        "moves": step.way.asset,
        "sell": _order_record(step.sell),
        "buy": _order_record(step.buy),
        "cost_own": step.cost_own,
        "cost": step.cost,
        "minutes": step.minutes,
        "why": step.why,
    }


def _order_record(order: Order) -> dict[str, Any]:
    return {
        "venue": order.venue,
        "price_avg": order.price_avg,
        "price_worst": order.price_worst,
        "notional": order.notional,
        "fee": order.fee,
    }


def _row_record(row: Row) -> dict[str, Any]:
    held, band = row.held, row.band
    return {
        "venue": row.target.venue,
        "asset": row.target.asset,
        "held": None if held is None else held.total,
        "free": None if held is None else held.free,
        "low": None if band is None else band.low,
        "target": None if band is None else band.target,
        "high": None if band is None else band.high,
        "after": row.after,
        "state": row.state,
        "reason": row.reason,
    }
