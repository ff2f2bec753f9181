"""Which limits change live, which way is looser, and what of a file needs a restart."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.cli.doctor.check import Level
from services.cli.doctor.limit_checks import check_limits
from shared.config_limits import RiskConfig
from shared.config_sections import Config, ExecutorConfig, ScannerConfig
from shared.errors import ConfigError
from shared.limit_changes import (
    LIVE,
    LOOSER_ABOVE,
    NONE_AT_ZERO,
    config_parts,
    is_for_restart,
    is_looser,
    limits_in_force,
    limits_told,
    with_limits,
)
from shared.messages.base import Certainty, TradingState
from shared.messages.execution import RiskReport
from shared.messages.limits import LimitsReport
from shared.watch.reload import compare


def test_every_field_of_risk_changes_live_or_is_known_not_to() -> None:
    """A new limit must be put into one of the sets, or be named here."""
    at_a_start = {"start_active", "quote_assets", "per_quote", "per_asset"}
    at_a_start |= {"loss_cap_bps", "soft_limit_share"}
    assert set(RiskConfig.__struct_fields__) == LIVE | at_a_start
    assert NONE_AT_ZERO <= LOOSER_ABOVE


def test_limits_told_are_read_back_as_they_were() -> None:
    limits = RiskConfig(order_notional_max=D("1E+3"), edge_bps_max=12.5, shrink_share_min=1e-7)
    told = limits_told(limits)
    assert (told["order_notional_max"], told["edge_bps_max"]) == ("1000", "12.5")
    assert told["shrink_share_min"] == "0.0000001"
    assert with_limits(RiskConfig(), told) == limits


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("order_notional_max", "0"),
        ("order_notional_max", "NaN"),
        ("order_notional_max", "1e999999"),
        ("order_notional_max", "1e-999999"),
        ("daily_loss_max", "-5"),
        ("leverage_max", "inf"),
        ("edge_bps_max", "nan"),
        ("plans_in_flight_max", "2.5"),
        ("plans_in_flight_max", "many"),
        ("shrink_share_min", "1.5"),
        ("start_active", "true"),
        ("soft_limit_share", "0.5"),
        ("no_such_limit", "1"),
    ],
)
def test_what_the_configuration_would_refuse_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"risk\.{name}"):
        with_limits(RiskConfig(), {name: text})


@pytest.mark.parametrize(
    ("name", "before", "after", "looser"),
    [
        ("order_notional_max", "10", "11", True),
        ("order_notional_max", "11", "10", False),
        ("drawdown_max", "100", "0", True),  # none at all
        ("drawdown_max", "0", "100", False),
        ("liquidation_bps_min", "100", "0", True),
        ("liquidation_bps_min", "0", "100", False),
        ("shrink_share_min", "1", "0.1", True),
        ("loss_pause_minutes", "30", "60", False),
    ],
)
def test_looser_is_what_lets_more_happen(name: str, before: str, after: str, looser: bool) -> None:
    assert is_looser(name, before, after) is looser


def test_what_the_executor_checks_too_gets_looser_only_by_a_restart() -> None:
    assert is_for_restart("order_notional_max", "10", "11")
    assert not is_for_restart("order_notional_max", "11", "10")
    assert not is_for_restart("venue_notional_max", "10", "11")


def test_a_part_that_differs_is_named_with_who_reads_it() -> None:
    was = Config()
    told = LimitsReport(in_force=limits_told(was.risk), config_parts=config_parts(was))
    given = Config(
        scanner=ScannerConfig(edge_bps_min=77.0),
        executor=ExecutorConfig(mode="simulated"),
        risk=RiskConfig(soft_limit_share=0.5, order_notional_max=D(20_000), daily_loss_max=D(1)),
    )
    found = compare(given, told, TradingState.ACTIVE)
    assert found.restart == {
        "executor": "executor, risk",
        "scanner": "scanner, risk",
        "risk": "risk, executor, notifier, exporter",
        "risk.order_notional_max": "executor, risk",
    }
    assert [(each.name, each.how) for each in found.limits] == [
        ("risk.order_notional_max", "restart"),
        ("risk.daily_loss_max", "live"),
    ]


def reported(limits: LimitsReport | None) -> RiskReport:
    return RiskReport(
        ts_ns=1,
        state=TradingState.ACTIVE,
        exposure={},
        realized={},
        fees={},
        realized_today={},
        reserved=D(0),
        plans_in_flight=0,
        certainty=Certainty.KNOWN,
        limits=limits,
    )


def test_the_doctor_says_where_the_file_is_not_what_runs() -> None:
    was = Config()
    report = reported(LimitsReport(in_force=limits_told(was.risk), config_parts=config_parts(was)))
    check = check_limits(was, report)
    assert (check.level, check.text[:21]) == (Level.OK, "risk runs by the file")
    given = Config(
        scanner=ScannerConfig(edge_bps_min=77.0),
        risk=RiskConfig(order_notional_max=D(20_000), daily_loss_max=D(1)),
    )
    check = check_limits(given, report)
    assert check.level is Level.WARNING
    assert f"risk.order_notional_max {was.risk.order_notional_max}, in the file 20000" in check.text
    assert f"risk.daily_loss_max {was.risk.daily_loss_max}, in the file 1" in check.text
    assert check.text.endswith("; scanner")


def test_the_doctor_does_not_know_what_a_silent_risk_runs_by() -> None:
    assert "does not report" in check_limits(Config(), None).text
    check = check_limits(Config(), reported(None))
    assert (check.level, check.right) == (Level.WARNING, "restart risk")


def test_where_a_strategy_file_lies_is_no_change() -> None:
    def parts(folder: str) -> dict[str, str]:
        given = {"strategies": [{"id": "a", "class": f"{folder}/mine.py:Mine"}]}
        return config_parts(msgspec.convert(given, Config))

    assert parts("/one") == parts("/two/three")


def test_observers_take_the_limits_that_risk_tells() -> None:
    own = RiskConfig(drawdown_max=D(100))
    told = {**limits_told(own), "drawdown_max": "50", "of_a_later_version": "1"}
    assert limits_in_force(own, None) == own
    assert limits_in_force(own, LimitsReport(in_force=told, config_parts={})).drawdown_max == 50
