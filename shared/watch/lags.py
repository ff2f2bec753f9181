"""How far the services are behind on the streams they read. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.services import SERVICE_OF


def lags_of(
    keys: Mapping[str, str], ends: Mapping[str, str], positions: Mapping[str, str]
) -> dict[str, int]:
    """Return how far the services are behind, in ms, by ``service stream``.

    Of several instances of a service the foremost counts at each key: others stand by, own other
    shards, or are gone. Of several shards of a stream the one furthest behind counts.

    Args:
        keys: Redis key -> stream.
        ends: Redis key -> id of its last entry.
        positions: ``service:instance:key`` -> id of the last entry handled.
    """
    behind: dict[tuple[str, str], int] = {}
    for holder, position in positions.items():
        service, _, rest = holder.partition(":")
        key = next((key for key in keys if rest.endswith(f":{key}")), None)
        if key is None or key not in ends or service not in SERVICE_OF:
            continue
        lag = max(0, _ms_of(ends[key]) - _ms_of(position))
        behind[service, key] = min(lag, behind.get((service, key), lag))
    found: dict[str, int] = {}
    for (service, key), lag in behind.items():
        place = f"{service} {keys[key]}"
        found[place] = max(lag, found.get(place, 0))
    return found


def _ms_of(entry_id: str) -> int:
    head = entry_id.partition("-")[0]
    return int(head) if head.isdigit() else 0
