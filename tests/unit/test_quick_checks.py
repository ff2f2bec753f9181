"""Ids are checked without their pattern, and yet accepted exactly where it matches."""

from __future__ import annotations

import re

import msgspec
import pytest

from shared.messages import bounds
from shared.messages.bounds import Syntax
from shared.messages.checks import check_of
from shared.messages.quick_checks import first_flaw
from tests.decision_builders import make_opportunity

WORDS = [
    value for value in vars(bounds).values() if isinstance(value, Syntax) and value.word is not None
]
TEXTS = (
    "",
    "a",
    "a" * 64,
    "a" * 65,
    "a" * 128,
    "a" * 129,
    "a" * 256,
    "a" * 257,
    "a b",
    " ",
    "a\x00",
    "a\n",
    "a\x7f",
    "~!",
    "\u00e4",
    "\u2003",
    "\U0001f600",
    "\x85",
)


@pytest.mark.parametrize("syntax", WORDS, ids=lambda syntax: syntax.what)
def test_a_word_is_what_its_pattern_matches(syntax: Syntax) -> None:
    assert syntax.word is not None
    least, most = syntax.word
    for text in TEXTS:
        is_visible = text.isascii() and text.isprintable() and " " not in text
        if least <= len(text) <= most and is_visible:
            assert re.fullmatch(syntax.pattern, text), text
    assert not re.fullmatch(syntax.pattern, "a" * (most + 1))


@pytest.mark.parametrize("text", TEXTS)
def test_an_id_is_right_for_both_checks_or_for_neither(text: str) -> None:
    found = msgspec.structs.replace(make_opportunity(), opportunity_id=text)
    slow = check_of(type(found))(found, bounds.INT_MAX)
    assert bool(first_flaw([found], bounds.INT_MAX)) == bool(slow)
