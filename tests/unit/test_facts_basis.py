"""Facts of the basis between spot and perpetual on recorded hours, to the last digit given."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from statistics import fmean, median

import pytest

from shared.domain.basis import (
    Bases,
    BasisLimits,
    Holding,
    LegFees,
    Move,
    Prices,
    basis,
    basis_bps,
    decide_flat,
    decide_held,
    round_terms,
)
from shared.domain.contracts import SPOT
from shared.domain.rounding import exact
from shared.messages.base import Side
from tests.tables import binance_hours, quantile, utc_s

pytestmark = pytest.mark.recorded
S = 1_000_000_000
FOR_EVER_MS = 10**15


def test_the_basis_of_hourly_closes(recorded: Path) -> None:
    hours = binance_hours(recorded)
    at = {
        t: basis_bps(perp, spot)
        for t, spot, perp in zip(hours["t"], hours["spot"], hours["perp"], strict=True)
        if spot and perp
    }
    found = list(at.values())
    assert len(found) == 54_113
    assert f"{fmean(found):.4f}" == "-1.0180"
    assert f"{median(found):.4f}" == "-3.5469"
    assert f"{quantile(found, 0.01):.4f}" == "-8.3884"
    assert f"{quantile(found, 0.99):.4f}" == "17.1389"
    assert sum(abs(value) > 30 for value in found) == 65
    assert f"{max(found):.2f}" == "221.91"


def test_the_largest_values_could_not_be_traded(recorded: Path) -> None:
    """A venue that halts leaves its last price behind, and the basis to it is nobody's."""
    hours = binance_hours(recorded)
    rows = {t: i for i, t in enumerate(hours["t"])}

    def at(when: str) -> int:
        return rows[utc_s(when)]

    for when, bps in (("2020-12-21 14:00", "221.91"), ("2021-02-11 03:00", "210.12")):
        row = at(when)
        assert f"{basis_bps(hours['perp'][row], hours['spot'][row]):.2f}" == bps
        assert hours["spot"][row + 1] is None, "spot has vanished the hour after"
        assert hours["perp"][row + 1] is not None
    row = at("2023-03-24 11:00")
    assert f"{basis_bps(hours['perp'][row], hours['spot'][row]):.2f}" == "-185.75"
    assert hours["spot"][row : row + 3] == [28_080.0, 28_080.0, None], "the price is frozen"
    assert hours["spot_volume"][row + 1] == 0


def test_opening_at_30_and_closing_at_0(recorded: Path) -> None:
    hours = binance_hours(recorded)
    limits = BasisLimits(Decimal(30), Decimal(0), FOR_EVER_MS)
    held: tuple[int, Prices] | None = None
    move, gross = Move.STAY, []
    for row, t in enumerate(hours["t"]):
        opened = _prices(hours["spot_open"][row], hours["perp_open"][row])
        if opened is not None and move is Move.OPEN:
            held = (int(t) * S, opened)
        elif opened is not None and move is Move.CLOSE and held is not None:
            one = Holding(Side.BUY, Decimal(1), Decimal(1), SPOT)
            terms = round_terms(one, held[1], opened, LegFees(Decimal(0), Decimal(0)))
            gross.append(terms.basis / held[1].spot * 10_000)
            held = None
        closed = _prices(hours["spot"][row], hours["perp"][row])
        if closed is None:
            continue
        here = basis(closed.perp, closed.spot)
        bases = Bases(here, here)
        if held is None:
            move = decide_flat(bases, limits).move
        else:
            move = decide_held(bases, limits, ts_opened_ns=held[0], now_ns=int(t) * S).move
    assert held is None
    assert len(gross) == 10
    assert f"{fmean(gross):.4f}" == "47.6714"


def _prices(spot: float | None, perp: float | None) -> Prices | None:
    return Prices(exact(spot), exact(perp)) if spot and perp else None
