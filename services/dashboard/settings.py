"""The effective configuration as rows, without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from services.dashboard.values import amount
from shared.config_masked import masked
from shared.config_sections import Config, StrategyConfig, VenueConfig

SECRET_PARTS: Final = ("secret", "password", "token", "api_key", "private")
"""Parts of names of settings whose value is hidden; a strategy's params may be called anything."""
TEXT_MAX: Final = 500


def setting_rows(config: Config) -> dict[str, dict[str, Any]]:
    """Return one row for each setting."""
    known = msgspec.to_builtins(Config(), builtin_types=(Decimal,))
    told = msgspec.to_builtins(masked(config), builtin_types=(Decimal,))
    told["strategies"] = {each["id"]: each for each in told["strategies"]}
    if channels := told["notifier"]["channels"]:
        told["notifier"]["channels"] = {each["name"]: each for each in channels}
    defaults = dict(_leaves(known, ()))
    for section, fresh in (
        ("venues", VenueConfig(instruments=[])),
        ("strategies", StrategyConfig(id="", class_="")),
    ):
        own = dict(_leaves(msgspec.to_builtins(fresh, builtin_types=(Decimal,)), ()))
        for name in told[section]:
            defaults |= {(section, name, *path): value for path, value in own.items()}
    return {
        ".".join(path): {
            "section": path[0],
            "key": ".".join(path[1:]),
            "value": _text(path[-1], value),
            "is_default": defaults.get(path, ...) == value,
        }
        for path, value in _leaves(told, ())
    }


def _leaves(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and (value or not path):
            yield from _leaves(value, (*path, str(name)))
        else:
            yield (*path, str(name)), value


def _text(name: str, value: Any) -> str:
    if value and any(part in name.lower() for part in SECRET_PARTS):
        return "***"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return amount(value) or ""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(_text(name, each) for each in value)[:TEXT_MAX]
    return str(value)[:TEXT_MAX]
