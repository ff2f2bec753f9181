"""One example of every message type, made from its annotations: every field has a value."""

from __future__ import annotations

import types
import typing
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import msgspec

from shared.messages import bounds
from shared.messages.base import Message
from shared.messages.checks import notes
from shared.streams import STREAM_OF

KINDS: list[type[Message]] = list(STREAM_OF)

_TEXTS = {
    bounds.VENUE: "venue-1",
    bounds.MAYBE_VENUE: "venue-1",
    bounds.INSTRUMENT: "BASÉ/QUOTE:QUOTE",
    bounds.ASSET: "BASÉ",
    bounds.MAYBE_INSTRUMENT: "BASÉ/QUOTE",
    bounds.MAYBE_ASSET: "QUOTE",
    bounds.PLAN_ID: "plan-1",
    bounds.ORDER_ID: "order-1",
    bounds.ID: "id-é",
    bounds.MAYBE_ID: "maybe-id-é",
    bounds.BOOK_ID: "venue-1|BASÉ/QUOTE|1|2",
    bounds.STRATEGY: "strategy-1",
}
TS_NS = 1_700_000_000_000_000_000


def tag_of(kind: type[Message]) -> str:
    """The name of a type on the wire."""
    return str(kind.__struct_config__.tag)


def example(kind: type[Any]) -> Any:
    """Return an instance with a value in every field, the same in every run."""
    return kind(
        **{name: _value(note, name, place) for place, (name, note) in enumerate(_oldest(kind), 1)}
    )


def _oldest(kind: type[Any]) -> list[tuple[str, Any]]:
    """A type's fields, those without a default first: they were there from the beginning.

    A value must not change because a base class gained a field.
    """
    defaults = {field.name: field.required for field in msgspec.structs.fields(kind)}
    return sorted(notes(kind), key=lambda field: not defaults[field[0]])


def example_before_bounds(kind: type[Any]) -> Any:
    """Return what ``example`` returned before fields had bounds; old golden bytes hold it."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            name: _value_before_bounds(hints[name], name, place)
            for place, (name, _) in enumerate(_oldest(kind), start=1)
        }
    )


def _value(note: Any, name: str, place: int) -> Any:
    origin, arguments = typing.get_origin(note), typing.get_args(note)
    if origin is Annotated:
        mark = next((m for m in arguments[1:] if not isinstance(m, msgspec.Meta)), None)
        if isinstance(mark, bounds.Syntax):
            return _TEXTS.get(mark, f"{name} é")
        if isinstance(mark, bounds.NumberRange) and mark.high < TS_NS and isinstance(mark.low, int):
            return place
        return _value(arguments[0], name, place)
    if origin in {types.UnionType, typing.Union}:
        arm = next(arm for arm in arguments if arm is not type(None))
        return _value(arm, name, place)
    if origin is list:
        return [_value(arguments[0], name, place), _value(arguments[0], name, place + 1)]
    if origin is tuple:
        return tuple(_value(part, name, place + at) for at, part in enumerate(arguments))
    if origin is dict:
        return {_value(arguments[0], name, place): _value(arguments[1], name, place)}
    if isinstance(note, type) and issubclass(note, msgspec.Struct):
        return example(note)
    return _plain(note, name, place)


def _value_before_bounds(annotation: Any, name: str, place: int) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        arm = next(arm for arm in arguments if arm is not type(None))
        return _value_before_bounds(arm, name, place)
    if origin is list:
        return [_value_before_bounds(arguments[0], name, place + at) for at in (0, 1)]
    if origin is tuple:
        return tuple(_value_before_bounds(p, name, place + at) for at, p in enumerate(arguments))
    if origin is dict:
        return {
            _value_before_bounds(arguments[0], name, place): _value_before_bounds(
                arguments[1], name, place
            )
        }
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return example_before_bounds(annotation)
    return _plain(annotation, name, place)


def _plain(annotation: Any, name: str, place: int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return next(iter(annotation))
    plain: dict[Any, Any] = {
        str: f"{name} é",
        int: TS_NS + place,
        float: 60_000.1 + place,
        bool: True,
        bytes: b"bytes \x00\xff",
        Decimal: Decimal("1.2300"),
    }
    return plain[annotation]
