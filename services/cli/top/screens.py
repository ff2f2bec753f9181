"""THE TABLE OF SCREENS of `arb top`: columns, rows, and why there are none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from services.cli.top.cells import Row
from services.cli.top.market_rows import books, funding, spreads
from services.cli.top.state_rows import GATES_SHOWN, health, logs, overview
from services.cli.top.trading_rows import opportunities, plans, positions
from services.cli.top.watched import Watched, is_silent

ROWS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class ScreenSpec:
    """One screen; columns that begin with ``>`` are numbers. ``empty`` says why it has no row."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[Watched, int], Iterator[Row]]
    empty: Callable[[Watched, int], str]
    follows_end: bool = False
    reads_books: bool = False
    reads_funding: bool = False


def _no_feed(watched: Watched, now_ns: int) -> str:
    del now_ns
    running = {beat.service for beat in watched.beats.values()}
    if "orderbook" not in running:
        return "No book: the orderbook service is not running (arb up, or arb doctor)."
    return "No book yet: the venues' snapshots are being read (arb status has their words)."


def _no_spread(watched: Watched, now_ns: int) -> str:
    if not watched.views:
        return _no_feed(watched, now_ns)
    return "No two LIVE books of one asset and quote: nothing can be compared."


def _no_offer(watched: Watched, now_ns: int) -> str:
    del now_ns
    gates = ", ".join(f"{gate} {n:,}" for gate, n in watched.near_misses.most_common(GATES_SHOWN))
    if gates:
        return f"No opportunity since the start; comparisons were stopped by {gates}. w says why."
    return "No opportunity since the start. w says why."


def _no_position(watched: Watched, now_ns: int) -> str:
    if watched.risk is None or is_silent(watched.risk.ts_ns, now_ns):
        return "Positions are not known: risk does not report."
    return "Nothing is held open."


SCREENS: Final = (
    ScreenSpec(
        "overview", ("", ""), overview, lambda w, n: "Nothing is known yet.", reads_books=True
    ),
    ScreenSpec(
        "books",
        ("venue", "book", "state", ">bid", ">ask", ">bps", ">age"),
        books,
        _no_feed,
        reads_books=True,
    ),
    ScreenSpec(
        "spreads",
        ("base", "buy at", "sell at", ">net bps", ">gross", ">ask", ">bid"),
        spreads,
        _no_spread,
        reads_books=True,
    ),
    ScreenSpec(
        "opps", ("time", "base", "buy > sell", ">bps", ">net", "became"), opportunities, _no_offer
    ),
    ScreenSpec(
        "plans",
        ("time", "base", "outcome", ">expected", ">realized", ">took", "legs"),
        plans,
        lambda w, n: "No plan was approved since the start. w says why.",
    ),
    ScreenSpec(
        "pos",
        ("venue", "book", ">qty", ">entry", ">closes at", ">value", ">unrealized", "round"),
        positions,
        _no_position,
    ),
    ScreenSpec(
        "funding",
        ("venue", "book", ">bps", ">a year", ">due in", ">mark", ">basis bps", ">age"),
        funding,
        lambda w, n: "No funding rate is told: no venue has derivatives with funding to read.",
        reads_funding=True,
    ),
    ScreenSpec(
        "health",
        ("service", "pid", "state", ">cpu", ">MB", ">files", ">up", ">heard", "reason"),
        health,
        lambda w, n: "No process was heard: is the system running (arb up)?",
    ),
    ScreenSpec(
        "logs",
        ("time", "source", "level", "text"),
        logs,
        lambda w, n: "Nothing has happened since the start.",
        follows_end=True,
    ),
)
