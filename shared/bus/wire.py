"""Redis protocol for the bus: packed commands, batching into entries, stream ids. Pure.

Commands are packed by hand (RESP arrays of bulk strings) because an XADD's fixed part is known per
stream: publishing joins a prepared prefix and the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shared.bus.port import shard_of
from shared.bus.signing import NO_KEYS, SIGNATURE, SigningKeys
from shared.bus.tuning import ENTRY_MESSAGES_MAX
from shared.codec import FIELD, encode, encoder
from shared.errors import CodecError
from shared.messages.base import Message
from shared.streams import ALL, ANYONE, STREAM_OF, Delivery, StreamSpec

Arg = bytes | str | int

_SIGNED_BY = b"$%d\r\n%s\r\n" % (len(SIGNATURE), SIGNATURE)
_BUDGET_EVERY = 64
"""Entries after which a stream's length limit is worked out again from its bytes."""


def pack(*args: Arg) -> bytes:
    """Return one command in the Redis protocol."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        raw = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    return b"".join(parts)


def key_of(command: bytes) -> str:
    """Return the key of a packed command: its first argument."""
    parts = command.split(b"\r\n", 5)
    return parts[4].decode(errors="replace") if len(parts) > 4 else ""


def previous_id(entry_id: str) -> str:
    """Return the greatest stream id below ``entry_id``."""
    ms, _, seq = entry_id.partition("-")
    if int(seq) > 0:
        return f"{ms}-{int(seq) - 1}"
    return f"{int(ms) - 1}-{2**64 - 1}" if int(ms) > 0 else "0-0"


def id_key(entry_id: str | bytes) -> tuple[int, int]:
    """Return a stream id in a form that compares in stream order."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    ms, _, seq = text.partition("-")
    return int(ms), int(seq or 0)


def newest_position(noted: Mapping[str, str], group: str, key: str) -> str:
    """Return how far a consumer group had come in a stream, as its instances noted; 0-0 if none."""
    ids = [
        entry_id
        for name, entry_id in noted.items()
        if name.startswith(f"{group}:") and name.endswith(f":{key}")
    ]
    return max(ids, key=id_key, default="0-0")


def newest_per_key(
    messages: list[Any], conflate: Callable[[Any], str] | None
) -> tuple[list[Any], int]:
    """Return the newest message per key in order of arrival, and how many were left out."""
    if conflate is None or len(messages) < 2:
        return messages, 0
    newest: dict[str, Any] = {}
    for message in messages:
        key = conflate(message)
        newest.pop(key, None)
        newest[key] = message
    return list(newest.values()), len(messages) - len(newest)


def group_by_stream(
    messages: Sequence[Message], shards: int
) -> list[tuple[StreamSpec, str, Sequence[Message]]]:
    """Cut messages (one or more) into bounded entries, per stream key, in order of first use."""
    first = messages[0]
    kind = type(first)
    spec = STREAM_OF[kind]
    if len(messages) == 1:
        return [(spec, _key(spec, first, shards), messages)]
    if (shards == 1 or not spec.sharded) and all(type(message) is kind for message in messages):
        key = spec.key()
        return [
            (spec, key, messages[start : start + ENTRY_MESSAGES_MAX])
            for start in range(0, len(messages), ENTRY_MESSAGES_MAX)
        ]
    grouped: dict[str, list[Message]] = {}
    entries: list[tuple[StreamSpec, str, Sequence[Message]]] = []
    for message in messages:
        spec = STREAM_OF[type(message)]
        key = _key(spec, message, shards)
        entry = grouped.get(key)
        if entry is None or len(entry) >= ENTRY_MESSAGES_MAX:
            entry = grouped[key] = []
            entries.append((spec, key, entry))
        entry.append(message)
    return entries


def _key(spec: StreamSpec, message: Any, shards: int) -> str:
    if not spec.sharded:
        return spec.key()
    return spec.key(shard_of(message.instrument, shards) if shards > 1 else 0)


def payloads(
    spec: StreamSpec, messages: Sequence[Message], refuse: Callable[[str, str], None]
) -> list[bytes]:
    """Return messages of one stream as entries that are not too long.

    One that is too long alone is left out where it is repeated anyway, and reported to ``refuse``.

    Raises:
        CodecError: One of DURABLE delivery is.
    """
    payload = encode(spec, messages)
    if len(payload) <= spec.entry_bytes_max:
        return [payload]
    if len(messages) > 1:
        half = len(messages) // 2
        return payloads(spec, messages[:half], refuse) + payloads(spec, messages[half:], refuse)
    text = (
        f"a {type(messages[0]).__name__} of {len(payload)} bytes is too long for {spec.name}, "
        f"{spec.entry_bytes_max} are the most"
    )
    if spec.delivery is Delivery.DURABLE:
        raise CodecError(text)
    refuse("MESSAGE_TOO_LONG", text)
    return []


@lru_cache(maxsize=64)
def produced(service: str, shards: int) -> Sequence[tuple[StreamSpec, str]]:
    """Return the LATEST streams a service writes, with their keys, which it holds to bounds."""
    return tuple(
        (spec, spec.key(shard))
        for spec in ALL
        if spec.producer in {service, ANYONE} and spec.delivery is Delivery.LATEST
        for shard in range(shards if spec.sharded else 1)
    )


