"""A host's totals over its strategies: counters, gauges, alerts, streams read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.scanner.hosted import Hosted
from services.scanner.watched import Watch
from shared.messages.control import Alert, Severity
from shared.messages.market import TradesMissed
from shared.strategies.gates import Gate
from shared.streams import MD_FUNDING, MD_TRADE


def sum_counters(
    hosted: Sequence[Hosted], own_names: set[str], watch: Watch | None
) -> dict[str, int]:
    """Return the strategies' counters, and their near misses by gate; the host's own stay out."""
    totals: dict[str, int] = {}
    gates: dict[str, int] = {}
    for each in hosted:
        for name, count in each.told("counters", watch).items():
            if name not in own_names:
                totals[name] = totals.get(name, 0) + int(count)
        for gate, count in each.missed(watch).items():
            gates[gate] = gates.get(gate, 0) + count
    named = {f"near_misses_{gate}": count for gate, count in gates.items() if count}
    return {**totals, "near_misses": sum(gates.values()), **named}


def with_held_back(counters: dict[str, int], held_back: int) -> dict[str, int]:
    """Return the counters with what was held back because its prices were taken already."""
    if not held_back:
        return counters
    name = f"near_misses_{Gate.PRICES_TAKEN}"
    counters[name] = counters.get(name, 0) + held_back
    counters["near_misses"] += held_back
    return counters


def sum_gauges(
    hosted: Sequence[Hosted], own_names: set[str], watch: Watch | None
) -> dict[str, float]:
    """Return the strategies' gauges; the host's own stay out."""
    totals: dict[str, float] = {}
    for each in hosted:
        for name, value in each.told("gauges", watch).items():
            if name not in own_names:
                totals[name] = totals.get(name, 0.0) + value
    return totals


def bar_counters(hosted: Sequence[Hosted]) -> dict[str, int]:
    """Return what was counted while bars were made; empty where nobody asks for bars."""
    makers = [each.bar_maker for each in hosted if each.bars]
    if not makers:
        return {}
    return {
        "bar_trades_late": sum(each.late for each in makers),
        "bars_refused": sum(each.refused for each in makers),
    }


def unread_streams(hosted: Sequence[Hosted]) -> frozenset[str]:
    """Return the streams that no strategy reads."""
    wanted = {
        MD_TRADE.name: any(each.trades or each.bars for each in hosted),
        MD_FUNDING.name: any(each.funding for each in hosted),
    }
    return frozenset(name for name, is_wanted in wanted.items() if not is_wanted)


def missed_of(traded: Iterable[tuple[str, str]], now_ns: int) -> list[TradesMissed]:
    """Return the notice that trades may be missing: their stream was not read for a while."""
    return [
        TradesMissed(
            venue=venue,
            instrument=instrument,
            ongoing=False,
            ts_recv_ns=now_ns,
            reason="the scanner's inputs were opened",
        )
        for venue, instrument in traded
    ]


def disabled_alert(strategy_id: str, why: str, now_ns: int) -> Alert:
    """Return the alert that a strategy does not run any more."""
    return Alert(
        ts_ns=now_ns,
        service="scanner",
        severity=Severity.CRITICAL,
        code="STRATEGY_DISABLED",
        text=f"strategy {strategy_id} is disabled until the scanner starts again: {why}",
        subject=strategy_id,
    )
