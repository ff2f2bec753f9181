"""Whatever a message holds survives the wire; whatever the wire holds never crashes a reader."""

from __future__ import annotations

import types
import typing
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import decode, encode
from shared.errors import CodecError
from shared.messages import bounds
from shared.messages.base import BookState, Message
from shared.messages.checks import notes
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.streams import ALL, STREAM_OF
from tests.contract.examples import KINDS, example, tag_of

D = Decimal
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    bytes: st.binary(max_size=40),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(-1e60, 1e60),
    bool: st.booleans(),
    Decimal: st.decimals(-(10**12), 10**12, places=8),
    type(None): st.none(),
}
TEXTS = {
    bounds.INSTRUMENT: "BTC/USDT:USDT",
    bounds.MAYBE_INSTRUMENT: "",
    bounds.ASSET: "BTC",
    bounds.MAYBE_ASSET: "",
}


def values(note: Any) -> st.SearchStrategy[Any]:
    """Anything a field of this annotation may hold."""
    origin, arguments = typing.get_origin(note), typing.get_args(note)
    if origin is Annotated:
        return bounded(*arguments)
    if origin in {types.UnionType, typing.Union}:
        return st.one_of([values(arm) for arm in arguments])
    if origin is list:
        return st.lists(values(arguments[0]), min_size=1, max_size=3)
    if origin is tuple:
        return st.tuples(*(values(part) for part in arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if note is InstrumentRules:
        return st.just(example(note))
    if isinstance(note, type) and issubclass(note, msgspec.Struct):
        return st.builds(note, **{name: values(inner) for name, inner in notes(note)})
    if isinstance(note, type) and issubclass(note, Enum):
        return st.sampled_from(note)
    return PLAIN[note]


def bounded(plain: Any, *marks: Any) -> st.SearchStrategy[Any]:
    """Anything within the bounds of an annotation."""
    for mark in marks:
        if isinstance(mark, bounds.Syntax):
            word = st.text("abcXYZ09é", min_size=1, max_size=20).filter(mark.pattern.fullmatch)
            return st.just(TEXTS[mark]) if mark in TEXTS else word
        if isinstance(mark, bounds.NumberRange):
            low, high = mark.low, mark.high
            is_int = isinstance(low, int)
            return st.integers(low, high) if is_int else st.decimals(max(low, D("1e-8")), high)
        if isinstance(mark, msgspec.Meta) and plain is int:
            return st.integers(mark.ge, mark.le)
        if isinstance(mark, msgspec.Meta) and plain is float:
            strict = mark.gt is not None
            return st.floats(mark.gt if strict else mark.ge, mark.le, exclude_min=strict)
    return values(plain)


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    messages = [
        msgspec.structs.replace(m, state=BookState.STALE) if type(m) is DepthView else m
        for m in data.draw(st.lists(values(kind), max_size=3))
    ]
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
