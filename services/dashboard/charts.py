"""Sliding windows of figures: rings of numbers with holes where nothing was known. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.dashboard.topic import Topic
from services.dashboard.values import MS_NS, rounded

SERIES_MAX: Final = 600
LONG_MAX: Final = 50
"""Series that are kept for days; the first ones that are seen."""
S_NS: Final = 1_000_000_000
SHORT: Final = (1, 900)
LONG: Final = ((10, 2_160), (60, 10_080))
"""Seconds of a step, and steps: 15 minutes, 6 hours, 7 days."""
_HOLE: Final = math.nan


class Ring:
    """One value for each step of a window, ``nan`` where there is none."""

    def __init__(self, step_s: int, size: int) -> None:
        self.step_ns, self._size = step_s * S_NS, size
        self._values = array("d", [_HOLE]) * size
        self._last: int | None = None

    def put(self, now_ns: int, value: float | None) -> None:
        """Set the value of this step; steps that were passed over are holes."""
        step = now_ns // self.step_ns
        if self._last is None or step - self._last >= self._size:
            self._values = array("d", [_HOLE]) * self._size
        elif step < self._last:
            return  # a clock that was set back
        else:
            for passed in range(self._last + 1, step + 1):
                self._values[passed % self._size] = _HOLE
        self._last = step
        if value is not None:
            self._values[step % self._size] = value

    def window(self, now_ns: int) -> tuple[int, list[float | None]]:
        """Return when the window begins, UNIX ms, and its values up to now, oldest first.

        It ends with the step before this one as long as this one has no value yet.
        """
        step = now_ns // self.step_ns
        step -= self._last == step - 1
        first = step - self._size + 1
        values: list[float | None] = []
        for each in range(first, step + 1):
            known = self._last is not None and self._last - self._size < each <= self._last
            value = self._values[each % self._size] if known else _HOLE
            values.append(None if math.isnan(value) else float(f"{value:.8g}"))
        return first * self.step_ns // MS_NS, values


class Charts:
    """All series."""

    def __init__(self) -> None:
        self._rings: dict[str, list[Ring]] = {}
        self._units: dict[str, str] = {}
        self.topic = Topic("charts", SERIES_MAX)

    def put(self, unit: str, values: Mapping[str, float | None], now_ns: int) -> None:
        """Set the value that each of these series has now."""
        for name, value in values.items():
            if name not in self._rings:
                if len(self._rings) >= SERIES_MAX:
                    continue
                steps: Iterable[tuple[int, int]] = [SHORT]
                if self._long() < LONG_MAX:
                    steps = [SHORT, *LONG]
                self._rings[name] = [Ring(step_s, size) for step_s, size in steps]
                self._units[name] = unit
            for ring in self._rings[name]:
                ring.put(now_ns, value)
            point = {"unit": unit, "ts_ms": now_ns // S_NS * 1_000, "value": rounded(value, 8)}
            self.topic.put(name, point)

    def series(self) -> list[dict[str, Any]]:
        """Return the name and unit of each series, and whether it is kept for days."""
        return [
            {"id": name, "unit": self._units[name], "is_long": len(rings) > 1}
            for name, rings in self._rings.items()
        ]

    def window(self, name: str, step_s: int, now_ns: int) -> dict[str, Any] | None:
        """Return a series' window; ``None`` where there is none of that step."""
        for ring in self._rings.get(name, ()):
            if ring.step_ns == step_s * S_NS:
                t0_ms, values = ring.window(now_ns)
                return {
                    "series": name,
                    "unit": self._units[name],
                    "step_ms": step_s * 1_000,
                    "t0_ms": t0_ms,
                    "values": values,
                }
        return None

    def _long(self) -> int:
        return sum(len(rings) > 1 for rings in self._rings.values())
