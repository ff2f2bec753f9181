"""A service's inputs, from its row in the table of services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.bus.port import Input
from shared.services import SERVICE_OF
from shared.streams import BY_NAME


def inputs_of(
    service: str,
    shards: Iterable[int] = (0,),
    starts: Mapping[str, Mapping[int, str]] | None = None,
) -> list[Input]:
    """Return what a service reads.

    Args:
        service: Its name in the table.
        shards: Shards to read of the streams that are sharded.
        starts: Stream -> shard -> where to read on; every shard is then an input of its own.
    """
    owned = tuple(shards)
    inputs = []
    for read in SERVICE_OF[service].reads:
        spec = BY_NAME[read.stream]
        start = "first" if read.from_first else "new"
        if not spec.sharded:
            inputs.append(Input(spec, interval_ms=read.interval_ms, start=start))
        elif starts is None or read.stream not in starts:
            inputs.append(Input(spec, owned, interval_ms=read.interval_ms, start=start))
        else:
            known = starts[read.stream]
            inputs += [
                Input(spec, (shard,), interval_ms=read.interval_ms, start=known.get(shard, start))
                for shard in owned
            ]
    return inputs
