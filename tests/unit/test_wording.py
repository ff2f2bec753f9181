"""Numbers in messages."""

from __future__ import annotations

import pytest

from shared.wording import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_000, "12,000 rows")]
)
def test_one_thing_is_not_said_to_be_several(number: int, said: str) -> None:
    assert counted(number, "row") == said


def test_a_plural_that_is_no_s_is_given() -> None:
    assert (counted(1, "switch", "switches"), counted(3, "switch", "switches")) == (
        "1 switch",
        "3 switches",
    )
