"""The page of metrics, ``docs/metrics.md``: the table, in groups. Pure.

python -m services.exporter.metrics_page > docs/metrics.md
"""

from __future__ import annotations

import sys
from typing import Final

from services.exporter import metrics as m
from services.exporter.metric import Metric

GROUPS: Final[dict[str, tuple[Metric, ...]]] = {
    "Processes": (m.UP, m.BUILD, m.READY, m.HEARTBEAT, m.RESTARTS, m.EVENTS, m.OVERFLOW),
    "Market data": (
        m.FEED_FRAMES,
        m.FEED_GAPS,
        m.FEED_RESYNCS,
        m.FEED_RECONNECTS,
        m.FEED_UP,
        m.BOOKS,
        m.BOOK_TIME,
    ),
    "Decisions": (m.OPPORTUNITIES, m.LAST_OPPORTUNITY, m.NEAR_MISSES, m.DENIALS, m.APPROVED),
    "Execution": (m.PLANS, m.PLANS_IN_FLIGHT, m.ORDERS, m.FILLS, m.UNSETTLED, m.ORDERS_UP),
    "Money": (
        m.STATE,
        m.HALT_CAUSE,
        m.RISK_TIME,
        m.EXPOSURE,
        m.POSITION,
        m.POSITION_VALUE,
        m.REALIZED,
        m.UNREALIZED,
        m.FEES,
        m.TODAY,
        m.DRAWDOWN,
        m.FUNDING,
        m.CERTAINTY,
        m.MONEY_UNKNOWN,
    ),
    "Latency and bus": (
        m.TICK_TO_DEPTH,
        m.TICK_TO_OPPORTUNITY,
        m.TICK_TO_PLAN,
        m.TICK_TO_ORDER,
        m.STREAM_ENTRIES,
        m.STREAM_BYTES,
        m.STREAM_BYTES_MAX,
        m.STREAM_LAG,
        m.DEAD_LETTERS,
        m.ALERTS,
    ),
}
ALL: Final[tuple[Metric, ...]] = tuple(row for rows in GROUPS.values() for row in rows)
COMMAND: Final = "python -m services.exporter.metrics_page > docs/metrics.md"

_HEAD = f"""# Metrics

Generated from `services/exporter/metrics.py` by `{COMMAND}`;
a test keeps it current. One service, the exporter, reads Redis and answers for all of them:
`http://127.0.0.1:9465/metrics` (`[exporter]`), OpenMetrics or the older text, as the scraper asks.
It is the only target to scrape, with `honor_labels: true`; rules to alert on are in
[alerts](alerts.md):

```yaml
scrape_configs:
  - job_name: arbstream
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:9465"]}}]
```

A figure older than its limit is absent, and so is one that is not known: absent is never 0. Without
Redis the exporter answers with `arb_up 0`, and within seconds with no figure but times. `proc` is a
slot like `risk-0`: a process that is started again takes the place of the one before.
`arb_money_certainty` says how well the results are known. Histograms have buckets from 10 us to
5 s, and sums from the middles of finer buckets, within 1.6 %. Label values come from closed sets,
never from ids, prices, texts or instruments; `arb_series_overflow_total` counts what finds no room.
"""


def render_markdown() -> str:
    """Return the document."""
    lines = [_HEAD]
    for title, rows in GROUPS.items():
        lines += [f"## {title}", "", "| metric | labels | type | meaning | exposed | series |"]
        lines.append("|---|---|---|---|---|---|")
        for row in rows:
            labels = ", ".join(f"`{name}`" for name in row.labels) or "-"
            bound = row.series_max if row.labels else 1
            lines.append(
                f"| `{row.name}` | {labels} | {row.kind} | {row.text} | {row.source} | {bound} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
