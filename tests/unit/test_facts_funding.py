"""Facts of recorded funding, to the last digit given."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import correlation
from typing import NamedTuple

import pytest

from shared.domain.basis import Holding, LegFees, Prices, RoundTerms, round_terms
from shared.domain.carry import settlements_to_earn
from shared.domain.contracts import Contract
from shared.domain.funding import (
    HOUR_NS,
    SECOND_NS,
    FundingHistory,
    Settled,
    as_of,
    between,
    on_equal_times,
    realised,
    received,
    to_second,
)
from shared.domain.funding_rate import steps
from shared.domain.instrument import InstrumentKind
from shared.domain.margin import Isolated, liquidation_price
from shared.domain.rounding import exact
from shared.messages.base import Side
from tests.tables import binance_hours, csv_rows, parquet_columns, utc_s

pytestmark = pytest.mark.recorded
D = Decimal
S, H = SECOND_NS, HOUR_NS
EIGHT_HOURS = 8 * H
LINEAR = Contract(InstrumentKind.LINEAR)
PERPETUALS = "perpfunding_PietroC21"
THREE_HOURS_AHEAD = frozenset({"binance", "bybit", "htx", "kucoin", "mexc"})


def settlements(data: Path) -> list[Settled]:
    path = data / PERPETUALS / "funding_rates" / "BTCUSDT.parquet"
    times, rates = parquet_columns(path, "datetime", "funding_rate")
    history = FundingHistory(10_000)
    for t, rate in zip(times, rates, strict=True):
        assert history.take(Settled(int(t * S), EIGHT_HOURS, exact(rate)))
    return history.newest(10_000)


def year_of(settled: Settled) -> int:
    return datetime.fromtimestamp(settled.ts_funding_ns // S, UTC).year


def ns(when: str) -> int:
    return int(utc_s(when)) * S


def opens(data: Path, market: str) -> dict[int, Decimal]:
    path = data / PERPETUALS / f"ohlcv_{market}_8h" / "BTCUSDT.parquet"
    times, prices = parquet_columns(path, "datetime", "open")
    return {int(t) * S: exact(price) for t, price in zip(times, prices, strict=True)}


def test_sums_by_year(recorded: Path) -> None:
    found = settlements(recorded)
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for settled in found:
        sums[year_of(settled)] += settled.rate
    assert [f"{sums[year]:.6f}" for year in range(2020, 2026)] == [
        "0.172397",
        "0.306084",
        "0.041649",
        "0.078657",
        "0.119569",
        "0.051264",
    ]
    assert len(found) == 6_741
    assert sum(sums.values()) == D("0.77367755")
    assert realised(found).holes == 0
    assert realised(found).hours == 6_741 * 8


def test_negative_equal_and_extreme_rates(recorded: Path) -> None:
    found = settlements(recorded)
    assert sum(settled.rate < 0 for settled in found) == 864
    assert sum(steps(settled.rate) == 10_000 for settled in found) == 2_440
    extremes = {s.ts_funding_ns: s.rate for s in found if abs(s.rate) >= D("0.003")}
    assert extremes == {ns("2020-02-12 00:00"): D("0.003"), ns("2020-03-13 08:00"): D("-0.003")}


def test_an_hourly_panel_pays_eight_times_when_it_is_summed(recorded: Path) -> None:
    hours = binance_hours(recorded)
    rates = {int(t): rate for t, rate in zip(hours["t"], hours["rate"], strict=True) if rate}
    assert f"{sum(rates.values()):.6f}" == "6.190701"
    at_settlements = sum(rate for t, rate in rates.items() if t % 28_800 == 0)
    assert f"{at_settlements:.6f}" == "0.773819"


def test_a_short_of_one_coin_earns_more_as_the_price_rises(recorded: Path) -> None:
    of_2020 = [settled for settled in settlements(recorded) if year_of(settled) == 2020]
    marks = opens(recorded, "perp")
    cash = received(LINEAR, of_2020, lambda _: D(-1), marks.__getitem__)
    assert f"{cash / marks[of_2020[0].ts_funding_ns]:.6f}" == "0.311259"


def test_settlements_that_earn_30_bps(recorded: Path) -> None:
    found = settlements(recorded)
    needed = []
    for year in range(2020, 2026):
        of_year = [settled.rate for settled in found if year_of(settled) == year]
        mean = sum(of_year) / len(of_year)
        needed.append((f"{D('0.003') / mean:.1f}", settlements_to_earn(D("0.003"), mean)))
    assert needed == [
        ("19.1", 20),
        ("10.7", 11),
        ("78.9", 79),
        ("41.8", 42),
        ("27.5", 28),
        ("64.1", 65),
    ]


def test_windows_runs_and_persistence(recorded: Path) -> None:
    rates = [settled.rate for settled in settlements(recorded)]
    windows = [sum(rates[at : at + 90]) for at in range(len(rates) - 89)]
    assert len(windows) == 6_652
    assert sum(window < D("0.003") for window in windows) == 1_379
    high = [steps(rate) >= 10_000 for rate in rates]
    stays = sum(a and b for a, b in itertools.pairwise(high)) / sum(high[:-1])
    assert f"{stays:.4f}" == "0.8858"
    series = [float(rate) for rate in rates]
    # The correlation of the two shifted series; about one mean for both it would be 0.7964.
    assert f"{correlation(series[:-1], series[1:]):.4f}" == "0.7965"
    run = longest = 0
    for rate in rates:
        run = run + 1 if rate < 0 else 0
        longest = max(longest, run)
    assert longest == 24


class Round(NamedTuple):
    terms: RoundTerms
    payments: int


def carry_rounds(data: Path, enter: Decimal, leave: Decimal) -> Iterator[Round]:
    """Receive at each instant, then decide on the last three rates and trade at both opens."""
    spot, perp = opens(data, "spot"), opens(data, "perp")
    rates = {settled.ts_funding_ns: settled for settled in settlements(data)}
    history = FundingHistory()
    held: tuple[Holding, Prices] | None = None
    funding, payments = D(0), 0
    last = max(perp)
    for t in sorted(perp):
        prices, settled = Prices(spot[t], perp[t]), rates.get(t)
        if settled is not None:
            history.take(settled)
            if held is not None:
                funding += received(LINEAR, [settled], lambda _: -held[0].contracts, perp.get)
                payments += 1
        mean = history.realised(3)
        rate = None if mean is None or mean.per_hour is None else mean.per_hour * 8
        if held is not None and (t == last or (rate is not None and rate < leave)):
            fees = LegFees(D(10), D(5))
            yield Round(round_terms(*held, prices, fees, funding=funding), payments)
            held, funding, payments = None, D(0), 0
        elif held is None and t != last and rate is not None and rate >= enter:
            qty = D(10_000) / prices.spot
            held = Holding(Side.BUY, qty, qty, LINEAR), prices


def test_carry_round_trips(recorded: Path) -> None:
    rounds = list(carry_rounds(recorded, D("0.0001"), D(0)))
    terms = [each.terms for each in rounds]
    assert len(rounds) == 57
    assert sum(each.payments for each in rounds) == 4_372
    assert f"{sum(each.funding for each in terms):.4f}" == "13849.2113"
    assert f"{sum(each.basis for each in terms):.4f}" == "237.9973"
    assert f"{sum(each.spot_fees + each.perp_fees for each in terms):.4f}" == "1727.5541"
    assert f"{sum(each.net for each in terms):.4f}" == "12359.6545"
    assert sum(each.net < 0 for each in terms) == 32


def test_carry_round_trips_with_higher_thresholds(recorded: Path) -> None:
    rounds = list(carry_rounds(recorded, D("0.0002"), D("0.0001")))
    assert len(rounds) == 15
    assert f"{sum(each.terms.net for each in rounds):.4f}" == "8501.9966"


@pytest.mark.parametrize(
    ("leverage", "price", "when"),
    [(1, "14321.5737", "2020-11-05 02:00"), (2, None, "2020-07-27 16:00")],
)
def test_an_isolated_short_is_liquidated(
    recorded: Path, leverage: int, price: str | None, when: str
) -> None:
    entry = D("7189.43")
    assert opens(recorded, "perp")[ns("2020-01-01 00:00")] == entry
    found = liquidation_price(Isolated(LINEAR, D(-1), entry, entry / leverage, D("0.004")))
    assert found is not None
    assert price is None or f"{found:.4f}" == price
    hours = binance_hours(recorded)
    rows = zip(hours["t"], hours["perp_high"], strict=True)
    assert next(t for t, high in rows if high and exact(high) >= found) == utc_s(when)


def venue_settlements(data: Path, venue: str) -> list[Settled]:
    (path,) = (data / "funding_supervik").glob(f"BTC-USDT_{venue}_*.csv.gz")
    ahead_s = 3 * 3_600 if venue in THREE_HOURS_AHEAD else 0
    interval_ns = H if venue == "dydx" else EIGHT_HOURS
    history = FundingHistory(20_000)
    for row in csv_rows(path):
        t = utc_s(row["Date"]) - ahead_s
        assert history.take(Settled(round(t * S), interval_ns, D(row["Funding Rate"])))
    return history.newest(20_000)


def steps_in_hours(found: list[Settled]) -> Counter[float]:
    pairs = itertools.pairwise(found)
    return Counter((b.ts_funding_ns - a.ts_funding_ns) / H for a, b in pairs)


def test_two_sources_of_one_venue_agree(recorded: Path) -> None:
    found = venue_settlements(recorded, "binance")
    truth = {settled.ts_funding_ns: settled.rate for settled in settlements(recorded)}
    assert len(found) == 4_383
    assert sum(truth.get(settled.ts_funding_ns) == settled.rate for settled in found) == 4_383


def test_differences_between_venues(recorded: Path) -> None:
    left, right = (venue_settlements(recorded, venue) for venue in ("binance", "bybit"))
    common = on_equal_times(left, right)
    apart = [a.rate - b.rate for a, b in common]
    assert len(common) == 3_285
    assert f"{sum(apart):.6f}" == "-0.074888"
    assert f"{sum(map(abs, apart)):.6f}" == "0.386377"
    # As many settlements of one cadence: the sums over the span say the same.
    start, end = right[0].ts_funding_ns - 1, right[-1].ts_funding_ns
    assert between(left, start, end) - between(right, start, end) == sum(apart)


def test_a_venue_that_settles_at_other_hours_is_joined_as_of(recorded: Path) -> None:
    left, right = (venue_settlements(recorded, venue) for venue in ("binance", "kucoin"))
    assert on_equal_times(left, right) == []
    pairs = as_of(left, right)
    assert len(pairs) > 6_000
    assert {pair.ts_ns // H % 4 for pair in pairs} == {0}


def test_holes_and_shifted_settlements(recorded: Path) -> None:
    gate = venue_settlements(recorded, "gate")
    assert max(steps_in_hours(gate)) == 752
    assert realised(gate).holes == 1
    moved = steps_in_hours(venue_settlements(recorded, "htx"))
    assert {5, 6, 10} <= set(moved)
    # And besides: one each of 3 + 5, 11 + 5 and 9 + 7, and a day of which two are missing.
    assert set(moved) == {3, 5, 6, 7, 8, 9, 10, 11, 24}
    assert realised(venue_settlements(recorded, "htx")).holes == 1
    hourly = realised(venue_settlements(recorded, "dydx"))
    assert (hourly.hours, hourly.holes) == (17_520, 0)


def test_predicted_is_not_settled(recorded: Path) -> None:
    """The rate moved within the last second before 2023-04-05 00:00."""
    instant = ns("2023-04-05 00:00")
    last: dict[str, str] = {}
    path = recorded / "hftbacktest" / "usdm_btcusdt_20230404.dat.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if "markPrice" in line:
                payload = json.loads(line.partition(" ")[2])["data"]
                if payload["T"] * 1_000_000 == instant:
                    last = payload
    assert D(last["r"]) == D("2.754e-5")
    (settled,) = [s for s in settlements(recorded) if to_second(s.ts_funding_ns) == instant]
    assert settled.rate == D("2.760e-5")
