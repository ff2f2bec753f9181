"""What msgspec does not check of a message: one check per type, made once from its annotations.

A check takes a value and the newest time allowed (UNIX ns) and returns what is wrong, as its path
and the reason (``.legs[0].qty: NaN is not ...``); empty if nothing is. Pure.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any

import msgspec

from shared.messages.base import BookState
from shared.messages.bounds import (
    AMOUNT_MAX,
    ASSET,
    EXPONENT_MIN,
    INSTRUMENT,
    INT_MAX,
    ITEMS_MAX,
    MAYBE_ASSET,
    MAYBE_INSTRUMENT,
    MAYBE_VENUE,
    TEXT,
    VENUE,
    Instrument,
    Moment,
    NumberRange,
    Syntax,
    TimeLimit,
    Venue,
)
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules

Check = Callable[[Any, int], str]

_LISTED = frozenset((VENUE, MAYBE_VENUE, INSTRUMENT, MAYBE_INSTRUMENT, ASSET, MAYBE_ASSET))
"""What venues list: a text of these forms comes again and again."""
_LISTED_MAX = 16_384
_OTHERS_MAX = 2_048
"""Texts remembered as right, per syntax. Of the other forms most come once (a stream's entry in a
heartbeat, an order's id): all are forgotten at that many, and those in use are found right anew."""
_NAME_LENGTH_MAX = 64
"""How long a text that is remembered may be."""
_SHOWN_MAX = 60

_PLAIN: dict[Any, Any] = {
    str: TEXT,
    int: NumberRange(-INT_MAX - 1, INT_MAX),
    Decimal: NumberRange(-AMOUNT_MAX, AMOUNT_MAX),
}

_OTHERS: dict[Any, dict[str, Any]] = {InstrumentRules: {"venue": Venue, "instrument": Instrument}}
"""Of structs of the domain that travel, what they do not check themselves."""


class Names:
    """Texts that were found right before: most of those to come are the same."""

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._most = _LISTED_MAX if syntax in _LISTED else _OTHERS_MAX
        self.known: set[str] = set()

    def __call__(self, value: str, _latest_ns: int) -> str:
        if value in self.known:
            return ""
        if not self._syntax.pattern.fullmatch(value):
            return f": {_shown(value)} is not {self._syntax.what}, like {self._syntax.like}"
        is_short = len(value) <= _NAME_LENGTH_MAX
        if is_short and self._syntax.word is None:
            if len(self.known) >= self._most:
                self.known.clear()
            self.known.add(value)
        return ""


@cache
def names_of(syntax: Syntax) -> Names:
    return Names(syntax)


_LIVE = BookState.LIVE


@cache
def check_of(kind: type[msgspec.Struct]) -> Check:
    """Return the check of a type of message, or of a struct inside one, field by field."""
    fields = [
        (name, check) for name, note in notes(kind) if (check := field_check(note)) is not None
    ]
    whole = view_flaw if kind is DepthView else None

    def flaw(value: Any, latest_ns: int) -> str:
        for name, check in fields:
            if found := check(getattr(value, name), latest_ns):
                return f".{name}{found}"
        return whole(value) if whole is not None else ""

    return flaw


def notes(kind: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """Return a type's fields with what their annotations say."""
    hints = typing.get_type_hints(kind, include_extras=True) | _OTHERS.get(kind, {})
    # A whole number named as a time is one, whoever added the field.
    return [
        (name, Moment if hints[name] is int and name.startswith("ts_") else hints[name])
        for name in kind.__struct_fields__
    ]


def view_flaw(view: DepthView) -> str:
    """Check the order of the levels where they price anything."""
    if view.state is not _LIVE:
        return ""
    bids, asks = view.bids, view.asks
    # Both sides in one order, worst bid to worst ask: one sort of what is sorted, in C.
    levels = bids[::-1] + asks
    if sorted(levels) != levels and (sorted(bids, reverse=True) != bids or sorted(asks) != asks):
        return ": bids or asks are not sorted, best first"
    if bids and asks and bids[0][0] >= asks[0][0]:
        return f".bids: the best, {bids[0][0]}, is not below the best ask, {asks[0][0]}"
    return ""


def mark_of(annotation: Any) -> Syntax | NumberRange | TimeLimit | None:
    """Return what bounds a single value of this annotation, beyond what msgspec did."""
    if typing.get_origin(annotation) is Annotated:
        marks = [
            n for n in annotation.__metadata__ if isinstance(n, (Syntax, NumberRange, TimeLimit))
        ]
        return marks[0] if marks else None
    return _PLAIN.get(annotation)


def decimal_or_none(annotation: Any) -> NumberRange | None:
    """Return what bounds a Decimal that may be ``None``."""
    if typing.get_origin(annotation) not in {types.UnionType, typing.Union}:
        return None
    (arm,) = (arm for arm in typing.get_args(annotation) if arm is not type(None))
    mark = mark_of(arm)
    if isinstance(mark, NumberRange) and isinstance(mark.low, Decimal):
        return mark
    return None


def struct_of_list(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a list bounded by msgspec is of."""
    if typing.get_origin(annotation) is not Annotated:
        return None
    items = typing.get_args(annotation.__origin__)
    is_struct = items and isinstance(items[0], type) and issubclass(items[0], msgspec.Struct)
    return items[0] if is_struct else None


def field_check(annotation: Any) -> Check | None:
    """Return the check of one annotation, ``None`` where msgspec has done all there is to do."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in {types.UnionType, typing.Union}:
        (arm,) = (arm for arm in arguments if arm is not type(None))
        return _optional(field_check(arm))
    if origin is list:
        return _items(_items_check(annotation))
    if origin is tuple:
        assert all(field_check(part) is None for part in arguments), "levels: msgspec checks them"
        return None
    if origin is dict:
        return _map(field_check(arguments[0]), field_check(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return check_of(annotation)
    if annotation is bool or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return None
    return _finite if annotation is float else _bounded(_PLAIN[annotation])


def _annotated(kind: Any, notes: tuple[Any, ...]) -> Check | None:
    for note in notes:
        if isinstance(note, (Syntax, NumberRange, TimeLimit)):
            return _bounded(note)
    assert any(isinstance(note, msgspec.Meta) for note in notes)
    is_map = typing.get_origin(kind) is dict
    return field_check(kind) if is_map or _items_check(kind) is not None else None


def _items_check(annotation: Any) -> Check | None:
    """Return the check of a list's items."""
    if typing.get_origin(annotation) is not list:
        return None
    return field_check(typing.get_args(annotation)[0])


def _bounded(note: Syntax | NumberRange | TimeLimit) -> Check:
    if isinstance(note, Syntax):
        return names_of(note)
    if isinstance(note, TimeLimit):
        return _until(note.ahead_ns)
    return _in_range(note) if isinstance(note.low, Decimal) else _whole(note)


def _until(ahead_ns: int) -> Check:
    def flaw(value: int, latest_ns: int) -> str:
        if value <= latest_ns + ahead_ns:
            return ""
        return f": {value} is too far in the future, {latest_ns + ahead_ns} is the latest"

    return flaw


def _in_range(bounds: NumberRange) -> Check:
    low, high = bounds.low, bounds.high
    complaint = f"is not a number from {low:f} to {high:f}"

    def flaw(value: Decimal, _latest_ns: int) -> str:
        if value.is_finite() and low <= value <= high and value.adjusted() >= EXPONENT_MIN:
            return ""
        return f": {_shown(value)} {complaint}"

    return flaw


def _whole(bounds: NumberRange) -> Check:
    low, high = bounds.low, bounds.high

    def flaw(value: int, _latest_ns: int) -> str:
        return "" if low <= value <= high else f": {_shown(value)} is not {low} to {high}"

    return flaw


def _finite(value: float, _latest_ns: int) -> str:
    return "" if math.isfinite(value) else f": {value} is not a finite number"


def _optional(inner: Check | None) -> Check | None:
    if inner is None:
        return None

    def flaw(value: Any, latest_ns: int) -> str:
        return "" if value is None else inner(value, latest_ns)

    return flaw


def _items(inner: Check | None) -> Check:
    def flaw(value: Sequence[Any], latest_ns: int) -> str:
        if len(value) > ITEMS_MAX:
            return f": {len(value)} items, {ITEMS_MAX} are the most"
        if inner is not None:
            for place, item in enumerate(value):
                if found := inner(item, latest_ns):
                    return f"[{place}]{found}"
        return ""

    return flaw


def _map(key_check: Check | None, inner: Check | None) -> Check:
    def flaw(value: Mapping[Any, Any], latest_ns: int) -> str:
        if len(value) > ITEMS_MAX:
            return f": {len(value)} keys, {ITEMS_MAX} are the most"
        for key, item in value.items():
            if key_check is not None and (found := key_check(key, latest_ns)):
                return f" key{found}"
            if inner is not None and (found := inner(item, latest_ns)):
                return f"[{_shown(key)}]{found}"
        return ""

    return flaw


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}... ({len(text)} characters)"
