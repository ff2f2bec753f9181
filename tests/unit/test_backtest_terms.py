"""Terms of a backtest: drawn latencies, refusals, outages, and clocks that are apart."""

from __future__ import annotations

from collections import Counter
from statistics import quantiles

import msgspec
import pytest

from services.lab.backtest_assumed import assumed
from services.lab.backtest_terms import BacktestConfig, VenueTerms, check_terms
from services.lab.clocks import KEPT_MAX, Clocks, Seen
from services.lab.latencies import Latencies, told
from shared.errors import ConfigError
from tests.decision_builders import MS, T0, make_view


def drawn(terms: BacktestConfig, venue: str, count: int, seed: str = "7") -> list[float]:
    latencies = Latencies(terms.way(venue, "order"), seed)
    return [latencies.draw_ns() / MS for _ in range(count)]


def test_measured_latencies_are_drawn_as_often_as_they_were_measured() -> None:
    terms = BacktestConfig(order_ms=500.0, order_samples_ms=(10.0, 10.0, 10.0, 40.0))
    found = Counter(drawn(terms, "alpha", 4_000))
    assert set(found) == {10.0, 40.0}
    assert found[10.0] / 4_000 == pytest.approx(0.75, abs=0.03)
    assert drawn(terms, "alpha", 50) == drawn(terms, "alpha", 50)
    assert drawn(terms, "alpha", 50) != drawn(terms, "alpha", 50, seed="8")


def test_percentiles_are_met_and_what_is_between_is_drawn_evenly() -> None:
    terms = BacktestConfig(order_percentiles_ms=((0, 5), (50, 15), (100, 95)))
    found = drawn(terms, "alpha", 8_000)
    quarter, median, three_quarters = quantiles(found, n=4)
    assert (min(found), max(found)) == (pytest.approx(5, abs=0.1), pytest.approx(95, abs=0.5))
    assert quarter == pytest.approx(10, abs=0.5)
    assert median == pytest.approx(15, abs=1)
    assert three_quarters == pytest.approx(55, abs=3)


def test_what_a_venue_has_of_its_own_counts_in_place_of_all_of_it() -> None:
    terms = BacktestConfig(
        order_samples_ms=(3.0,),
        answer_ms=9.0,
        reject_rate=0.5,
        venues={"beta": VenueTerms(order_ms=20.0, reject_rate=0.0, outages_per_hour=2.0)},
    )
    assert drawn(terms, "alpha", 2) == [3.0, 3.0]
    assert drawn(terms, "beta", 2) == [20.0, 20.0]
    assert Latencies(terms.way("beta", "answer"), "").draw_ns() == 9 * MS
    assert (terms.conditions("alpha").reject_rate, terms.conditions("beta").reject_rate) == (0.5, 0)
    assert terms.conditions("beta").outages_per_hour == 2
    assert terms.conditions("beta").impact_half_life_ms == 0


BAD = {
    "order_samples_ms and order_percentiles_ms: give one of them": {
        "order_samples_ms": [1.0],
        "order_percentiles_ms": [[50, 1]],
    },
    "backtest.answer_percentiles_ms: [50, 3] comes after [90, 5]": {
        "answer_percentiles_ms": [[90, 5], [50, 3]]
    },
    "give a percentile from 0 to 100": {"order_percentiles_ms": [[101, 5]]},
    "backtest.venues.alpha.order_percentiles_ms": {
        "venues": {"alpha": {"order_percentiles_ms": [[50, -1]]}}
    },
    "outages_per_hour = 60 of outage_s = 3600 are 216,000 s of every hour; give less": {
        "outages_per_hour": 60,
        "outage_s": 3600,
    },
    "backtest.venues.alpha: outages_per_hour = 2 of outage_s = 1800": {
        "outage_s": 1800,
        "venues": {"alpha": {"outages_per_hour": 2}},
    },
}


@pytest.mark.parametrize("text", BAD)
def test_terms_that_cannot_be_meant_are_refused(text: str) -> None:
    terms = msgspec.convert(BAD[text], BacktestConfig)
    with pytest.raises(ConfigError, match=r"^here: backtest") as caught:
        check_terms(terms, ["alpha"], "here")
    assert text in str(caught.value)


@pytest.mark.parametrize("given", [{"reject_rate": 1.5}, {"order_samples_ms": [-1]}])
def test_numbers_out_of_bounds_are_refused(given: dict) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, BacktestConfig)


def test_a_way_says_what_it_is_drawn_from() -> None:
    terms = BacktestConfig(order_samples_ms=(30.0, 10.0, 20.0))
    assert told(terms.way("alpha", "order")) == (
        "drawn from 3 measured latencies, 10 to 30 ms, median 20, p99 30"
    )
    assert told(terms.way("alpha", "answer")) == "0 ms"
    points = BacktestConfig(order_percentiles_ms=((50, 12), (99, 80.5)))
    assert told(points.way("alpha", "order")) == "drawn from percentiles in ms: p50 12, p99 80.5"


def late(clocks: Clocks, venue: str, ms: float) -> None:
    view = make_view(venue)
    clocks.on_view(msgspec.structs.replace(view, ts_venue_ns=view.ts_recv_ns - round(ms * MS)))


def test_the_least_delay_of_a_venue_is_the_offset_of_its_clock_and_the_quickest_way() -> None:
    clocks = Clocks()
    for ms in (12.0, 5.0, 80.0, 7.0, 9.0):
        late(clocks, "alpha", ms)
    for ms in (-1_270.0, -1_262.0):
        late(clocks, "beta", ms)
    clocks.on_view(make_view("gamma"))
    alpha, beta = clocks.seen["alpha"], clocks.seen["beta"]
    assert (alpha.least_ns, alpha.median_ns, alpha.count) == (5 * MS, 9 * MS, 5)
    assert (beta.least_ns, beta.median_ns) == (-1_270 * MS, -1_270 * MS)
    texts = assumed(BacktestConfig(), ["alpha", "beta", "gamma"], clocks.seen)
    assert any("alpha: market data were received +5.0 ms after" in each for each in texts)
    assert any("gamma: how far its clock is from ours is not known" in each for each in texts)
    assert any("alpha was received 1,275.0 ms later than beta" in each for each in texts)


def test_few_differences_are_kept_of_many() -> None:
    seen = Seen(0)
    for number in range(20_000):
        seen.add(number)
    assert len(seen.kept) < KEPT_MAX
    assert seen.count == 20_000
    assert seen.median_ns == pytest.approx(10_000, rel=0.01)
    assert T0 not in seen.kept


def test_refusals_and_outages_are_stated_with_their_rate() -> None:
    terms = BacktestConfig(reject_rate=0.02, outages_per_hour=1.5, outage_s=45)
    texts = assumed(terms, ["alpha"], {})
    assert "alpha: 0.02 of the orders are refused, drawn by seed" in texts
    assert any("down 1.5 times an hour for 45 s" in each for each in texts)
    quiet = assumed(BacktestConfig(), ["alpha"], {})
    assert not any("refused" in each or "is down" in each for each in quiet)
