"""What a venue on paper does beside matching: latency, refusals and outages, all by seed."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from decimal import Decimal as D
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from services.executor.actions import Query, QueryAnswered, QueryFailed, Submit, SubmitLost
from services.executor.paper import PaperGateway
from services.executor.paper_conditions import HOUR_NS, Conditions, Lost, conditions_at
from services.executor.transport import VenueRequests
from shared.accounts.gateway import OrderKey, OrderRequest
from shared.clock import ManualClock
from shared.config import parse_config
from shared.config_sections import PaperConfig
from shared.errors import ConfigError, OutcomeUnknown, Rejected, Unavailable
from shared.histogram import Histogram
from shared.messages.execution import OrderStatus
from shared.messages.terms import TimeInForce
from tests.decision_builders import SPOT, make_rules, make_terms, make_view
from tests.support import ROOT

VENUES = """
[venues.alpha]
instruments = ["BTC/USDT"]
[venues.beta]
instruments = ["BTC/USDT"]
"""
MS = 1_000_000
FIRST_HOUR = 486_000


def latencies(count: int = 4_000, **values: Any) -> list[float]:
    conditions = Conditions("alpha", PaperConfig(**values), latency_ms=20)
    return sorted(conditions.latency_ns() / MS for _ in range(count))


def test_without_a_distribution_every_request_takes_the_same() -> None:
    assert set(latencies(100)) == {20.0}


def test_latencies_have_the_configured_percentiles() -> None:
    drawn = latencies(latency_ms=((50, 10), (90, 30), (99, 130)))
    assert (drawn[0], drawn[-1]) == (10.0, 130.0)
    assert drawn[2_000] == pytest.approx(10, abs=1)
    assert drawn[2_800] == pytest.approx(20, abs=1.5)
    assert drawn[3_600] == pytest.approx(30, abs=3)
    assert drawn[3_780] == pytest.approx(80, abs=15)


def test_the_same_seed_draws_the_same_and_each_venue_its_own() -> None:
    paper = PaperConfig(latency_ms=((0, 0), (100, 1_000)), reject_rate=0.5)

    def drawn(venue: str, seed: int) -> list[int]:
        conditions = Conditions(venue, PaperConfig(seed=seed, latency_ms=paper.latency_ms))
        return [conditions.latency_ns() for _ in range(5)]

    assert drawn("alpha", 7) == drawn("alpha", 7)
    assert len({tuple(drawn(*each)) for each in (("alpha", 7), ("alpha", 8), ("beta", 7))}) == 3


def test_the_share_that_is_refused_is_the_configured_one() -> None:
    conditions = Conditions("alpha", PaperConfig(reject_rate=0.1))
    count: Counter[str] = Counter()
    for _ in range(2_000):
        try:
            conditions.check_order()
        except Rejected as error:
            count[error.code] += 1
    assert count["PAPER_REJECT"] == pytest.approx(200, abs=45)


def away(conditions: Conditions, at_ns: int) -> bool:
    try:
        conditions.check_up(at_ns)
    except Unavailable:
        return True
    return False


def test_outages_are_as_frequent_and_long_as_configured_whoever_looks_when() -> None:
    paper = PaperConfig(outages_per_hour=6.0, outage_s=40.0)
    moments = range(FIRST_HOUR * HOUR_NS, (FIRST_HOUR + 50) * HOUR_NS, 10_000_000_000)
    conditions = Conditions("alpha", paper)
    seen = [away(conditions, at_ns) for at_ns in moments]
    share = 1 - 2.718281828 ** (-6 * 40 / 3_600)
    assert sum(seen) / len(seen) == pytest.approx(share, rel=0.2)
    ends = sum(one and not other for one, other in pairwise(seen))
    assert ends == pytest.approx(300, rel=0.2), "those that overlap are one"
    later = Conditions("alpha", paper)  # as after a restart
    assert [away(later, at_ns) for at_ns in moments[9_000:]] == seen[9_000:]


def test_the_configured_share_of_requests_in_an_outage_may_have_been_carried_out() -> None:
    paper = PaperConfig(outages_per_hour=60.0, outage_s=3_600.0, outage_unknown_rate=0.4)
    at_ns = FIRST_HOUR * HOUR_NS

    def drawn(venue: str) -> list[Lost | None]:
        conditions, found = Conditions(venue, paper), list[Lost | None]()
        for _ in range(2_000):
            try:
                found.append(conditions.lost_at(at_ns))
                assert found[-1] is not None, "the venue is away"
            except Unavailable:
                found.append(None)
        return found

    count = Counter(drawn("alpha"))
    assert count[Lost.ANSWER] == pytest.approx(400, abs=60)
    assert count[Lost.REQUEST] == pytest.approx(400, abs=60)
    assert drawn("alpha") == drawn("alpha") != drawn("beta")
    assert Conditions("alpha", PaperConfig()).lost_at(at_ns) is None


def away_paper(rate: float = 1.0) -> tuple[PaperGateway, ManualClock]:
    """Return an account whose venue is away from hour 1 on until far later, and its clock."""
    clock = ManualClock()
    paper = PaperConfig(
        outages_per_hour=60.0, outage_s=3_600.0, outage_unknown_rate=rate, impact_half_life_ms=0
    )
    gateway = PaperGateway(
        "alpha",
        {("alpha", SPOT): make_rules("alpha", SPOT)},
        clock,
        wait=partial(asyncio.sleep, 0),
        quote_balance=D(10**9),
        lets_rest=True,
        conditions=Conditions("alpha", paper),
    )
    gateway.on_view(make_view("alpha", bids=[(9_999.0, 50.0)], asks=[(10_001.0, 50.0)]))
    return gateway, clock


def go_back_up(gateway: PaperGateway) -> None:
    gateway.conditions = Conditions("alpha", PaperConfig())


async def test_the_executor_holds_orders_of_an_outage_unknown_and_asks_what_they_did() -> None:
    gateway, clock = away_paper()
    requests = VenueRequests({"alpha": gateway}, clock, Histogram(), timeout_s=5)
    for number in range(40):
        order = OrderRequest(
            client_order_id=f"o{number}", terms=make_terms(qty=D("0.1"), price_limit=D(10_001))
        )
        report = await requests.carry_out(Submit(order, 0))
        assert isinstance(report, SubmitLost)
    key = OrderKey(venue="alpha", instrument=SPOT, client_order_id="o0")
    assert isinstance(await requests.carry_out(Query(key)), QueryFailed)
    go_back_up(gateway)
    filled = D(0)
    found = Counter[bool]()
    for number in range(40):
        answer = await requests.carry_out(
            Query(OrderKey(venue="alpha", instrument=SPOT, client_order_id=f"o{number}"))
        )
        assert isinstance(answer, QueryAnswered)
        found[answer.report is not None] += 1
        filled += answer.report.filled_qty if answer.report else 0
    assert found[True] > 8
    assert found[False] > 8
    spent = D(10**9) - (await gateway.balances())["USDT"].free
    assert filled == D("0.1") * found[True]
    assert spent >= filled * 10_001, "what was carried out is paid for, and nothing else"
    assert spent < (filled + D("0.1")) * 10_001


async def test_an_order_that_the_venue_refused_without_an_answer_is_not_found_later() -> None:
    gateway, _ = away_paper()
    for number in range(20):
        terms = make_terms(qty=D("0.1"), price_limit=D("10001.0000001"))
        with pytest.raises(OutcomeUnknown, match="outage_unknown_rate"):
            gateway.fill(OrderRequest(client_order_id=f"o{number}", terms=terms))
    go_back_up(gateway)
    assert [gateway.order(f"o{number}") for number in range(20)] == [None] * 20


def test_a_cancel_in_an_outage_may_have_been_carried_out() -> None:
    gateway, _ = away_paper()
    outage = gateway.conditions
    go_back_up(gateway)
    for number in range(20):
        terms = make_terms(price_limit=D(9_000), qty=D("0.1"), time_in_force=TimeInForce.PO)
        gateway.fill(OrderRequest(client_order_id=f"o{number}", terms=terms))
    gateway.conditions = outage
    for number in range(20):
        with pytest.raises(OutcomeUnknown):
            gateway.take_back(
                OrderKey(venue="alpha", instrument=SPOT, client_order_id=f"o{number}")
            )
    states = Counter(
        report.status for number in range(20) if (report := gateway.order(f"o{number}"))
    )
    assert set(states) == {OrderStatus.ACCEPTED, OrderStatus.CANCELED}
    assert min(states.values()) > 3


def test_without_unknown_outcomes_nothing_is_sent_in_an_outage() -> None:
    gateway, _ = away_paper(rate=0.0)
    for number in range(20):
        with pytest.raises(Unavailable):
            gateway.fill(OrderRequest(client_order_id=f"o{number}", terms=make_terms()))
    assert gateway.order("o0") is None


def test_what_is_configured_for_a_venue_differs_there_only() -> None:
    text = "[paper]\nreject_rate = 0.25\n[paper.venues.beta]\nlatency_ms = [[50, 90]]\n"
    config = parse_config(VENUES + text, "arb.toml")
    alpha, beta = (conditions_at(name, config) for name in ("alpha", "beta"))
    assert (alpha.latency_ns(), beta.latency_ns()) == (20 * MS, 90 * MS)
    assert (alpha.paper.reject_rate, beta.paper.reject_rate) == (0.25, 0.25)


def test_the_documented_example_is_right() -> None:
    (example,) = re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs" / "paper.md").read_text(encoding="utf-8"), re.DOTALL
    )
    config = parse_config(VENUES.replace("alpha", "kraken") + example, "arb.toml")
    assert config.paper.at("kraken").outages_per_hour == 0.1
    assert config.paper.at("beta").latency_ms[-1] == (99.0, 120.0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("latency_ms = [[50, 12], [40, 30]]", "paper.latency_ms: [40, 30] comes after [50, 12]"),
        ("latency_ms = [[50, 12], [90, 11]]", "paper.latency_ms: [90, 11] comes after"),
        ("latency_ms = [[101, 12]]", "paper.latency_ms: [101, 12]: give a percentile"),
        ("latency_ms = [[50, nan]]", "paper.latency_ms: [50, nan]: give"),
        ("latency_ms = [[50, 1e9]]", "paper.latency_ms: [50, 1e+09]: give"),
        ("queue_ahead_share = 1.1", "paper.queue_ahead_share = 1.1; give 0 to 1"),
        ("queue_ahead_share = nan", "paper.queue_ahead_share = NaN; give 0 to 1"),
        ("reject_rate = -0.1", "paper.reject_rate: Expected"),
        ("outage_s = 0", "paper.outage_s: Expected"),
        ("impact_ms = 3", "unknown key paper.impact_ms"),
        (
            "outages_per_hour = 60\noutage_s = 3600",
            "paper: outages_per_hour = 60 of outage_s = 3600 are 216,000 s of every hour; give "
            "less than 3,600 s together",
        ),
        (
            "outage_s = 1800\n[paper.venues.beta]\noutages_per_hour = 2",
            "paper.venues.beta: outages_per_hour = 2 of outage_s = 1800 are 3,600 s",
        ),
        ("[paper.venues.gamma]", "paper.venues.gamma: no such venue is configured"),
        ("[paper.venues.beta]\nlatency_ms = [[50, -1]]", "paper.venues.beta.latency_ms: [50, -1]"),
        ("[paper.venues.beta]\nlatency = 3", "paper.venues[...]: Object contains unknown field"),
    ],
)
def test_what_cannot_be_meant_is_named_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"{VENUES}[paper]\n{text}\n", "arb.toml")
    assert str(caught.value).startswith(f"arb.toml: {message}"), str(caught.value)
