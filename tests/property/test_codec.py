"""Whatever a message holds survives the wire; whatever the wire holds never crashes a reader."""

from __future__ import annotations

import types
import typing
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.instrument import InstrumentRules, rules_from
from shared.errors import CodecError
from shared.messages.base import Message
from shared.messages.codec import decode, encode
from shared.streams import ALL, STREAM_OF
from tests.contract.examples import KINDS, example, tag_of

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Anything a field of this type may hold."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        return st.one_of([values(arm) for arm in arguments])
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*(values(part) for part in arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if annotation is InstrumentRules:
        return instrument_rules()
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        hints = typing.get_type_hints(annotation)
        fields = {name: values(hints[name]) for name in annotation.__struct_fields__}
        return st.builds(annotation, **fields)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return PLAIN[annotation]


def instrument_rules() -> st.SearchStrategy[InstrumentRules]:
    """Rules as told by a venue: they hold usable numbers only."""
    names = [n for n, hint in typing.get_type_hints(InstrumentRules).items() if hint is not str]
    numbers = st.fixed_dictionaries({name: st.none() | PLAIN[Decimal] for name in names})
    return st.builds(rules_from, PLAIN[str], PLAIN[str], numbers, active=PLAIN[bool])


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    messages = data.draw(st.lists(values(kind), max_size=3))
    assert decode(STREAM_OF[kind], encode(STREAM_OF[kind], messages)) == messages


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
@settings(max_examples=25, deadline=None)
@given(payload=st.binary(max_size=200), data=st.data())
def test_bad_bytes_are_a_codec_error_and_nothing_else(
    spec: Any, payload: bytes, data: st.DataObject
) -> None:
    good = encode(spec, [example(spec.types[0])])
    place = data.draw(st.integers(0, len(good) - 1))
    for candidate in (payload, good[:place], good[:place] + payload[:1] + good[place + 1 :]):
        try:
            decode(spec, candidate)
        except CodecError as error:
            assert spec.name in str(error)
