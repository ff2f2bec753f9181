"""A service's inputs, from its row in the table of services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from shared.bus.port import Input
from shared.services import SERVICE_OF
from shared.streams import BY_NAME, Delivery


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


def newest_followed(service: str, name: str, shards: Iterable[int]) -> Input:
    """Return an input for a LATEST stream that a service follows where it needs it, from now on."""
    assert name in SERVICE_OF[service].follows, "Redis lets it read no others"
    return Input(BY_NAME[name], tuple(shards))


def followed_by(service: str, names: Iterable[str], *, start: str = "first") -> list[Input]:
    """Return inputs for streams that a service follows without a group, from the first entry on.

    With ``start`` "new" only what is written from now on is read.

    Losing the bus does not end such a reader, and nobody waits for it.
    """
    names = tuple(names)
    assert set(names) <= set(SERVICE_OF[service].follows), "Redis lets it read no others"
    specs = [replace(BY_NAME[name], delivery=Delivery.LATEST) for name in names]
    return [Input(spec, start=start) for spec in specs]
