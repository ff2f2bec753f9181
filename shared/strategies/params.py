"""Parameters of strategies: every number has both bounds and its unit in its name. Pure."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.errors import ConfigError
from shared.strategies.failure import describe
from shared.strategies.near_misses import NearMisses
from shared.strategies.port import Params, Strategy, Warmup

UNITS = frozenset({  # names to look through, many on a line
    "bars", "base", "bps", "count", "days", "fraction", "hours", "levels", "minutes", "ms", "ns",
    "quote", "ratio", "s", "us",
})  # fmt: skip


def check_declared(kind: type[Params], where: str) -> None:
    """Refuse parameters without a unit or bounds, or whose defaults are out of bounds.

    Raises:
        ConfigError: With the parameter and what would be right.
    """
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception as error:  # tidy-ok: annotations are a user's code, told in one line
        reason = describe(error.with_traceback(None))  # its place would be here, not in the file
        raise ConfigError(f"{where}: types of {kind.__name__}: {reason}") from error
    for name in kind.__struct_fields__:
        for number, notes in _numbers_of(hints[name]):
            _check_number(name, number, notes, where)
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, int | float | Decimal | str):
            try:
                msgspec.convert(field.default, hints[field.name])
            except msgspec.ValidationError as error:
                raise ConfigError(
                    f"{where}: parameter {field.name} = {field.default!r}: {error}"
                ) from error


def flaw_of_made(strategy: Strategy[Any], strategy_id: str, params: Params) -> str:
    """Return why a strategy that was made is not what its host needs; empty if it is."""
    for name in ("id", "params", "near_misses"):
        if not hasattr(strategy, name):
            return f"it has no {name}; write set_up(self) instead of __init__"
    for name, given in (("id", strategy_id), ("params", params)):
        if getattr(strategy, name) != given:
            return f"it changed self.{name}, which it is given; keep what it works out elsewhere"
    if type(strategy.near_misses) is not NearMisses:
        return "it changed self.near_misses, which counts for its host; leave that as it is"
    for gate, names in strategy.gates.items():
        if type(names) is not tuple or not all(type(each) is str for each in (gate, *names)):
            return f"gates[{gate!r}] = {names!r:.80}; give the names of its values, a tuple"
    return ""


def flaw_of_answers(strategy: Strategy[Any]) -> str:
    """Return what is wrong with what a strategy says of itself, before it has seen anything."""
    warmup = strategy.warmup()
    if not isinstance(warmup, Warmup) or type(warmup.span_ms) is not int or warmup.span_ms < 0:
        return f"warmup() is {warmup!r:.80}; return Warmup(span_ms=...) of 0 or more"
    for told in ("counters", "gauges"):
        if not isinstance(getattr(strategy, told)(), Mapping):
            return f"{told}() is no dict; return names and numbers"
    wanted = strategy.next_deadline_ns()
    if wanted is not None and type(wanted) is not int:
        return f"next_deadline_ns() is {wanted!r:.80}; return UNIX ns or None"
    return ""


def _check_number(name: str, number: type, notes: Sequence[Any], where: str) -> None:
    if not UNITS & set(name.split("_")):
        raise ConfigError(
            f"{where}: parameter {name} does not say its unit; put one into its name: "
            f"{', '.join(sorted(UNITS))}"
        )
    if number is Decimal:
        raise ConfigError(
            f"{where}: parameter {name} is a Decimal, which can have no bounds; take float, and "
            "make a Decimal of it by shared.domain.rounding.exact"
        )
    metas = [note for note in notes if isinstance(note, Meta)]
    low = any(meta.ge is not None or meta.gt is not None for meta in metas)
    high = any(meta.le is not None or meta.lt is not None for meta in metas)
    if not (low and high):
        raise ConfigError(
            f"{where}: parameter {name} has no {'upper' if low else 'lower'} bound; write "
            f"{name}: Annotated[{number.__name__}, Meta(ge=..., le=...)]"
        )


def _numbers_of(annotation: Any) -> Iterator[tuple[type, Sequence[Any]]]:
    """Yield the numbers in a type, also in lists and in what may be left out, with their notes."""
    if annotation in {int, float, Decimal}:
        yield annotation, ()
    elif typing.get_origin(annotation) is Annotated:
        inner, *notes = typing.get_args(annotation)
        if inner in {int, float, Decimal}:
            yield inner, notes
        else:
            yield from _numbers_of(inner)
    else:
        for each in typing.get_args(annotation):
            yield from _numbers_of(each)


def shown(params: Params) -> str:
    """Return parameters as one line."""
    values = msgspec.to_builtins(params, builtin_types=(Decimal,))
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "none"
