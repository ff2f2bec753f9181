"""What an operator can look at: status, books, latency. Reads only; builds plain records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from math import floor, log10
from typing import Any

import msgspec

from shared.clock import SystemClock
from shared.domain.instrument import split_instrument
from shared.errors import ConfigError
from shared.messages.base import BookState
from shared.messages.execution import RiskReport
from shared.messages.market import DepthView
from shared.messages.rounds import StrategyPosition
from shared.messages.switches import DeadManSwitch, SwitchState
from shared.process import host_of
from shared.services import SERVICES
from shared.streams import (
    ALERT,
    ALL,
    EXEC_EVENT,
    MD_DEPTH,
    MD_INSTRUMENT,
    MD_STATUS,
    RISK_EVENT,
    RISK_POSITION,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.collector import Collector
from shared.watch.latency import latency_record
from shared.watch.link import POSITIONS, Link, StreamItem
from shared.watch.server_info import version_of
from shared.wording import signed

SILENT_AFTER_S = 5.0
"""Heartbeats come every second; a service silent for this long is down."""
ENTRIES_BACK = 100
ALERTS_SHOWN = 5


async def survey(link: Link, specs: Iterable[StreamSpec] = (SYS_HEALTH,)) -> Collector:
    """Return what the newest entries of the streams of state say."""
    collector = Collector()
    for spec in specs:
        for item in await link.newest(spec, count=ENTRIES_BACK):
            collector.on_message(item.message)
    return collector


async def status(link: Link) -> dict[str, Any]:
    """Return how the whole system is: services, trading state, exposure, streams and lag."""
    wrong = await link.wrong_types()
    told = (SYS_HEALTH, RISK_EVENT, RISK_POSITION, EXEC_EVENT, ALERT)
    collector = await survey(link, [spec for spec in told if spec.key() not in wrong])
    now_ns = SystemClock.now_ns()
    services = _services(collector, now_ns)
    up = {service["service"] for service in services if service["up"] and service["ready"]}
    missing = [name for name in SERVICES if name not in up]
    risk, state, executor = collector.risk, collector.state, collector.executor
    problem = "; ".join(wrong.values()) or await link.why_no_writes(check_rights=bool(missing))
    silence = _silence_of_risk(collector, now_ns)
    return {
        "well": not missing and not problem,
        "missing": missing,
        "redis": {
            "url": link.where,
            "server": version_of(await link.info("server")),
            "problem": problem,
        },
        "trading": {
            "state": state.state if state and not silence else "unknown",
            "reason": silence or (state.reason if state else "no state from risk yet"),
            "age_s": _age_s(state.ts_ns if state else None, now_ns),
            "mode": executor.mode if executor else "unknown",
            "plans_in_flight": risk.plans_in_flight if risk else None,
            "unknown_orders": executor.unknown_orders if executor else None,
            "venues_down": executor.venues_down if executor else {},
            "plans_waiting": executor.plans_waiting if executor else {},
            "switches": switch_rows(executor.switches if executor else {}, now_ns),
            "exposure": risk.exposure if risk else {},
            "realized": risk.realized if risk else {},
            "unrealized": risk.unrealized if risk else {},
            "fees": risk.fees if risk else {},
            "today": risk.today if risk else {},
            "drawdown": risk.drawdown if risk else {},
            "marks_estimated": risk.marks_estimated if risk else {},
            "funding": risk.funding if risk else {},
            "funding_unknown": risk.funding_unknown if risk else {},
            "fees_unpriced": risk.fees_unpriced if risk else {},
            "pnl_by_strategy": pnl_by_strategy(risk) if risk else {},
            "positions": [msgspec.structs.asdict(p) for p in risk.positions] if risk else [],
            "inventory": risk.inventory if risk else {},
            "rounds": [round_row(each, now_ns) for each in collector.rounds.values()],
            "certainty": risk.certainty if risk else "unknown",
        },
        "services": services,
        "streams": await _streams(link, wrong),
        "alerts": [
            {
                "age_s": _age_s(a.ts_ns, now_ns),
                "service": a.service,
                "severity": a.severity,
                "code": a.code,
                "text": a.text,
            }
            for a in list(collector.alerts)[-ALERTS_SHOWN:]
        ],
    }


async def strategy_notes(link: Link) -> dict[str, str]:
    """Return what the scanners that are up say of strategies: warming up or disabled, and why.

    Raises:
        ConfigError: No scanner is up.
    """
    collector, now_ns = await survey(link), SystemClock.now_ns()
    beats = [beat for beat in collector.latest_beat.values() if beat.service == "scanner"]
    up = [beat for beat in beats if now_ns - beat.ts_ns < SILENT_AFTER_S * 1e9]
    if not up:
        raise ConfigError(f"{link.where}: no scanner is up; see arb status")
    told = [item for beat in up for item in beat.notes.items()]
    return {
        about.removeprefix("strategy "): what
        for about, what in told
        if about.startswith("strategy ")
    }


def switch_rows(switches: Mapping[str, DeadManSwitch], now_ns: int) -> dict[str, dict[str, Any]]:
    """Return the venues' dead-man's switches; ``left_s`` is until they fire, below 0: they have."""
    return {
        venue: {
            "state": switch.state,
            "left_s": (switch.ts_until_ns - now_ns) / 1e9 if switch.ts_until_ns else None,
            "reason": switch.reason,
        }
        for venue, switch in switches.items()
    }


def switch_text(switch: Mapping[str, Any]) -> str:
    """Return a row of ``switch_rows`` as text."""
    left_s, why = switch["left_s"], switch["reason"]
    fires = "" if left_s is None else f"cancels all open orders there in {left_s:.0f} s"
    if left_s is not None and left_s <= 0:
        return f"ran out {-left_s:.0f} s ago: the venue has canceled all open orders there"
    match switch["state"]:
        case SwitchState.ARMED:
            return f"armed, {fires} unless told again"
        case SwitchState.NONE:
            return str(why)
        case SwitchState.OFF:
            return f"off ({why})"
    return f"not set ({why})" + (f"; {fires}" if fires else "")


def round_row(held: StrategyPosition, now_ns: int) -> dict[str, Any]:
    """Return an open round as it is shown."""
    return {
        "strategy": held.strategy_id,
        "round": held.round_id,
        "state": held.state,
        "age_s": _age_s(held.ts_opened_ns, now_ns),
        "legs": [
            {"venue": leg.venue, "instrument": leg.instrument, "qty": leg.qty, "entry": leg.entry}
            for leg in held.legs
            if leg.qty
        ],
        "unhedged": held.unhedged,
        "realized": held.realized,
        "certainty": held.certainty,
        "funding": held.funding,
        "funding_certainty": held.funding_certainty,
        "reason": held.reason,
        "stop": held.stop,
        "ending": held.ending,
    }


def pnl_by_strategy(risk: RiskReport) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what each strategy earned per quote asset, in the form of a run's report."""
    return {
        strategy: {
            quote: {
                "realized": realized,
                "unrealized": report.unrealized.get(quote, 0),
                "fees": report.fees.get(quote, 0),
                "funding": report.funding.get(quote, 0),
                "certainty": report.certainty,
            }
            for quote, realized in report.realized.items()
        }
        for strategy, report in risk.by_strategy.items()
    }


