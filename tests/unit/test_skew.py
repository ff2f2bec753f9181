"""What a trade is charged and rewarded for what it does to inventory, in figures by hand."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from shared.domain.inventory import Band
from shared.domain.skew import Change, Skew, SkewLimits, skew_of

BAND = Band(D(6), D(10), D(14))
LIMITS = SkewLimits(D(20), D(5))


def change(before: str, after: str, venue: str = "a", band: Band = BAND) -> Change:
    return Change((venue, "BTC"), band, D(before), D(after))


@pytest.mark.parametrize(
    ("before", "after", "charge", "reward"),
    [
        ("10", "9", "2.5", "0"),  # a quarter of the way at its end, an eighth in the mean: 20/8
        ("8", "7", "12.5", "0"),  # from 1/2 to 3/4: 5/8 of 20
        ("7", "6", "17.5", "0"),
        ("6", "5", "20", "0"),  # below the band the ramp stays where it is
        ("11", "9", "1.25", "0.3125"),  # half of it is above the target, up to a quarter
        ("14", "10", "0", "2.5"),
        ("20", "16", "0", "5"),
        ("12", "11", "0", "1.875"),  # from 1/2 to 1/4: 3/8 of 5
        ("8", "9", "0", "1.875"),
        ("4", "5", "0", "5"),
        ("9", "12", "0", "0.20833333"),  # a third of it fills: 1/8 * 1/3 * 5, rounded down
        ("12", "13", "0", "0"),
        ("10", "10", "0", "0"),
        ("10", "9.7", "0.75", "0"),
        ("11", "8", "3.33333334", "0.20833333"),  # 20 * 1/4 * 2/3, rounded up
    ],
)
def test_the_mean_of_the_way(before: str, after: str, charge: str, reward: str) -> None:
    assert skew_of([change(before, after)], LIMITS) == Skew(D(charge), D(reward))


def test_places_add_up_and_rewards_stay_within_their_bound() -> None:
    takes = [change("8", "7"), change("7", "6", "b")]
    assert skew_of(takes, LIMITS) == Skew(D(30), D(0))
    brings = [change("4", "5"), change("8", "9", "b")]
    assert skew_of(brings, LIMITS) == Skew(D(0), D(5))
    assert skew_of([takes[0], change("8", "9", "b")], LIMITS).net_bps == D("10.625")


def test_a_band_without_width_and_one_that_ends_at_zero() -> None:
    point = Band(D(10), D(10), D(10))
    assert skew_of([change("10", "9", band=point)], LIMITS) == Skew(D(20), D(0))
    assert skew_of([change("9", "10", band=point)], LIMITS) == Skew(D(0), D(5))
    to_zero = Band(D(0), D(10), D(40))  # nothing below it, so twice as steep as its upper half
    assert skew_of([change("10", "5", band=to_zero)], LIMITS) == Skew(D(5), D(0))


def test_what_ends_below_the_band_and_what_is_taken_below_the_target() -> None:
    assert not change("10", "6").is_below_band
    assert change("10", "5.9").is_below_band
    assert not change("4", "5").is_below_band
    assert change("12", "9").qty_short == 1
    assert change("9", "7").qty_short == 2
    assert change("14", "11").qty_short == 0
    assert change("5", "8").qty_short == 0
