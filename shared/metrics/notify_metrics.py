"""THE TABLE OF METRICS, of the notifier's channels. Pure."""

from __future__ import annotations

from shared.metrics.metric import Kind, Metric, Source

LAST_OK = Metric(
    name="arb_notify_last_ok_timestamp_seconds",
    kind=Kind.GAUGE,
    labels=("channel",),
    source=Source.BEAT,
    text="UNIX time at which the channel last took a message; absent before the first",
)
WAITING = Metric(
    name="arb_notify_messages_waiting",
    kind=Kind.GAUGE,
    labels=("channel",),
    source=Source.BEAT,
    text="Messages that wait for the channel, the one under way included",
)
