"""Names of counters, gauges and histograms in heartbeats that both sides must know. Pure."""

from __future__ import annotations

from typing import Final

REQUEST_COUNTER: Final = "request/{}/{}/{}"
"""Counter of requests to a venue: its name, the kind of request, the result."""
REQUEST_LATENCY: Final = "request/{}"
"""Histogram of their durations, by venue."""
BUDGET_GAUGE: Final = "rate_budget_used/{}"
"""Gauge: used part of a venue's rate limit, 0 to 1."""
NOTIFY_OK_GAUGE: Final = "notify_last_ok/{}"
"""Gauge: when a channel of the notifier last took a message, UNIX seconds."""
NOTIFY_WAITING_GAUGE: Final = "notify_waiting/{}"
"""Gauge: messages that wait for it."""

CPU: Final = "process_cpu_seconds"
RESIDENT: Final = "process_resident_bytes"
OPEN_FILES: Final = "process_open_files"
OPEN_FILES_MAX: Final = "process_open_files_max"
CLOCK_AHEAD: Final = "process_clock_ahead_seconds"
