"""THE TABLE OF SERVICES: what each process reads, how it runs, and what it may reach.

Streams are named as in ``shared/streams.py``, which takes from here who reads what. Inputs of the
services and of the lab, and how the supervisor stops them, follow from these rows; so do Redis'
users, compose, systemd and the image, written by ``python -m deploy.services``. A new service is
its folder and its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Instances(StrEnum):
    """How several processes of one service share the work."""

    INDEPENDENT = "independent"  # each works for itself
    SHARDED = "sharded"  # each owns some shards
    LEASED = "leased"  # one is active, the others wait for its lease


class Network(StrEnum):
    """What a service reaches beside Redis."""

    NONE = "none"
    VENUES = "venues"
    CHANNELS = "channels"  # those of [notifier]
    SCRAPERS = "scrapers"  # nothing: it is reached, at a port of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInput:
    """A stream that a service reads.

    Attributes:
        stream: Its name in the map of streams.
        interval_ms: LATEST only: the newest per key is sampled at this interval; 0 wakes on all.
        from_first: LATEST only: read from the oldest entry kept, unless a position was saved.
    """

    stream: str
    interval_ms: int = 0
    from_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One row of the table.

    Attributes:
        name: Of the process, its folder under ``services/`` and its Redis user.
        reads: Streams in.
        instances: How several of it share the work.
        stop_rank: Under the supervisor, lower stops first.
        drain_timeout_s: What it may take to finish when it is asked to stop.
        network: What it reaches beside Redis.
        holds_secrets: Whether it is given the venues' credentials.
        needs: Services that containers and systemd start before it and stop after it.
        is_optional: The system is whole without it.
        on_request: It runs only where it is asked for.
        keeps_files: It is given a place in the file system that it may write to.
        reads_machine: It tells of the whole machine: its processors, memory, disks and clock.
        reads_files_of: The service whose files it may read, not write; empty: of none.
        follows: Streams that it reads besides, without a group, from positions of its own.
        measures: It may ask how long and large every stream is, and how far its readers are.
        own_secrets: How the variables begin that are given to it alone; empty: it has none.
    """

    name: str
    reads: tuple[StreamInput, ...]
    instances: Instances
    stop_rank: int
    drain_timeout_s: float = 5.0
    network: Network = Network.NONE
    holds_secrets: bool = False
    needs: tuple[str, ...] = ()
    is_optional: bool = False
    on_request: bool = False
    keeps_files: bool = False
    reads_machine: bool = False
    reads_files_of: str = ""
    follows: tuple[str, ...] = ()
    measures: bool = False
    own_secrets: str = ""

    @property
    def gives_way(self) -> bool:
        """Whether those that trade have the processor first: it only watches."""
        return self.is_optional and not self.holds_secrets


