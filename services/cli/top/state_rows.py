"""Rows of the screens overview, health and logs of `arb top`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from rich.text import Text

from services.cli.screen import TRADING_STYLE
from services.cli.top.cells import (
    LEVEL_STYLE,
    SILENT,
    UNKNOWN,
    Row,
    age,
    clock,
    duration,
    number,
)
from services.cli.top.watched import Watched, is_silent
from shared.measure_names import OPEN_FILES, RESIDENT
from shared.messages.base import BookState
from shared.services import SERVICES
from shared.wording import signed, unsigned

GATES_SHOWN: Final = 3


def trading_text(watched: Watched, now_ns: int) -> Text:
    """Return the trading state with its reason; unknown while risk is silent."""
    state = watched.state
    if state is None:
        return Text("trading state unknown: risk has said nothing yet", "yellow")
    if is_silent(state.ts_ns, now_ns):
        silent = duration((now_ns - state.ts_ns) / 1e9)
        return Text(f"trading state unknown: risk silent for {silent}, was {state.state}", "yellow")
    text = Text(f" {state.state} ", TRADING_STYLE[state.state])
    return text + Text(f" {state.reason}" if state.reason else "", "yellow")


def overview(watched: Watched, now_ns: int) -> Iterator[Row]:
    yield Row("state", ("trading", trading_text(watched, now_ns)), watched.state)
    yield Row("processes", ("processes", _processes(watched, now_ns)))
    executor = watched.executor
    if executor is not None and not is_silent(executor.ts_ns, now_ns):
        yield Row("mode", ("mode", executor.mode), executor)
        for place, why in sorted(executor.venues_down.items()):
            text = Text(f"no new orders: {why}", "yellow")
            yield Row(f"down {place}", (place.replace("|", " "), text))
    else:
        yield Row("mode", ("mode", Text("unknown: the executor does not report", "yellow")))
    yield from _results(watched, now_ns)
    live = sum(
        view.state is BookState.LIVE and not is_silent(view.ts_ns, now_ns)
        for view in watched.views.values()
    )
    books = f"{live} of {len(watched.views)} LIVE" if watched.views else UNKNOWN
    yield Row("books", ("books", books))
    gates = ", ".join(f"{gate} {n:,}" for gate, n in watched.near_misses.most_common(GATES_SHOWN))
    yield Row("near misses", ("near misses", gates or "none since the start"))
    denied = ", ".join(f"{why} {n:,}" for why, n in watched.denied.most_common(GATES_SHOWN))
    yield Row("denied", ("denied", denied or "none since the start"))
    told = [line for line in watched.log if line.level in {"warning", "critical"}]
    if told:
        last = told[-1]
        text = Text(f"{clock(last.ts_ns)} {last.source} {last.text}", LEVEL_STYLE[last.level])
        yield Row("warning", ("last warning", text), last)


def _processes(watched: Watched, now_ns: int) -> Text:
    up = {
        beat.service
        for beat in watched.beats.values()
        if beat.ready and not is_silent(beat.ts_ns, now_ns)
    }
    missing = [name for name in SERVICES if name not in up]
    if missing:
        return Text(f"missing or not ready: {', '.join(missing)}", "bold red")
    return Text(f"all ready ({', '.join(SERVICES)})", "green")


def _results(watched: Watched, now_ns: int) -> Iterator[Row]:
    risk = watched.risk
    if risk is None or is_silent(risk.ts_ns, now_ns):
        since = "" if risk is None else f" since {clock(risk.ts_ns)}"
        yield Row("money", ("money", Text(f"unknown: risk does not report{since}", "yellow")), risk)
        return
    yield Row("certainty", ("results are", str(risk.certainty)), risk)
    for quote, today in sorted(risk.today.items()):
        equity, below = risk.equity.get(quote), risk.drawdown.get(quote)
        more = f" today   {signed(equity)} equity   {unsigned(below)} below its peak"
        text = Text.assemble((signed(today), "green" if today > 0 else ""), (more, "dim"))
        yield Row(f"today {quote}", (quote, text), risk)
    for quote, realized in sorted(risk.realized.items()):
        unrealized = risk.unrealized.get(quote, Decimal(0))
        funding = None if risk.funding_unknown else risk.funding.get(quote, Decimal(0))
        parts = (
            f"realized {signed(realized)}",
            f"open {signed(unrealized)}",
            f"fees {unsigned(risk.fees.get(quote))}",
            f"funding {signed(funding)}",
        )
        yield Row(f"realized {quote}", (quote, "  ".join(parts)), risk)
    held = ", ".join(
        f"{qty.normalize():+f} {asset}" for asset, qty in sorted(risk.exposure.items()) if qty
    )
    yield Row("exposure", ("exposure", Text(held or "flat", "yellow" if held else "green")), risk)
    yield Row("in flight", ("plans in flight", str(risk.plans_in_flight)), risk)


def health(watched: Watched, now_ns: int) -> Iterator[Row]:
    for key, beat in sorted(watched.beats.items()):
        gone = is_silent(beat.ts_ns, now_ns)
        state = Text("ready", "green") if beat.ready else Text("not ready", "yellow")
        if gone:
            state = Text(SILENT, "bold red")
        resident, files = beat.gauges.get(RESIDENT), beat.gauges.get(OPEN_FILES)
        used = None if gone else watched.cpu_ratio.get(key)
        yield Row(
            "|".join(key),
            (
                beat.service,
                str(beat.pid),
                state,
                number(UNKNOWN if used is None else f"{used * 100:.0f} %"),
                number(UNKNOWN if resident is None or gone else f"{resident / 1e6:.0f}"),
                number(UNKNOWN if files is None or gone else f"{files:.0f}"),
                number(duration((beat.ts_ns - beat.ts_started_ns) / 1e9)),
                age(beat.ts_ns, now_ns),
                beat.reason,
            ),
            beat,
        )


def logs(watched: Watched, now_ns: int) -> Iterator[Row]:
    del now_ns
    for line in watched.log:
        style = LEVEL_STYLE.get(line.level, "")
        cells = (clock(line.ts_ns), line.source, Text(line.level, style), line.text)
        yield Row(str(line.number), cells, line)
