"""THE MAP: every stream, what travels on it, who writes, who reads, and its bounds.

``docs/streams.md`` is generated from this table; ``tests/unit/test_streams.py`` proves that every
message type has exactly one stream and that producers and consumers exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.messages import (
    arb,
    balances,
    book_audit,
    control,
    execution,
    inventory,
    market,
    raw,
    restated,
    rounds,
)
from shared.messages.base import Message
from shared.services import readers_of

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


def _by_feed(message: Any) -> str:
    """Two ingestors may follow one venue: what one says replaces nothing of the other's."""
    return f"{message.venue}|{message.instrument}|{message.feed}"


def _by_funding(message: Any) -> str:
    """A settlement is a fact of its own, which no later one replaces."""
    settled_ns = message.ts_funding_ns if type(message) is market.FundingSettled else ""
    return f"{message.venue}|{message.instrument}|{type(message).__name__}{settled_ns}"


def _by_round(message: Any) -> str:
    if isinstance(message, rounds.StrategyPosition):
        return message.key
    return "inventory" if isinstance(message, inventory.InventoryTold) else ""


def _by_signal(message: Any) -> str:
    return f"{message.strategy_id}|{message.round_id}"


def _by_rules(message: Any) -> str:
    return f"{message.rules.venue}|{message.rules.instrument}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """One row of the map.

    Attributes:
        name: The logical name, as in ``arb tail md.depth``.
        types: Message types that travel on it.
        producer: The one service that writes it, or ``ANYONE``.
        also: Another service that may write it.
        delivery: LATEST or DURABLE.
        format: Wire form of its entries.
        sharded: Partitioned by base asset; the key is ``{<shard>}:<name>``, else ``{arb}:<name>``.
        entries_max: Bound on entries. LATEST: trimmed to about this many. DURABLE: trimmed towards
            it but never past what the slowest group has not acknowledged.
        bytes_max: What the stream may occupy. The writer of a LATEST stream, or a reader of a
        DURABLE one, trims it to that every few seconds, also where other programs wrote into it.
        conflate: Key of "newest per what" for late LATEST readers; ``None``: never conflated.
        backfill: Entries a LATEST reader looks back at on start, to know the present state at once.
        consumers: Services that read it (DURABLE: each is a consumer group), by their table.
        entry_bytes_max: What one entry may hold: longer ones are neither written nor read.
        signed_with: The name of the key that its entries are signed with (shared/bus/signing.py);
            empty where they are not.
    """

    name: str
    types: tuple[type[Message], ...]
    producer: str
    delivery: Delivery
    format: Format
    sharded: bool = False
    entries_max: int
    bytes_max: int
    conflate: Callable[[Any], str] | None = None
    backfill: int = 0
    also: str = ""
    signed_with: str = ""
    consumers: tuple[str, ...] = field(init=False)
    entry_bytes_max: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "consumers", readers_of(self.name))
        # Asked for with every entry, so worked out once.
        object.__setattr__(self, "entry_bytes_max", min(self.bytes_max // 4, ENTRY_BYTES_MAX))

    def key(self, shard: int = 0) -> str:
        """Return the Redis key; the braces are a cluster hash tag."""
        return f"{{{shard}}}:{self.name}" if self.sharded else f"{{arb}}:{self.name}"


_MB = 1_000_000

MD_BOOK = StreamSpec(
    name="md.book",
    types=(
        market.BookSnapshot,
        market.BookDelta,
        book_audit.BookAuditAsked,
        book_audit.BookAudit,
    ),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.MSGPACK,
    sharded=True,
    entries_max=20_000,
    bytes_max=64 * _MB,
)
MD_TRADE = StreamSpec(
    name="md.trade",
    types=(market.Trade, market.TradesMissed),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.MSGPACK,
    sharded=True,
    entries_max=10_000,
    bytes_max=16 * _MB,
)
MD_FUNDING = StreamSpec(
    name="md.funding",
    types=(market.Funding, market.FundingSettled, market.Mark),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.MSGPACK,
    sharded=True,
    entries_max=2_000,
    bytes_max=4 * _MB,
    conflate=_by_funding,
    backfill=500,
)
MD_STATUS = StreamSpec(
    name="md.status",
    types=(market.VenueStatus,),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=1_000,
    bytes_max=4 * _MB,
    conflate=_by_feed,
    backfill=50,
)
MD_INSTRUMENT = StreamSpec(
    name="md.instrument",
    types=(market.InstrumentInfo,),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=1_000,
    bytes_max=16 * _MB,
    conflate=_by_rules,
    backfill=100,
)
MD_RESYNC = StreamSpec(
    name="md.resync",
    types=(market.ResyncRequest,),
    producer="orderbook",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=1_000,
    bytes_max=2 * _MB,
    conflate=_by_feed,
)
MD_DEPTH = StreamSpec(
    name="md.depth",
    types=(market.DepthView,),
    producer="orderbook",
    delivery=Delivery.LATEST,
    format=Format.MSGPACK,
    sharded=True,
    entries_max=10_000,
    bytes_max=32 * _MB,
    conflate=_by_book,
    backfill=50,
)
MD_AUDIT = StreamSpec(
    name="md.audit",
    types=(book_audit.BookAudited,),
    producer="orderbook",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=2_000,
    bytes_max=4 * _MB,
)
MD_RAW = StreamSpec(
    name="md.raw",
    types=(raw.RawFrames,),
    producer="ingestor",
    delivery=Delivery.LATEST,
    format=Format.MSGPACK,
    entries_max=20_000,
    bytes_max=64 * _MB,
)
ARB_OPPORTUNITY = StreamSpec(
    name="arb.opportunity",
    types=(arb.Opportunity,),
    producer="scanner",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=16 * _MB,
)
ARB_SIGNAL = StreamSpec(
    name="arb.signal",
    types=(arb.Signal,),
    producer="scanner",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=16 * _MB,
    conflate=_by_signal,
)
ARB_INDICATION = StreamSpec(
    name="arb.indication",
    types=(arb.Indication,),
    producer="scanner",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=2_000,
    bytes_max=4 * _MB,
)
ARB_NEARMISS = StreamSpec(
    name="arb.nearmiss",
    types=(arb.NearMiss,),
    producer="scanner",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=16 * _MB,
)
EXEC_PLAN = StreamSpec(
    name="exec.plan",
    types=(execution.ApprovedPlan,),
    producer="risk",
    delivery=Delivery.DURABLE,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=32 * _MB,
    signed_with="plan",
)
EXEC_EVENT = StreamSpec(
    name="exec.event",
    types=(
        execution.OrderEvent,
        execution.Fill,
        restated.FillRestated,
        execution.FundingPaid,
        execution.FundingKnown,
        execution.BalanceReport,
        balances.BalanceMoved,
        execution.PlanDone,
        execution.ExecutorReady,
    ),
    producer="executor",
    delivery=Delivery.DURABLE,
    format=Format.JSON,
    entries_max=20_000,
    bytes_max=32 * _MB,
)
RISK_EVENT = StreamSpec(
    name="risk.event",
    types=(execution.Denied, execution.TradingStateChanged, execution.RiskReport),
    producer="risk",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=16 * _MB,
    backfill=50,
)
RISK_POSITION = StreamSpec(
    name="risk.position",
    types=(rounds.StrategyPosition, rounds.RoundsTold, inventory.InventoryTold),
    producer="risk",
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=2_000,
    bytes_max=16 * _MB,
    conflate=_by_round,
    backfill=10,
)
CTL_COMMAND = StreamSpec(
    name="ctl.command",
    types=(control.Command, control.LimitsChange),
    producer="operator",
    also="sentinel",  # it can only stop: HALT and FLATTEN
    delivery=Delivery.DURABLE,
    format=Format.JSON,
    entries_max=1_000,
    bytes_max=2 * _MB,
    signed_with="command",
)
ALERT = StreamSpec(
    name="alert",
    types=(control.Alert,),
    producer=ANYONE,
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=2_000,
    bytes_max=4 * _MB,
)
SYS_AUDIT = StreamSpec(
    name="sys.audit",
    types=(control.Audited,),
    producer="dashboard",
    also="operator",  # commands given on a terminal
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=10_000,
    bytes_max=8 * _MB,
)
SYS_HEALTH = StreamSpec(
    name="sys.health",
    types=(control.Heartbeat,),
    producer=ANYONE,
    delivery=Delivery.LATEST,
    format=Format.JSON,
    entries_max=1_000,
    bytes_max=16 * _MB,
    backfill=50,
)

ALL: tuple[StreamSpec, ...] = (
    MD_BOOK,
    MD_TRADE,
    MD_FUNDING,
    MD_STATUS,
    MD_INSTRUMENT,
    MD_RESYNC,
    MD_DEPTH,
    MD_AUDIT,
    MD_RAW,
    ARB_OPPORTUNITY,
    ARB_SIGNAL,
    ARB_INDICATION,
    ARB_NEARMISS,
    EXEC_PLAN,
    EXEC_EVENT,
    RISK_EVENT,
    RISK_POSITION,
    CTL_COMMAND,
    ALERT,
    SYS_AUDIT,
    SYS_HEALTH,
)

SIGNED: tuple[StreamSpec, ...] = tuple(spec for spec in ALL if spec.signed_with)
BY_NAME: dict[str, StreamSpec] = {spec.name: spec for spec in ALL}
STREAM_OF: dict[type[Message], StreamSpec] = {t: spec for spec in ALL for t in spec.types}


def keys_of(service: str) -> tuple[str, ...]:
    """Return the names of the signing keys that a service holds: to sign with, or to verify."""
    return tuple(s.signed_with for s in SIGNED if service in {s.producer, s.also, *s.consumers})
