"""What stands in the way now, the most important first, each with what would be right. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from shared.messages.base import TradingState
from shared.messages.execution import PlanOutcome
from shared.services import SERVICES
from shared.watch.why.facts import Facts
from shared.watch.why.funnel import OWN_PRICE_GATES, PAID_GATES, PRICE_GATES, QUIET_GATES
from shared.watch.why.remedies import DENIALS, HALTS, OF_STATE, PASSING, cause_of
from shared.wording import counted

PATH = ("executor", "risk", "scanner", "orderbook", "ingestor")
"""Without one of these nothing is traded; the others are not asked here."""
NOT_TRADED = (PlanOutcome.UNFILLED, PlanOutcome.EXPIRED, PlanOutcome.REFUSED)
OUTCOMES = {
    PlanOutcome.UNFILLED: "prices were gone: arb latency; or a larger edge_bps_min",
    PlanOutcome.EXPIRED: "plans came too late: arb latency; or scanner.opportunity_ttl_ms",
    PlanOutcome.REFUSED: "the executor says why: arb plans",
}
assert set(PATH) <= set(SERVICES)


class Effect(StrEnum):
    """How much an obstacle is in the way."""

    STOPS = "stops"  # nothing is opened
    LIMITS = "limits"  # some of it is not
    MARKET = "market"  # nothing is wrong: prices do not pay


class Obstacle(NamedTuple):
    """One thing in the way; ``text`` has its numbers, ``remedy`` what would be right."""

    code: str
    effect: Effect
    text: str
    remedy: str
    ts_since_ns: int | None = None


Look = Callable[[Facts, dict[str, Any]], Iterator[Obstacle]]


def obstacles(facts: Facts, steps: dict[str, Any] | None) -> list[Obstacle]:
    """Return the obstacles: what stops everything first, then as they stand in the path.

    Args:
        facts: What was read.
        steps: The funnel; ``None`` where nothing could be read.
    """
    if steps is None:
        return [_bus(facts)]
    rows = [_bus(facts)] if facts.bus_problem else []
    looks: tuple[Look, ...] = (
        _services,
        _state,
        _executor,
        _balances,
        _books,
        _strategies,
        _denials,
        _outcomes,
        _edge,
    )
    for look in looks:
        rows += look(facts, steps)
    order = list(Effect)
    return sorted(rows, key=lambda row: order.index(row.effect))


def _bus(facts: Facts) -> Obstacle:
    remedy = "arb kill needs no Redis; arb orders, plans and pnl read the ledger"
    if facts.is_readable:
        remedy = "docs/runbook.md, Redis: services can neither decide nor be told anything"
    return Obstacle("BUS", Effect.STOPS, facts.bus_problem, remedy)


def _services(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    for service in PATH:
        if facts.is_silent(service):
            heard = facts.heard_ns(service)
            how_long = "was never heard on this bus"
            if heard is not None:
                how_long = f"is silent for {_ago(facts, heard)}"
            text = f"{service} {how_long}"
            remedy = f"start it: arb up, docker compose up {service}, or systemctl; see its log"
            yield Obstacle("SERVICE_SILENT", Effect.STOPS, text, remedy, heard)
            continue
        beats = facts.fresh(service)
        if not any(beat.ready for beat in beats):
            why = "; ".join(dict.fromkeys(beat.reason for beat in beats if beat.reason))
            text = f"{service} is not ready: {why or 'it does not say why'}"
            yield Obstacle("SERVICE_NOT_READY", Effect.STOPS, text, "arb status, and its log")


def _state(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    told = facts.now.state
    if told is None:
        if not facts.is_silent("risk"):
            text = "the trading state is not known: risk has told none"
            yield Obstacle("STATE_UNKNOWN", Effect.STOPS, text, "arb status, and the log of risk")
        return
    if told.state is TradingState.ACTIVE:
        return
    cause = cause_of(told.reason)
    was = " when risk was heard last" if facts.is_silent("risk") else ""
    remedy = HALTS.get(cause, "arb status")
    if told.state is TradingState.REDUCING and cause == "OPERATOR":
        remedy = "arb resume, when you are content"
    yield Obstacle(
        str(told.state),
        Effect.STOPS,
        f"{told.state}{was}: {told.reason or 'no reason told'}",
        remedy,
        told.ts_since_ns,
    )


def _executor(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    told = facts.now.executor
    if told is None or facts.is_silent("executor"):
        return
    if not told.ready:
        remedy = "keys and account of the venue it names; arb tail alert --since 0"
        text = f"the executor takes no plans: {told.reason or 'it does not say why'}"
        yield Obstacle("EXECUTOR_NOT_READY", Effect.STOPS, text, remedy)
    for place, why in told.venues_down.items():
        text = f"no new orders to {place.replace('|', ' ')}: {why}"
        remedy = "mend key, permission or account there, then arb resume"
        yield Obstacle("VENUE_DOWN", Effect.LIMITS, text, remedy)


def _balances(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    for venue, report in sorted(facts.now.balances.items()):
        if not any(each.free > 0 for each in report.balances.values()):
            text = f"nothing is free at {venue}"
            yield Obstacle("NO_BALANCE", Effect.LIMITS, text, "arb balances; transfer money there")


def _books(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    books = steps["books"]
    if books["total"] is None:
        if not facts.is_silent("orderbook") and not facts.is_silent("ingestor"):
            text = "no book at all: no venue has sent one"
            remedy = "venues.NAME.instruments in arb.toml; arb tail md.status"
            yield Obstacle("NO_BOOKS", Effect.STOPS, text, remedy)
        return
    rows = books["not_live"]
    if not rows or facts.is_silent("orderbook"):
        return
    example = rows[0]
    why = f" ({example['reason']})" if example["reason"] else ""
    text = (
        f"{len(rows)} of {counted(books['total'], 'book')} not LIVE: "
        f"{example['venue']} {example['instrument']} {example['state']}{why}"
    )
    effect = Effect.STOPS if not books["live"] else Effect.LIMITS
    remedy = "it heals by itself; if it stays: arb tail md.status, the venue's connection"
    yield Obstacle("BOOKS", effect, text, remedy)


def _strategies(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    beats = [beat for beat in facts.fresh("scanner") if beat.ready]
    running = sum(beat.gauges.get("strategies", 0.0) for beat in beats)
    effect = Effect.STOPS if beats and not running else Effect.LIMITS
    notes = {name: note for beat in beats for name, note in beat.notes.items()}
    for name, note in notes.items():
        if name.startswith("strategy ") and note.startswith("disabled"):
            remedy = "mend its file, arb strategy check, then restart the scanner"
            yield Obstacle("STRATEGY_DISABLED", effect, f"{name} is {note}", remedy)
        elif name.startswith("strategy ") and note.startswith("warming up"):
            text = f"{name} is {note}"
            yield Obstacle("STRATEGY_WARMS_UP", Effect.LIMITS, text, "nothing: it ends by itself")
    risk = facts.now.risk
    for name, until_ns in (risk.paused if risk is not None else {}).items():
        if until_ns > facts.now_ns:
            left = (until_ns - facts.now_ns) / 60e9
            text = f"strategy {name} lost too often in a row: paused for {left:.0f} minutes more"
            yield Obstacle("LOSING_STREAK", Effect.LIMITS, text, DENIALS["LOSING_STREAK"])


def _denials(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    """What risk denies, where that is more than it approves; what only repeats the state is out."""
    rows = [row for row in steps["denied"] if row["reason"] not in OF_STATE | PASSING]
    count, approved = sum(row["count"] for row in rows), steps["plans"]["approved"]
    if not rows or count <= approved:
        return
    row = rows[0]
    numbers = ", ".join(f"{name} {value}" for name, value in row["example"]["context"].items())
    text = (
        f"risk denied {count:,} and approved {approved:,}; {row['count']:,} for {row['reason']}, "
        f"{_ago(facts, row['example']['ts_ns'])} ago: {numbers or 'no numbers'}"
    )
    effect = Effect.LIMITS if approved else Effect.STOPS
    yield Obstacle(f"DENIED_{row['reason']}", effect, text, row["remedy"])


def _outcomes(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    outcomes = steps["plans"]["outcomes"]
    count = sum(outcomes.values())
    if not count or any(outcomes.get(name) for name in PlanOutcome if name not in NOT_TRADED):
        return
    most = max(NOT_TRADED, key=lambda name: outcomes.get(name, 0))
    parts = ", ".join(f"{n} {name}" for name, n in outcomes.items())
    last = steps["plans"]["last_reason"]
    text = f"none of {counted(count, 'plan')} traded: {parts}" + (f"; {last}" if last else "")
    yield Obstacle(f"PLANS_{most}", Effect.STOPS, text, OUTCOMES[most])


def _edge(facts: Facts, steps: dict[str, Any]) -> Iterator[Obstacle]:
    """Why nothing was found: the prices, or what stopped comparisons before or after them."""
    if facts.is_silent("scanner") or steps["found"]["opportunities"] or steps["found"]["signals"]:
        return
    rows = steps["near_misses"]
    if not rows:
        text = "nothing was compared"
        remedy = "two LIVE books that a strategy compares: arb books, arb strategy list"
        yield Obstacle("NOTHING_COMPARED", Effect.STOPS, text, remedy)
        return
    of_prices = {*PRICE_GATES, *OWN_PRICE_GATES}
    priced = [row for row in rows if row["gate"] in of_prices and row["edge_bps"] is not None]
    paid = [row for row in rows if row["gate"] in PAID_GATES]
    before = [row for row in rows if row["gate"] not in {*of_prices, *PAID_GATES}]
    if paid:
        yield _gate(max(paid, key=_comparisons), "paid, and ended", Effect.LIMITS)
    if before and not priced and not paid:
        yield _gate(max(before, key=_comparisons), "ended", Effect.STOPS)
    elif before := [row for row in before if row["gate"] not in QUIET_GATES]:
        most = max(before, key=_comparisons)
        if _comparisons(most) > sum(map(_comparisons, (*priced, *paid))):
            yield _gate(most, "ended", Effect.LIMITS)
    if priced:
        lower = "wait; lower fees (taker_fee_bps of a venue), or a lower edge_bps_min"
        yield Obstacle("EDGE", Effect.MARKET, edge_text(priced[0]), lower)


def _comparisons(row: dict[str, Any]) -> int:
    count: int = row["comparisons"]
    return count


def _gate(row: dict[str, Any], ended: str, effect: Effect) -> Obstacle:
    numbers = ", ".join(f"{name} {value}" for name, value in row["context"].items())
    text = f"{counted(row['comparisons'], 'comparison')} {ended} at {row['gate']}"
    text += f" ({numbers})" if numbers else ""
    remedy = row["remedy"] or "docs/strategies explain what the gate of this strategy means"
    return Obstacle(f"GATE_{row['gate']}", effect, text, remedy)


def edge_text(row: dict[str, Any]) -> str:
    """Return a near miss's edge, what it is made of and what it lacks."""
    made_of = ""
    if row["gross_bps"] is not None:
        made_of = f" (gross {row['gross_bps']:+.2f}, fees {row['fees_bps']:.2f})"
    needs = "what is needed is not known here"
    if row["needs_bps"] is not None:
        needs = f"needs {row['needs_bps']:+.2f}, lacks {row['lacks_bps']:.2f}"
    buy, sell = row["buy"], row["sell"]
    route = f"{buy['instrument']} {buy['venue']} > {sell['venue']}"
    if buy["instrument"] != sell["instrument"]:
        route = f"{buy['instrument']} {buy['venue']} > {sell['instrument']} {sell['venue']}"
    return f"no edge: best {row['edge_bps']:+.2f} bps {row['edge_is']}{made_of}, {needs}; {route}"


def _ago(facts: Facts, ts_ns: int) -> str:
    return duration((facts.now_ns - ts_ns) / 1e9)


def duration(seconds: float) -> str:
    """Return a time span in the unit that fits: ``12 s``, ``7 min``, ``3.5 h``."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