# The supervisor starts them in this order. Stop ranks: what makes new work goes first, then what
# finishes it, then what that needed.
ALL_SERVICES: tuple[ServiceSpec, ...] = (
    ServiceSpec(
        name="ingestor",
        reads=(StreamInput(stream="md.resync"),),
        instances=Instances.INDEPENDENT,
        stop_rank=3,
        network=Network.VENUES,
    ),
    ServiceSpec(
        name="orderbook",
        reads=(StreamInput(stream="md.book", from_first=True), StreamInput(stream="md.status")),
        instances=Instances.SHARDED,
        stop_rank=3,
    ),
    ServiceSpec(
        name="scanner",
        reads=(
            StreamInput(stream="md.instrument"),
            StreamInput(stream="md.depth"),
            StreamInput(stream="risk.position"),
            # Read where a strategy asks for it.
            StreamInput(stream="md.trade"),
            StreamInput(stream="md.funding"),
        ),
        instances=Instances.SHARDED,
        stop_rank=0,
        reads_files_of="recorder",  # trades that a warm-up needs and the bus no longer keeps
    ),
    ServiceSpec(
        name="risk",
        reads=(
            StreamInput(stream="exec.event"),
            StreamInput(stream="ctl.command"),
            StreamInput(stream="md.instrument"),
            # Books are only checked here: the newest of each is enough, however busy the stream is.
            StreamInput(stream="md.depth", interval_ms=50),
            StreamInput(stream="arb.opportunity"),
            StreamInput(stream="arb.signal"),
        ),
        instances=Instances.LEASED,
        stop_rank=1,
    ),
    ServiceSpec(
        name="executor",
        reads=(
            StreamInput(stream="exec.plan"),
            StreamInput(stream="ctl.command"),
            StreamInput(stream="risk.event"),
            StreamInput(stream="md.instrument"),
            StreamInput(stream="md.depth", interval_ms=20),
            # When funding settles next; on paper also at what rate.
            StreamInput(stream="md.funding", interval_ms=200),
        ),
        instances=Instances.LEASED,
        stop_rank=2,
        # Above request timeout and hedge deadline together, below the containers' grace period.
        drain_timeout_s=20.0,
        network=Network.VENUES,
        holds_secrets=True,
        # What it still evens out when it is stopped needs live books.
        needs=("ingestor", "orderbook", "risk"),
        # On paper, where trades fill orders that rest.
        follows=("md.trade",),
    ),
    ServiceSpec(
        name="recorder",
        # From the oldest entry kept: what it stored before it was killed it knows by its number.
        reads=(StreamInput(stream="md.raw", from_first=True),),
        instances=Instances.LEASED,
        # After the ingestor, whose last frames it still writes.
        stop_rank=4,
        # The segments of an hour become Parquet; what is not done then is at the next start.
        drain_timeout_s=20.0,
        is_optional=True,
        on_request=True,
        keeps_files=True,
        # For the ledger, which keeps its positions itself; nobody waits for it.
        follows=(
            "arb.opportunity",
            "exec.plan",
            "exec.event",
            "risk.event",
            "ctl.command",
            "alert",
            "sys.audit",
        ),
    ),
    ServiceSpec(
        name="sentinel",
        reads=(
            StreamInput(stream="sys.health"),
            StreamInput(stream="risk.event"),
            StreamInput(stream="md.depth", interval_ms=200),
        ),
        instances=Instances.INDEPENDENT,
        # First: services that are being stopped must not look dead.
        stop_rank=0,
        network=Network.VENUES,
        holds_secrets=True,
        is_optional=True,
        # Nobody waits for it, and it must not end with Redis; the plans for how far they are read.
        follows=("exec.event", "ctl.command", "exec.plan"),
    ),
    ServiceSpec(
        name="exporter",
        reads=(
            StreamInput(stream="sys.health"),
            StreamInput(stream="md.status"),
            StreamInput(stream="risk.event"),
            StreamInput(stream="arb.opportunity"),
            StreamInput(stream="alert"),
        ),
        instances=Instances.INDEPENDENT,
        # After those that trade: it tells how they end.
        stop_rank=3,
        network=Network.SCRAPERS,
        is_optional=True,
        # Of the books a sample every few seconds.
        follows=("exec.event", "md.depth"),
        measures=True,
        reads_machine=True,
    ),
    ServiceSpec(
        name="notifier",
        reads=(
            # From the oldest entry kept: what it told before it was killed it has in its state.
            StreamInput(stream="alert", from_first=True),
            StreamInput(stream="sys.health"),
            StreamInput(stream="md.status"),
            StreamInput(stream="risk.event"),
            # When the newest was.
            StreamInput(stream="arb.opportunity", interval_ms=1_000),
        ),
        instances=Instances.INDEPENDENT,
        # First: services that are being stopped must not look dead.
        stop_rank=0,
        network=Network.CHANNELS,
        is_optional=True,
        on_request=True,
        own_secrets="ARB_NOTIFY_",
        # Of the books a sample every few seconds.
        follows=("exec.event", "md.depth"),
        measures=True,
    ),
    ServiceSpec(
        name="dashboard",
        reads=(
            StreamInput(stream="sys.health"),
            StreamInput(stream="md.status"),
            StreamInput(stream="md.instrument"),
            # Nobody sees more than four views a second.
            StreamInput(stream="md.depth", interval_ms=250),
            StreamInput(stream="md.funding", interval_ms=500),
            StreamInput(stream="arb.opportunity"),
            StreamInput(stream="arb.nearmiss"),
            StreamInput(stream="risk.event"),
            StreamInput(stream="risk.position", interval_ms=500),
            StreamInput(stream="alert"),
        ),
        instances=Instances.INDEPENDENT,
        # After those that trade: it shows how they end.
        stop_rank=3,
        network=Network.SCRAPERS,
        is_optional=True,
        # Tokens, and the record of who did what.
        keeps_files=True,
        # Of the user that an operator's commands are written as.
        own_secrets="ARB_DASHBOARD_REDIS_",
        # Nobody waits for it. It holds no key, so it shows plans and commands as they are written;
        # of the audit trail it asks what is there already.
        follows=("exec.event", "exec.plan", "ctl.command", "sys.audit"),
        measures=True,
    ),
)

CORE_SERVICES: tuple[ServiceSpec, ...] = tuple(s for s in ALL_SERVICES if not s.is_optional)
"""What a system must have to be whole."""
SERVICES: tuple[str, ...] = tuple(spec.name for spec in CORE_SERVICES)
USUAL_SERVICES: tuple[str, ...] = tuple(s.name for s in ALL_SERVICES if not s.on_request)
"""What runs without being asked for."""
SERVICE_NAMES: tuple[str, ...] = tuple(spec.name for spec in ALL_SERVICES)
SERVICE_OF: dict[str, ServiceSpec] = {spec.name: spec for spec in ALL_SERVICES}


def readers_of(stream: str) -> tuple[str, ...]:
    """Return the services that read a stream."""
    return tuple(s.name for s in ALL_SERVICES if any(read.stream == stream for read in s.reads))


def followers_of(stream: str) -> tuple[str, ...]:
    """Return the services that follow a stream without a group."""
    return tuple(spec.name for spec in ALL_SERVICES if stream in spec.follows)
