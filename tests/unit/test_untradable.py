"""An instrument that cannot be traded is said once for each reason, and its rules go out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from services.ingestor.markets import Answer
from services.ingestor.metadata import MetadataReader
from shared.clock import SystemClock
from shared.messages.control import Alert, Severity
from shared.messages.market import InstrumentInfo
from tests.decision_builders import make_rules, told_info


class Sink:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def put(self, message: Any) -> None:
        self.messages.append(message)

    def said(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


def test_what_is_not_traded_is_said_once_for_each_reason() -> None:
    sink = Sink()
    reader = MetadataReader(
        [], taker_fees_bps={}, sink=sink, on_listing=lambda *_: None, observer=None,
        clock=SystemClock(),
    )  # fmt: skip
    odd = told_info("alpha", tick_size=Decimal(0)).rules
    for rules in (odd, odd, make_rules("alpha"), odd):
        reader._take(Answer("alpha", [rules, make_rules("alpha", "ETH/USDT")]))
    alerts = sink.said(Alert)
    assert [(alert.code, alert.severity) for alert in alerts] == [
        ("INSTRUMENT_NOT_TRADED", Severity.WARNING)
    ] * 2, "again after it was traded in between"
    assert alerts[0].text.startswith("alpha BTC/USDT is not traded: tick_size is 0")
    told = sink.said(InstrumentInfo)
    assert [info.rules.active for info in told if info.rules.instrument == "BTC/USDT"] == [
        False, False, True, False
    ]  # fmt: skip
    assert all(info.rules.active for info in told if info.rules.instrument == "ETH/USDT")
