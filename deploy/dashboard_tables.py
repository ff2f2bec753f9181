"""THE TABLE OF DASHBOARDS: what each panel asks of Prometheus. Pure.

``python -m deploy.grafana`` makes Grafana's files of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MONEY, RATIO, SECONDS, BYTES, PLAIN = "short", "percentunit", "s", "bytes", "short"
PER_S, BYTES_PER_S = "cps", "Bps"


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel asks: PromQL, and how each series is named, by its labels."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: What it shows.
        unit: Grafana's name of the unit.
        queries: What it asks.
        is_number: The newest value is shown, not its course.
        absent: When it rightly shows nothing; empty: never while the system trades.
        about: What to know about it.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    is_number: bool = False
    absent: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; ``name`` is its file and the end of its uid."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def _p99(measure: str, by: str = "service") -> str:
    return f"histogram_quantile(0.99, sum by (le, {by}) (rate(arb_{measure}_seconds_bucket[5m])))"


def _median(measure: str) -> str:
    return f"histogram_quantile(0.5, sum by (le) (rate(arb_{measure}_seconds_bucket[5m])))"


NO_POSITION: Final = "without an open position"
NO_FUNDING: Final = "before a derivative was held over a funding"

OVERVIEW: Final = Dashboard(
    "overview",
    "arbstream: overview",
    (
        Panel("Trading state", PLAIN, (Query("arb_trading_state == 1", "{{state}}"),), True),
        Panel("Redis is read", PLAIN, (Query("arb_up", "up"),), True),
        Panel("Processes ready", PLAIN, (Query("sum(arb_ready)", "ready"),), True),
        Panel(
            "Alerts firing",
            PLAIN,
            (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),),
            True,
            about="ArbWatchdog always fires: without it no rules are loaded.",
        ),
        Panel("Today", MONEY, (Query("arb_today_quote", "{{asset}}"),)),
        Panel("Equity", MONEY, (Query("arb_equity_quote", "{{asset}}"),)),
        Panel("Exposure, units of the asset", PLAIN, (Query("arb_exposure_base", "{{asset}}"),)),
        Panel(
            "Opportunities per second",
            PER_S,
            (Query("sum by (detector) (rate(arb_opportunities_total[5m]))", "{{detector}}"),),
        ),
        Panel(
            "Plans that ended per second",
            PER_S,
            (Query("sum by (outcome) (rate(arb_plans_total[5m]))", "{{outcome}}"),),
        ),
        Panel("Market data up", PLAIN, (Query("arb_feed_up", "{{venue}}"),)),
        Panel("Orders possible", PLAIN, (Query("arb_venue_orders_up", "{{venue}}"),)),
        Panel("Tick to order, p99", SECONDS, (Query(_p99("tick_to_order"), "{{service}}"),)),
    ),
)
FEEDS: Final = Dashboard(
    "feeds",
    "arbstream: market data",
    (
        Panel("Frames per second", PER_S, (Query("rate(arb_feed_frames_total[1m])", "{{proc}}"),)),
        Panel("Market data up", PLAIN, (Query("arb_feed_up", "{{venue}}"),)),
        Panel(
            "Gaps, resyncs, reconnects in 5 minutes",
            PLAIN,
            (
                Query("sum(increase(arb_feed_gaps_total[5m]))", "gaps"),
                Query("sum(increase(arb_feed_resyncs_total[5m]))", "resyncs"),
                Query("sum(increase(arb_feed_reconnects_total[5m]))", "reconnects"),
            ),
        ),
        Panel("Books by state", PLAIN, (Query("sum by (state) (arb_books)", "{{state}}"),)),
        Panel(
            "Books that are not LIVE",
            RATIO,
            (
                Query(
                    'sum by (venue) (arb_books{state!="LIVE"}) / sum by (venue) (arb_books)',
                    "{{venue}}",
                ),
            ),
        ),
        Panel(
            "Longest time without a change of a book",
            SECONDS,
            (Query("time() - arb_book_oldest_timestamp_seconds", "{{venue}}"),),
        ),
        Panel(
            "Clock of the venue against ours",
            SECONDS,
            (Query("arb_venue_clock_offset_seconds", "{{venue}}"),),
            about="The way to us is in it; below 0 the venue's clock is ahead.",
        ),
        Panel("Tick to depth, p99", SECONDS, (Query(_p99("tick_to_depth"), "{{service}}"),)),
    ),
)
EXECUTION: Final = Dashboard(
    "execution",
    "arbstream: decisions and orders",
    (
        Panel(
            "Near misses per second by gate",
            PER_S,
            (Query("sum by (gate) (rate(arb_near_misses_total[5m]))", "{{gate}}"),),
        ),
        Panel(
            "Plans denied per second by reason",
            PER_S,
            (Query("sum by (reason) (rate(arb_denials_total[5m]))", "{{reason}}"),),
            absent="while risk has denied nothing",
        ),
        Panel(
            "Plans approved and shrunk per second",
            PER_S,
            (
                Query("sum(rate(arb_plans_approved_total[5m]))", "approved"),
                Query("sum(rate(arb_plans_shrunk_total[5m]))", "shrunk"),
            ),
        ),
        Panel(
            "Plans by outcome in 5 minutes",
            PLAIN,
            (Query("sum by (outcome) (increase(arb_plans_total[5m]))", "{{outcome}}"),),
        ),
        Panel("Plans in flight", PLAIN, (Query("arb_plans_in_flight", "plans"),)),
        Panel(
            "Orders per second",
            PER_S,
            (Query("sum by (venue, status) (rate(arb_orders_total[5m]))", "{{venue}} {{status}}"),),
        ),
        Panel("Fills per second", PER_S, (Query("rate(arb_fills_total[5m])", "{{venue}}"),)),
        Panel("Orders of unknown outcome", PLAIN, (Query("arb_orders_unsettled", "orders"),)),
        Panel(
            "Requests to venues per second",
            PER_S,
            (
                Query(
                    "sum by (venue, result) (rate(arb_venue_requests_total[5m]))",
                    "{{venue}} {{result}}",
                ),
            ),
        ),
        Panel(
            "Requests that fail",
            RATIO,
            (Query("venue:arb_venue_requests:error_ratio_rate5m", "{{venue}}"),),
        ),
        Panel(
            "Requests to venues, p99",
            SECONDS,
            (Query(_p99("venue_request_duration", "venue"), "{{venue}}"),),
        ),
        Panel(
            "Rate limits used",
            RATIO,
            (Query("arb_rate_budget_used_ratio", "{{venue}}"),),
            absent="on paper",
        ),
    ),
)
MONEY_BOARD: Final = Dashboard(
    "money",
    "arbstream: money",
    (
        Panel(
            "How well the results are known",
            PLAIN,
            (Query("arb_money_certainty == 1", "{{certainty}}"),),
            True,
        ),
        Panel("Something is unknown", PLAIN, (Query("arb_money_unknown", "unknown"),), True),
        Panel(
            "Equity and its peak",
            MONEY,
            (
                Query("arb_equity_quote", "{{asset}}"),
                Query("arb_equity_peak_quote", "{{asset}} peak"),
            ),
        ),
        Panel("Drawdown", MONEY, (Query("arb_drawdown_quote", "{{asset}}"),)),
        Panel("Today", MONEY, (Query("arb_today_quote", "{{asset}}"),)),
        Panel("Realized", MONEY, (Query("arb_realized_quote", "{{asset}}"),)),
        Panel(
            "Unrealized",
            MONEY,
            (Query("arb_unrealized_quote", "{{asset}}"),),
            absent=NO_POSITION,
        ),
        Panel("Fees", MONEY, (Query("arb_fees_quote", "{{asset}}"),)),
        Panel("Funding", MONEY, (Query("arb_funding_quote", "{{asset}}"),), absent=NO_FUNDING),
        Panel("Exposure, units of the asset", PLAIN, (Query("arb_exposure_base", "{{asset}}"),)),
        Panel(
            "Positions, units of the asset",
            PLAIN,
            (Query("arb_position_base", "{{asset}} {{venue}}"),),
            absent=NO_POSITION,
        ),
        Panel(
            "Value of positions",
            MONEY,
            (Query("arb_position_value_quote", "{{asset}} {{venue}} in {{quote}}"),),
            absent=NO_POSITION,
        ),
    ),
)
LATENCY: Final = Dashboard(
    "latency",
    "arbstream: latency and bus",
    (
        Panel(
            "Median from a tick",
            SECONDS,
            tuple(
                Query(_median(f"tick_to_{step}"), f"to {step}")
                for step in ("depth", "opportunity", "plan", "order")
            ),
        ),
        Panel(
            "p99 from a tick",
            SECONDS,
            tuple(
                Query(_p99(f"tick_to_{step}"), f"to {step}, {{{{service}}}}")
                for step in ("depth", "opportunity", "plan", "order")
            ),
        ),
        Panel(
            "Behind on streams",
            SECONDS,
            (Query("arb_stream_lag_seconds", "{{consumer}} {{stream}}"),),
        ),
        Panel(
            "Streams against their bounds",
            RATIO,
            (Query("arb_stream_bytes / arb_stream_bytes_max", "{{stream}}"),),
        ),
        Panel("Entries of streams", PLAIN, (Query("arb_stream_entries", "{{stream}}"),)),
        Panel("Dead letters", PLAIN, (Query("arb_dead_letters_total", "{{stream}}"),)),
    ),
)
HOST: Final = Dashboard(
    "host",
    "arbstream: machine",
    (
        Panel(
            "Processors by mode",
            RATIO,
            (
                Query(
                    "sum by (mode) (rate(arb_host_cpu_seconds_total[1m])) / "
                    "scalar(sum(rate(arb_host_cpu_seconds_total[1m])))",
                    "{{mode}}",
                ),
            ),
        ),
        Panel(
            "Pressure",
            RATIO,
            (Query("arb_host_pressure_ratio", "{{resource}}"),),
            absent="before Linux 4.20",
        ),
        Panel(
            "Memory",
            BYTES,
            (
                Query("arb_host_memory_bytes - arb_host_memory_available_bytes", "used"),
                Query("arb_host_memory_bytes", "all"),
                Query("arb_host_swap_used_bytes", "swap used"),
            ),
        ),
        Panel("Load per processor", PLAIN, (Query("arb_host_load / arb_host_cpus", "one minute"),)),
        Panel(
            "Disks used",
            RATIO,
            (Query("1 - arb_host_disk_free_bytes / arb_host_disk_bytes", "{{mount}}"),),
        ),
        Panel(
            "Disks, bytes per second",
            BYTES_PER_S,
            (Query("rate(arb_host_disk_io_bytes_total[1m])", "{{direction}}"),),
            absent="in a container that sees no disk",
        ),
        Panel(
            "Network, bytes per second",
            BYTES_PER_S,
            (Query("rate(arb_host_network_bytes_total[1m])", "{{direction}}"),),
        ),
        Panel(
            "Clock is kept",
            PLAIN,
            (Query("arb_host_clock_synchronized", "kept"),),
            True,
            absent="where the kernel may not be asked",
        ),
        Panel(
            "Processor time of processes",
            RATIO,
            (Query("rate(arb_process_cpu_seconds_total[1m])", "{{proc}}"),),
            about="1 is one whole processor.",
        ),
        Panel("Memory of processes", BYTES, (Query("arb_process_resident_bytes", "{{proc}}"),)),
        Panel("Open files of processes", PLAIN, (Query("arb_process_open_files", "{{proc}}"),)),
        Panel(
            "Restarts in 10 minutes",
            PLAIN,
            (Query("increase(arb_restarts_total[10m])", "{{proc}}"),),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, FEEDS, EXECUTION, MONEY_BOARD, LATENCY, HOST)
