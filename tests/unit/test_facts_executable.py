"""Facts of recorded prices across quote assets, venues and cycles, to the last digit given."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from statistics import fmean, median

import pytest

from shared.domain.basis import basis_bps
from shared.domain.conversion import FxBook, Terms, convert_leg, leg_of
from shared.domain.cycles import CycleBoard, Market, enumerate_cycles
from shared.domain.depth import Obstacle, Uncrossed, costs_of, take_crossed_depth
from shared.domain.path import PathLeg, best_outcome, marginal
from shared.domain.rounding import exact
from shared.messages.base import BookState, Side
from shared.strategies.features.lead_lag import (
    LeadLag,
    lead_lag,
    lead_lag_of_moves,
    log_returns,
    moves,
    sample,
)
from tests.tables import csv_rows, parquet_columns

pytestmark = pytest.mark.recorded
D = Decimal
FREE = Terms(D("1e-8"), D(0))
Candle = tuple[float, float, float]
"""High, low, close."""


def candles(data: Path, name: str) -> dict[int, Candle]:
    path = data / "iaqf_dhruv1432" / f"{name}.parquet"
    times, *prices = parquet_columns(path, "timestamp", "high", "low", "close")
    return {int(t): row for t, row in zip(times, zip(*prices, strict=True), strict=True)}


def above(first: float, second: float) -> float:
    """How far the higher is above the lower, in basis points."""
    return (max(first, second) / min(first, second) - 1) * 1e4


def test_closes_apart_are_many_and_prices_apart_few(recorded: Path) -> None:
    one, other = candles(recorded, "coinbase_btcusd"), candles(recorded, "kraken_btcusd")
    common = sorted(one.keys() & other.keys())
    apart = [above(one[t][2], other[t][2]) for t in common]
    assert len(common) == 29_889
    assert sum(bps > 20 for bps in apart) == 756
    assert sum(bps > 40 for bps in apart) == 16
    assert f"{max(apart):.4f}" == "57.6175"
    sure = [max(one[t][1] / other[t][0], other[t][1] / one[t][0]) * 1e4 - 1e4 for t in common]
    assert sum(bps > 20 for bps in sure) == 78
    assert sum(bps > 40 for bps in sure) == 2


def product(*legs: PathLeg) -> Decimal:
    found = D(1)
    for leg in legs:
        found *= marginal(leg, leg.levels[0][0])
    return found


def bps_over(found: Decimal) -> str:
    return f"{(found - 1) * 10_000:.4f}"


def level(price: float) -> list[tuple[Decimal, Decimal]]:
    return [(exact(price), D(1))]


def test_usdc_at_one_to_one_at_closes_and_at_executable_prices(recorded: Path) -> None:
    """Minutes in which all three traded; a loss of the peg makes 1:1 wrong by 14 %."""
    usd, usdc, rate = (
        candles(recorded, name) for name in ("kraken_btcusd", "kraken_btcusdc", "kraken_usdcusd")
    )
    common = sorted(usd.keys() & usdc.keys() & rate.keys())
    assert f"{max(above(usdc[t][2], usd[t][2]) for t in common):.2f}" == "1402.75"
    # The design says 182.156; these files give 182.193, at 2023-03-11 05:42:
    # 21,991 * 0.9471 / 20,455 - 1, whichever way the minutes are joined.
    converted = {t: above(usdc[t][2] * rate[t][2], usd[t][2]) for t in common}
    assert f"{max(converted.values()):.3f}" == "182.193"
    assert max(converted, key=converted.__getitem__) == 1_678_513_320
    best = {t: max(both_ways(usd[t], usdc[t], rate[t])) for t in common}
    assert bps_over(max(best.values())) == "88.2365"
    assert max(best, key=best.__getitem__) == 1_678_513_320
    assert sum(found > D("1.0078") for found in best.values()) == 2


def both_ways(usd: Candle, usdc: Candle, rate: Candle) -> tuple[Decimal, Decimal]:
    """Buy at the high, sell at the low, convert at the worse of high and low."""
    fx = FxBook("USDC/USD", BookState.LIVE, 0, level(rate[1]), level(rate[0]))
    into_usd = product(
        leg_of(Side.BUY, level(usd[0]), FREE),
        leg_of(Side.SELL, level(usdc[1]), FREE),
        convert_leg(fx, "USDC", FREE),
    )
    into_usdc = product(
        leg_of(Side.BUY, level(usdc[0]), FREE),
        leg_of(Side.SELL, level(usd[1]), FREE),
        convert_leg(fx, "USD", FREE),
    )
    return into_usd, into_usdc


Tick = tuple[int, float, float]
"""Receive time, bid, ask."""


def book_tickers(path: Path) -> Iterator[Tick]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if "bookTicker" in line:
                t, _, frame = line.partition(" ")
                payload = json.loads(frame)["data"]
                yield int(t), float(payload["b"]), float(payload["a"])


@pytest.fixture(scope="module")
def ticks(recorded: Path) -> dict[str, list[Tick]]:
    files = {
        "spot": "spot_btcusdt_20240808.gz",
        "usdm": "usdm_btcusdt_20240808.gz",
        "coinm": "cm_btcusd_perp_20240808.gz",
    }
    folder = recorded / "hftbacktest"
    return {name: list(book_tickers(folder / file)) for name, file in files.items()}


def test_no_trade_between_spot_and_its_perpetual(ticks: dict[str, list[Tick]]) -> None:
    """The negative control: less than 15 bps of taker fees at every joint event, both ways."""
    merged = sorted((tick[0], name, *tick[1:]) for name in ("spot", "usdm") for tick in ticks[name])
    last: dict[str, tuple[float, float]] = {}
    perp_over, spot_over = [], []
    for _, name, bid, ask in merged:
        last[name] = bid, ask
        if len(last) == 2:
            perp_over.append(basis_bps(last["usdm"][0], last["spot"][1]))
            spot_over.append(basis_bps(last["spot"][0], last["usdm"][1]))
    assert len(perp_over) == 93_851
    assert f"{max(perp_over):.4f}" == "0.7955"
    assert f"{max(spot_over):.4f}" == "11.0414"
    assert max(*perp_over, *spot_over) < 15


STEP_NS = 10_000_000


def measured(ticks: dict[str, list[Tick]], pair: tuple[str, str], from_ns: int) -> LeadLag:
    mids = [[(t, (bid + ask) / 2) for t, bid, ask in ticks[name]] for name in pair]
    to_ns = min(rows[-1][0] for rows in ticks.values())
    sides = []
    for rows in mids:
        values = sample(rows, from_ns, to_ns, STEP_NS)
        assert None not in values
        sides.append(log_returns([value for value in values if value is not None]))
    found = lead_lag(*sides, lags=20, step_ns=STEP_NS)
    assert found is not None
    return found


def test_who_leads(ticks: dict[str, list[Tick]]) -> None:
    """On the grid that begins at the first instant at which all three have a price."""
    first = max(rows[0][0] for rows in ticks.values())
    of_usdm = measured(ticks, ("usdm", "coinm"), first)
    assert (of_usdm.lag_ns, f"{of_usdm.rho:.4f}") == (40_000_000, "0.1852")
    of_spot = measured(ticks, ("spot", "coinm"), first)
    assert (of_spot.lag_ns, f"{of_spot.rho:.4f}") == (30_000_000, "0.3470")
    assert of_usdm.llr > 1 < of_spot.llr


def test_the_strategy_measures_the_same_on_moves(ticks: dict[str, list[Tick]]) -> None:
    """What it computes on a grid, on the same grid as above."""
    first = max(rows[0][0] for rows in ticks.values())
    to_ns = min(rows[-1][0] for rows in ticks.values())
    for name, lag_ms, rho in (("usdm", 40, "0.1852"), ("spot", 30, "0.3470")):
        mids = ([(t, (b + a) / 2) for t, b, a in ticks[each]] for each in (name, "coinm"))
        sides = [moves(rows, first, to_ns, STEP_NS) for rows in mids]
        assert None not in sides
        found = lead_lag_of_moves(*sides, lags=20, step_ns=STEP_NS)
        assert found is not None
        assert (found.lag_ns, f"{found.rho:.4f}") == (lag_ms * 1_000_000, rho)


def test_the_lag_depends_on_where_the_grid_begins(ticks: dict[str, list[Tick]]) -> None:
    """On whole multiples of 10 ms the same recording says 20 ms instead of 40."""
    first = max(rows[0][0] for rows in ticks.values())
    found = measured(ticks, ("usdm", "coinm"), -(-first // STEP_NS) * STEP_NS)
    assert (found.lag_ns, f"{found.rho:.4f}") == (20_000_000, "0.1610")


def test_triangles_of_a_whole_venue(recorded: Path) -> None:
    with gzip.open(recorded / "cryptofeed" / "BINANCE.0.gz", "rt", encoding="utf-8") as lines:
        (info,) = [
            json.loads(line.partition(": ")[2]) for line in lines if "exchangeInfo" in line[:60]
        ]
    listed = [
        Market("binance", f"{symbol['baseAsset']}/{symbol['quoteAsset']}")
        for symbol in info["symbols"]
        if symbol["status"] == "TRADING"
    ]
    found = enumerate_cycles(listed)
    per_market = list(map(len, found.of_market))
    assert len(found.markets) == 1_262
    assert len(found.cycles) == 1_982
    assert found.is_whole
    assert f"{fmean(per_market):.1f}" == "4.7"
    assert median(per_market) == 3
    assert max(per_market) == 256


def coinbase_books(data: Path) -> Iterator[tuple[str, dict[str, tuple[dict, dict]]]]:
    """Yield the product that changed and all books, after each snapshot and each update."""
    books: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    with gzip.open(data / "cryptofeed" / "COINBASE.ws.28.0.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            payload = line.partition(": ")[2]
            if line.startswith("wss") or not payload.startswith("{"):
                continue
            update = json.loads(payload)
            if update["type"] == "snapshot":
                books[update["product_id"]] = dict(update["bids"]), dict(update["asks"])
            elif update["type"] == "l2update":
                for side, price, size in update["changes"]:
                    book = books[update["product_id"]][side != "buy"]
                    book[price] = size
                    if not float(size):
                        del book[price]
            else:
                continue
            yield update["product_id"], books


CYCLE = ["SKL/GBP", "SKL/BTC", "BAND/BTC", "BAND/GBP"]


def test_a_cycle_of_four_markets_never_pays(recorded: Path) -> None:
    found = enumerate_cycles([Market("coinbase", name) for name in CYCLE], legs_max=4)
    (cycle,) = found.cycles
    board = CycleBoard(found)
    numbers = {name.replace("/", "-"): number for number, name in enumerate(CYCLE)}
    forth, back = [], []
    for name, books in coinbase_books(recorded):
        number = numbers.get(name)
        if number is None:
            continue
        bids, asks = books[name]
        assert not board.update(
            number, max(map(float, bids)), min(map(float, asks)), 0.0, least=1.0
        )
        if books.keys() >= numbers.keys():
            forth.append((board.product(cycle) - 1) * 1e4)
            back.append((board.product(cycle.backwards()) - 1) * 1e4)
    assert len(forth) == 3_305
    ways = {f"{max(forth):.4f}", f"{max(back):.4f}"}
    assert ways == {"-13.8009", "-34.9523"}
    # GBP -> SKL -> BTC -> BAND -> GBP is the better way: SKL is bought with GBP.
    gbp_first = cycle if max(forth) > max(back) else cycle.backwards()
    begun = gbp_first.begun_at(gbp_first.assets.index("GBP"))
    assert begun.assets == ("GBP", "SKL", "BTC", "BAND")
    legs = [
        PathLeg(leg.side, side_of(books, CYCLE[leg.market], leg.side), D("0.1"))
        for leg in begun.legs
    ]
    assert best_outcome(legs, D(1), D(1_000)) is None


def side_of(books: dict[str, tuple[dict, dict]], name: str, side: Side) -> list:
    bids, asks = books[name.replace("/", "-")]
    taken = asks if side is Side.BUY else bids
    return sorted(((D(p), D(q)) for p, q in taken.items()), reverse=side is Side.SELL)[:50]


@pytest.mark.parametrize(
    ("symbol", "crossed", "best", "paying"),
    [("ETHUSDT", 1_597, "5.8713", 0), ("SOLUSDT", 1_461, "10.0165", 1)],
)
def test_crossed_books_that_do_not_pay_two_fees(
    recorded: Path, symbol: str, crossed: int, best: str, paying: int
) -> None:
    rows = sorted(
        (int(row["local_timestamp"]), venue, row)
        for venue in ("BINANCE", "GATE")
        for row in csv_rows(
            recorded / "binance_gate_lijiachang" / f"{venue}_{symbol}_orderbook_2024-05-09.csv.gz"
        )
    )
    free, fees = costs_of(0.0, 0.0, 0.0), costs_of(0.0005, 0.0005, 0.0)
    last: dict[str, dict[str, str]] = {}
    gross, net = [], []
    for _, venue, row in rows:
        last[venue] = row
        if len(last) < 2:
            continue
        ways = [(last[a], last[b]) for a, b in (("BINANCE", "GATE"), ("GATE", "BINANCE"))]
        gross.append(max(edge(*way, free) for way in ways))
        net.append(max(edge(*way, fees) for way in ways))
    assert len(gross) == 1_598
    assert sum(bps > 0 for bps in gross) == crossed
    assert f"{max(gross):.4f}" == best
    assert sum(bps > 0 for bps in net) == paying
    if paying:
        assert f"{max(net):.4f}" == "0.0115"


def edge(buy: dict[str, str], sell: dict[str, str], costs) -> float:
    """Net edge at the best prices, one unit."""
    ask, bid = float(buy["ask_1_price"]), float(sell["bid_1_price"])
    found = take_crossed_depth([(ask, 1.0)], [(bid, 1.0)], costs, notional_max=1e12)
    if isinstance(found, Uncrossed):
        assert found.obstacle is not Obstacle.EDGE_MIN
        return found.edge_bps
    return found.edge_bps
