"""The path of one opportunity or plan: ages, edges, rules, orders, fills, what is not known."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from services.cli.why_reading import read_trail
from services.cli.why_text import WIDTH
from services.cli.why_trail import Trail, record_of
from services.cli.why_trail_text import trail_lines
from services.risk.reasons import DenyReason
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable, ConfigError
from shared.messages.arb import Opportunity
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan, Denied, OrderEvent
from shared.watch.link import Target
from tests.decision_builders import MS, T0, make_opportunity
from tests.ledger_builders import approved, done, fill, order, told_plan, write_ledger

D = Decimal
NOBODY = Target(BusConfig(url="redis://127.0.0.1:1/0"))


def offer_of(plan: ApprovedPlan) -> Opportunity:
    """What a plan was made from, found 4 ms after its tick and 2 ms before its approval."""
    return make_opportunity(
        opportunity_id=plan.opportunity_id,
        ts_ns=plan.ts_ns - 2 * MS,
        ts_recv_ns=plan.ts_ns - 6 * MS,
        ts_depth_ns=plan.ts_ns - 5 * MS,
    )


def record(wanted: str, *messages: Message) -> dict:
    trail = Trail(wanted)
    trail.take_all(messages)
    return record_of(trail)


@pytest.fixture
def whole() -> list[Message]:
    plan, *others = told_plan(1)
    assert isinstance(plan, ApprovedPlan)
    return [plan, offer_of(plan), *others]


@pytest.mark.parametrize("wanted", ["p000001", "o000001"])
def test_a_plan_is_told_from_its_books_to_what_it_realized(whole, wanted):
    told = record(wanted, *whole, *told_plan(2), *whole)
    assert told["sentence"] == "FILLED: realized +2.89 USDT of +3.00 expected, known."
    # 0.1 BTC bought at 10,000 and sold at 10,050: 5 USDT of 1,000, fees 1 and 1.005
    assert told["edges"] == {
        "gross_bps": D("50.0000"),
        "fees_bps": D("20.0500"),
        "net_bps": D("29.9500"),
    }
    assert [(book["venue"], book["side"]) for book in told["books"]] == [
        ("alpha", "buy"),
        ("beta", "sell"),
    ]
    assert [each["slip_bps"] for each in told["fills"]] == [D("1.0000"), D("0.0000")]
    assert [(each["status"], each["filled_qty"]) for each in told["orders"]] == [
        ("FILLED", D("0.1"))
    ] * 2
    assert told["rules"]["passed"] == [reason.value for reason in DenyReason]
    assert told["times_ms"] == {
        "tick_to_depth": 1.0,
        "depth_to_found": 3.0,
        "found_to_decision": 2.0,
        "plan_to_order": None,  # these orders do not say when they were sent
        "plan_to_end": 3.0,
    }
    assert (told["end"]["outcome"], told["not_known"]) == ("FILLED", [])
    assert told["waterfall"]["realized"]["amount"] == told["end"]["realized"]


def test_the_age_of_a_book_is_from_its_frame_to_the_finding():
    offer = make_opportunity()
    legs = [msgspec.structs.replace(leg, book_ts_recv_ns=T0 - 7 * MS) for leg in offer.legs]
    offer = msgspec.structs.replace(offer, legs=legs, ts_ns=T0)
    assert [book["age_ms"] for book in record(offer.opportunity_id, offer)["books"]] == [7.0, 7.0]


def test_a_denial_has_its_numbers_and_the_rules_before_it():
    offer = make_opportunity()
    wanted = offer.opportunity_id
    context = {"venue": "alpha", "asset": "USDT", "free": "7", "needs": "1001"}
    denied = Denied(ts_ns=T0 + MS, opportunity_id=wanted, reason="BALANCE", context=context)
    told = record(wanted, offer, denied)
    assert told["sentence"] == "Denied for BALANCE: venue alpha, asset USDT, free 7, needs 1001."
    names = [reason.value for reason in DenyReason]
    at = names.index("BALANCE")
    assert (told["rules"]["passed"], told["rules"]["denied"]) == (names[:at], "BALANCE")
    assert told["rules"]["not_asked"] == names[at + 1 :]
    assert (told["waterfall"], told["plan"], told["not_known"]) == (None, None, [])


def test_what_risk_has_not_said_is_not_known():
    offer = make_opportunity()
    told = record(offer.opportunity_id, offer)
    assert told["sentence"].startswith("Found, and neither approved nor denied")
    assert told["rules"] is None
    assert told["not_known"][0].startswith("risk's decision")


def test_a_plan_without_its_end_or_a_fee_says_so():
    plan = approved(1, T0)
    told = record(plan.plan_id, plan, fill(plan, 0, D(10_000), fee=None))
    assert told["sentence"].startswith("Approved, and not ended")
    assert [text.partition(":")[0] for text in told["not_known"]] == [
        "the opportunity",
        "how the plan ended",
        "fees",
    ]
    late = fill(plan, 0, D(10_000), fee=D(1))
    assert record(plan.plan_id, plan, fill(plan, 0, D(10_000), fee=None), late)["fills"][0][
        "fee"
    ] == D(1)


def test_a_hedge_is_no_slippage_of_a_leg(whole):
    plan = whole[0]
    hedge = order(plan, 0, whole[2].status, client_order_id="h", purpose="hedge")
    told = record(plan.plan_id, plan, hedge, fill(plan, 0, D(9_000), client_order_id="h"))
    assert told["fills"][0]["slip_bps"] is None


def test_the_waterfall_knows_the_price_at_the_order(whole):
    plan, offer, *others = whole
    arrived = [
        msgspec.structs.replace(each, price_arrival=plan.legs[each.leg_index].price_expected + 1)
        if isinstance(each, OrderEvent)
        else each
        for each in others
    ]
    steps = record(plan.plan_id, plan, offer, *arrived)["waterfall"]["steps"]
    # 1 USDT dearer of 0.1 BTC bought, 1 USDT more for 0.1 sold; the purchase then filled there
    assert steps["latency_drift"]["amount"] == D("0.0")
    assert steps["slippage"]["amount"] == D("-0.1")


def test_of_two_ends_the_last_counts(whole):
    plan = whole[0]
    later = done(plan, D(-1), D(0), ts_ns=T0 + 60 * 10**9)
    assert record(plan.plan_id, later, *whole)["sentence"].startswith("FILLED: realized -1.00")


def test_every_line_of_a_path_fits_80_columns(whole):
    denied = Denied(ts_ns=T0, opportunity_id="o000001", reason="LOT", context={"x": "y" * 200})
    for messages in (whole, [*whole[1:2], denied], [whole[0]]):
        lines = trail_lines(record("o000001", *messages))
        assert len(lines) > 3
        assert all(len(line) <= WIDTH for line in lines), "\n".join(lines)


def test_with_redis_away_the_ledger_tells(whole, tmp_path):
    path = tmp_path / "ledger.sqlite"
    write_ledger(path, whole)
    for wanted in ("p000001", "o000001"):
        trail = asyncio.run(read_trail(NOBODY, wanted, str(path)))
        assert record_of(trail) == record(wanted, *whole)
    with pytest.raises(BusUnavailable):
        asyncio.run(read_trail(NOBODY, "p000009", str(path)))
    with pytest.raises(ConfigError, match="there is no ledger"):
        asyncio.run(read_trail(NOBODY, "p000001", str(tmp_path / "none")))
