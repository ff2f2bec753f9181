"""What the notifier finds wrong itself, by the rows of the table of alerts. Pure.

So the rows that matter most are judged where there is no Prometheus as well; docs/notifier.md says
which. What nobody reports any more stays as it was told last: unknown is not well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from services.notifier import measured
from services.notifier.measured import Measured
from services.notifier.processes import Processes
from services.notifier.troubles import Cause, Troubles
from shared.alerting.routing import INHIBITIONS
from shared.alerting.rule import seconds
from shared.alerting.table import RULE_OF
from shared.config_sections import Config
from shared.domain.instrument import split_instrument
from shared.engine import Result
from shared.feed_statuses import Feeds, keep_newest, of_venues
from shared.limit_changes import limits_in_force
from shared.messages.base import BookState, Certainty, Message, TradingState
from shared.messages.control import Heartbeat, Severity
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.messages.market import VenueStatus

S: Final = 1_000_000_000
HALTED_NS: Final = 2 * S
PASSING: Final = {"STARTING", "WAITING"}
"""Causes that end by themselves: told after as long as the rule has it."""
ASKED_FOR: Final = {"OPERATOR", "NOT_STARTED"}
DRAWDOWN_CRITICAL: Final = Decimal("0.8")
"""Of ``risk.drawdown_max``, at which trading halts."""
_JUDGED: Final = (
    *("ArbBusDown", "ArbDown", "ArbNotReady", "ArbRestarted", "ArbHalted", "ArbOrderUnsettled"),
    *("ArbMoneyUnknown", "ArbFeedSilent", "ArbFeedsSilent", "ArbVenueOrdersDown"),
    *("ArbUnhedged", "ArbDrawdown"),
    *measured.RULES,
)
NOT_MEASURED: Final = "not measured for an hour, so whether it is well is not known"
UNREAD: Final = "NOTIFY_METRICS"
"""The code of what the notifier cannot read."""
UNREAD_NS: Final = 120 * S
JUDGED: Final = frozenset(_JUDGED)
"""Rows of the table that are judged here."""
SAID_OTHERWISE: Final = {
    "ArbMissing": "ArbDown tells of a service that was never heard as well",
    "ArbExporterDown": "nothing here is judged by the exporter; ArbDown tells when it falls silent",
    "ArbCriticalAlert": "every alert is told itself",
    "ArbFeedOfTwoLost": "the orderbook service's own alert, FEED_LOST",
    "ArbWatchdog": "the ping of heartbeat_url",
}
"""The other rows, and what tells people in their place."""


def lasts_ns(name: str) -> int:
    """Return for how long a rule's condition must hold, in nanoseconds."""
    return seconds(RULE_OF[name].lasts) * S


@dataclass(frozen=True, slots=True)
class Found:
    """A condition that holds now: since when (0: just now), and for how long before it is told."""

    cause: Cause
    since_ns: int = 0
    lasts_ns: int = 0


