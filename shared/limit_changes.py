"""The limits of ``[risk]`` that change while the system runs, and what of a file needs a restart.

Pure. A limit travels as text, so that what was written is what is compared. Only plain numbers
change live: limits by asset, soft limits and everything outside ``[risk]`` are read at a start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

import msgspec

from shared.config_limits import MAY_BE_ZERO, RiskConfig
from shared.config_sections import Config
from shared.errors import ConfigError
from shared.messages.bounds import AMOUNT_MAX
from shared.messages.limits import LimitsReport

LOOSER_ABOVE: Final = frozenset(
    (
        *("order_notional_max", "instrument_notional_max", "venue_notional_max"),
        *("total_notional_max", "net_notional_max", "daily_loss_max", "rolling_loss_max"),
        *("drawdown_max", "plan_loss_max", "unexplained_loss_max", "losses_in_row_max"),
        *("book_age_ms_max", "opportunity_age_ms_max", "plan_ttl_ms", "rest_ms_max"),
        *("edge_bps_max", "plans_in_flight_max", "resting_orders_max", "open_orders_max"),
        *("clock_skew_ms_max", "price_band_bps_max", "depeg_bps_max", "orders_per_minute_max"),
        *("plan_portfolio_bps_max", "leverage_max"),
    )
)
"""Limits that let more happen when they rise."""
LOOSER_BELOW: Final = frozenset(
    (
        *("loss_pause_minutes", "price_band_books_min", "liquidation_bps_min"),
        *("maintenance_margin_bps", "shrink_share_min"),
    )
)
"""Limits that let more happen when they fall."""
LIVE: Final = LOOSER_ABOVE | LOOSER_BELOW
"""Limits that change without a restart."""
NONE_AT_ZERO: Final = frozenset(
    (
        *("net_notional_max", "rolling_loss_max", "drawdown_max", "plan_loss_max"),
        *("losses_in_row_max", "clock_skew_ms_max", "price_band_bps_max", "depeg_bps_max"),
        *("orders_per_minute_max", "plan_portfolio_bps_max", "open_orders_max", "leverage_max"),
    )
)
"""Limits of ``LOOSER_ABOVE`` that are none at 0: nothing is looser."""
ALSO_OF_EXECUTOR: Final = frozenset(
    ("order_notional_max", "plan_loss_max", "plan_ttl_ms", "rest_ms_max")
)
"""The executor checks these once more, by what it read at its start: a tighter one holds at once,
because risk approves by it; a looser one would be refused there."""

_LEAST: Final = Decimal("1e-15")
_TYPES: Final[dict[str, Any]] = {
    each.name: each.type for each in msgspec.structs.fields(RiskConfig) if each.name in LIVE
}


def limits_told(limits: RiskConfig) -> dict[str, str]:
    """Return the limits that change live, as text by name."""
    return {name: _text(getattr(limits, name)) for name in _TYPES}


def with_limits(limits: RiskConfig, changes: Mapping[str, str]) -> RiskConfig:
    """Return the limits with some of them changed.

    Raises:
        ConfigError: A name is none of ``LIVE``, or a text no value of it.
    """
    values: dict[str, Any] = {}
    for name, text in changes.items():
        if name not in LIVE:
            raise ConfigError(f"risk.{name} does not change without a restart")
        try:
            value = msgspec.convert(text, _TYPES[name], strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"risk.{name} = {text}: {error}") from error
        may_be_zero = not isinstance(value, Decimal) or name in MAY_BE_ZERO
        if not (
            math.isfinite(value) and (_LEAST <= value <= AMOUNT_MAX or (may_be_zero and not value))
        ):
            raise ConfigError(f"risk.{name} = {text}; give a number above 0 and up to 1e24")
        values[name] = value
    return msgspec.structs.replace(limits, **values)


def limits_in_force(own: RiskConfig, told: LimitsReport | None) -> RiskConfig:
    """Return what a process read of limits, with those that risk tells it judges by."""
    known = {} if told is None else {n: told.in_force[n] for n in LIVE & told.in_force.keys()}
    try:
        return with_limits(own, known)
    except ConfigError:  # of another version, which allows what this one does not
        return own


def changed_limits(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return what of ``after`` differs from ``before``, which is as :func:`limits_told` tells."""
    return {name: text for name, text in after.items() if before.get(name) != text}


def is_looser(name: str, before: str, after: str) -> bool:
    """Tell whether a limit lets more happen by its new value."""
    was, is_now = _room(name, before), _room(name, after)
    return is_now < was if name in LOOSER_BELOW else is_now > was


def is_for_restart(name: str, before: str, after: str) -> bool:
    """Tell whether a new value holds only after a restart, because the executor has the old one."""
    return name in ALSO_OF_EXECUTOR and is_looser(name, before, after)


def limits_hash(told: Mapping[str, str]) -> str:
    """Return twelve digits that name a set of limits."""
    return _hash(dict(sorted(told.items())))


def config_parts(config: Config) -> dict[str, str]:
    """Return a digest of each part that is read at a start only.

    Left out is what the environment may override in each process (addresses of the bus, of pages
    and of metrics), and what only observers read.
    """
    every: dict[str, Any] = msgspec.to_builtins(config, builtin_types=(Decimal,))
    parts = {name: every[name] for name in PARTS_READ_BY if name not in ("bus", "risk")}
    parts["venues"] = {
        venue: {**each, "adapter": each["adapter"] or venue}
        for venue, each in parts["venues"].items()
    }
    parts["bus"] = {k: v for k, v in every["bus"].items() if k not in ("url", "tls_ca_file")}
    parts["risk"] = {k: v for k, v in every["risk"].items() if k not in LIVE}
    parts["strategies"] = [
        {**each, "class": each["class"].rpartition("/")[2]} for each in parts["strategies"]
    ]
    return {name: _hash(part) for name, part in parts.items()}


PARTS_READ_BY: Final[dict[str, str]] = {
    "venues": "all services",
    "bus": "all services",
    "executor": "executor, risk",
    "strategies": "scanner, risk, notifier",
    "scanner": "scanner, risk",
    "orderbook": "orderbook",
    "inventory": "scanner, risk, dashboard",
    "paper": "executor",
    "sentinel": "sentinel",
    "risk": "risk, executor, notifier, exporter",
}
"""Parts of a configuration that are compared, and who must be restarted for a change of each."""


def _text(value: Decimal | float) -> str:
    """Return a number without an exponent or digits that say nothing, however it was written."""
    text = f"{Decimal(repr(value)) if isinstance(value, float) else Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _room(name: str, text: str) -> Decimal:
    value = Decimal(text)
    return Decimal("Infinity") if name in NONE_AT_ZERO and value == 0 else value


def _hash(value: Any) -> str:
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=6).hexdigest()