def unpriced_text(fees: Mapping[str, Decimal]) -> str:
    """Return fees without a price as text, ending in ``; ``; empty without any."""
    told = ", ".join(f"{amount:f} {asset}" for asset, amount in sorted(fees.items()))
    return f"without fees of {told}, which nothing prices; " if told else ""


def funding_text(c: Collector, amount: Decimal) -> str:
    """Return funding payments as text; empty if no derivative was held."""
    if c.funding.unknown():
        return "  funding unknown"
    return f"  funding {signed(amount)}" if c.funding.payments else ""


def _silence_of_risk(collector: Collector, now_ns: int) -> str:
    """Return since when risk is silent, and its last state; empty while it reports."""
    if collector.state is None:
        return ""
    heard_ns = max(
        collector.state.ts_ns,
        collector.risk.ts_ns if collector.risk else 0,
        *(beat.ts_ns for beat in collector.latest_beat.values() if beat.service == "risk"),
        0,
    )
    silent_s = (now_ns - heard_ns) / 1e9
    if silent_s < SILENT_AFTER_S:
        return ""
    return f"risk has been silent for {silent_s:.0f} s; its last state was {collector.state.state}"


def _services(collector: Collector, now_ns: int) -> list[dict[str, Any]]:
    return [
        {
            "service": beat.service,
            "instance": beat.instance,
            "pid": beat.pid,
            "host": host_of(beat.process),
            "up": now_ns - beat.ts_ns < SILENT_AFTER_S * 1e9,
            "ready": beat.ready,
            "reason": beat.reason,
            "age_s": _age_s(beat.ts_ns, now_ns),
            "uptime_s": _age_s(beat.ts_started_ns, beat.ts_ns),
            "http_port": beat.http_port,
            "notes": beat.notes,
            "counters": beat.counters,
            "gauges": beat.gauges,
        }
        for _, beat in sorted(collector.latest_beat.items())
    ]


