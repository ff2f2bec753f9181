"""The one table of injected faults that every part of the simulated venues consults. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

FAULTS_MAX = 1_000

PARAMETERS: dict[str, dict[str, float | str | bool]] = {
    "drop": {},
    "duplicate": {},
    "reorder": {},
    "delay": {"ms": 500},
    "wrong_qty": {},
    "disconnect": {},
    "close": {"code": 1000},
    "checksum": {},
    "stall": {"ms": 5_000},
    "reject": {"reason": ""},
    "lose_answer": {"how": "close"},
    "partial_fill": {"fraction": 0.5},
    "http_429": {"retry_after_s": 1, "path": ""},
    "http_5xx": {"status": 503, "executed": False, "path": ""},
    "ban": {"retry_after_s": 2, "path": ""},
    "clock_skew": {"ms": 0},
    "account": {"state": "ok"},
}
"""What may be injected, with the parameters each takes and their defaults."""

ACCOUNT_STATES = (
    "ok",
    "read_only",
    "revoked",
    "restricted",
    "hedge_mode",
    "multi_assets",
    "may_withdraw",
)
"""What may be wrong with an account: its key may not trade or is gone, it may not trade itself, it
is in hedge mode or has one margin for all assets, or its key may withdraw (where a venue has or
tells that). It lasts until another state is set."""
CHOICES = {"how": ("close", "timeout"), "state": ACCOUNT_STATES}
CONNECTION_FAULTS = ("disconnect", "close")
"""What the venue's host does at once to every connection: lost without a word, or closed with a
code, by default as a venue does that restarts in order."""
CLOSE_CODES = range(1000, 5000)


class FaultError(Exception):
    """The request for a fault makes no sense; the text says what would be right."""


@dataclass(slots=True)
class Fault:
    """``count`` more times, do ``kind`` to ``venue`` (and only to ``instrument`` if given)."""

    kind: str
    venue: str
    instrument: str
    count: int
    parameters: dict[str, float | str | bool]

    def number(self, name: str) -> float:
        """Return a numeric parameter."""
        return float(self.parameters[name])


@dataclass(slots=True)
class FaultTable:
    """Faults waiting to happen, and how often each kind did."""

    instruments: dict[str, tuple[str, ...]]
    waiting: list[Fault] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    happened_at: dict[tuple[str, str], int] = field(default_factory=dict)
    """The same by kind and venue."""
    skew_ms: dict[str, int] = field(default_factory=dict)
    stalled_until_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    account_state: dict[str, str] = field(default_factory=dict)

    def inject(self, request: object, now_ms: int) -> Fault:
        """Check a request and put the fault to work.

        Raises:
            FaultError: With what would be right.
        """
        fault = self._parse(request)
        if fault.kind == "clock_skew":
            self.skew_ms[fault.venue] = int(fault.number("ms"))
            self.count(fault.kind, fault.venue)
        elif fault.kind == "account":
            self.account_state[fault.venue] = str(fault.parameters["state"])
            self.count(fault.kind, fault.venue)
        elif fault.kind == "stall":
            key = (fault.venue, fault.instrument)
            self.stalled_until_ms[key] = now_ms + int(fault.number("ms"))
            self.count(fault.kind, fault.venue)
        elif fault.kind not in CONNECTION_FAULTS:
            if len(self.waiting) >= FAULTS_MAX:
                raise FaultError(f"already {FAULTS_MAX} faults are waiting; clear them first")
            self.waiting.append(fault)
        return fault

    def take(
        self, kinds: Iterable[str], venue: str, instrument: str = "", path: str = ""
    ) -> Fault | None:
        """Return the first waiting fault of these kinds that applies here, and use it up once."""
        if not self.waiting:
            return None
        wanted = tuple(kinds)
        for fault in self.waiting:
            if (
                fault.kind in wanted
                and fault.venue == venue
                and fault.instrument in {"", instrument}
                and str(fault.parameters.get("path", "")) in path
            ):
                fault.count -= 1
                if fault.count == 0:
                    self.waiting.remove(fault)
                self.count(fault.kind, venue)
                return fault
        return None

    def is_stalled(self, venue: str, instrument: str, now_ms: int) -> bool:
        """Tell whether nothing may be sent (about the instrument) now."""
        stalled = self.stalled_until_ms
        if not stalled:
            return False
        return now_ms < stalled.get((venue, ""), 0) or (
            bool(instrument) and now_ms < stalled.get((venue, instrument), 0)
        )

    def clear(self, venue: str = "") -> None:
        """Forget everything waiting, end stalls and clock skew, put accounts right.

        Only that of one venue, if one is named.
        """

        def is_meant(name: str) -> bool:
            return venue in {"", name}

        self.waiting = [fault for fault in self.waiting if not is_meant(fault.venue)]
        for key in [key for key in self.stalled_until_ms if is_meant(key[0])]:
            del self.stalled_until_ms[key]
        for name in filter(is_meant, self.instruments):
            self.skew_ms.pop(name, None)
            self.account_state.pop(name, None)

    def count(self, kind: str, venue: str) -> None:
        """Record a fault that happened."""
        self.happened[kind] = self.happened.get(kind, 0) + 1
        self.happened_at[kind, venue] = self.happened_at.get((kind, venue), 0) + 1

    def _parse(self, request: object) -> Fault:
        if not isinstance(request, dict):
            raise FaultError('the body must be a JSON object like {"kind":"drop","venue":"..."}')
        kind, venue = request.get("kind"), request.get("venue")
        if kind not in PARAMETERS:
            raise FaultError(f"kind {kind!r}: one of {', '.join(PARAMETERS)}")
        if venue not in self.instruments:
            raise FaultError(f"venue {venue!r}: one of {', '.join(self.instruments)}")
        instrument = request.get("instrument", "")
        if instrument and instrument not in self.instruments[venue]:
            raise FaultError(
                f"instrument {instrument!r}: one of {', '.join(self.instruments[venue])}"
            )
        count = request.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1_000_000:
            raise FaultError(f"count {count!r}: a whole number from 1")
        parameters = dict(PARAMETERS[kind])
        for name, value in request.items():
            if name in {"kind", "venue", "instrument", "count"}:
                continue
            if name not in parameters:
                known = ", ".join(parameters) or "none"
                raise FaultError(f"{kind} takes no parameter {name!r}; it takes: {known}")
            parameters[name] = _checked(name, value, parameters[name])
        return Fault(kind, venue, instrument, count, parameters)


def _checked(name: str, value: object, default: float | str | bool) -> float | str | bool:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise FaultError(f"{name} {value!r}: true or false")
        return value
    if isinstance(default, str):
        if not isinstance(value, str) or (name in CHOICES and value not in CHOICES[name]):
            raise FaultError(f"{name} {value!r}: {' or '.join(CHOICES.get(name, ('text',)))}")
        return value
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise FaultError(f"{name} {value!r}: a number")
    if name == "fraction" and not 0 < value < 1:
        raise FaultError(f"fraction {value!r}: above 0 and below 1")
    if name == "code" and value not in CLOSE_CODES:
        raise FaultError(f"code {value!r}: {CLOSE_CODES[0]} to {CLOSE_CODES[-1]}")
    if name == "status" and not 500 <= value <= 599:
        raise FaultError(f"status {value!r}: 500 to 599")
    return value
