"""`arb tail`: decode the messages of a stream, from now or from an entry on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.cli.output import as_record
from shared.errors import ConfigError
from shared.messages.bounds import STRATEGY
from shared.streams import StreamSpec
from shared.watch.link import Link, StreamItem

BLOCK_MS = 1_000
_ENTRY_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
PART_MAX = 2**64 - 1


def check_since(since: str | None) -> None:
    """Check that a text is an entry id.

    Raises:
        ConfigError: It is not; the text says what would be right.
    """
    if since is None:
        return
    found = _ENTRY_ID.fullmatch(since)
    if found is None or any(int(part or 0) > PART_MAX for part in found.groups()):
        raise ConfigError(
            f"--since {since!r} is not an entry id; like 0 (from the start), "
            "1732147200000 (UNIX ms) or 1732147200000-0"
        )


INSTRUMENT_FIELDS = ("instrument", "other_instrument", "buy_instrument", "sell_instrument")
STRATEGY_FIELDS = ("strategy_id", "strategy")


def check_filters(spec: StreamSpec, strategy: str | None, instrument: str | None) -> None:
    """Check that a stream's messages can be of a strategy or instrument that is asked for.

    Raises:
        ConfigError: No message of it ever is.
    """
    fields = {name for kind in spec.types for name in kind.__struct_fields__}
    if strategy is not None:
        if not strategy or not STRATEGY.pattern.fullmatch(strategy):
            raise ConfigError(
                f"--strategy {strategy!r} is no strategy's id; arb strategy list names them"
            )
        if fields.isdisjoint(STRATEGY_FIELDS):
            raise ConfigError(f"--strategy: nothing on {spec.name} is of a strategy; leave it out")
    if instrument is not None and fields.isdisjoint({*INSTRUMENT_FIELDS, "legs", "rules"}):
        raise ConfigError(f"--instrument: nothing on {spec.name} is of one; leave it out")


async def follow(
    link: Link,
    spec: StreamSpec,
    *,
    since: str | None,
    instrument: str | None,
    strategy: str | None = None,
) -> AsyncIterator[StreamItem]:
    """Yield messages of a stream, endlessly: those after ``since``, or only what is new."""
    after = {}
    for key in await link.keys(spec):
        after[key] = (spec, since if since is not None else await link.last_id(key))
    while True:
        for item in await link.read(after, BLOCK_MS):
            if instrument is not None and instrument not in instruments_of(item.message):
                continue
            if strategy is None or strategy == strategy_of(item.message):
                yield item


def instruments_of(message: Any) -> set[str]:
    """Return the instruments a message is about, empty where it is about none."""
    found = {getattr(message, name, None) for name in INSTRUMENT_FIELDS}
    found.update(leg.instrument for leg in getattr(message, "legs", ()))
    rules = getattr(message, "rules", None)
    if rules is not None:
        found.add(rules.instrument)
    return {name for name in found if name}


def strategy_of(message: Any) -> str | None:
    """Return the strategy a message is about, ``None`` where it is about none."""
    found: str | None = getattr(message, "strategy_id", getattr(message, "strategy", None))
    return found


def record_of(item: StreamItem) -> dict[str, Any]:
    """Return what ``--json`` prints of one message."""
    return {
        "stream": item.spec.name,
        "key": item.key,
        "id": item.entry_id,
        "message": as_record(item.message),
    }


def line_of(item: StreamItem) -> str:
    """Return one readable line: when, which type, then its fields."""
    when = datetime.fromtimestamp(int(item.entry_id.partition("-")[0]) / 1e3, UTC)
    record = as_record(item.message)
    kind = record.pop("type")
    fields = " ".join(f"{name}={_short(value)}" for name, value in record.items())
    return f"{when:%H:%M:%S.%f} {item.entry_id} {kind} {fields}"


def _short(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, list) and len(value) > 3:
        return f"[{', '.join(map(str, value[:3]))}, ... {len(value)}]"
    return str(value) if value != "" else "''"
