"""Balances that moved beside trading: booked as transfers, and alerted or halted for. Pure.

What moved is no profit and no loss: accounts take it as a transfer, and equity, drawdown and the
limits on losses never see it. What is gone may be a theft or a trade that is not on record as well
as a withdrawal, so it halts where what an asset lost at a venue since the UTC day began, or an
operator last resumed, is worth more than ``risk.unexplained_loss_max``, or where plans in flight
have reserved it. What nothing prices is unknown: a price is waited for, ``PRICE_WAIT_NS`` at most,
and then it halts, too. What came in is only alerted. For ``STAYS_NS`` it makes up
for what is gone, as a fill that was told late is taken back; after that it hides no loss.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.risk.exposure import PAYMENTS_REMEMBERED_MAX, ZERO, Ledger
from services.risk.halt_causes import HaltCause
from services.risk.market import LatestBooks
from services.risk.remembered import digest, remember
from services.risk.trading import TradingControl, alert
from shared.config_limits import RiskConfig
from shared.config_sections import Config
from shared.domain.instrument import split_instrument
from shared.messages.balances import BalanceMoved
from shared.messages.base import Message
from shared.messages.control import Severity

STAYS_NS: Final = 600_000_000_000
"""As far back as the executor looks for fills that explain a move."""
PRICE_WAIT_NS: Final = 60_000_000_000
"""A loss that nothing prices halts after this long: a venue's books come seconds after a start."""
STARTS_MAX: Final = 5
"""So often is that waited for anew; then it halts, or a process that ends too early never would."""


class BalanceMoves:
    """Books what moved, and judges what is gone.

    Args:
        market: The books, which say what an asset is worth.
        limits: Of risk.
    """

    def __init__(self, market: LatestBooks, limits: RiskConfig) -> None:
        self._market, self._limits = market, limits
        self._waits_since_ns: dict[str, int] = {}

    def use_limits(self, config: Config) -> None:
        """Judge by these limits from now on."""
        self._limits = config.risk

    def take(
        self, told: BalanceMoved, ledger: Ledger, control: TradingControl, now_ns: int
    ) -> list[Message]:
        """Book what moved, once, and return the alert about it."""
        digested = digest("moved", told.venue, told.asset, f"{told.ts_ns}")
        if digested in ledger.payments_seen:
            return []
        ledger.roll_day(told.ts_ns)
        remember(ledger.payments_seen, digested, True, PAYMENTS_REMEMBERED_MAX)
        _book(told, ledger)
        key, text = f"{told.venue}|{told.asset}", moved_text(told)
        lost, why = _lost(key, ledger), ""
        if told.amount < 0 and lost > 0:
            why = _reserved(told, ledger) or self._beyond(key, lost, ledger)
        if why:
            return [control.trip(HaltCause.BALANCE_LOSS, f"{text}; {why}", now_ns, told.venue)]
        if key in ledger.unpriced and lost > 0:
            text = f"{text}; no book and no fill tells what {lost:f} {told.asset} are worth: "
            text += f"trading halts if none does within {PRICE_WAIT_NS // 1_000_000_000} s"
        return [alert(now_ns, Severity.WARNING, "BALANCE_MOVED", text, told.venue)]

    def judge_unpriced(self, ledger: Ledger, control: TradingControl, now_ns: int) -> list[Message]:
        """Halt for what was lost and has a price by now, or still none after ``PRICE_WAIT_NS``.

        The wait begins anew with this process, ``STARTS_MAX`` times: right after a start no book is
        there yet.
        """
        out: list[Message] = []
        for key in list(ledger.unpriced):
            lost = _lost(key, ledger)
            why = self._beyond(key, lost, ledger)
            if key in ledger.unpriced and (waited := self._waited(key, ledger, now_ns)):
                self._stop_waiting(key, ledger)
                _, _, asset = key.partition("|")
                why = f"{waited} no book and no fill told what {lost:f} {asset} are worth"
            if why:
                venue, _, asset = key.partition("|")
                text = f"{venue} has {lost:f} {asset} less than the day began with; {why}"
                out.append(control.trip(HaltCause.BALANCE_LOSS, text, now_ns, venue))
        return out

    def _beyond(self, key: str, lost: Decimal, ledger: Ledger) -> str:
        """Return what a loss is worth where that is above the limit; note it where unknown."""
        most = self._limits.unexplained_loss_max
        _, _, asset = key.partition("|")
        if lost <= 0 or not most:
            self._stop_waiting(key, ledger)
            return ""
        price = _price(asset, lost, ledger, self._market, self._limits)
        if price is None:
            ledger.unpriced[key] = True
            return ""
        self._stop_waiting(key, ledger)
        if lost * price > most:
            worth = (lost * price).quantize(Decimal("0.01"))
            return f"{lost:f} {asset} lost there today are worth {worth:f}, the limit is {most:f}"
        return ""

    def _waited(self, key: str, ledger: Ledger, now_ns: int) -> str:
        """Return how long a price was waited for, where that was long enough; else nothing."""
        if key not in self._waits_since_ns:
            self._waits_since_ns[key] = now_ns
            ledger.unpriced_starts[key] = ledger.unpriced_starts.get(key, 0) + 1
        if now_ns - self._waits_since_ns[key] >= PRICE_WAIT_NS:
            return f"for {PRICE_WAIT_NS // 1_000_000_000} s"
        starts = ledger.unpriced_starts[key] - 1
        return f"through {starts} starts of risk" if starts > STARTS_MAX else ""

    def _stop_waiting(self, key: str, ledger: Ledger) -> None:
        """It is judged; what is lost later is waited for anew."""
        ledger.unpriced.pop(key, None)
        ledger.unpriced_starts.pop(key, None)
        self._waits_since_ns.pop(key, None)


