"""What a strategy declares: inputs of two kinds are two inputs, whatever they name."""

from __future__ import annotations

import copy
import pickle

import pytest

from shared.strategies.port import Bars, Depth, FundingOf, Trades, as_input

KINDS = [Depth, Trades, FundingOf, Bars]


def test_a_set_of_one_of_each_kind_keeps_them_all() -> None:
    for names in [(), ("a",), ("a", "b")]:
        declared = [kind(*names) for kind in KINDS]
        assert set(declared) == {*declared}
        assert len({*declared}) == len(KINDS), "none takes the place of another"
        assert list(dict.fromkeys([*declared, *declared])) == declared


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_equals_only_one_of_its_kind_with_the_same_names(kind) -> None:
    same, other = kind("a", "b"), kind("a", "c")
    assert same == kind("a", "b")
    assert not same != kind("a", "b")  # noqa: SIM202 - the operator itself
    assert hash(same) == hash(kind("a", "b"))
    assert same != other
    for another in KINDS:
        assert (same == another("a", "b")) is (kind is another)
        assert (same != another("a", "b")) is (kind is not another)
    assert same != tuple(same)
    assert tuple(same) != same
    assert pickle.loads(pickle.dumps(same)) == copy.copy(same) == same


def test_an_input_is_still_unpacked_and_a_plain_pair_is_a_book() -> None:
    venue, instrument = FundingOf("a", "b")
    assert (venue, instrument) == ("a", "b")
    assert as_input(("a", "b")) == Depth("a", "b")
