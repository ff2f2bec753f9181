"""Bounds and intervals of the bus, in one place; and the names of its own keys. Pure."""

from __future__ import annotations

from dataclasses import dataclass

POSITION_KEY = "{arb}:position"
LEDGER_KEY = "{arb}:ledger"
DEAD_ENTRIES_MAX = 1_000
DEAD_BYTES_MAX = 16_384
"""Bytes kept of a dead letter; where its length was the problem, the reason says how long it
was."""
ENTRY_MESSAGES_MAX = 512
"""Messages of one commit to one stream travel in one entry, up to this many."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be changed by a test; production uses the defaults.

    Attributes:
        read_entries_max: Entries one read returns per stream.
        read_messages_max: About how many messages a LATEST read aims at where entries hold many:
            a larger batch falls out of the processor's cache.
        sample_entries_max: Entries one sample takes per stream.
        in_flight_max: Unanswered publish commands; beyond it a commit waits.
        block_ms: How long the server holds a blocking read; an answer later than that plus
            ``answer_s`` means that the connection is dead.
        answer_s: How long any other answer may take.
        claim_idle_ms: A pending entry of another consumer this old was left by a dead one.
        claim_entries_max: Entries claimed in one round.
        deliveries_max: After so many deliveries an entry goes to the dead-letter stream.
        maintenance_s: Interval of claiming and trimming.
        measure_s: Interval of measuring the streams a service writes, in bytes.
        backoff_s, backoff_cap_s: Reconnection delays.
        insists: Whether what Redis refuses is asked for again until it is let pass.
    """

    read_entries_max: int = 256
    read_messages_max: int = 1_024
    sample_entries_max: int = 2_048
    in_flight_max: int = 1_024
    block_ms: int = 5_000
    answer_s: float = 5.0
    claim_idle_ms: int = 5_000
    claim_entries_max: int = 64
    deliveries_max: int = 5
    maintenance_s: float = 2.0
    measure_s: float = 5.0
    backoff_s: float = 0.05
    backoff_cap_s: float = 2.0
    insists: bool = True


TUNING = Tuning()

COUNTERS = (
    "published",
    "read",
    "skipped",
    "lost",
    "rejected",
    "unverified",
    "redelivered",
    "claimed",
    "dead_lettered",
    "reconnects",
)


def checkpoint_key(name: str) -> str:
    """Return the key a checkpoint is saved under."""
    return f"{{arb}}:checkpoint:{name}"


def lease_key(name: str) -> str:
    """Return the key of a lease."""
    return f"{{arb}}:lease:{name}"


def fence_key(name: str) -> str:
    """Return the key of a lease's fencing token: its number and who holds it, or held it last."""
    return f"{{arb}}:fence:{name}"


def members_key(group: str) -> str:
    """Return the key of a group's members."""
    return f"{{arb}}:members:{group}"


def dead_key(stream: str) -> str:
    """Return the dead-letter stream of a stream."""
    return f"{{arb}}:dead.{stream}"
