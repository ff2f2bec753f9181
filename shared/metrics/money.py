"""What risk and the executor report of trading state, exposure, positions and results. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeVar

from shared.config_limits import RiskConfig
from shared.domain.instrument import split_instrument
from shared.limit_changes import limits_in_force
from shared.messages.base import Certainty, TradingState
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.messages.position_reports import PositionReport
from shared.metrics import table as m
from shared.metrics.metric import LIMIT_S
from shared.metrics.samples import OTHER, Samples

_LIMIT_NS: Final = int(LIMIT_S * 1e9)
EVERY_VENUE: Final = "all"

R = TypeVar("R", RiskReport, TradingStateChanged, ExecutorReady)


class Money:
    """The newest reports of risk and of the executor.

    Args:
        venues: Those where orders may be sent.
        limits: Of risk.
    """

    def __init__(self, venues: Iterable[str], limits: RiskConfig) -> None:
        self._venues, self._limits = tuple(venues), limits
        self._risk: RiskReport | None = None
        self._state: TradingStateChanged | None = None
        self._executor: ExecutorReady | None = None

    def on_message(self, message: object) -> None:
        """Keep the newest report of each kind."""
        if isinstance(message, RiskReport):
            self._risk = _newer(self._risk, message)
        elif isinstance(message, TradingStateChanged):
            self._state = _newer(self._state, message)
        elif isinstance(message, ExecutorReady):
            self._executor = _newer(self._executor, message)

    def mode(self, now_ns: int) -> str:
        """Return paper, simulated or live; ``unknown`` while the executor does not report."""
        executor = _fresh(self._executor, now_ns)
        return "unknown" if executor is None else executor.mode

    def tell(self, out: Samples, now_ns: int) -> None:
        """Add what the reports say that are not older than their limit."""
        if self._risk is not None:
            out.add(m.RISK_TIME, self._risk.ts_ns / 1e9)
        if (state := _fresh(self._state, now_ns)) is not None:
            for each in TradingState:
                out.add(m.STATE, float(each is state.state), each)
            if state.state is not TradingState.ACTIVE:
                out.add(m.HALT_CAUSE, 1.0, _cause_of(state.reason))
        if (risk := _fresh(self._risk, now_ns)) is not None:
            _tell_results(out, risk)
            in_force = limits_in_force(self._limits, risk.limits)
            for asset in sorted(risk.drawdown):
                limits = in_force.limits_in(asset)
                if limits is not None and limits.drawdown_max:
                    out.add(m.DRAWDOWN_MAX, float(limits.drawdown_max), asset)
            _tell_positions(out, risk.positions)
        if (executor := _fresh(self._executor, now_ns)) is not None:
            out.add(m.UNSETTLED, executor.unknown_orders)
            down = {name.partition("|")[0] for name in executor.venues_down}
            for venue in self._venues:
                out.add(m.ORDERS_UP, float(venue not in down), venue)


def _cause_of(reason: str) -> str:
    """Return the code that a reason begins with, the first where there are several."""
    code = reason.partition(":")[0]
    return code if code.isascii() and code.replace("_", "").isupper() else OTHER


def _tell_results(out: Samples, risk: RiskReport) -> None:
    out.add(m.PLANS_IN_FLIGHT, risk.plans_in_flight)
    for metric, figures in (
        (m.EXPOSURE, risk.exposure),
        (m.REALIZED, risk.realized),
        (m.FEES, risk.fees),
        (m.TODAY, risk.today),
        (m.EQUITY, risk.equity),
        (m.EQUITY_PEAK, _peaks(risk)),
        (m.DRAWDOWN, risk.drawdown),
        (m.FUNDING, risk.funding),
        (m.UNREALIZED, risk.unrealized),
    ):
        for asset, amount in sorted(figures.items()):
            if amount is not None:  # unknown is not zero
                out.add(metric, float(amount), asset)
    for each in Certainty:
        out.add(m.CERTAINTY, float(each is risk.certainty), each)
    is_unknown = (
        risk.certainty is Certainty.UNKNOWN
        or any(amount is None for amount in risk.unrealized.values())
        or bool(risk.funding_unknown or risk.fees_unpriced)
    )
    out.add(m.MONEY_UNKNOWN, float(is_unknown))


def _peaks(risk: RiskReport) -> dict[str, Decimal]:
    """Return the most that equity was, where risk tells how far it is below."""
    below = risk.drawdown
    return {asset: now + below[asset] for asset, now in risk.equity.items() if asset in below}


def _tell_positions(out: Samples, positions: Iterable[PositionReport]) -> None:
    """Add open quantities by asset and venue, and their worth where all of it has a price."""
    sizes: dict[tuple[str, str], float] = {}
    worth: dict[tuple[str, str, str], float | None] = {}
    for each in positions:
        base, quote, _ = split_instrument(each.instrument)
        place = base, each.venue or EVERY_VENUE
        sizes[place] = sizes.get(place, 0.0) + float(each.qty)
        before, price = worth.get((*place, quote), 0.0), each.close_price
        if before is None or price is None:
            worth[*place, quote] = None
        else:
            worth[*place, quote] = before + float(each.qty * price)
    for place, size in sorted(sizes.items()):
        out.add(m.POSITION, size, *place)
    for row, value in sorted(worth.items()):
        if value is not None:
            out.add(m.POSITION_VALUE, value, *row)


def _newer(known: R | None, told: R) -> R:
    return told if known is None or told.ts_ns >= known.ts_ns else known


def _fresh(told: R | None, now_ns: int) -> R | None:
    return told if told is not None and now_ns - told.ts_ns < _LIMIT_NS else None
