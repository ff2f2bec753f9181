"""Encode and decode stream entries: one entry is a list of messages of one stream.

Decoders are built once per stream, over exactly the union of types that stream carries, so a
message on the wrong stream does not decode.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from shared.errors import CodecError
from shared.messages.base import Message
from shared.streams import ALL, Format, StreamSpec

FIELD = b"m"
"""The one field of a stream entry."""

_MSGPACK = msgspec.msgpack.Encoder()
_JSON = msgspec.json.Encoder(decimal_format="string")


def _decoder(spec: StreamSpec) -> Any:
    union: Any = list[reduce(or_, spec.types)]  # type: ignore[misc]
    if spec.format is Format.MSGPACK:
        return msgspec.msgpack.Decoder(union)
    return msgspec.json.Decoder(union)


_DECODERS: dict[str, Any] = {spec.name: _decoder(spec) for spec in ALL}


def encode(spec: StreamSpec, messages: Sequence[Message]) -> bytes:
    """Return the bytes of one entry holding ``messages`` in order."""
    return (_MSGPACK if spec.format is Format.MSGPACK else _JSON).encode(messages)


def decode(spec: StreamSpec, payload: bytes) -> list[Any]:
    """Return the messages of one entry.

    Raises:
        CodecError: The bytes are not a list of this stream's messages.
    """
    try:
        return _DECODERS[spec.name].decode(payload)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(
            f"an entry of {spec.name} is not a list of its messages: {error}"
        ) from error
