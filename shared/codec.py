"""Encode and decode stream entries: one entry is a list of messages of one stream.

Decoders are built once per stream, over exactly the union of types that stream carries, so a
message on the wrong stream does not decode. What decodes is then held to its bounds
(``bounds.py``): a reader gets nothing that its arithmetic would not survive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from shared.errors import CodecError
from shared.messages.base import Message
from shared.messages.bounds import AHEAD_NS_MAX, AHEAD_NS_MAX_DURABLE, INT_MAX
from shared.messages.quick_checks import first_flaw
from shared.streams import ALL, Delivery, Format, StreamSpec

FIELD = b"m"
"""The one field of a stream entry."""

_MSGPACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder(decimal_format="string")


def _decoder(spec: StreamSpec) -> Any:
    union: Any = list[reduce(or_, spec.types)]  # type: ignore[misc]
    if spec.format is Format.MSGPACK:
        return msgspec.msgpack.Decoder(union)
    return msgspec.json.Decoder(union)


_PARTS: dict[Format, Any] = {
    Format.MSGPACK: msgspec.msgpack.Decoder(list[msgspec.Raw]),
    Format.JSON: msgspec.json.Decoder(list[msgspec.Raw]),
}
_READERS: dict[str, tuple[Callable[[bytes], list[Any]], int]] = {
    spec.name: (
        _decoder(spec).decode,
        AHEAD_NS_MAX if spec.delivery is Delivery.LATEST else AHEAD_NS_MAX_DURABLE,
    )
    for spec in ALL
}
"""Per stream: its decoder, and how far a fact may lie in the future."""
_ENCODE: dict[str, Callable[[Any], bytes]] = {
    spec.name: (_MSGPACK if spec.format is Format.MSGPACK else _JSON).encode for spec in ALL
}


def encoder(spec: StreamSpec) -> Callable[[Sequence[Message]], bytes]:
    """Return what encodes the messages of one entry."""
    return _ENCODE[spec.name]


def encode(spec: StreamSpec, messages: Sequence[Message]) -> bytes:
    """Return the bytes of one entry holding ``messages`` in order."""
    return _ENCODE[spec.name](messages)


def decode(spec: StreamSpec, payload: bytes, now_ns: int | None = None) -> list[Any]:
    """Return the messages of one entry.

    Args:
        spec: The stream it was read from.
        payload: The entry's message field.
        now_ns: UNIX ns, to refuse times that lie in the future; without it they are allowed.

    Raises:
        CodecError: The bytes are not a list of this stream's messages, too many, or a message has a
        field out of its bounds.
    """
    if len(payload) > spec.entry_bytes_max:
        raise CodecError(
            f"an entry of {spec.name} has {len(payload)} bytes, {spec.entry_bytes_max} are the most"
        )
    decoder, ahead_ns = _READERS[spec.name]
    try:
        messages = decoder(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(
            f"an entry of {spec.name} is not a list of its messages: {error}"
        ) from error
    if flaw := first_flaw(messages, INT_MAX if now_ns is None else now_ns + ahead_ns):
        raise CodecError(f"an entry of {spec.name} is out of bounds: {flaw}")
    return messages


def salvage(spec: StreamSpec, payload: bytes, now_ns: int | None = None) -> list[Any]:
    """Return those messages of an entry that are right, where ``decode`` refused it as a whole.

    For LATEST delivery: messages of several books travel in one entry, and one of them that is
    wrong must not stop the others.
    """
    if len(payload) > spec.entry_bytes_max:
        return []
    try:
        parts = _PARTS[spec.format].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    good: list[Any] = []
    for part in parts:
        one = b"\x91" + bytes(part) if spec.format is Format.MSGPACK else b"[%b]" % bytes(part)
        try:
            good += decode(spec, one, now_ns)
        except CodecError:
            continue  # the reader counts and reports the entry
    return good
