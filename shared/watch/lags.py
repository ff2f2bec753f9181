"""How far the services are behind on the streams they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.services import SERVICE_OF
from shared.watch.link import Link

_NUMBER_MAX = 2**64 - 1
Place = tuple[str, str]
"""A service and a Redis key that it reads."""


async def read_lags(link: Link, keys: Mapping[str, str]) -> dict[str, int]:
    """Return how long the oldest entry has waited that a service has not handled, in ms, by
    ``service stream``; 0 where none waits.

    Positions are noted every second or so, hence a service that keeps up shows up to that much.

    Args:
        link: The connection to Redis.
        keys: Redis key -> stream.

    Raises:
        ArbError: Redis does not answer.
    """
    foremost = foremost_of(keys, await link.positions())
    first, now_ms = await link.first_after([(key, at) for (_, key), at in foremost.items()])
    waits_ms = {
        place: now_ms - ms_of(entry) if entry else 0
        for place, entry in zip(foremost, first, strict=True)
        if entry is not None
    }
    return lags_of(keys, waits_ms)


def foremost_of(keys: Iterable[str], positions: Mapping[str, str]) -> dict[Place, str]:
    """Return the position of the foremost instance of each service at each key.

    Of several instances the others stand by, own other shards, or are gone.

    Args:
        keys: The Redis keys that count.
        positions: ``service:instance:key`` -> id of the last entry handled.
    """
    known = tuple(keys)
    found: dict[Place, str] = {}
    for holder, position in positions.items():
        service, _, rest = holder.partition(":")
        key = next((key for key in known if rest.endswith(f":{key}")), None)
        if key is None or service not in SERVICE_OF or _order_of(position) is None:
            continue
        best = found.get((service, key))
        if best is None or (_order_of(position) or ()) > (_order_of(best) or ()):
            found[service, key] = position
    return found


def lags_of(keys: Mapping[str, str], waits_ms: Mapping[Place, int]) -> dict[str, int]:
    """Return by ``service stream`` the longest wait of the stream's keys (shards)."""
    found: dict[str, int] = {}
    for (service, key), wait_ms in waits_ms.items():
        place = f"{service} {keys[key]}"
        found[place] = max(wait_ms, 0, found.get(place, 0))
    return found


def ms_of(entry_id: str) -> int:
    """Return when an entry was written, in ms since the epoch: its id begins with it."""
    return int(entry_id.partition("-")[0])


def _order_of(entry_id: str) -> tuple[int, int] | None:
    """Return an id's two numbers; ``None`` if Redis would not take what stands there."""
    head, _, tail = entry_id.partition("-")
    if not (entry_id.isascii() and head.isdigit() and tail.isdigit() and len(entry_id) <= 41):
        return None
    order = int(head), int(tail)
    return order if max(order) < _NUMBER_MAX else None
