"""What risk takes into its ledger without deciding anything: accounts, orders, assets. Pure."""

from __future__ import annotations

from services.risk.border import late_funding_alerts
from services.risk.exposure import Ledger
from services.risk.restated import apply_restated
from shared.config_limits import RiskConfig
from shared.config_sections import Config
from shared.domain.instrument import split_instrument
from shared.messages.base import Message
from shared.messages.execution import BalanceReport, FundingKnown, FundingPaid, OrderEvent
from shared.messages.restated import FillRestated

ToldOfAccount = BalanceReport | FundingPaid | FundingKnown | FillRestated


def take_in(
    told: ToldOfAccount, ledger: Ledger, assets: frozenset[str], now_ns: int
) -> list[Message]:
    """Take in what is told of an account, and return the alerts about it."""
    if isinstance(told, BalanceReport):
        ledger.apply_balances(told, assets)
    elif isinstance(told, FillRestated):
        apply_restated(ledger, told)
    elif ledger.apply_funding(told):
        return late_funding_alerts(told, ledger, now_ns)
    return []


def put_on_record(ledger: Ledger, event: OrderEvent, config: RiskConfig) -> bool:
    """Take an order on record, and count it where orders are limited; False where it was there."""
    is_new = ledger.orders.announce(event)
    if is_new and config.orders_per_minute_max:
        ledger.order_rates.count(event.venue, event.ts_ns)
    return is_new


def traded_of(config: Config) -> tuple[frozenset[str], list[str], frozenset[str]]:
    """Return the venues that are traded, the quote assets of what is, and all its assets."""
    traded = {name: venue for name, venue in config.venues.items() if venue.trade}
    names = [split_instrument(i) for venue in traded.values() for i in venue.instruments]
    assets = frozenset(a for n in names for a in (n.base, n.quote, n.settle) if a)
    return frozenset(traded), sorted({name.quote for name in names}), assets
