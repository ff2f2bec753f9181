"""The invariants that are checked independently of risk and executor. Pure.

Each rule has one code and one threshold in ``[sentinel]``, and states whether it presses the kill
switch. A rule without the data it needs judges nothing, and ``unknown`` reports that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from services.sentinel.equity import Equity
from services.sentinel.facts import Facts
from services.sentinel.truth import Truth
from shared.config_limits import DOLLARS
from shared.config_sections import SentinelConfig
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.order import ZERO
from shared.services import SERVICES

_MS: Final = 1_000_000
SELF: Final = "sentinel"
START_WAIT_NS: Final = 60_000_000_000
"""After its own start a service that was never heard may still be starting for this long."""
SUSPECT_NS: Final = 60_000_000_000
"""For so long an order that left on an untrusted book is spoken of."""
TRADING: Final = ("risk", "executor")
"""Who must live while anything is open."""


class Violation(NamedTuple):
    """A rule that does not hold, of which subject, and the numbers."""

    code: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """What the rules look at."""

    facts: Facts
    truth: Truth
    equity: Equity
    lags_ms: Mapping[str, int]
    settings: SentinelConfig
    started_ns: int
    now_ns: int

    @property
    def is_bus_heard(self) -> bool:
        """Whether our own heartbeats come back, so that the silence of others is their own."""
        since_ns = max(self.facts.beat_ns.get(SELF, 0), self.started_ns)
        return self.now_ns - since_ns <= self.settings.heartbeat_ms_max * _MS


def delta(look: Look) -> Iterator[Violation]:
    """Net delta per asset: what the venues show is what risk says."""
    for base in look.truth.bases:
        found, price = look.truth.differences(base), look.facts.price(base, DOLLARS)
        if not found or price is None:
            continue
        notional = sum((_worth(place, qty, price) for place, qty in found.items()), ZERO)
        if abs(notional) > look.settings.delta_notional_max:
            parts = ", ".join(f"{qty:f} {place}" for place, qty in found.items())
            text = f"the venues show {notional:.2f} more of {base} than risk says ({parts})"
            yield Violation("SENTINEL_DELTA", base, text)


def owners(look: Look) -> Iterator[Violation]:
    """Every working order at a venue is on the executor's record as working."""
    limit_ns = look.settings.unowned_order_ms_max * _MS
    for venue, account in look.truth.accounts.items():
        for order_id, (order_text, since_ns) in account.unowned.items():
            if account.read_ns - since_ns > limit_ns:
                text = f"{order_text} works at {venue} and is not on the executor's record"
                yield Violation("SENTINEL_ORDER_UNOWNED", f"{venue} {order_id}"[:128], text)


def equity(look: Look) -> Iterator[Violation]:
    """Equity has not dropped by more than so much since the day began."""
    change = look.equity.change(look.truth, look.facts, look.now_ns)
    if change is not None and -change > look.settings.equity_drop_max:
        text = f"the accounts have lost {-change:.2f} dollars since the day began (UTC)"
        yield Violation("SENTINEL_EQUITY", "", text)


def untrusted_books(look: Look) -> Iterator[Violation]:
    """No leg leaves for a book that has not been LIVE for a while."""
    for (venue, order_id), (text, at_ns) in look.facts.suspects.items():
        if look.now_ns - at_ns < SUSPECT_NS:
            yield Violation("SENTINEL_BOOK_UNTRUSTED", f"{venue} {order_id}", text)


def stream_lag(look: Look) -> Iterator[Violation]:
    """What was written waits no longer than allowed for a service that reads it."""
    for place, lag_ms in look.lags_ms.items():
        service = place.partition(" ")[0]
        is_alive = look.facts.is_heard(service, look.now_ns, look.settings.heartbeat_ms_max * _MS)
        if is_alive and lag_ms > look.settings.stream_lag_ms_max:
            yield Violation(
                "SENTINEL_STREAM_LAG",
                place,
                f"{place}: the oldest entry not handled has waited {lag_ms} ms",
            )


def bus(look: Look) -> Iterator[Violation]:
    """Redis carries heartbeats: without it risk and executor end, and nobody minds what is open."""
    if not look.is_bus_heard:
        since_ns = look.facts.beat_ns.get(SELF, look.started_ns)
        text = f"Redis has carried no heartbeat for {(look.now_ns - since_ns) / 1e9:.0f} s"
        yield Violation("SENTINEL_BUS_LOST", "", text)


def heartbeats(look: Look) -> Iterator[Violation]:
    """Every service sends heartbeats; of those that trade see ``traders``."""
    yield from _silent(look, tuple(name for name in SERVICES if name not in TRADING))


def traders(look: Look) -> Iterator[Violation]:
    """Risk and executor send heartbeats: without them nobody minds what is open."""
    for each in _silent(look, TRADING):
        yield each._replace(code="SENTINEL_TRADER_DEAD")


def truth_age(look: Look) -> Iterator[Violation]:
    """Every venue's account can be read."""
    for venue, account in look.truth.accounts.items():
        since_ns = account.read_ns or look.started_ns
        if look.now_ns - since_ns > look.settings.truth_age_ms_max * _MS:
            age_s = (look.now_ns - since_ns) / 1e9
            text = f"{venue}'s account has not been read for {age_s:.0f} s: {account.problem}"
            yield Violation("SENTINEL_BLIND", venue, text)


class Rule(NamedTuple):
    """A rule, and whether the kill switch answers it."""

    find: Callable[[Look], Iterator[Violation]]
    acts: bool
    lasts: bool = False
    """It counts once it has not held for ``delta_for_ms``."""


RULES: Final = (
    Rule(delta, acts=True, lasts=True),
    Rule(owners, acts=True),
    Rule(equity, acts=True),
    Rule(untrusted_books, acts=True),
    Rule(traders, acts=True),
    Rule(bus, acts=True),
    Rule(stream_lag, acts=False),
    Rule(heartbeats, acts=False),
    Rule(truth_age, acts=False),
)


def unknown(look: Look) -> dict[str, str]:
    """Return what cannot be judged now, and why: unknown is not well."""
    found = {}
    risk = look.facts.risk
    if risk is None or look.now_ns - risk.ts_ns > look.settings.heartbeat_ms_max * _MS:
        found["delta"] = "risk reports nothing"
    else:
        never = [v for v, each in look.truth.accounts.items() if each.differences is None]
        if never:
            found["delta"] = f"not compared yet at {', '.join(never)}"
    if look.equity.change(look.truth, look.facts, look.now_ns) is None:
        found["equity"] = "not all accounts, prices and open results are known"
    return found


def _worth(place: str, qty: Decimal, price: Decimal) -> Decimal:
    """Return what a difference is worth: inverse contracts count in quote units already."""
    name = place.partition(" at ")[0]
    is_inverse = name != "spot" and split_instrument(name).kind is InstrumentKind.INVERSE
    return qty if is_inverse else qty * price


def _silent(look: Look, services: tuple[str, ...]) -> Iterator[Violation]:
    for service in services if look.is_bus_heard else ():
        beat_ns = look.facts.beat_ns.get(service, 0)
        limit_ns = look.settings.heartbeat_ms_max * _MS
        since_ns = beat_ns or look.started_ns + START_WAIT_NS
        if look.now_ns - since_ns > limit_ns:
            silent_s = (look.now_ns - (beat_ns or look.started_ns)) / 1e9
            text = f"{service} has sent no heartbeat for {silent_s:.0f} s"
            yield Violation("SENTINEL_SERVICE_DEAD", service, text)
