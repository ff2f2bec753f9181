"""THE TABLE OF METRICS, of our requests to venues, their clocks and feeds. Pure."""

from __future__ import annotations

from shared.metrics.metric import Kind, Metric, Source

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

REQUESTS = Metric(
    name="arb_venue_requests_total",
    kind=_C,
    labels=("service", "proc", "venue", "kind", "result"),
    source=Source.BEAT,
    text="Requests to venue accounts by result: answered, refused (an order), not_sent, lost, "
    "failed; on paper the ones that would be sent",
    series_max=512,
)
REQUEST_DURATION = Metric(
    name="arb_venue_request_duration_seconds",
    kind=_H,
    labels=("service", "proc", "venue"),
    source=Source.BEAT,
    text="From the decision to send a request to its answer, waits for the rate limit included",
)
RATE_BUDGET = Metric(
    name="arb_rate_budget_used_ratio",
    kind=_G,
    labels=("service", "proc", "venue"),
    source=Source.BEAT,
    text="Used part of the venue's rate limit for orders, 0 to 1; absent on paper",
)
CLOCK_OFFSET = Metric(
    name="arb_venue_clock_offset_seconds",
    kind=_G,
    labels=("venue",),
    source=Source.BOOKS,
    text="Least time from the venue's stamp on a book to its arrival: how far our clock is ahead, "
    "and the way; below 0 the venue's clock is ahead by at least that",
)
FEED_OF_TWO_UP = Metric(
    name="arb_feed_of_two_up",
    kind=_G,
    labels=("venue", "feed"),
    source=Source.STATUS,
    text="Of a venue that two ingestors follow, 1 while this feed (a, b) is LIVE, else 0",
)
