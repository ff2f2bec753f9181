"""One verdict over all statistics together: none of them passes alone. Pure.

Correlated trials shrink the variance that deflates a Sharpe ratio, so it may say 0.997 where the
probability of overfitting says 0.54 and walk-forward loses to holding. What could not be computed
does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]


class GateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a result must reach. Each default is the usual bar of its statistic."""

    deflated_sharpe_min: Share = 0.95
    overfitting_probability_max: Share = 0.2
    spa_p_max: Share = 0.05
    reality_check_p_max: Share = 0.05
    oos_rank_min: Share = 0.5
    oos_to_is_min: Annotated[float, Meta(ge=-10, le=10)] = 0.5
    oos_over_holding_sharpe_min: Annotated[float, Meta(ge=-100, le=100)] = 0.0
    round_trips_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 30


class Check(NamedTuple):
    """One statistic against its bar; a ``value`` of None could not be computed and fails."""

    name: str
    what: str
    value: float | None
    bar: float
    at_least: bool
    label: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether the bar is reached."""
        if self.value is None or not math.isfinite(self.value):
            return False
        return self.value >= self.bar if self.at_least else self.value <= self.bar


_CHECKS = (
    (
        "deflated_sharpe",
        "deflated_sharpe_min",
        "deflated Sharpe",
        "probability that the Sharpe ratio is real",
    ),
    (
        "overfitting_probability",
        "overfitting_probability_max",
        "probability of overfitting",
        "how often the best in a sample is below the median outside of it",
    ),
    (
        "reality_check_p",
        "reality_check_p_max",
        "reality check, p",
        "chance of so good a best, if none is any good",
    ),
    ("spa_p", "spa_p_max", "superior ability, p", "the same without the hopeless ones"),
    ("oos_rank", "oos_rank_min", "rank out of sample", "where picks rank, 1 is best"),
    (
        "oos_to_is",
        "oos_to_is_min",
        "Sharpe kept out of sample",
        "Sharpe out of sample over Sharpe in sample",
    ),
    (
        "oos_over_holding_sharpe",
        "oos_over_holding_sharpe_min",
        "better than holding",
        "Sharpe out of sample less that of holding",
    ),
    ("round_trips", "round_trips_min", "round trips", "round trips out of sample"),
)


def judge(values: Mapping[str, float | None], config: GateConfig) -> tuple[Check, ...]:
    """Hold every statistic against its bar; the result passes if all of them do."""
    return tuple(
        Check(
            name, what, values.get(name), float(getattr(config, bar)), bar.endswith("_min"), label
        )
        for name, bar, label, what in _CHECKS
    )


def passes(checks: tuple[Check, ...]) -> bool:
    """Tell whether every check passed."""
    return all(check.passed for check in checks)