def _lost(key: str, ledger: Ledger) -> Decimal:
    """Return what an asset lost at a venue since the day began or an operator resumed."""
    transfers = ledger.books.transfers.get(key, ZERO)
    return ledger.transfers_accepted.get(key, ZERO) - transfers


def _book(told: BalanceMoved, ledger: Ledger) -> None:
    """Book what moved; what came in long enough ago is there to be lost."""
    key, came_in = f"{told.venue}|{told.asset}", ledger.came_in
    if key in came_in and told.ts_ns - came_in[key][0] >= STAYS_NS:
        _, level = came_in.pop(key)
        ledger.transfers_accepted[key] = max(ledger.transfers_accepted.get(key, ZERO), level)
    ledger.books.transfer(told.venue, told.asset, told.amount)
    if told.amount > 0 or key in came_in:
        since_ns = came_in[key][0] if key in came_in else told.ts_ns
        came_in[key] = since_ns, ledger.books.transfers[key]


def moved_text(told: BalanceMoved) -> str:
    """Return what moved, in words."""
    way = "more" if told.amount > 0 else "less"
    return (
        f"{told.venue} has {abs(told.amount):f} {told.asset} {way} than our fills, fees and "
        "funding explain: a deposit, a withdrawal or somebody else's trade; no profit or loss"
    )


def _reserved(told: BalanceMoved, ledger: Ledger) -> str:
    """Return what plans in flight have reserved and is gone, empty where nothing is."""
    left = ledger.available(told.venue, told.asset)
    if left is not None and left < 0 < ledger.reserved_amount(told.venue, told.asset):
        return f"plans in flight have reserved {-left:f} {told.asset} more than is left"
    return ""


def _price(
    asset: str, qty: Decimal, ledger: Ledger, market: LatestBooks, limits: RiskConfig
) -> Decimal | None:
    """Return the dearest price of an asset in dollars, by books or last fills; ``None``: none."""
    if asset in limits.quote_assets:
        return Decimal(1)
    close = market.closing_price()
    found = [close("", f"{asset}/{quote}", qty) for quote in limits.quote_assets]
    for key, price in ledger.prices.items():
        name = split_instrument(key.partition("|")[2])
        if name.base == asset and name.quote in limits.quote_assets:
            found.append(price)
    return max((price for price in found if price is not None and price > ZERO), default=None)
