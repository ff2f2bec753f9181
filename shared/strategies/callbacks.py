"""Checks the callbacks of a strategy's class before any of them is called. Pure."""

from __future__ import annotations

import inspect
from typing import Any

from shared.strategies.port import Strategy

CALLBACKS = (  # names to look through, many on a line
    "set_up", "inputs", "warmup", "horizon_ms", "on_rules", "on_depth", "on_trade", "on_bar",
    "on_gap", "on_mark", "on_funding", "on_position", "on_inventory", "on_held_back", "on_timer",
    "next_deadline_ns", "save", "restore", "counters", "gauges",
)  # fmt: skip


def flaw_of_class(kind: type[Strategy[Any]]) -> str:
    """Return why a class is no strategy that a host could call; empty if it is one."""
    if type(kind.__dict__.get("by_base", False)) is not bool:
        return "by_base is no bool; write by_base: ClassVar = True, or leave it out"
    return next((flaw for name in CALLBACKS if (flaw := _flaw_of(kind, name))), "")


def _flaw_of(kind: type[Strategy[Any]], name: str) -> str:
    usual = inspect.getattr_static(Strategy, name)
    given = inspect.getattr_static(kind, name)
    if given is usual:
        return ""
    wanted = f"write def {name}({', '.join(inspect.signature(usual).parameters)})"
    if not inspect.isfunction(given):
        return f"{name} is no method ({type(given).__name__}); {wanted}"
    if inspect.iscoroutinefunction(given) or inspect.isasyncgenfunction(given):
        return f"{name} is async, and nothing waits for it; {wanted}"
    if inspect.isgeneratorfunction(given) and name != "inputs":
        return f"{name} is a generator (yield); {wanted} and return a list"
    try:
        inspect.signature(given).bind(*inspect.signature(usual).parameters)
    except TypeError as error:
        return f"{name} cannot be called: {error}; {wanted}"
    return ""
