"""Times that configuration puts far ahead are read by every service that they are told to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared import codec
from shared.config import load_config
from shared.config_limits import RiskConfig
from shared.config_sections import ExecutorConfig
from shared.errors import CodecError, ConfigError
from shared.messages.base import DecisionMessage
from shared.messages.bounds import AHEAD_NS_MAX_DURABLE, DEADLINE_NS_MAX, PAUSE_NS_MAX
from shared.messages.execution import RiskReport
from shared.messages.switches import DeadManSwitch, SwitchState
from shared.streams import STREAM_OF
from tests.decision_builders import T0, make_ready, make_risk

DEAD_MAN_S_MAX, PAUSE_MINUTES_MAX = 3_600, 366 * 1_440


def read_back(message: DecisionMessage) -> Any:
    spec = STREAM_OF[type(message)]
    (found,) = codec.decode(spec, codec.encode(spec, [message]), T0)
    return found


def with_switch(until_ns: int) -> DecisionMessage:
    switch = DeadManSwitch(state=SwitchState.ARMED, ts_until_ns=until_ns)
    return make_ready(T0, switches={"alpha": switch})


def with_pause(until_ns: int) -> RiskReport:
    engine = make_risk()
    step = engine.on_timer(T0 + 2_000_000_000)
    (report,) = (each for each in step.messages if isinstance(each, RiskReport))
    return msgspec.structs.replace(report, ts_ns=T0, paused={"mom": until_ns})


@pytest.mark.parametrize("after_s", [1, 60, 61, 300, DEAD_MAN_S_MAX])
def test_every_dead_man_s_that_may_be_configured_is_told(after_s: int) -> None:
    assert ExecutorConfig(dead_man_s=after_s).dead_man_s == after_s
    message = with_switch(T0 + after_s * 1_000_000_000)
    assert read_back(message) == message


@pytest.mark.parametrize("minutes", [1, RiskConfig().loss_pause_minutes, PAUSE_MINUTES_MAX])
def test_every_pause_that_may_be_configured_is_told(minutes: int) -> None:
    message = with_pause(T0 + minutes * 60_000_000_000)
    assert read_back(message) == message


def test_what_is_further_ahead_than_anything_configured_is_refused() -> None:
    far_ns = AHEAD_NS_MAX_DURABLE + 1
    for message in (
        with_switch(T0 + DEADLINE_NS_MAX + far_ns),
        with_pause(T0 + PAUSE_NS_MAX + far_ns),
    ):
        with pytest.raises(CodecError, match="too far in the future"):
            read_back(message)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("executor", f"dead_man_s = {DEAD_MAN_S_MAX + 1}"),
        ("risk", f"loss_pause_minutes = {PAUSE_MINUTES_MAX + 1}"),
    ],
)
def test_more_than_that_is_refused_in_the_configuration(tmp_path, section: str, line: str) -> None:
    path = tmp_path / "arb.toml"
    path.write_text(f"[{section}]\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=line.split(maxsplit=1)[0]):
        load_config(str(path), {})
