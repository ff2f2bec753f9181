"""The account of a backtest: margin, liquidation, funding at its instants, fees by volume."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.executor.paper import PaperGateway
from services.lab.backtest_account import DAY_NS, BacktestAccount
from services.lab.backtest_terms import VenueTerms
from services.lab.equity import POINTS_MAX, Curve
from services.lab.kernel import Kernel
from services.lab.paper import not_here
from shared.accounts.gateway import OrderRequest
from shared.errors import Rejected
from shared.messages.base import Side
from shared.messages.market import Funding, FundingSettled
from tests.decision_builders import PERP, SPOT, make_rules, make_terms, make_view

D = Decimal
START_NS = 1_700_000_000_000_000_000
AT_NS = START_NS + 10_000_000_000
BOOK: dict[str, Any] = {"bids": [(10_000.0, 50.0)], "asks": [(10_001.0, 50.0)]}


class Venue:
    """One venue with a perpetual and a spot instrument."""

    def __init__(self, **terms: Any) -> None:
        self.kernel = Kernel(START_NS)
        rules = {("alpha", name): make_rules("alpha", name) for name in (SPOT, PERP)}
        self.account = BacktestAccount(
            "alpha", rules, D(10_000), terms=VenueTerms(**terms), now_ns=self.kernel.now_ns
        )
        self.gateway = PaperGateway(
            "alpha", rules, self.kernel, wait=not_here, account=self.account
        )
        for name in (SPOT, PERP):
            self.gateway.on_view(make_view("alpha", name, **BOOK))
        self._orders = 0

    def trade(self, side: Side, qty: str, instrument: str = PERP) -> Any:
        self._orders += 1
        limit = D(10_001) if side is Side.BUY else D(10_000)
        terms = make_terms(instrument=instrument, side=side, qty=D(qty), price_limit=limit)
        return self.gateway.fill(OrderRequest(client_order_id=f"o{self._orders}", terms=terms))

    def funding(self, rate: float, ts_funding_ns: int, mark: float = 10_000.0) -> None:
        instant_ns = self.account.on_funding(
            Funding(
                venue="alpha",
                instrument=PERP,
                mark_price=mark,
                index_price=mark,
                rate=rate,
                ts_funding_ns=ts_funding_ns,
                ts_recv_ns=self.kernel.now_ns(),
            )
        )
        if instant_ns is not None:
            self.kernel.at(instant_ns, lambda: self.account.on_instant(PERP, instant_ns))


def test_an_opening_needs_its_margin_and_a_closing_none() -> None:
    venue = Venue(leverage=5)
    venue.trade(Side.SELL, "4")  # 8,000 of margin
    assert venue.account.free("USDT") == pytest.approx(D(2_000), abs=D(100))
    with pytest.raises(Rejected, match="of margin needed at alpha"):
        venue.trade(Side.SELL, "1.5")
    venue.trade(Side.BUY, "4")
    assert venue.account.positions([PERP]) == {PERP: 0}
    assert venue.account.free("USDT") == venue.account.balance("USDT")


def test_without_a_leverage_margin_is_not_modelled() -> None:
    venue = Venue()
    venue.trade(Side.SELL, "40")
    assert venue.account.on_mark(PERP, 1e9) is None
    assert venue.account.balances()["USDT"].used == 0


@pytest.mark.parametrize(
    ("side", "safe", "beyond"),
    [
        (Side.SELL, 11_941.0, 11_943.0),  # (10,000 / 5 + 10,000) / 1.005 = 11,940.3 from 10,000
        (Side.BUY, 8_042.0, 8_040.0),  # (10,001 - 10,001 / 5) / 0.995 = 8,041.2 from 10,001
    ],
)
def test_a_mark_beyond_its_price_liquidates_a_position(
    side: Side, safe: float, beyond: float
) -> None:
    venue = Venue(leverage=5, liquidation_fee_bps=100)
    venue.trade(side, "1")
    before = venue.account.balance("USDT")
    if side is Side.SELL:
        safe, beyond = safe - 2, beyond - 2
    assert venue.account.on_mark(PERP, safe) is None
    done = venue.account.on_mark(PERP, beyond)
    assert done is not None
    assert venue.account.position(PERP) == 0
    entry = D(10_000) if side is Side.SELL else D(10_001)
    loss = abs(D(str(beyond)) - entry) + D(str(beyond)) / 100
    assert before - venue.account.balance("USDT") == pytest.approx(loss, abs=D("0.01"))
    assert venue.account.on_mark(PERP, beyond) is None


def test_funding_is_of_what_is_held_at_the_instant() -> None:
    venue = Venue()
    venue.funding(0.0001, AT_NS)
    venue.trade(Side.SELL, "2")
    venue.funding(0.0002, AT_NS)  # the last one before it counts
    venue.kernel.run_until(AT_NS + 1)
    venue.trade(Side.BUY, "2")  # too late to matter
    before = venue.account.balance("USDT")
    venue.funding(0.0005, AT_NS + 8 * 3_600_000_000_000)
    assert venue.account.balance("USDT") - before == D(2) * 10_000 * D("0.0002")
    (paid,) = venue.account.payments
    assert (paid.qty, paid.amount, paid.is_settled) == (D(-2), D(4), False)


def test_the_rate_that_settled_corrects_the_one_predicted() -> None:
    venue = Venue()
    venue.trade(Side.BUY, "1")
    venue.funding(0.0002, AT_NS)
    venue.kernel.run_until(AT_NS + 1)
    venue.funding(0.0001, AT_NS + 8 * 3_600_000_000_000)
    for _ in range(2):  # the history tells it again and again
        venue.account.on_settled(
            FundingSettled(
                venue="alpha",
                instrument=PERP,
                rate=0.0003,
                ts_funding_ns=AT_NS + 3_000_000,
                ts_recv_ns=AT_NS + 9,
                mark_price=10_100.0,
            )
        )
    (paid,) = venue.account.payments
    assert (paid.amount, paid.is_settled) == (-D(10_100) * D("0.0003"), True)
    assert venue.account.books.result("USDT").funding == paid.amount


def test_what_was_due_at_the_end_is_paid_at_the_last_rate() -> None:
    venue = Venue()
    venue.trade(Side.BUY, "1")
    venue.funding(0.0002, AT_NS)
    venue.account.end()
    assert venue.account.payments == [], "its instant has not come"
    venue.kernel.run_until(AT_NS)
    venue.account.end()
    assert [paid.amount for paid in venue.account.payments] == [-2]


def test_tiers_count_the_volume_of_thirty_days() -> None:
    venue = Venue(fee_tiers=((D(0), D(10)), (D(5_000), D(2))))
    rules = make_rules("alpha", SPOT)
    assert venue.account.fee_bps(rules) == 10
    venue.trade(Side.BUY, "0.6", SPOT)
    assert venue.account.fee_bps(rules) == 2
    venue.kernel.run_until(START_NS + 30 * DAY_NS)
    assert venue.account.fee_bps(rules) == 10


def test_tiers_add_no_volume_over_quote_assets() -> None:
    """Eight thousand tethers and as many dollars are not sixteen thousand of either."""
    venue = Venue(fee_tiers=((D(0), D(10)), (D(9_000), D(2))))
    rules = make_rules("alpha", SPOT)

    def trade(instrument: str, worth: str) -> None:
        terms = make_terms(instrument=instrument, qty=D(worth), price_limit=D(1))
        venue.account.book(terms, make_rules("alpha", instrument), D(1), D(worth), START_NS)

    trade("BTC/USDT", "8000")
    trade("BTC/USDC", "8000")
    trade("BTC/JPY", "9000000")
    assert venue.account.fee_bps(rules) == 10
    trade("BTC/USDC", "1000")
    assert venue.account.fee_bps(rules) == 2


def test_the_last_point_of_a_curve_is_the_end_of_the_run() -> None:
    """Where every other point is left out it was, too, and the report's result with it."""
    for points in (1, 7, POINTS_MAX - 1, POINTS_MAX, POINTS_MAX + 1, 2 * POINTS_MAX + 3):
        curve = Curve()
        for at_ns in range(points - 1):
            curve.add(at_ns, {"USDT": D(at_ns)})
        curve.add(points - 1, {"USDT": D(-5)}, is_last=True)
        assert curve.times_ns[-1] == points - 1
        assert curve.profits["USDT"][-1] == -5
        assert len(curve.times_ns) == len(curve.profits["USDT"]) <= POINTS_MAX
