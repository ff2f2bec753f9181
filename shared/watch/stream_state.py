"""How long and large every stream is, and how far its readers are, as Redis says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.bus.tuning import dead_key
from shared.streams import ALL, Delivery
from shared.watch.lags import read_lags
from shared.watch.link import Link


class StreamState(NamedTuple):
    """``sizes``: entries and bytes by stream, over its shards; ``lags_ms``: by stream and service;
    ``dead``: entries ever put aside, by stream.
    """

    sizes: Mapping[str, tuple[int, int]]
    lags_ms: Mapping[tuple[str, str], int]
    dead: Mapping[str, int]


class StreamGauge:
    """Measures all streams.

    Args:
        shards: Of the streams that have any.
    """

    def __init__(self, shards: int) -> None:
        self._keys = {
            spec.key(shard): spec.name
            for spec in ALL
            for shard in range(shards if spec.sharded else 1)
        }
        self._dead = {
            dead_key(spec.name): spec.name for spec in ALL if spec.delivery is Delivery.DURABLE
        }

    async def read(self, link: Link) -> StreamState:
        """Return what Redis says now.

        Raises:
            BusUnavailable: It does not answer.
        """
        told = await link.measured([*self._keys, *self._dead])
        sizes: dict[str, tuple[int, int]] = {}
        for key, name in self._keys.items():
            if key in told:
                info = told[key]
                entries, size = sizes.get(name, (0, 0))
                sizes[name] = entries + info.get("length", 0), size + info.get("bytes", 0)
        lags_ms = {}
        for place, lag_ms in (await read_lags(link, self._keys)).items():
            service, _, stream = place.partition(" ")
            lags_ms[stream, service] = lag_ms
        # None yet is zero, so that the first one is seen to rise.
        dead = {name: told.get(key, {}).get("entries-added", 0) for key, name in self._dead.items()}
        return StreamState(sizes, lags_ms, dead)
