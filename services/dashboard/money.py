"""What risk and the executor say of money: results, positions, balances, rounds. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from services.dashboard.plans import Plans
from services.dashboard.topic import Topic
from services.dashboard.values import amount, amounts, money, ms
from shared.domain.accounting import worst_certainty
from shared.messages.base import Certainty
from shared.messages.execution import (
    BalanceReport,
    ExecutorReady,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.position_reports import StrategyReport
from shared.messages.rounds import StrategyPosition
from shared.watch.collector import Collector

POSITIONS_MAX: Final = 1_000
RESULTS_MAX: Final = 200
VENUES_MAX: Final = 64


class Money:
    """The newest reports; rounds are those of the collector.

    Args:
        collector: Keeps the rounds.
        plans: Know what was expected.
        balance_age_ms_max: What a venue reported longer ago is shown as old.
    """

    def __init__(self, collector: Collector, plans: Plans, balance_age_ms_max: int) -> None:
        self._collector, self._plans = collector, plans
        self._balance_age_ms_max = balance_age_ms_max
        self.risk: RiskReport | None = None
        self.state: TradingStateChanged | None = None
        self.executor: ExecutorReady | None = None
        self._balances: dict[str, BalanceReport] = {}
        self._first: dict[tuple[str, str], Decimal] = {}
        self.positions = Topic("positions", POSITIONS_MAX)
        self.pnl = Topic("pnl", RESULTS_MAX)

    def on_message(self, message: object) -> None:
        """Keep the newest report of each kind."""
        match message:
            case RiskReport():
                if self.risk is None or message.ts_ns >= self.risk.ts_ns:
                    self.risk = message
            case TradingStateChanged():
                if self.state is None or message.ts_ns >= self.state.ts_ns:
                    self.state = message
            case ExecutorReady():
                if self.executor is None or message.ts_ns >= self.executor.ts_ns:
                    self.executor = message
            case BalanceReport():
                self._on_balances(message)

    def forget_later(self, than_ns: int) -> None:
        """Forget what is said to be of a later time."""
        if self.risk is not None and self.risk.ts_ns > than_ns:
            self.risk = None
        if self.state is not None and self.state.ts_ns > than_ns:
            self.state = None
        if self.executor is not None and self.executor.ts_ns > than_ns:
            self.executor = None
        self._balances = {k: v for k, v in self._balances.items() if v.ts_ns <= than_ns}

    def certainty(self) -> Certainty:
        """Return how well results at present prices are known."""
        risk = self.risk
        if risk is None or any(value is None for value in risk.unrealized.values()):
            return Certainty.UNKNOWN
        estimated = Certainty.ESTIMATED if risk.marks_estimated else Certainty.KNOWN
        return worst_certainty(risk.certainty, estimated)

    def results(self) -> list[dict[str, Any]]:
        """Return what was earned, per quote asset."""
        risk = self.risk
        if risk is None:
            return []
        now, funding = self.certainty(), _funding_certainty(risk)
        quotes = {**risk.realized, **risk.unrealized, **risk.today, **risk.equity}
        return [
            {
                "quote": quote,
                "equity": money(risk.equity.get(quote), now),
                "today": money(risk.today.get(quote), now),
                "realized": money(risk.realized.get(quote), risk.certainty),
                "unrealized": _unrealized(risk.unrealized, quote, risk.certainty),
                "fees": money(risk.fees.get(quote), risk.certainty),
                "funding": money(risk.funding.get(quote, Decimal(0)), funding),
                "drawdown": money(risk.drawdown.get(quote), now),
            }
            for quote in sorted(quotes)
        ]

    def show_pnl(self) -> None:
        """Bring the results up to date."""
        if (risk := self.risk) is None:
            self.pnl.replace({})
            return
        earned = self._plans.earned()
        rows: dict[str, Any] = {}
        for result in self.results():
            quote = result["quote"]
            plans = earned.get(quote)
            rows[f"total|{quote}"] = {
                "kind": "total",
                "strategy": None,
                **result,
                "waterfall": _waterfall(risk, quote),
                "plans": {
                    "count": plans.count if plans else 0,
                    "directional": plans.directional if plans else 0,
                    "expected": amount(plans.expected if plans else None),
                    "realized": money(
                        plans.realized if plans else None,
                        plans.certainty if plans else Certainty.UNKNOWN,
                    ),
                },
            }
        for name, report in sorted(risk.by_strategy.items()):
            for quote in sorted({**report.realized, **report.unrealized}):
                rows[f"strategy|{name}|{quote}"] = _of_strategy(risk, name, report, quote)
        self.pnl.replace(rows, dict.fromkeys(rows, ms(risk.ts_ns)))

    def show_positions(self) -> None:
        """Bring positions, exposure, balances and rounds up to date."""
        rows: dict[str, Any] = {}
        ages: dict[str, int] = {}
        if (risk := self.risk) is not None:
            for asset, qty in sorted(risk.exposure.items()):
                rows[f"exposure|{asset}"] = {
                    "kind": "exposure",
                    "asset": asset,
                    "qty": amount(qty),
                }
            for each in risk.positions:
                rows[f"position|{each.venue}|{each.instrument}"] = {
                    "kind": "position",
                    "venue": each.venue,
                    "instrument": each.instrument,
                    "qty": amount(each.qty),
                    "entry": amount(each.entry),
                    "close_price": amount(each.close_price),
                    "unrealized": money(
                        each.unrealized,
                        Certainty.UNKNOWN if each.unrealized is None else risk.certainty,
                    ),
                }
            ages = dict.fromkeys(rows, ms(risk.ts_ns))
        for position in self._collector.rounds.values():
            key = f"round|{position.key}"
            rows[key], ages[key] = _round(position), ms(position.ts_ns)
        for venue, report in sorted(self._balances.items()):
            for asset, balance in sorted(report.balances.items()):
                total, first = balance.free + balance.used, self._first.get((venue, asset))
                key = f"balance|{venue}|{asset}"
                ages[key] = ms(report.ts_ns)
                rows[key] = {
                    "kind": "balance",
                    "venue": venue,
                    "asset": asset,
                    "free": amount(balance.free),
                    "used": amount(balance.used),
                    "change": amount(None if first is None else total - first),
                    "age_ms_max": self._balance_age_ms_max,
                }
        self.positions.replace(rows, ages)

    def _on_balances(self, message: BalanceReport) -> None:
        known = self._balances.get(message.venue)
        if known is None and len(self._balances) >= VENUES_MAX:
            return
        if known is not None and message.ts_ns < known.ts_ns:
            return
        self._balances[message.venue] = message
        for asset, balance in message.balances.items():
            if len(self._first) < POSITIONS_MAX:
                self._first.setdefault((message.venue, asset), balance.free + balance.used)


def _funding_certainty(risk: RiskReport) -> Certainty:
    return Certainty.UNKNOWN if risk.funding_unknown else Certainty.KNOWN


def _unrealized(
    figures: dict[str, Decimal | None], quote: str, certainty: Certainty
) -> dict[str, Any]:
    """Return what open positions would realize; nothing open is nothing."""
    return money(figures.get(quote, Decimal(0)), certainty)


def _waterfall(risk: RiskReport, quote: str) -> list[dict[str, Any]]:
    """Return the steps from what prices brought in to what was realized; they add up."""
    zero = Decimal(0)
    realized, fees = risk.realized.get(quote, zero), risk.fees.get(quote, zero)
    funding = risk.funding.get(quote, zero)
    steps = (
        ("spread", realized + fees - funding, risk.certainty),
        ("fees", -fees, risk.certainty),
        ("funding", funding, _funding_certainty(risk)),
        ("realized", realized, worst_certainty(risk.certainty, _funding_certainty(risk))),
    )
    return [{"step": name, "amount": money(value, how)} for name, value, how in steps]


def _of_strategy(risk: RiskReport, name: str, report: StrategyReport, quote: str) -> dict[str, Any]:
    return {
        "kind": "strategy",
        "strategy": name,
        "quote": quote,
        "realized": money(report.realized.get(quote), report.certainty),
        "unrealized": _unrealized(report.unrealized, quote, report.certainty),
        "fees": money(report.fees.get(quote), report.certainty),
        "funding": money(report.funding.get(quote, Decimal(0)), _funding_certainty(risk)),
    }


def _round(position: StrategyPosition) -> dict[str, Any]:
    return {
        "kind": "round",
        "strategy": position.strategy_id,
        "round_id": position.round_id,
        "state": position.state,
        "base": position.base,
        "quote": position.quote,
        "unhedged": amount(position.unhedged),
        "legs": [
            {
                "venue": leg.venue,
                "instrument": leg.instrument,
                "qty": amount(leg.qty),
                "entry": amount(leg.entry),
            }
            for leg in position.legs
        ],
        "realized": amounts(position.realized),
        "reason": position.reason,
    }
