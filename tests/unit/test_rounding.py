"""Rounding, fees and edges: what goes which way."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from shared.codec import decode
from shared.domain.fees import edge_bps, fee_amount, share_of
from shared.domain.rounding import (
    exact,
    is_enough,
    is_multiple,
    lot_common,
    price_average,
    price_to_tick,
    qty_accepted,
    qty_to_lot,
    round_noise,
)
from shared.errors import CodecError
from shared.messages.base import Side
from shared.messages.market import InstrumentInfo
from shared.streams import STREAM_OF
from tests.decision_builders import make_info, make_rules, told_info


def test_a_float_keeps_its_sign_and_its_point() -> None:
    """Zeros of both signs are equal, and so are 2 and 2.0; what is made of them is not the same."""
    given: list[float] = [0.0, -0.0, 0.0, 2.0, 2, 2.0, 0.1, 0.1, -0.1]
    assert [str(exact(each)) for each in given] == [repr(each) for each in given]


@pytest.mark.parametrize(
    ("side", "aggressive", "expected"),
    [
        (Side.BUY, True, "100.2"),
        (Side.BUY, False, "100.1"),
        (Side.SELL, True, "100.1"),
        (Side.SELL, False, "100.2"),
    ],
)
def test_price_goes_the_way_asked(side: Side, aggressive: bool, expected: str) -> None:
    assert price_to_tick(D("100.15"), D("0.1"), side, aggressive=aggressive) == D(expected)


@pytest.mark.parametrize("aggressive", [True, False])
@pytest.mark.parametrize("side", list(Side))
def test_price_on_the_grid_stays(side: Side, aggressive: bool) -> None:
    assert price_to_tick(D("0.00001234"), D("0.00000001"), side, aggressive=aggressive) == D(
        "0.00001234"
    )


def test_quantity_goes_down() -> None:
    assert qty_to_lot(D("1.2399"), D("0.01")) == D("1.23")
    assert qty_to_lot(D("0.009"), D("0.01")) == 0
    assert qty_to_lot(D("17"), D("5")) == 15


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("0.001", "0.00001", "0.001"),
        ("0.4", "0.6", "1.2"),
        ("0.25", "0.1", "0.5"),
        ("10", "4", "20"),
        ("1E+2", "0.01", "100"),
    ],
)
def test_common_lot_is_the_least_common_multiple(a: str, b: str, expected: str) -> None:
    assert lot_common(D(a), D(b)) == D(expected)
    assert lot_common(D(b), D(a)) == D(expected)


def test_venue_decimals_survive_the_float() -> None:
    for text in ("0.1", "60123.45", "0.00001234", "123456789.123456"):
        assert exact(float(text)) == D(text)


def test_noise_of_summing_is_taken_out() -> None:
    assert exact(0.1 + 0.7) != D("0.8")
    assert round_noise(0.1 + 0.7) == D("0.8")


def test_average_is_rounded_against_us() -> None:
    buy, sell = price_average(D(1), D(3), Side.BUY), price_average(D(1), D(3), Side.SELL)
    assert sell < D(1) / D(3) < buy
    assert buy - sell == D("1e-12")


def test_fee_is_never_too_small_and_edge_never_too_large() -> None:
    assert fee_amount(D("0.00000001"), D(10)) == D("0.00000001")
    assert fee_amount(D("9835.96393"), D(10)) == D("9.83596393")
    assert edge_bps(D("1"), D("3")) == D("3333.3333")
    assert edge_bps(D("-1"), D("3")) == D("-3333.3334")
    assert share_of(D("0.00000001"), D(1)) == 0


def test_least_order_needs_quantity_and_notional() -> None:
    rules = make_rules(qty_min=D("0.01"), notional_min=D(5))
    assert is_enough(rules, D("0.01"), D(500))
    assert not is_enough(rules, D("0.009"), D(50_000))
    assert not is_enough(rules, D("0.01"), D("499.99"))


def test_multiples_are_exact() -> None:
    assert is_multiple(D("0.3"), D("0.1"))
    assert not is_multiple(D("0.35"), D("0.1"))


@pytest.mark.parametrize(
    "name, value",
    [
        ("tick_size", "0"),
        ("tick_size", "-0.1"),
        ("tick_size", "NaN"),
        ("tick_size", "1e-400"),
        ("lot_size", "0"),
        ("lot_size", "Infinity"),
        ("lot_size", "1e400"),
        ("qty_min", "-1"),
        ("qty_max", "0"),
        ("qty_max", "0.0001"),
        ("notional_min", "sNaN"),
        ("taker_fee_bps", "-1"),
        ("taker_fee_bps", "5000"),
        ("maker_fee_bps", "NaN"),
        ("contract_size", "0"),
    ],
)
def test_rules_hold_usable_numbers_only(name: str, value: str) -> None:
    """Whether made here or read from the bus."""
    with pytest.raises(ValueError, match=name):
        make_rules(**{name: D(value)})
    good = msgspec.json.decode(msgspec.json.encode(make_info()))
    good["rules"][name] = value
    with pytest.raises(CodecError, match=name):
        decode(STREAM_OF[InstrumentInfo], msgspec.json.encode([good]))
    told = told_info(**{name: D(value)}).rules
    assert not told.active
    assert name in told.reason


def test_what_is_too_much_for_one_order_is_cut_to_it() -> None:
    assert qty_accepted(make_rules(), D("12.3456")) == D("12.345")
    assert qty_accepted(make_rules(qty_max=D("5.0005")), D("12.3456")) == D(5)
    assert qty_accepted(make_rules(qty_max=D("5.0005")), D("2.5")) == D("2.5")
