"""The bus as services see it: one port, two implementations, one contract suite.

Semantics (see docs/adr/0004):

* **LATEST** input: every entry after the moment of opening (plus the spec's backfill), in order. A
  reader that falls behind is conflated to the newest message per ``spec.conflate`` key, and what
  was left out is counted in ``Batch.skipped``. If the connection is lost the reader reconnects.
* **DURABLE** input: a consumer group named after the service. Every entry is delivered at least
  once and stays pending until committed. What a dead consumer left is claimed and delivered in
  batches with ``redelivered`` set. If the connection is lost, ``read`` raises ``BusUnavailable``:
  the process must end rather than run ahead of the bus.
* **commit** makes a batch's effects real: outputs, checkpoints and acknowledgement become visible
  together or not at all where the batch is durable or a checkpoint is given; otherwise the outputs
  are sent without waiting, several in flight, and a failure surfaces at a call soon after.
* Messages of one commit that go to the same stream travel in one entry, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from shared.messages.base import Message
from shared.streams import StreamSpec

NO_CHECKPOINTS: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class Input:
    """A stream a service wants to read.

    Attributes:
        spec: Which stream.
        shards: Shards to read where the stream is sharded.
        interval_ms: LATEST only. 0 wakes on every entry; otherwise the newest per key is sampled at
            this interval, which costs one wake-up per interval however busy the stream is.
        start: LATEST only. ``"new"`` (after the backfill), ``"first"`` (the oldest entry kept), or
            an entry id to continue after.
    """

    spec: StreamSpec
    shards: tuple[int, ...] = (0,)
    interval_ms: int = 0
    start: str = "new"


@dataclass(slots=True)
class Batch:
    """What one read returned.

    Attributes:
        messages: In stream order; entries of one stream keep their order, streams are grouped.
        skipped: Messages conflated away since the last batch.
        redelivered: The whole batch was delivered before, to this or another consumer, and may
            already have taken effect.
        last_ids: Stream key -> id of the last entry in this batch, per stream read.
        pending: Implementation's own handle: what to acknowledge.
        rejected: Entries that did not decode; already counted, alerted and (DURABLE) dead-lettered.
    """

    messages: list[Message]
    skipped: int = 0
    redelivered: bool = False
    last_ids: dict[str, str] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=dict)
    rejected: int = 0


class Inbox(Protocol):
    """An open set of inputs."""

    @property
    def is_durable(self) -> bool:
        """Whether any input is DURABLE, so that losing the bus must end the process."""

    async def read(self, timeout_s: float | None = None) -> Batch:
        """Return the next batch; empty when ``timeout_s`` passes first.

        Raises:
            BusUnavailable: A durable input lost its connection.
        """

    async def close(self) -> None:
        """Stop reading. What was not committed stays pending."""


class Bus(Protocol):
    """A connection to the bus."""

    @property
    def problem(self) -> str:
        """What the bus refuses now and is asked for again, in one line; empty if nothing."""

    async def open_inbox(
        self, inputs: Sequence[Input], *, service: str, instance: str, exclusive: bool = False
    ) -> Inbox:
        """Open inputs; ``service`` names the consumer group, ``instance`` the consumer.

        LATEST backfills come first, then what is pending for this consumer, then new entries. What
        other consumers left is claimed after a few seconds of idleness; at once, and before
        anything new, with ``exclusive``: the caller holds the service's lease, all others are dead.
        """

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish and return only when the bus has confirmed (the write-ahead).

        Raises:
            BusUnavailable: Not confirmed; whether it happened is unknown.
        """

    async def commit(
        self,
        batch: Batch | None,
        messages: Sequence[Message],
        *,
        checkpoints: Mapping[str, bytes] = NO_CHECKPOINTS,
    ) -> None:
        """Make the effects of ``batch`` real: publish, save the checkpoints, acknowledge.

        Args:
            batch: The batch that caused this, or ``None`` (a timer).
            messages: Outputs in order.
            checkpoints: Name -> state, saved in the same transaction.

        Raises:
            BusUnavailable: Not confirmed.
        """

    async def load_checkpoint(self, name: str) -> bytes | None:
        """Return the state saved under ``name``, or ``None``."""

    async def save_checkpoint(self, name: str, state: bytes) -> None:
        """Save a state on its own, sent without waiting like a LATEST commit.

        Raises:
            BusUnavailable: Not sent, or an earlier send failed.
        """

    async def note_positions(self, fields: Mapping[str, str]) -> None:
        """Publish how far a consumer is: fields of the hash ``{arb}:position``; does not wait.

        What was committed before is on the bus before the position is.
        """

    async def marks(self) -> Mapping[str, str]:
        """Return the marks of the ledger that this bus holds (see shared/ledger.py)."""

    async def mark(self, fields: Mapping[str, str], *, only_new: bool = False) -> None:
        """Set marks of the ledger; with ``only_new``, those that are not set yet.

        Raises:
            BusUnavailable: Not confirmed.
        """

    async def unmark(self, name: str) -> None:
        """Remove one mark of the ledger."""

    async def hold_lease(self, name: str, owner: str, ttl_ms: int) -> int:
        """Take or renew a lease for ``ttl_ms`` from now; return its fencing token, 0 if not held.

        Every acquisition has a greater token than the one before; to renew leaves it as it is.
        """

    def fence(self, name: str, owner: str, token: int) -> None:
        """Let every further publish, commit and mark carry the token of a lease.

        Once anybody has acquired the lease again the server refuses them, whole, with
        :class:`~shared.errors.BusUnavailable`: in one step with the write, so nothing can come
        between.
        """

    async def lease_holder(self, name: str) -> str:
        """Return who holds a lease; empty if there is none."""

    async def release_lease(self, name: str, owner: str) -> None:
        """Give a lease up if ``owner`` holds it."""

    async def join_members(self, group: str, member: str, ttl_ms: int) -> list[str]:
        """Register as a living member for ``ttl_ms`` and return all living members, sorted."""

    async def leave_members(self, group: str, member: str) -> None:
        """Leave a group of members at once."""

    async def stats(self) -> Mapping[str, int]:
        """Return counters since the start.

        published, read (messages), skipped (conflated), lost (entries trimmed before they were
        read), rejected (entries that did not decode), unverified (of
        those: not signed by a holder of the key), redelivered, claimed, dead_lettered,
        reconnects.
        """

    async def close(self) -> None:
        """Flush what is in flight, send the alerts that wait, and disconnect."""


def shard_of(instrument: str, shards: int) -> int:
    """Return the shard of an instrument: by base asset, so that all its venues meet in one place.

    CRC-32 rather than ``hash``: the same in every process and every version.
    """
    return crc32(instrument.partition("/")[0].encode()) % shards
