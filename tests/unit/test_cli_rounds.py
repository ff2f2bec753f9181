"""Open rounds as `arb status` shows them."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec

from services.cli.commands_look import round_line
from services.cli.look import round_row
from shared.messages.base import Certainty
from shared.messages.rounds import RoundLeg, RoundState, RoundsTold, StrategyPosition
from shared.watch.collector import Collector

T0 = 1_700_000_000_000_000_000
HELD = StrategyPosition(
    ts_ns=T0,
    strategy_id="basis",
    round_id="BTC.1",
    state=RoundState.OPEN,
    base="BTC",
    quote="USDT",
    legs=[
        RoundLeg(venue="alpha", instrument="BTC/USDT", qty=D("0.1"), entry=D(10_000)),
        RoundLeg(venue="gamma", instrument="BTC/USDT:USDT", qty=D("-0.1"), entry=D(10_050)),
    ],
    unhedged=D(0),
    realized={"USDT": D("-1.5")},
    certainty=Certainty.KNOWN,
    ts_opened_ns=T0,
)


def test_a_round_is_shown_until_it_is_closed() -> None:
    collector = Collector()
    collector.on_message(HELD)
    (held,) = collector.rounds.values()
    assert round_line(round_row(held, T0 + 5_000_000_000)) == (
        "round BTC.1 of basis OPEN for 5 s: +0.1 BTC/USDT at alpha, -0.1 BTC/USDT:USDT at gamma; "
        "realized -1.50 USDT, funding unknown"
    )
    collector.on_message(msgspec.structs.replace(HELD, state=RoundState.CLOSED))
    assert not collector.rounds


def test_the_stop_of_a_round_is_shown_and_that_it_is_reached() -> None:
    held = msgspec.structs.replace(HELD, legs=HELD.legs[:1], stop=D("9800.0"))
    line = round_line(round_row(held, T0))
    assert line.endswith("funding unknown, stop 9800.0")
    line = round_line(round_row(msgspec.structs.replace(held, ending="STOP"), T0))
    assert line.endswith("stop 9800.0, being closed by its stop")


def test_a_round_whose_end_was_missed_is_dropped_by_the_list() -> None:
    collector = Collector()
    collector.on_message(HELD)
    collector.on_message(RoundsTold(ts_ns=T0, rounds=[HELD.key]))
    assert collector.rounds
    collector.on_message(RoundsTold(ts_ns=T0, rounds=[]))
    assert not collector.rounds
