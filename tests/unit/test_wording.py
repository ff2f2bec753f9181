"""Numbers in messages."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.wording import counted, signed, unsigned


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_000, "12,000 rows")]
)
def test_one_thing_is_not_said_to_be_several(number: int, expected: str) -> None:
    assert counted(number, "row") == expected


def test_a_plural_that_is_no_s_is_given() -> None:
    assert (counted(1, "switch", "switches"), counted(3, "switch", "switches")) == (
        "1 switch",
        "3 switches",
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("1234.567"), "+1,234.57"),
        (Decimal(0), "+0.00"),
        (Decimal("-0.0137327"), "-0.0137"),
        (Decimal("0.00012345"), "+0.000123"),
        (Decimal("-0.000000001"), "-0.00000000"),
        (None, "unknown"),
    ],
)
def test_small_amounts_keep_the_digits_that_say_something(amount, text) -> None:
    assert signed(amount) == text
    assert unsigned(amount) == text.removeprefix("+")
