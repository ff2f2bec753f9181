"""The whole answer: verdict, sentence, obstacles, what is not known, the funnel. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from shared.messages.control import Heartbeat
from shared.watch.why.facts import Facts
from shared.watch.why.funnel import funnel
from shared.watch.why.obstacles import PATH, Effect, Obstacle, duration, obstacles
from shared.wording import counted

SENTENCE_OBSTACLES = 3
"""So many are named in the sentence; the list below it has all."""


class Verdict(StrEnum):
    """Whether it trades."""

    TRADES = "TRADES"  # plans were approved in the window, and nothing stops the next one
    WAITS = "WAITS"  # nothing stops it, and nothing was found that may be traded
    STOPPED = "STOPPED"  # something stops everything
    UNKNOWN = "UNKNOWN"  # what would tell is away


def answer(facts: Facts, beats: Sequence[Heartbeat] = ()) -> dict[str, Any]:
    """Return the answer in the form in which it is printed as JSON.

    Args:
        facts: What was read.
        beats: Heartbeats as far back as they were read, oldest first.
    """
    steps = funnel(facts, beats)
    found = obstacles(facts, steps)
    verdict = _verdict(found, steps)
    return {
        "schema": 1,
        "verdict": verdict,
        "sentence": _sentence(verdict, found, steps, facts),
        "redis": facts.where or None,
        "since_ns": facts.since_ns,
        "until_ns": facts.now_ns,
        "obstacles": [each._asdict() for each in found],
        "not_known": not_known(facts),
        "funnel": steps,
    }


def _verdict(found: Sequence[Obstacle], steps: dict[str, Any] | None) -> Verdict:
    if steps is None:
        return Verdict.UNKNOWN
    if any(each.effect is Effect.STOPS for each in found):
        return Verdict.STOPPED
    return Verdict.TRADES if steps["plans"]["approved"] else Verdict.WAITS


def _sentence(
    verdict: Verdict, found: Sequence[Obstacle], steps: dict[str, Any] | None, facts: Facts
) -> str:
    named = [each.text for each in found[:SENTENCE_OBSTACLES]]
    more = len(found) - len(named)
    why = "; ".join([*named, *([f"{more} more below"] if more else [])])
    window = duration((facts.now_ns - facts.since_ns) / 1e9)
    match verdict:
        case Verdict.UNKNOWN:
            return f"Whether it trades is not known: {why}."
        case Verdict.STOPPED:
            return f"It does not trade: {why}."
        case Verdict.WAITS:
            return f"It may trade and waits: {why or 'nothing was found'}."
    assert steps is not None
    text = f"It trades: {counted(steps['plans']['approved'], 'plan')} in {window}"
    return f"{text}. In the way of more: {why}." if why else f"{text}, and nothing is in the way."


def not_known(facts: Facts) -> list[str]:
    """Return what the answer does not know, and since when."""
    if not facts.is_readable:
        return [
            "the trading state, positions, results, books, plans: Redis holds them and cannot "
            "be read",
            "whether the services run: they are heard through Redis only (each /healthz tells)",
        ]
    missing = []
    for service in PATH:
        if not facts.is_silent(service):
            continue
        heard = facts.heard_ns(service)
        since = "so far"
        if heard is not None:
            since = f"in the last {duration((facts.now_ns - heard) / 1e9)}"
        missing.append(f"{WHAT_SILENCE_HIDES[service]} {since}: {service} is silent")
    for stream, oldest_ns in sorted(facts.cut_ns.items()):
        kept = duration((facts.now_ns - oldest_ns) / 1e9)
        missing.append(f"{stream} before the last {kept}: older entries are trimmed")
    if not facts.now.balances and not facts.is_silent("executor"):
        missing.append("balances: no venue reported any in the window")
    if facts.config_problem:
        missing.append(f"the edge that strategies ask for: {facts.config_problem}")
    return missing


WHAT_SILENCE_HIDES = {
    "executor": "what became of orders and plans",
    "risk": "state, limits, and what would be denied,",
    "scanner": "what prices would pay",
    "orderbook": "books and prices",
    "ingestor": "what the venues send",
}
assert set(WHAT_SILENCE_HIDES) == set(PATH)
