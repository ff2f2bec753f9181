"""A recording whose venues really are apart: the replay must trade it, on paper, and end flat.

The counterpart of the negative control: a system that never trades would pass that one too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_demo import check_money, running
from tests.kraken_frames import book_frame, subscribed

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

START_NS = 1_723_161_253_000_000_000
FRAMES = 150
STEP_NS = 100_000_000
LEVELS = 10


def levels(best: float, step: float) -> list[list[str]]:
    return [[f"{best + step * i:.2f}", "1.000"] for i in range(LEVELS)]


def recording(path: Path, best_bid: float, *, futures: bool) -> Path:
    """Fifteen seconds of a book that stands at ``best_bid``, in Binance's own frames."""
    ahead_ns = 30_000_000 if futures else 0
    number = 1_000
    clock = {"E": START_NS // 1_000_000, "T": START_NS // 1_000_000} if futures else {}
    book = {
        "lastUpdateId": number,
        **clock,
        "bids": levels(best_bid, -1.0),
        "asks": levels(best_bid + 1.0, 1.0),
    }
    rows = [f"{START_NS + ahead_ns} {json.dumps(book)}"]
    for index in range(FRAMES):
        at_ns = START_NS + ahead_ns + (index + 1) * STEP_NS
        qty = f"{1 + index % 7 / 10:.3f}"
        data = {"e": "depthUpdate", "E": at_ns // 1_000_000, "s": "BTCUSDT"}
        if futures:
            # The first must straddle the snapshot, each later one name the one before.
            data |= {"T": at_ns // 1_000_000, "U": number, "u": number + 5, "pu": number}
        else:
            data |= {"U": number + 1, "u": number + 5}
        data |= {"b": [[f"{best_bid:.2f}", qty]], "a": [[f"{best_bid + 1:.2f}", qty]]}
        number += 5
        stream = "btcusdt@depth@0ms" if futures else "btcusdt@depth@100ms"
        rows.append(f"{at_ns} {json.dumps({'stream': stream, 'data': data})}")
    path.write_text("\n".join(rows) + "\n")
    return path


def kraken_recording(path: Path, best_bid: float) -> Path:
    """The same in Kraken's frames."""

    def side(best: float, step: float, qty: str) -> list[tuple[str, str]]:
        rows = [(f"{best + step * i:.1f}", "1.00000000") for i in range(LEVELS)]
        return [(rows[0][0], qty), *rows[1:]]

    rows = [f"{START_NS} {subscribed('BTC/USDT', LEVELS)}"]
    for index in range(FRAMES + 1):
        qty = f"{1 + index % 7 / 10:.8f}"
        whole = (side(best_bid, -1.0, qty), side(best_bid + 1.0, 1.0, qty))
        changed = (whole[0][:1], whole[1][:1]) if index else whole
        kind = "update" if index else "snapshot"
        at_ns = START_NS + 20_000_000 + index * STEP_NS
        rows.append(f"{at_ns} {book_frame(kind, 'BTC/USDT', changed, whole)}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_venues_that_are_apart_are_traded(tmp_path: Path) -> None:
    cheap = recording(tmp_path / "binance.txt", 60_000.0, futures=False)
    dear = kraken_recording(tmp_path / "kraken.txt", 60_600.0)  # 100 bps above
    with running("replay", str(cheap), str(dear), "--speed", "2", "--json") as arb:
        report = arb.report()
    assert report["replay"]["complete"]
    assert report["plans"]["approved"] > 0
    assert report["plans"]["outcomes"].get("FILLED", 0) > 0
    assert report["orders"]["unknown"] == 0
    assert report["pnl"]["USDT"]["realized"] > 0
    assert report["pnl"]["USDT"]["fees"] > 0
    assert set(report["inventory_change"]) == {"binance", "kraken"}
    check_money(report)
    assert all(qty == 0 for qty in report["residual_exposure"].values())


def test_a_perpetual_that_is_apart_is_counted_and_not_traded(tmp_path: Path) -> None:
    spot = recording(tmp_path / "spot.txt", 60_000.0, futures=False)
    perp = recording(tmp_path / "usdm.txt", 60_300.0, futures=True)  # 50 bps above, 15 bps of fees
    with running("replay", str(spot), str(perp), "--speed", "2", "--json") as arb:
        report = arb.report()
    assert report["near_misses"]["OPENS_POSITION"] > 0
    assert report["plans"]["approved"] == 0
    assert report["orders"]["submitted"] == 0
    assert report["pnl"] == {}


def test_a_book_that_never_syncs_is_a_problem(tmp_path: Path) -> None:
    whole = recording(tmp_path / "whole.txt", 60_000.0, futures=False)
    lines = whole.read_text().splitlines()[1:60]  # without the snapshot
    path = tmp_path / "none.txt"
    path.write_text("\n".join(lines) + "\n")
    with running("replay", str(path), "--speed", "max", "--json") as arb:
        out, err = arb.process.communicate(timeout=120)
    assert arb.process.returncode == 1
    (problem,) = json.loads(out)["problems"]
    assert problem.startswith("binance BTC/USDT was never LIVE: ")
    assert "snapshot" in problem
    assert problem in err
