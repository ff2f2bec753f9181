"""How long leases last, and how shards are divided among instances. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

TTL_MS: Final = 2_000
RENEW_S: Final = 0.5
STANDBY_S: Final = 0.2
"""How often a standby asks. A stopped instance is replaced within ``TTL_MS``, this and
``TAKEOVER_PAUSE_S``: 2.5 s."""
TAKEOVER_PAUSE_S: Final = 0.3
"""From taking the lease to the work: two starts of the executor must not
fall into one slot of its order ids (``services/executor/ids.py``)."""


def assign(shards: int, members: Sequence[str]) -> dict[int, str]:
    """Return the owner of every shard: even, and the same in every process that sees the members.

    Without members nobody owns anything.
    """
    ordered = sorted(set(members))
    if not ordered:
        return {}
    return {shard: ordered[shard % len(ordered)] for shard in range(shards)}