class Checks:
    """The newest of every report, and what follows from it."""

    def __init__(self, config: Config, now_ns: int) -> None:
        self._config = config
        self.processes = Processes(now_ns)
        self.measured = Measured(config, now_ns)
        self._began_ns = now_ns
        self._state: TradingStateChanged | None = None
        self._risk: RiskReport | None = None
        self._executor: ExecutorReady | None = None
        self._feeds: Feeds = {}
        self._since: dict[str, int] = {}
        self._told: set[str] = set()
        self._judged_ns = now_ns

    @property
    def state(self) -> TradingStateChanged | None:
        """The trading state as risk told it last."""
        return self._state

    def restore(self, troubles: Troubles) -> None:
        """Take up the conditions that were told before this process started."""
        for key, each in troubles.known.items():
            if each.cause.lasts and each.cause.code in {*JUDGED, UNREAD} and not each.over_ns:
                self._since[key] = each.since_ns
                self._told.add(key)

    def on_message(self, message: Message | Result, now_ns: int) -> None:
        """Keep the newest report of each kind, and what was read."""
        self.measured.on_message(message, now_ns)
        if isinstance(message, Heartbeat):
            self.processes.on_beat(message, now_ns)
        elif isinstance(message, TradingStateChanged):
            if self._state is None or message.ts_ns >= self._state.ts_ns:
                self._state = message
        elif isinstance(message, RiskReport):
            if self._risk is None or message.ts_ns >= self._risk.ts_ns:
                self._risk = message
        elif isinstance(message, ExecutorReady):
            if self._executor is None or message.ts_ns >= self._executor.ts_ns:
                self._executor = message
        elif (
            isinstance(message, VenueStatus)
            and not message.instrument
            and message.venue in self._config.venues
        ):
            keep_newest(self._feeds, message)

    def judge(self, troubles: Troubles, now_ns: int) -> None:
        """Bring the troubles up to date with what holds now."""
        if now_ns - self._judged_ns > 5 * S:
            self.processes.paused(now_ns)
        self._judged_ns = now_ns
        self.measured.look(now_ns)
        for cause in self.processes.replaced():
            troubles.begin(cause, now_ns)
        holding: set[str] = set()
        for found in self._holding(now_ns):
            key = f"{found.cause.code}|{found.cause.where}|{found.cause.subject}"
            holding.add(key)
            since_ns = self._since.setdefault(key, found.since_ns or now_ns)
            if now_ns - since_ns < found.lasts_ns:
                continue
            if key not in self._told:
                self._told.add(key)
                troubles.begin(found.cause, now_ns, since_ns=since_ns)
            elif key in troubles.known:
                known = troubles.known[key]
                if known.cause.severity is not found.cause.severity:
                    troubles.begin(found.cause, now_ns, count=0)
                troubles.renew(key, found.cause)
        if self.processes.bus_silent_ns(now_ns) is not None:
            # Readings fail of that as well: for how long is counted anew once it is back.
            for key in [key for key in self._since if key.startswith(UNREAD)]:
                if key not in self._told:
                    del self._since[key]
            return  # nothing is known to be over
        for key in [key for key in self._since if key not in holding]:
            if self._may_be_over(key):
                del self._since[key]
                self._told.discard(key)
                self._say_if_unknown(key, troubles)
                troubles.end(key, now_ns)

    def _say_if_unknown(self, key: str, troubles: Troubles) -> None:
        """Let the end of what is measured no more say so: nobody knows whether it is well."""
        code, _, place = key.partition("|")
        if code not in measured.RULES or key not in troubles.known:
            return
        if not self.measured.is_known(code, place.partition("|")[2]):
            cause = troubles.known[key].cause
            detail = f"{cause.detail}; {NOT_MEASURED}"
            troubles.renew(key, msgspec.structs.replace(cause, detail=detail))

    def _may_be_over(self, key: str) -> bool:
        """Tell whether what a condition is judged by has been heard in this process."""
        code, _, place = key.partition("|")
        if code in measured.RULES:
            subject = place.partition("|")[2]
            return self.measured.may_be_over(code, subject, self._judged_ns, self._began_ns)
        if code == "ArbHalted":
            return self._state is not None
        if code in {"ArbMoneyUnknown", "ArbUnhedged", "ArbDrawdown"}:
            return self._risk is not None
        if code in {"ArbOrderUnsettled", "ArbVenueOrdersDown"}:
            return self._executor is not None
        if code in {"ArbFeedSilent", "ArbFeedsSilent"}:
            return bool(self._feeds)
        if code in {"ArbDown", "ArbNotReady"}:
            return self.processes.is_beating(key.rpartition("|")[2], self._judged_ns)
        return True

    def _holding(self, now_ns: int) -> Iterator[Found]:
        silent_ns = self.processes.bus_silent_ns(now_ns)
        if silent_ns is not None:
            detail = "no heartbeat of any service arrives, the notifier's own included"
            yield Found(_cause("ArbBusDown", detail=detail), silent_ns)
            return
        down: list[str] = []
        for cause, since_ns in self.processes.silent(now_ns):
            if cause.severity is Severity.CRITICAL:
                down.append(cause.subject)
            yield Found(cause, since_ns)
        for cause, since_ns in self.processes.unready(now_ns):
            yield Found(cause, since_ns, lasts_ns("ArbNotReady"))
        yield from self._halted()
        yield from self._of_executor()
        yield from self._of_feeds()
        if self._risk is not None:
            yield from self._of_risk(self._risk)
        for what, reason in self.measured.unread.items():
            yield Found(_unread(what, reason), 0, UNREAD_NS)
        for name, subject, detail in self.measured.holding():
            # What follows from a service that is down is not told besides; nor is it over.
            if f"{name}||{subject}" in self._told or not _follows(name, subject, down):
                yield Found(_cause(name, subject=subject, detail=detail), 0, lasts_ns(name))

    def _halted(self) -> Iterator[Found]:
        told = self._state
        if told is None or told.state is TradingState.ACTIVE:
            return
        cause = told.reason.partition(":")[0]
        lasts = lasts_ns("ArbHalted") if cause in PASSING else HALTED_NS
        severity = Severity.CRITICAL
        if cause in ASKED_FOR:
            severity = Severity.INFO
        elif told.state is not TradingState.HALTED:
            severity = Severity.WARNING
        text = f"{told.state.value}: {told.reason}"
        yield Found(_cause("ArbHalted", severity, "", text), told.ts_since_ns, lasts)

    def _of_executor(self) -> Iterator[Found]:
        executor = self._executor
        if executor is None:
            return
        if executor.unknown_orders:
            detail = f"{executor.unknown_orders} orders"
            yield Found(
                _cause("ArbOrderUnsettled", detail=detail), 0, lasts_ns("ArbOrderUnsettled")
            )
        for place, reason in sorted(executor.venues_down.items()):
            down = _cause("ArbVenueOrdersDown", subject=place, detail=reason)
            yield Found(down, 0, lasts_ns("ArbVenueOrdersDown"))

    def _of_feeds(self) -> Iterator[Found]:
        down = {
            venue: status.reason or status.state.value
            for venue, status in of_venues(self._feeds).items()
            if status.state is not BookState.LIVE
        }
        for venue, reason in down.items():
            found = _cause("ArbFeedSilent", subject=venue, detail=reason)
            yield Found(found, 0, lasts_ns("ArbFeedSilent"))
        if len(down) >= 2:
            found = _cause("ArbFeedsSilent", detail=", ".join(down))
            yield Found(found, 0, lasts_ns("ArbFeedsSilent"))

    def _of_risk(self, risk: RiskReport) -> Iterator[Found]:
        if risk.certainty is Certainty.UNKNOWN:
            yield Found(_cause("ArbMoneyUnknown"), 0, lasts_ns("ArbMoneyUnknown"))
        in_force = limits_in_force(self._config.risk, risk.limits)
        for quote, lost in sorted(risk.drawdown.items()):
            limits = in_force.limits_in(quote)
            if limits is None or not limits.drawdown_max or lost <= 0:
                continue
            share = lost / limits.drawdown_max
            if share >= Decimal(str(self._config.notifier.drawdown_share)):
                severe = share >= DRAWDOWN_CRITICAL
                text = (
                    f"{lost:f} {quote} below the peak; risk.drawdown_max is {limits.drawdown_max:f}"
                )
                severity = Severity.CRITICAL if severe else Severity.WARNING
                yield Found(_cause("ArbDrawdown", severity, quote, text))
        if not risk.plans_in_flight:
            yield from self._unhedged(risk)

    def _unhedged(self, risk: RiskReport) -> Iterator[Found]:
        section = self._config.notifier
        own = sum((each.directional_notional_max for each in self._config.strategies), Decimal(0))
        limit = section.exposure_notional_max + own
        prices: dict[str, Decimal] = {}
        for each in risk.positions:
            base, quote, _ = split_instrument(each.instrument)
            if quote in self._config.risk.quote_assets:
                # What books would not take, like what is less than a lot, counts as it was paid.
                prices[base] = each.entry if each.close_price is None else each.close_price
        for asset, qty in sorted(risk.exposure.items()):
            price = prices.get(asset)
            if not qty or (price is not None and abs(qty) * price <= limit):
                continue
            worth = "without a price" if price is None else f"worth {abs(qty) * price:.2f} dollars"
            text = f"{qty:f} {asset}, {worth}, and no plan is in flight; told above {limit:f}"
            found = _cause("ArbUnhedged", subject=asset, detail=text)
            yield Found(found, 0, section.exposure_for_ms * 1_000_000)


def _follows(name: str, subject: str, down: Sequence[str]) -> bool:
    """Tell whether a row is a consequence of services that are down."""
    return any(
        each.cause == "ArbDown"
        and name in each.consequences
        and any(service in down for service in each.services)
        and (not each.consumers or subject.rpartition(" ")[2] in each.consumers)
        for each in INHIBITIONS
    )


def _unread(what: str, reason: str) -> Cause:
    return Cause(
        code=UNREAD,
        severity=Severity.WARNING,
        subject=what,
        where="notifier",
        summary="The notifier cannot read what alerts are judged by: those on it are not told",
        detail=reason,
        remedy="mend what it says; where Redis refuses its user: `python -m deploy.prepare` again",
        lasts=True,
    )


def _cause(
    name: str, severity: Severity | None = None, subject: str = "", detail: str = ""
) -> Cause:
    rule = RULE_OF[name]
    return Cause(
        code=name,
        severity=severity or Severity(rule.severity.value),
        subject=subject,
        summary=rule.summary,
        detail=detail,
        remedy=f"`{rule.first}`. {rule.remedy}",
        lasts=True,
    )
