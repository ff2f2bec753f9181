"""Real tables through the store: what is known of them comes out, and what is odd is told."""

from __future__ import annotations

import pytest

from services.cli.data import look
from services.cli.data.rows import Wanted
from services.cli.data.tables import import_tables
from services.cli.data.verify import verify_store
from services.research.candle_files import DataConfig, load_candles
from services.research.stored_candles import load_stored
from shared.errors import ConfigError

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.recorded
BASE = "iaqf_dhruv1432"


def asked(root, query: str):
    return look.query(root, query)[1]


def test_minutes_of_two_venues_are_as_far_apart_as_in_their_files(tmp_path, recorded):
    for venue in ("coinbase", "kraken"):
        file = recorded / BASE / f"{venue}_btcusd.parquet"
        import_tables([file], tmp_path, Wanted(venue, "BTC/USD"))
    query = """
        with pair as (
            select a.close as a, b.close as b from bar a join bar b using (ts_open_ns)
            where a.venue = 'coinbase' and b.venue = 'kraken'
        ), apart as (select (greatest(a, b) / least(a, b) - 1) * 1e4 as bps from pair)
        select count(*), count(*) filter (where bps > 20),
            count(*) filter (where bps > 40), max(bps) from apart
    """
    assert asked(tmp_path, query) == [(29_889, 756, 16, pytest.approx(57.6175, abs=1e-4))]
    assert verify_store(tmp_path).ok


@pytest.mark.parametrize(
    ("name", "wanted", "count"),
    [
        (f"{BASE}/coinbase_btcusd.parquet", Wanted("coinbase", "BTC/USD"), 29_950),
        (f"{BASE}/kraken_usdcusd.parquet", Wanted("kraken", "USDC/USD"), 20_934),
        (f"{BASE}/binance_usdcusdt.parquet", Wanted("us", "USDC/USDT"), 30_240),
        (
            "iaqf_cl8550/binance_BTCUSD_1m_20230301_20230321.csv.gz",
            Wanted("us", "BTC/USD"),
            30_240,
        ),
        (
            "perpfunding_PietroC21/ohlcv_spot_8h/BTCUSDT.parquet",
            Wanted("binance", "BTC/USDT"),
            6_742,
        ),
    ],
)
def test_candles_are_the_same_in_the_store_as_in_the_file(tmp_path, recorded, name, wanted, count):
    file = recorded / name
    done = import_tables([file], tmp_path, wanted)
    assert (done["rows"], done["shape"]) == (count, "candles")
    keep = DataConfig(holes="keep")
    stored, read = load_stored(tmp_path, keep).candles, load_candles(file, keep).candles
    assert (stored.times_s == read.times_s).all()
    assert (stored.opens == read.opens).all() and (stored.closes == read.closes).all()
    assert (stored.bar_s, stored.holes) == (read.bar_s, read.holes)
    again = import_tables([file], tmp_path, wanted)
    assert (again["rows"], again["unchanged"]) == (0, 1)


@pytest.mark.parametrize("asset", ["ETH", "SOL"])
def test_books_of_two_venues_cross_as_often_as_in_their_files(tmp_path, recorded, asset):
    """Best prices at every update of either, from the levels as they are stored."""
    from services.lab.table_rows import markets_in, messages_of

    for name, venue in (("BINANCE", "binanceusdm"), ("GATE", "gateperp")):
        folder = recorded / "binance_gate_lijiachang"
        for what in ("orderbook", "trade"):
            file = folder / f"{name}_{asset}USDT_{what}_2024-05-09.csv.gz"
            import_tables([file], tmp_path, Wanted(venue, f"{asset}/USDT:USDT"))
    assert verify_store(tmp_path).ok
    sides: dict[tuple[str, bool], dict[float, float]] = {}
    crossed = joint = 0
    most_bps = 0.0
    for _, each in messages_of(markets_in(tmp_path, "depth"), 0.0, {}):
        for is_bid, levels in ((True, each.bids), (False, each.asks)):
            side = sides.setdefault((each.venue, is_bid), {})
            side |= dict(levels)
            for price in [price for price, qty in side.items() if not qty]:
                del side[price]
        if len(sides) == 4:
            joint += 1
            edges = [
                (max(sides[sell, True]) / min(sides[buy, False]) - 1) * 1e4
                for sell, buy in (("binanceusdm", "gateperp"), ("gateperp", "binanceusdm"))
            ]
            crossed += max(edges) > 0
            most_bps = max(most_bps, *edges)
    known = {"ETH": (1597, 5.9, 0.05), "SOL": (1461, 10.0165, 1e-4)}[asset]
    assert (joint, crossed) == (1598, known[0])
    assert most_bps == pytest.approx(known[1], abs=known[2])


def test_a_panel_that_repeats_its_rate_is_no_history_of_funding(tmp_path, recorded):
    folder = recorded / "perpfunding_PietroC21"
    file = folder / "bybit_BTC_2020-03-25_2026-03-06.parquet"
    wanted = Wanted("bybit", "BTC/USDT:USDT")
    with pytest.raises(ConfigError, match="give --as candles or --as funding"):
        import_tables([file], tmp_path, wanted)
    with pytest.raises(ConfigError, match="would be paid 8 times"):
        import_tables([file], tmp_path, wanted._replace(shape="funding"))
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("name", "zone", "count"),
    [("binance", "+03:00", 4_383), ("gate", "UTC", 0), ("dydx", "UTC", 0)],
)
def test_histories_of_funding_in_their_own_zone(tmp_path, recorded, name, zone, count):
    (file,) = (recorded / "funding_supervik").glob(f"BTC-USDT_{name}_*")
    done = import_tables([file], tmp_path, Wanted("v", "BTC/USDT:USDT", zone=zone))
    assert not any("is the zone right?" in note for note in done["notes"])
    assert done["rows"] == (count or done["rows"]) > 4_000
