"""Parameters of strategies: every number has both bounds and its unit in its name. Pure."""

from __future__ import annotations

import typing
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.errors import ConfigError
from shared.strategies.failure import describe
from shared.strategies.port import Params

UNITS = frozenset({  # names to look through, many on a line
    "bars", "base", "bps", "count", "days", "fraction", "hours", "levels", "minutes", "ms", "ns",
    "quote", "ratio", "s", "us",
})  # fmt: skip


def check_declared(kind: type[Params], where: str) -> None:
    """Refuse parameters that do not say their unit and their bounds, or whose defaults leave them.

    Raises:
        ConfigError: With the parameter and what would be right.
    """
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception as error:  # tidy-ok: annotations are a user's code, told in one line
        said = describe(error.with_traceback(None))  # its place would be here, not in the file
        raise ConfigError(f"{where}: types of {kind.__name__}: {said}") from error
    for name in kind.__struct_fields__:
        number, notes = _number_of(hints[name])
        if number is None:
            continue
        if not UNITS & set(name.split("_")):
            raise ConfigError(
                f"{where}: parameter {name} does not say its unit; put one into its name: "
                f"{', '.join(sorted(UNITS))}"
            )
        metas = [note for note in notes if isinstance(note, Meta)]
        low = any(meta.ge is not None or meta.gt is not None for meta in metas)
        high = any(meta.le is not None or meta.lt is not None for meta in metas)
        if not (low and high):
            raise ConfigError(
                f"{where}: parameter {name} has no {'upper' if low else 'lower'} bound; write "
                f"{name}: Annotated[{number.__name__}, Meta(ge=..., le=...)]"
            )
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, int | float | Decimal | str):
            try:
                msgspec.convert(field.default, hints[field.name])
            except msgspec.ValidationError as error:
                raise ConfigError(
                    f"{where}: parameter {field.name} = {field.default!r}: {error}"
                ) from error


def _number_of(annotation: Any) -> tuple[type | None, tuple[Any, ...]]:
    notes: tuple[Any, ...] = ()
    if typing.get_origin(annotation) is Annotated:
        annotation, *rest = typing.get_args(annotation)
        notes = tuple(rest)
    return (annotation if annotation in {int, float, Decimal} else None), notes


def shown(params: Params) -> str:
    """Return parameters as one line."""
    values = msgspec.to_builtins(params, builtin_types=(Decimal,))
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "none"
