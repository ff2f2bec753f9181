"""Renders the map of streams as ``docs/streams.md``; pure but for its ``__main__``.

python -m shared.streams_doc > docs/streams.md
"""

from __future__ import annotations

import sys

from shared.bus.tuning import DEAD_ENTRIES_MAX, POSITION_KEY, dead_key
from shared.messages.base import Message
from shared.services import followers_of
from shared.streams import ALL, ANYONE, StreamSpec

_HEAD = """\
# Streams

Generated from `shared/streams.py` by `python -m shared.streams_doc > docs/streams.md`; a test keeps
it current. Watch any of them with `arb tail STREAM`; the JSON ones also with
`redis-cli XREAD COUNT 10 STREAMS '{arb}:exec.event' 0`.

| stream | key | messages | producer | consumers | followed by | delivery | wire \
| entries | bytes | key |
|---|---|---|---|---|---|---|---|---|---|---|
"""

_DELIVERY = """
**LATEST**: read without a group; a reader that falls behind gets the newest message per key and a
count of the rest; trimmed to about *entries*, or to fewer when *bytes* would be passed.
**DURABLE**: each consumer is a group; delivered at least once, acknowledged together with its
effects; trimmed towards *entries*, never past what the slowest group has not acknowledged.
*Followed by* reads without a group, from a position of its own: nothing waits for it, and what is
trimmed before it was read is a gap that it notes.
Where there is a *key*, an entry has a second field, `s`, and is put aside unread where that is not
the signature of a holder of that key ([security](security.md)).

## Messages
"""


def _who(names: tuple[str, ...]) -> str:
    return ", ".join("any process" if name == ANYONE else name for name in names) or "-"


def _row(spec: StreamSpec) -> str:
    key = f"{{<shard>}}:{spec.name}" if spec.sharded else spec.key()
    types = ", ".join(kind.__name__ for kind in spec.types)
    cells = [
        spec.name,
        f"`{key}`",
        types,
        _who((spec.producer, spec.also) if spec.also else (spec.producer,)),
        _who(spec.consumers),
        _who(followers_of(spec.name)),
        str(spec.delivery),
        str(spec.format),
        f"{spec.entries_max:,}",
        f"{spec.bytes_max // 1_000_000} MB",
        spec.signed_with or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _message(kind: type[Message]) -> str:
    first = (kind.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")
    fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
    tag = kind.__struct_config__.tag
    return f"- **{kind.__name__}** (`{tag}`): {first}  \n  {fields}"


def render() -> str:
    """Return the whole page."""
    parts = [_HEAD + "\n".join(_row(spec) for spec in ALL) + "\n" + _DELIVERY]
    for spec in ALL:
        messages = "\n".join(_message(kind) for kind in spec.types)
        parts.append(f"\n### {spec.name}\n\n{messages}\n")
    dead = dead_key("<stream>")
    parts.append(
        f"\n## Beside the streams\n\n"
        f"- `{dead}`: dead letters of a DURABLE stream, the last {DEAD_ENTRIES_MAX:,}: "
        f"`id`, `m` (the payload), `reason`, `group`.\n"
        f"- `{POSITION_KEY}`: a hash, `<service>:<instance>:<stream key>` -> last entry handled.\n"
        f"- `{{arb}}:checkpoint:<name>`, `{{arb}}:lease:<name>`, `{{arb}}:members:<group>`: "
        f"state, single active instances, shard owners.\n"
        f"- `{{arb}}:fence:<name>`: the fencing token of a lease, a number that rises with every "
        f"acquisition, and who has it; the writes of its holder carry it.\n"
    )
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(render())