async def _streams(link: Link, wrong: Collection[str]) -> list[dict[str, Any]]:
    positions = {} if POSITIONS in wrong else await link.positions()
    rows = []
    for spec in ALL:
        for key in await link.keys(spec):
            if key in wrong:
                continue
            entries, size = await link.length(key)
            last = await link.last_id(key)
            rows.append(
                {
                    "stream": spec.name,
                    "key": key,
                    "entries": entries,
                    "entries_max": spec.entries_max,
                    "bytes": size,
                    "bytes_max": spec.bytes_max,
                    "last_id": last,
                    "lag_ms": {
                        consumer.removesuffix(f":{key}"): max(0, _id_ms(last) - _id_ms(position))
                        for consumer, position in sorted(positions.items())
                        if consumer.endswith(f":{key}")
                    },
                }
            )
    return rows


def _id_ms(entry_id: str) -> int:
    head = entry_id.partition("-")[0]
    return int(head) if head.isdecimal() else 0


def _age_s(then_ns: int | None, now_ns: int) -> float | None:
    return None if then_ns is None else round((now_ns - then_ns) / 1e9, 3)


async def known_instruments(link: Link) -> set[tuple[str, str]]:
    """Return every (venue, instrument) that the running system has spoken of lately."""
    known = {
        (item.message.rules.venue, item.message.rules.instrument)  # type: ignore[attr-defined]
        for item in await link.newest(MD_INSTRUMENT, count=ENTRIES_BACK)
    }
    for spec in (MD_STATUS, MD_DEPTH):
        for item in await link.recent(spec):
            message: Any = item.message
            if message.instrument:
                known.add((message.venue, message.instrument))
    return known


def check_instrument(
    known: set[tuple[str, str]], venue: str | None, instrument: str | None
) -> None:
    """Refuse a venue or instrument that the running system does not know.

    Raises:
        ConfigError: It is unknown; the text lists the known ones.
    """
    if instrument is not None:
        try:
            split_instrument(instrument)
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if venue is not None and venue not in {v for v, _ in known}:
        there = ", ".join(sorted({v for v, _ in known})) or "none: nothing is running"
        raise ConfigError(f"no venue {venue!r}; there are: {there}")
    here = {i for v, i in known if venue in (None, v)}
    if instrument is not None and instrument not in here:
        there = ", ".join(sorted(here)) or "none: nothing is running"
        at = f" at {venue}" if venue else ""
        raise ConfigError(f"no instrument {instrument!r}{at}; there are: {there}")


def newest_views(items: Iterable[StreamItem]) -> list[DepthView]:
    """Return the newest view of every book, by venue and instrument."""
    views: dict[tuple[str, str], DepthView] = {}
    for one in items:
        if isinstance(one.message, DepthView):
            views[one.message.venue, one.message.instrument] = one.message
    return [view for _, view in sorted(views.items())]


async def books(
    link: Link, venue: str | None, instrument: str | None, levels: int
) -> list[dict[str, Any]]:
    """Return the books as the scanner sees them.

    Raises:
        ConfigError: That venue or instrument is unknown.
    """
    views = newest_views(await link.recent(MD_DEPTH))
    if venue is not None or instrument is not None:
        check_instrument(await known_instruments(link), venue, instrument)
    now_ns = SystemClock.now_ns()
    return [
        book_record(view, levels, now_ns)
        for view in views
        if venue in (None, view.venue) and instrument in (None, view.instrument)
    ]


def book_record(view: DepthView, levels: int, now_ns: int) -> dict[str, Any]:
    """Return one book as a plain record; prices in quote, quantities in base units."""
    best_bid = view.bids[0][0] if view.bids else None
    best_ask = view.asks[0][0] if view.asks else None
    silent = (
        now_ns - view.ts_ns >= SILENT_AFTER_S * 1e9
    )  # views are repeated several times a second
    return {
        "venue": view.venue,
        "instrument": view.instrument,
        "state": view.state,
        "reason": view.reason,
        "live": view.state is BookState.LIVE and not silent,
        "silent": silent,
        "epoch": view.epoch,
        "seq": view.seq,
        "best_bid": best_bid,
        "best_ask": best_ask,
        "spread_bps": spread_bps(best_bid, best_ask),
        "age_ms": round((now_ns - view.ts_ns) / 1e6, 1),
        "bids": view.bids[:levels],
        "asks": view.asks[:levels],
    }


def spread_bps(best_bid: float | None, best_ask: float | None) -> float | None:
    """Return the spread in basis points of the middle, ``None`` without both sides."""
    if best_bid is None or best_ask is None:
        return None
    return round((best_ask - best_bid) / ((best_ask + best_bid) / 2) * 1e4, 3)


def price_text(price: float | None) -> str:
    """Return a price with five digits that count; more where it has them before the point."""
    if price is None:
        return "-"
    if price >= 10_000:
        return f"{price:,.1f}"
    return f"{price:,.{max(2, 4 - floor(log10(price)))}f}" if price > 0 else f"{price:,.2f}"


async def latency(link: Link) -> dict[str, Any]:
    """Return the percentiles of every measure since the processes started, in microseconds."""
    collector = await survey(link)
    return latency_record(collector)
