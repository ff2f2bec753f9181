"""THE MAP: every stream, what travels on it, who writes, who reads, and its bounds.

``docs/streams.md`` is generated from this table; ``tests/unit/test_streams.py`` proves that every
message type has exactly one stream and that producers and consumers exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.messages import arb, control, execution, market
from shared.messages.base import Message

SERVICES = ("ingestor", "orderbook", "scanner", "risk", "executor")
ANYONE = "*"
ENTRY_BYTES_MAX = 4_000_000
"""Bound on the bytes of one entry of any stream; a whole book of 50,000 levels a side fits."""


class Delivery(StrEnum):
    """What a reader is promised (see docs/adr/0004)."""

    LATEST = "LATEST"  # newest per key; a late reader skips and counts
    DURABLE = "DURABLE"  # every entry, at least once, acknowledged after effect


class Format(StrEnum):
    """How entries are encoded."""

    MSGPACK = "msgpack"
    JSON = "json"


def _by_book(message: Any) -> str:
    return f"{message.venue}|{message.instrument}"


def _by_rules(message: Any) -> str:
    return f"{message.rules.venue}|{message.rules.instrument}"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One row of the map.

    Attributes:
        name: The logical name, as in ``arb tail md.depth``.
        types: Message types that travel on it.
        producer: The one service that writes it, or ``ANYONE``.
        consumers: Services that read it (DURABLE: each is a consumer group).
        delivery: LATEST or DURABLE.
        format: Wire form of its entries.
        sharded: Partitioned by base asset; the key is ``{<shard>}:<name>``, else ``{arb}:<name>``.
        entries_max: Bound on entries. LATEST: trimmed to about this many. DURABLE: trimmed towards
            it but never past what the slowest group has not acknowledged.
        bytes_max: What the stream may occupy. Who writes a LATEST stream, and who reads a DURABLE
            one, trims it to that every few seconds, whoever wrote into it.
        conflate: Key of "newest per what" for late LATEST readers; ``None``: never conflated.
        backfill: Entries a LATEST reader looks back at on start, to know the present state at once.
        entry_bytes_max: What one entry may hold: longer ones are neither written nor read.
    """

    name: str
    types: tuple[type[Message], ...]
    producer: str
    consumers: tuple[str, ...]
    delivery: Delivery
    format: Format
    sharded: bool
    entries_max: int
    bytes_max: int
    conflate: Callable[[Any], str] | None = None
    backfill: int = 0
    entry_bytes_max: int = field(init=False)

    def __post_init__(self) -> None:
        # Asked for with every entry, so worked out once.
        object.__setattr__(self, "entry_bytes_max", min(self.bytes_max // 4, ENTRY_BYTES_MAX))

    def key(self, shard: int = 0) -> str:
        """Return the Redis key; the braces are a cluster hash tag."""
        return f"{{{shard}}}:{self.name}" if self.sharded else f"{{arb}}:{self.name}"


_MB = 1_000_000

# fmt: off
MD_BOOK = StreamSpec(
    "md.book", (market.BookSnapshot, market.BookDelta), "ingestor", ("orderbook",),
    Delivery.LATEST, Format.MSGPACK, True, 20_000, 64 * _MB,
)
MD_TRADE = StreamSpec(
    "md.trade", (market.Trade,), "ingestor", (),
    Delivery.LATEST, Format.MSGPACK, True, 10_000, 16 * _MB,
)
MD_FUNDING = StreamSpec(
    "md.funding", (market.Funding,), "ingestor", (),
    Delivery.LATEST, Format.MSGPACK, True, 2_000, 4 * _MB, _by_book, 50,
)
MD_STATUS = StreamSpec(
    "md.status", (market.VenueStatus,), "ingestor", ("orderbook",),
    Delivery.LATEST, Format.JSON, False, 1_000, 4 * _MB, _by_book, 50,
)
MD_INSTRUMENT = StreamSpec(
    "md.instrument", (market.InstrumentInfo,), "ingestor", ("scanner", "risk", "executor"),
    Delivery.LATEST, Format.JSON, False, 1_000, 16 * _MB, _by_rules, 100,
)
MD_RESYNC = StreamSpec(
    "md.resync", (market.ResyncRequest,), "orderbook", ("ingestor",),
    Delivery.LATEST, Format.JSON, False, 1_000, 2 * _MB, _by_book,
)
MD_DEPTH = StreamSpec(
    "md.depth", (market.DepthView,), "orderbook", ("scanner", "risk", "executor"),
    Delivery.LATEST, Format.MSGPACK, True, 10_000, 32 * _MB, _by_book, 50,
)
ARB_OPPORTUNITY = StreamSpec(
    "arb.opportunity", (arb.Opportunity,), "scanner", ("risk",),
    Delivery.LATEST, Format.JSON, False, 10_000, 16 * _MB,
)
ARB_NEARMISS = StreamSpec(
    "arb.nearmiss", (arb.NearMiss,), "scanner", (),
    Delivery.LATEST, Format.JSON, False, 10_000, 16 * _MB,
)
EXEC_PLAN = StreamSpec(
    "exec.plan", (execution.ApprovedPlan,), "risk", ("executor",),
    Delivery.DURABLE, Format.JSON, False, 10_000, 32 * _MB,
)
EXEC_EVENT = StreamSpec(
    "exec.event",
    (
        execution.OrderEvent, execution.Fill, execution.BalanceReport, execution.PlanDone,
        execution.ExecutorReady,
    ),
    "executor", ("risk",),
    Delivery.DURABLE, Format.JSON, False, 20_000, 32 * _MB,
)
RISK_EVENT = StreamSpec(
    "risk.event",
    (execution.Denied, execution.TradingStateChanged, execution.RiskReport),
    "risk", ("executor",),
    Delivery.LATEST, Format.JSON, False, 10_000, 16 * _MB, None, 50,
)
CTL_COMMAND = StreamSpec(
    "ctl.command", (control.Command,), "operator", ("risk", "executor"),
    Delivery.DURABLE, Format.JSON, False, 1_000, 2 * _MB,
)
ALERT = StreamSpec(
    "alert", (control.Alert,), ANYONE, (),
    Delivery.LATEST, Format.JSON, False, 2_000, 4 * _MB,
)
SYS_HEALTH = StreamSpec(
    "sys.health", (control.Heartbeat,), ANYONE, (),
    Delivery.LATEST, Format.JSON, False, 1_000, 16 * _MB, None, 50,
)

ALL: tuple[StreamSpec, ...] = (
    MD_BOOK, MD_TRADE, MD_FUNDING, MD_STATUS, MD_INSTRUMENT, MD_RESYNC, MD_DEPTH,
    ARB_OPPORTUNITY, ARB_NEARMISS, EXEC_PLAN, EXEC_EVENT, RISK_EVENT, CTL_COMMAND, ALERT,
    SYS_HEALTH,
)
# fmt: on

BY_NAME: dict[str, StreamSpec] = {spec.name: spec for spec in ALL}
STREAM_OF: dict[type[Message], StreamSpec] = {t: spec for spec in ALL for t in spec.types}
