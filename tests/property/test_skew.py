"""Whatever a venue holds: emptying it never gets cheaper, and filling it never needs more."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal as D
from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.inventory import Band
from shared.domain.skew import Change, Skew, SkewLimits, skew_of

amounts = st.decimals(0, 100, places=3)
bps = st.decimals(0, 50, places=2)
bands = st.builds(
    lambda target, low, high: Band(max(D(0), target - low), target, target + high),
    amounts,
    amounts,
    amounts,
)


@st.composite
def limits(draw: st.DrawFn) -> SkewLimits:
    most = draw(bps)
    return SkewLimits(most, min(most, draw(bps)))


def taken(band: Band, before: D, qty: D) -> Change:
    return Change(("a", "BTC"), band, before, before - qty)


@given(bands, amounts, amounts, st.decimals("0.001", 50, places=3), limits())
def test_the_less_there_is_the_more_a_trade_needs(band, one, other, qty, most) -> None:
    less, more = min(one, other), max(one, other)
    scarce, plenty = (skew_of([taken(band, held, qty)], most) for held in (less, more))
    assert scarce.charge_bps >= plenty.charge_bps
    assert scarce.reward_bps <= plenty.reward_bps
    assert scarce.net_bps >= plenty.net_bps


@given(bands, amounts, st.decimals("0.001", 50, places=3), limits())
def test_the_more_is_taken_the_more_a_trade_needs(band, held, qty, most) -> None:
    step = D("0.5")
    one, more = (skew_of([taken(band, held, q)], most) for q in (qty, qty + step))
    assert one.charge_bps <= more.charge_bps
    assert one.net_bps <= more.net_bps


@given(bands, bands, amounts, amounts, limits())
def test_a_trade_back_to_target_never_needs_more(band, other, one, two, most) -> None:
    def back(place: str, within: Band, held: D, share: D) -> Change:
        after = held + (within.target - held) * share / 100
        return Change((place, "BTC"), within, held, after)

    found = skew_of([back("a", band, one, two), back("b", other, two, one)], most)
    assert found.charge_bps == 0
    assert found.net_bps <= 0


@given(st.lists(st.tuples(bands, amounts, amounts), max_size=4), limits())
def test_both_stay_within_their_bounds(drawn, most) -> None:
    changes = [
        Change((str(n), "BTC"), band, before, after)
        for n, (band, before, after) in enumerate(drawn)
    ]
    found = skew_of(changes, most)
    assert 0 <= found.charge_bps <= most.charge_bps_max * len(changes)
    assert 0 <= found.reward_bps <= most.reward_bps_max


def in_fractions(changes: Iterable[Change], most: SkewLimits) -> Skew:
    """Return the skew word for word by the formulas of ``shared/domain/skew.py``."""
    charge = reward = Fraction(0)
    for change in changes:
        before, after = Fraction(change.before), Fraction(change.after)
        low, target, high = (Fraction(qty) for qty in change.band)

        def area(off: Fraction, width: Fraction) -> Fraction:
            if off <= 0:
                return Fraction(0)
            return off - width / 2 if off >= width else off * off / (2 * width)

        if before == after:
            continue
        depth = area(target - after, target - low) - area(target - before, target - low)
        height = area(before - target, high - target) - area(after - target, high - target)
        depth, height = depth / (before - after), height / (before - after)
        if after < before:
            charge += Fraction(most.charge_bps_max) * depth
            reward += Fraction(most.reward_bps_max) * height
        else:
            reward += Fraction(most.reward_bps_max) * depth
    reward = min(reward, Fraction(most.reward_bps_max))
    unit = D("1e-8")
    return Skew(D(ceil(charge * 10**8)) * unit, D(floor(reward * 10**8)) * unit)


fine = st.decimals(0, 100, places=12)
moved = st.builds(
    lambda band, before, after: Change(("a", "BTC"), band, before, after),
    st.one_of(
        bands,
        st.builds(lambda t, d: Band(max(D(0), t - d), t, t + d), fine, fine),
        st.builds(lambda t: Band(t, t, t), fine),
    ),
    fine,
    fine,
)


@given(st.lists(moved, max_size=6), limits())
def test_whole_numbers_say_what_fractions_say(changes, most) -> None:
    assert skew_of(changes, most) == in_fractions(changes, most)
