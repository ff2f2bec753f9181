"""A venue's trading rules of one instrument, as they travel on the bus."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

STEP_MIN, STEP_MAX = Decimal("1e-18"), Decimal("1e18")
"""Least and largest tick, lot or contract: beyond, one of the numbers is wrong."""
FEE_BPS_MIN, FEE_BPS_MAX = Decimal(-1_000), Decimal(1_000)
"""A tenth of what is traded, as a rebate or a fee: beyond, the venue's number is wrong."""
_BOUNDS: Mapping[str, tuple[Decimal, Decimal]] = {
    "tick_size": (STEP_MIN, STEP_MAX),
    "lot_size": (STEP_MIN, STEP_MAX),
    "qty_min": (Decimal(0), STEP_MAX),
    "qty_max": (STEP_MIN, STEP_MAX),
    "notional_min": (Decimal(0), STEP_MAX),
    "taker_fee_bps": (Decimal(0), FEE_BPS_MAX),
    "maker_fee_bps": (FEE_BPS_MIN, FEE_BPS_MAX),
    "contract_size": (STEP_MIN, STEP_MAX),
}
_OF_NO_USE: Mapping[str, Decimal | None] = {
    "tick_size": Decimal(1),
    "lot_size": Decimal(1),
    "qty_min": Decimal(0),
    "qty_max": None,
    "notional_min": Decimal(0),
    "taker_fee_bps": FEE_BPS_MAX,
    "maker_fee_bps": FEE_BPS_MAX,
    "contract_size": Decimal(1),
}
"""What stands for a number that cannot be used; the instrument is then not traded."""


class InstrumentRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue accepts for one instrument, in base units, quote units and basis points.

    Decimal because orders are made from it. ``contract_size`` is base units per contract (1 on
    spot); ``lot_size``, ``qty_min`` and ``qty_max`` are already in base units. ``reason`` says why
    an instrument that is not ``active`` is not.

    Raises:
        ValueError: A number that cannot be used (msgspec makes it a ``ValidationError``). Use
            ``rules_from`` for numbers of a venue.
    """

    venue: str
    instrument: str
    tick_size: Decimal
    lot_size: Decimal
    qty_min: Decimal
    notional_min: Decimal
    taker_fee_bps: Decimal
    maker_fee_bps: Decimal
    contract_size: Decimal = Decimal(1)
    active: bool = True
    qty_max: Decimal | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        """Check every number."""
        numbers = {name: getattr(self, name) for name in _BOUNDS}
        problems = _text(_problems(numbers))
        if problems:
            raise ValueError(f"{self.venue} {self.instrument}: {problems}")


def rules_from(
    venue: str,
    instrument: str,
    numbers: Mapping[str, Decimal | None],
    *,
    active: bool = True,
    reason: str = "",
) -> InstrumentRules:
    """Return the rules that a venue published; one unusable number makes the instrument not traded.

    Args:
        venue: Its configured name.
        instrument: Our name of the instrument.
        numbers: Field name -> value; ``None`` where the venue published none.
        active: Whether the venue trades it.
        reason: Why not.
    """
    told = {name: numbers.get(name) for name in _BOUNDS}
    found = _problems(told)
    problems = _text(found)
    usable = {name: _OF_NO_USE[name] if found[name] else value for name, value in told.items()}
    return InstrumentRules(
        venue=venue,
        instrument=instrument,
        active=active and not problems,
        reason=problems or ("" if active else reason or "the venue does not trade it"),
        **usable,  # type: ignore[arg-type]
    )


def _text(problems: Mapping[str, str]) -> str:
    return "; ".join(dict.fromkeys(problem for problem in problems.values() if problem))


def _problems(numbers: Mapping[str, Decimal | None]) -> dict[str, str]:
    """Return what is wrong with each number, empty where nothing is."""
    found = {name: _problem(name, value) for name, value in numbers.items()}
    least, most = numbers["qty_min"], numbers["qty_max"]
    are_right = not (found["qty_min"] or found["qty_max"])
    if are_right and least is not None and most is not None and least > most:
        found["qty_min"] = found["qty_max"] = f"qty_min {least} is above qty_max {most}"
    return found


def _problem(name: str, value: Decimal | None) -> str:
    if value is None:
        return "" if name == "qty_max" else f"no {name}"
    low, high = _BOUNDS[name]
    if value.is_finite() and low <= value <= high:
        return ""
    return f"{name} is {value}, not from {low} to {high}"
