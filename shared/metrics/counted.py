"""Counts of what happens on the streams while the exporter reads them. Pure.

They begin at zero with the exporter. An entry that is read twice (Redis lost data, or a service
told it again after a crash) counts once as long as its id is remembered.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeVar

from shared.messages.arb import Opportunity
from shared.messages.control import Alert
from shared.messages.execution import Fill, OrderEvent, PlanDone, PlanOutcome
from shared.messages.fill_key import fill_key
from shared.metrics import table as m
from shared.metrics.samples import Samples
from shared.metrics.seen_ids import SeenIds

Name = TypeVar("Name", str, tuple[str, str, str])

REMEMBERED_MAX: Final = 20_000
"""As many as the longest stream of these has entries."""
NAMES_MAX: Final = 1_000
"""Label values counted of one metric; far more than it may expose."""


class Counted:
    """Opportunities, ends of plans, orders, fills and alerts."""

    def __init__(self) -> None:
        self._opportunities: Counter[str] = Counter()
        self._plans: Counter[str] = Counter({outcome.value: 0 for outcome in PlanOutcome})
        self._orders: Counter[tuple[str, str, str]] = Counter()
        self._fills: Counter[str] = Counter()
        self._alerts: Counter[tuple[str, str, str]] = Counter()
        self._seen = SeenIds(REMEMBERED_MAX)
        self._newest_opportunity_ns: int | None = None

    def on_message(self, message: object) -> None:
        """Count a message, if it is of a kind that is counted."""
        if isinstance(message, Opportunity):
            newest = max(self._newest_opportunity_ns or 0, message.ts_ns)
            self._newest_opportunity_ns = newest
            if self._is_new("opportunity", message.opportunity_id):
                _count(self._opportunities, message.detector)
        elif isinstance(message, PlanDone):
            if self._is_new("plan", message.plan_id, message.outcome):
                self._plans[message.outcome.value] += 1
        elif isinstance(message, OrderEvent):
            if self._is_new("order", message.client_order_id, message.status):
                _count(self._orders, (message.venue, message.purpose.value, message.status.value))
        elif isinstance(message, Fill):
            if self._is_new("fill", *fill_key(message)):
                _count(self._fills, message.venue)
        elif isinstance(message, Alert):
            kind = message.service, message.severity.value, message.code
            _count(self._alerts, kind, message.count)

    def tell(self, out: Samples, *, is_read: bool) -> None:
        """Add the counts; alerts and the newest opportunity's time also while Redis is not read.

        An alert that was away and came back would be a new one to Prometheus.
        """
        if self._newest_opportunity_ns is not None:
            out.add(m.LAST_OPPORTUNITY, self._newest_opportunity_ns / 1e9)
        for kind, count in sorted(self._alerts.items()):
            out.add(m.ALERTS, count, *kind)
        if not is_read:
            return
        for metric, counts in (
            (m.OPPORTUNITIES, self._opportunities),
            (m.PLANS, self._plans),
            (m.FILLS, self._fills),
        ):
            for name, count in sorted(counts.items()):
                out.add(metric, count, name)
        for labels, count in sorted(self._orders.items()):
            out.add(m.ORDERS, count, *labels)

    def _is_new(self, kind: str, *ids: object) -> bool:
        return self._seen.add((kind, *ids))


def _count(counts: Counter[Name], name: Name, n: int = 1) -> None:
    """Count under a name; a bounded number of names is told apart, which is of no matter here."""
    if name in counts or len(counts) < NAMES_MAX:
        counts[name] += n
