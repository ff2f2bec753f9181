"""One parameter set of a study: a backtest that is sampled at UTC instants. Pure.

Sampling changes nothing: the set decides what ``arb backtest`` decides with the same parameters, to
the byte. ``services/research`` compares the sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from services.lab.backtest import Backtest
from services.lab.backtest_facts import accounts_of
from services.lab.backtest_terms import BacktestConfig
from services.lab.equity import mid_of, profits_of
from services.lab.recorded import Contents
from services.lab.tables import Tables
from shared.config_sections import Config
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import is_inverse
from shared.messages.base import Message
from shared.messages.execution import PlanDone, PlanOutcome
from shared.messages.rounds import RoundState, StrategyPosition
from shared.watch.report import Ending

SECOND_NS = 1_000_000_000
TRADED = {PlanOutcome.FILLED, PlanOutcome.HEDGED, PlanOutcome.UNWOUND}


class Instants(NamedTuple):
    """Equidistant UTC instants, from at or before the first moment to at or after the last."""

    first_ns: int
    period_ns: int
    total: int

    def ns(self, number: int) -> int:
        """Return the UNIX time of one."""
        return self.first_ns + number * self.period_ns


def instants_of(first_ns: int, last_ns: int, period_s: int) -> Instants:
    """Return the instants of a span; whole days are days of UTC."""
    period_ns = period_s * SECOND_NS
    begin_ns = first_ns // period_ns * period_ns
    end_ns = -(-last_ns // period_ns) * period_ns
    return Instants(begin_ns, period_ns, (end_ns - begin_ns) // period_ns + 1)


class StudyRun(Backtest):
    """A backtest that notes profit, what rounds hold, and round trips at instants.

    Args:
        contents: The recording.
        config: With the strategy's parameters.
        terms: Latency and accounts.
        instants: When to look. The first is the capital itself; the last also has what winding
            down after the end of the data costs.
        quote: The asset of profit and of what is held.
    """

    def __init__(
        self,
        contents: Contents | Tables,
        config: Config,
        terms: BacktestConfig,
        *,
        instants: Instants,
        quote: str,
    ) -> None:
        super().__init__(contents, config, terms)
        self._instants, self._quote = instants, quote
        self.profits: list[Decimal | None] = [ZERO]
        self.trip_counts: list[int] = [0]
        self.held: dict[str, list[float]] = {}
        """Market -> worth of what rounds hold there, signed units of the quote asset."""
        self._closed = 0

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        """Count round trips, and pass everything on."""
        for message in messages:
            if type(message) is PlanDone:
                is_instant = message.is_approved and not message.round_id
                self._closed += is_instant and message.outcome in TRADED
            elif type(message) is StrategyPosition and message.state is RoundState.CLOSED:
                self._closed += message.key in self.collector.rounds
        super().on_published(service, messages)

    def _play_until(self, until_ns: int) -> None:
        while len(self.profits) < self._instants.total:
            at_ns = self._instants.ns(len(self.profits))
            if at_ns > until_ns:
                break
            super()._play_until(at_ns)
            self._note()
        super()._play_until(until_ns)

    def _wind_down(self, ended: Ending) -> None:
        super()._wind_down(ended)
        if len(self.profits) == self._instants.total:  # the last one was at the end of the data
            del self.profits[-1], self.trip_counts[-1]
            for line in self.held.values():
                del line[-1]
        while len(self.profits) < self._instants.total:
            self._note()

    def _note(self) -> None:
        profits = profits_of(self.accounts.accounts.values(), self._views_live)
        self.profits.append(profits.get(self._quote, ZERO))
        self.trip_counts.append(self._closed)
        for line in self.held.values():
            line.append(0.0)
        for position in self.collector.rounds.values():
            for leg in position.legs:
                worth = self._worth(leg.venue, leg.instrument, leg.qty)
                if worth:
                    market = f"{leg.venue}|{leg.instrument}"
                    line = self.held.setdefault(market, [0.0] * len(self.profits))
                    line[-1] += float(worth)

    def _worth(self, venue: str, instrument: str, qty: Decimal) -> Decimal:
        """Return the worth of a holding in the asset of results; 0 if it pays in another."""
        price = mid_of(self._views_live, venue, instrument)
        if not price or split_instrument(instrument).cash != self._quote:
            return ZERO
        return qty / price if is_inverse(instrument) else qty * price


def result_of(run: StudyRun, ended: Ending, number: int, quote: str) -> dict[str, Any]:
    """Return what a set came to, for research."""
    problems = list(ended.problems)
    if run.collector.gauge("scanner", "strategies_disabled"):
        problems.append("a strategy was disabled on the way")
    paid = accounts_of(list(run.accounts.accounts.values())).get(quote, {})
    return {
        "number": number,
        "profits": run.profits,
        "trips": run.trip_counts,
        "held": run.held,
        "capital": run.capital().get(quote, ZERO),
        "fees": paid.get("fees", ZERO),
        "funding": paid.get("funding", ZERO),
        "fills": run.fill_count,
        "opportunities": run.collector.opportunities,
        "plans": len(run.collector.plans),
        "hash": run.decisions.digest.hexdigest(),
        "problems": problems,
    }
