"""Rules that the notifier judges by heartbeats and reports: each fires once, and is quiet once.

Those that it judges by metrics have the cases of their rows: ``test_notifier_measured.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import pytest

from services.notifier.checks import JUDGED
from services.notifier.measured import RULES
from shared.alerting.rule import seconds
from shared.alerting.table import RULE_OF
from shared.config_notifier import NotifierConfig
from shared.messages.base import BookState, Certainty
from shared.messages.execution import ExecutorReady
from tests.decision_builders import make_beat
from tests.unit.test_notifier_engine import MINUTE, Host, btc, feed, report, state

Tell = Callable[[], None]
Case = tuple[Callable[[Host], Tell], Callable[[Host], Tell]]
"""What a host hears each second while nothing is wrong, and while the rule's condition holds."""


def nothing(host: Host) -> Tell:
    return lambda: None


def beats_not(*services: str) -> Callable[[Host], Tell]:
    def begin(host: Host) -> Tell:
        host.beating = [each for each in host.beating if each not in services]
        return lambda: None

    return begin


def unready(is_ready: bool) -> Callable[[Host], Tell]:
    def begin(host: Host) -> Tell:
        host.beating.remove("risk") if "risk" in host.beating else None
        return lambda: host.hear(
            make_beat("risk", host.now_ns, 1, process="1", ready=is_ready, reason="recovering")
        )

    return begin


def replaced(host: Host) -> Tell:
    host.since_ns["executor"] = host.now_ns
    return lambda: None


def reported(**changes: Any) -> Callable[[Host], Tell]:
    return lambda host: report(host, **changes)


def executor(**changes: Any) -> Callable[[Host], Tell]:
    values: dict[str, Any] = {"ready": True, "mode": "live", "open_plans": 0, "unknown_orders": 0}
    values |= changes
    return lambda host: lambda: host.hear(ExecutorReady(ts_ns=host.now_ns, **values))


def feeds(**states: BookState) -> Callable[[Host], Tell]:
    return lambda host: feed(host, **states)


LIVE, STALE = BookState.LIVE, BookState.STALE
HELD: Final = {"exposure": {"BTC": Decimal("0.5")}, "positions": [btc("40000")]}
CASES: Final[dict[str, Case]] = {
    "ArbBusDown": (nothing, beats_not("ingestor", "orderbook", "scanner", "risk", "executor")),
    "ArbDown": (nothing, beats_not("executor")),
    "ArbNotReady": (unready(True), unready(False)),
    "ArbRestarted": (nothing, replaced),
    "ArbHalted": (
        lambda host: state(host, "HALTED", "OPERATOR: maintenance"),
        lambda host: state(host, "HALTED", "DRAWDOWN: 1200 USDT"),
    ),
    "ArbOrderUnsettled": (executor(unknown_orders=0), executor(unknown_orders=1)),
    "ArbVenueOrdersDown": (executor(venues_down={}), executor(venues_down={"kraken": "no key"})),
    "ArbMoneyUnknown": (reported(), reported(certainty=Certainty.UNKNOWN)),
    "ArbUnhedged": (reported(**HELD, plans_in_flight=1), reported(**HELD)),
    "ArbDrawdown": (
        reported(drawdown={"USDT": Decimal(400)}),
        reported(drawdown={"USDT": Decimal(600)}),
    ),
    "ArbFeedSilent": (feeds(kraken=LIVE, bybit=LIVE), feeds(kraken=STALE, bybit=LIVE)),
    "ArbFeedsSilent": (feeds(kraken=STALE, bybit=LIVE), feeds(kraken=STALE, bybit=STALE)),
}


def test_bounds_that_can_be_configured_are_those_of_the_row_unless_they_are() -> None:
    section = NotifierConfig()
    unhedged, drawdown = RULE_OF["ArbUnhedged"], RULE_OF["ArbDrawdown"]
    assert f"> {section.exposure_notional_max} " in unhedged.expression
    assert seconds(unhedged.lasts) * 1_000 == section.exposure_for_ms
    assert drawdown.expression.endswith(f"> {section.drawdown_share}")


def test_every_other_rule_has_its_cases() -> None:
    assert CASES.keys() == JUDGED - RULES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_is_quiet_while_nothing_is_wrong_and_told_once_it_is(name: str) -> None:
    quiet, wrong = CASES[name]
    host = Host()

    def told() -> list[str]:
        return [text for text in host.texts() if f" {name}" in text.splitlines()[0]]

    host.run(2 * MINUTE, quiet(host))
    assert told() == []
    host.run(12 * MINUTE if name == "ArbMoneyUnknown" else 3 * MINUTE, wrong(host))
    began = [
        text for text in told() if not any(word in text for word in ("still:", "again:", "over:"))
    ]
    assert len(began) == 1, "told once"
