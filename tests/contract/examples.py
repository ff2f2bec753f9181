"""One example of every message type, made from its annotations: every field has a value."""

from __future__ import annotations

import types
import typing
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from shared.messages.base import Message
from shared.streams import STREAM_OF

KINDS: list[type[Message]] = list(STREAM_OF)


def tag_of(kind: type[Message]) -> str:
    """The name of a type on the wire."""
    return str(kind.__struct_config__.tag)


def example(kind: type[Any]) -> Any:
    """Return an instance with a value in every field, the same in every run."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            name: _value(hints[name], name, place)
            for place, name in enumerate(kind.__struct_fields__, start=1)
        }
    )


def _value(annotation: Any, name: str, place: int) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        arm = next(arm for arm in arguments if arm is not type(None))
        return _value(arm, name, place)
    if origin is list:
        return [_value(arguments[0], name, place), _value(arguments[0], name, place + 1)]
    if origin is tuple:
        return tuple(_value(part, name, place + at) for at, part in enumerate(arguments))
    if origin is dict:
        return {_value(arguments[0], name, place): _value(arguments[1], name, place)}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return example(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(iter(annotation))
    plain: dict[Any, Any] = {
        str: f"{name} é",
        int: 1_700_000_000_000_000_000 + place,
        float: 60_000.1 + place,
        bool: True,
        Decimal: Decimal("1.2300"),
    }
    return plain[annotation]