def makes_promises(service: str) -> bool:
    """Tell whether a service writes what must not be lost."""
    return any(spec.producer == service and spec.delivery is Delivery.DURABLE for spec in ALL)


class Adder:
    """Packs XADD commands for one stream key.

    A LATEST stream is trimmed by every XADD to about ``entries_max``, or to fewer when its entries
    are so large that ``bytes_max`` would be passed: the limit follows their average size.
    """

    def __init__(self, spec: StreamSpec, key: str) -> None:
        self._spec, self._key = spec, key
        self.encode, self.bytes_max = encoder(spec), spec.entry_bytes_max
        self._bytes_average = 0.0
        self._added = 0
        self.entries_max = spec.entries_max
        self._prefix = self._make_prefix()

    def _make_prefix(self) -> bytes:
        tail = f"*\r\n${len(FIELD)}\r\n{FIELD.decode()}\r\n"
        if self._spec.delivery is Delivery.DURABLE:
            return (
                pack("XADD", self._key, "", "", "").split(b"$0\r\n", 1)[0]
                + b"$1\r\n"
                + tail.encode()
            )
        head = pack("XADD", self._key, "MAXLEN", "~", self.entries_max, "", "", "")
        return head.split(b"$0\r\n", 1)[0] + b"$1\r\n" + tail.encode()

    def add(self, payload: bytes) -> bytes:
        """Return the command that appends ``payload`` as one entry."""
        size = len(payload)
        self._added += 1
        weight = max(1 / self._added, 1 / 256)
        self._bytes_average += (size - self._bytes_average) * weight
        if self._added % _BUDGET_EVERY == 0:
            self._fit_budget()
        return b"%s$%d\r\n%s\r\n" % (self._prefix, size, payload)

    def _fit_budget(self) -> None:
        # 1.25 covers the listpack's own bytes and whole nodes kept by "~"; 64 covers an id.
        fits = int(self._spec.bytes_max / (self._bytes_average * 1.25 + 64))
        entries_max = max(1, min(self._spec.entries_max, fits))
        moved = abs(entries_max - self.entries_max)
        if moved * 16 > self.entries_max or (moved and entries_max == self._spec.entries_max):
            self.entries_max = entries_max
            self._prefix = self._make_prefix()


class SigningAdder(Adder):
    """Packs XADD commands for a stream whose entries are signed; see shared/bus/signing.py."""

    def __init__(self, spec: StreamSpec, key: str, keys: SigningKeys) -> None:
        super().__init__(spec, key)
        self._keys = keys

    def add(self, payload: bytes) -> bytes:
        """Return the command that appends ``payload`` as one entry, signed."""
        signature = self._keys.sign(self._spec, payload)
        head, size = self._prefix, len(payload)
        return b"%s$%d\r\n%s\r\n%s$%d\r\n%s\r\n" % (
            head, size, payload, _SIGNED_BY, len(signature), signature,
        )  # fmt: skip

    def _make_prefix(self) -> bytes:
        whole = pack("XADD", self._key, "*", FIELD, "", SIGNATURE, "")
        return whole.split(b"$0\r\n", 1)[0]


def _is_one_entry(messages: Sequence[Message]) -> bool:
    """Tell whether messages of a stream with one key travel in one entry."""
    count = len(messages)
    return count == 1 or (count <= ENTRY_MESSAGES_MAX and len(set(map(type, messages))) == 1)


class Packer:
    """Packs messages into XADD commands; keeps one :class:`Adder` per stream key.

    ``refuse`` is called for a message that is too long, with a code and a text. What is signed is
    signed with ``keys``, where they hold the stream's.
    """

    def __init__(
        self, shards: int, refuse: Callable[[str, str], None], keys: SigningKeys = NO_KEYS
    ) -> None:
        self._shards, self._refuse, self._keys = shards, refuse, keys
        self._adders: dict[str, Adder] = {}  # bounded by the map of streams times shards
        self._adder_of: dict[type[Message], Adder] = {}  # where a type has one key

    def adds(self, messages: Sequence[Message]) -> list[bytes]:
        """Return the commands that publish ``messages``."""
        if not messages:
            return []
        adder = self._adder_of.get(type(messages[0]))
        if adder is not None and _is_one_entry(messages):  # nearly always, on the way of a tick
            payload = adder.encode(messages)
            if len(payload) <= adder.bytes_max:
                return [adder.add(payload)]
        return [
            self._adder(spec, key).add(payload)
            for spec, key, entry in group_by_stream(messages, self._shards)
            for payload in payloads(spec, entry, self._refuse)
        ]

    def _adder(self, spec: StreamSpec, key: str) -> Adder:
        adder = self._adders.get(key)
        if adder is None:
            signs = self._keys.has(spec.signed_with)
            adder = SigningAdder(spec, key, self._keys) if signs else Adder(spec, key)
            self._adders[key] = adder
            if not spec.sharded or self._shards == 1:
                self._adder_of |= dict.fromkeys(spec.types, adder)
        return adder
