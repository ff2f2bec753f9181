"""The live screen of a run: books, opportunities, fills, money, health. Draws, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from rich import box
from rich.console import ConsoleDimensions, Group, JustifyMethod
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.cli.look import funding_text, price_text, spread_bps
from services.cli.opportunity_terms import expected, terms_text
from shared.domain.accounting import holding_place
from shared.domain.instrument import split_instrument
from shared.messages.base import BookState, Side, TradingState
from shared.messages.control import Severity
from shared.messages.market import DepthView
from shared.services import SERVICES
from shared.watch.collector import Collector
from shared.watch.latency import MEASURES, latency_record
from shared.watch.usage import Usage
from shared.wording import signed, unsigned

STATE_STYLE = {
    BookState.LIVE: "green",
    BookState.SYNCING: "yellow",
    BookState.STALE: "yellow",
    BookState.GAP: "red",
    BookState.CROSSED: "red",
    BookState.AUDIT_FAILED: "red",
    BookState.DOWN: "red",
    BookState.UNPROVED: "yellow",
}
TRADING_STYLE = {
    TradingState.ACTIVE: "bold black on green",
    TradingState.REDUCING: "bold black on yellow",
    TradingState.HALTED: "bold white on red",
}
T = TypeVar("T")
QUOTE_USUAL = "USDT"
HEADER_ROWS, FOOTER_ROWS, FRAME_ROWS = 1, 1, 3
ROUNDS_SHOWN = 4
TOP_ROWS_MAX = 20
WIDE_COLUMNS = 100
"""With fewer the panels stand below each other: a price that is cut says nothing."""
TERMS_COLUMNS = 160
"""With fewer the terms of an opportunity have no room; its net has them in any case."""
MONEY_ROWS, LATENCY_ROWS, SHORTEST_PANEL_ROWS = 11, 9, 4


@dataclass(slots=True)
class Screen:
    """What the screen shows."""

    title: str
    mark: str
    hint: str
    collector: Collector
    views: dict[tuple[str, str], DepthView] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)
    now_ns: int = 0
    elapsed_s: float = 0.0
    seconds: float | None = None
    phase: str = "starting"


def render(screen: Screen, size: ConsoleDimensions) -> Layout:
    """Return the whole screen; it fits 100 columns by 30 rows and uses what is more."""
    if size.width < WIDE_COLUMNS:
        return _render_narrow(screen, size.height)
    top = min(TOP_ROWS_MAX, max(10, len(screen.views))) + FRAME_ROWS
    bottom = max(len(screen.usage), 7) + FRAME_ROWS
    layout = Layout()
    layout.split_column(
        Layout(_header(screen), size=HEADER_ROWS),
        Layout(name="top", size=top),
        Layout(name="middle", minimum_size=4),
        Layout(name="bottom", size=bottom),
        Layout(Text(f" look in from another terminal: {screen.hint}", "dim"), size=FOOTER_ROWS),
    )
    layout["top"].split_row(Layout(_books(screen), ratio=57), Layout(_money(screen), ratio=43))
    layout["middle"].split_row(
        Layout(_opportunities(screen, size.width), ratio=1), Layout(_fills(screen), ratio=1)
    )
    layout["bottom"].split_row(
        Layout(_services(screen), ratio=57), Layout(_latency(screen), ratio=43)
    )
    return layout


def _render_narrow(screen: Screen, height: int) -> Layout:
    """Return as many panels below each other, each as wide as the terminal, as fit."""
    rows_left = height - HEADER_ROWS - FOOTER_ROWS
    books = max(1, len(screen.views)) + FRAME_ROWS
    panels: list[tuple[Panel, int]] = []
    for panel, rows in (
        (_books(screen), min(books, TOP_ROWS_MAX + FRAME_ROWS)),
        (_money(screen), MONEY_ROWS),
        (_services(screen), max(len(screen.usage), 7) + FRAME_ROWS),
        (_latency(screen), LATENCY_ROWS),
        (_fills(screen), TOP_ROWS_MAX),
    ):
        if panels and rows_left < SHORTEST_PANEL_ROWS:
            break
        panels.append((panel, min(rows, rows_left)))
        rows_left -= rows
    layout = Layout()
    layout.split_column(
        Layout(_header(screen), size=HEADER_ROWS),
        *(Layout(panel, size=rows) for panel, rows in panels),
        Layout(Text(f" look in: {screen.hint}", "dim"), minimum_size=FOOTER_ROWS),
    )
    return layout


def progress_line(screen: Screen) -> str:
    """Return the same in one line, for where there is no terminal."""
    c = screen.collector
    live = c.gauge("orderbook", "books_live")
    state = c.state.state if c.state else "-"
    realized = ", ".join(
        f"{signed(result.realized)} {quote}" for quote, result in sorted(c.books.results.items())
    )
    return (
        f"{screen.elapsed_s:6.1f} s {screen.phase}: {state}, books live {live:.0f}, "
        f"opportunities {c.opportunities}, plans {len(c.plans)}, fills {len(c.fills)}, "
        f"realized {realized or '-'}, restarts {sum(u.restarts for u in screen.usage.values())}"
    )


def _header(screen: Screen) -> Text:
    left = Text(no_wrap=True, overflow="ellipsis")
    left.append(" arbstream ", "bold white on blue")
    left.append(f" {screen.mark} ", "bold black on bright_yellow")
    left.append(f" {screen.title}  ", "bold")
    limit = "" if screen.seconds is None else f" / {screen.seconds:.0f}"
    left.append(f"{screen.elapsed_s:.0f}{limit} s  ", "cyan")
    state = screen.collector.state
    if state is not None:
        left.append(f" {state.state} ", TRADING_STYLE[state.state])
        if state.state is not TradingState.ACTIVE:
            left.append(f" {state.reason}", "yellow")
    left.append(f"  {screen.phase}", "dim")
    return left


def _table(*columns: tuple[str, JustifyMethod]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _panel(content: Table | Group | Text, title: str) -> Panel:
    return Panel(
        content,
        title=title,
        title_align="left",
        box=box.ROUNDED,
        border_style="blue",
        padding=0,
    )


def _books(screen: Screen) -> Panel:
    table = _table(
        ("venue", "left"),
        ("book", "left"),
        ("state", "left"),
        ("bid", "right"),
        ("ask", "right"),
        ("bps", "right"),
        ("age", "right"),
    )
    for (venue, instrument), view in sorted(screen.views.items())[:TOP_ROWS_MAX]:
        bid = view.bids[0][0] if view.bids else None
        ask = view.asks[0][0] if view.asks else None
        spread = spread_bps(bid, ask)
        age_ms = max(0.0, (screen.now_ns - view.ts_ns) / 1e6)
        table.add_row(
            venue,
            short_name(instrument),
            Text(view.state, STATE_STYLE[view.state]),
            Text(price_text(bid), "green"),
            Text(price_text(ask), "red"),
            "-" if spread is None else f"{spread:.1f}",
            f"{age_ms:.0f}ms",
        )
    if not screen.views:
        table.add_row(Text("waiting for the first book", "dim italic"))
    return _panel(table, "books")


def short_name(instrument: str) -> str:
    """Return an instrument as its row says it: quotes are USDT unless said otherwise."""
    name = split_instrument(instrument)
    quote = "" if name.quote == QUOTE_USUAL else f"/{name.quote}"
    return f"{name.base}{quote}{' perp' if name.settle else ''}"


def _money(screen: Screen) -> Panel:
    c = screen.collector
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    _add_results(grid, c)
    orders = c.order_counts()
    grid.add_row(
        "plans",
        f"{len(c.plans)} approved, {sum(c.denied.values())} denied, {len(c.in_flight())} open",
    )
    outcomes = ", ".join(f"{n} {name.lower()}" for name, n in c.outcomes.most_common() if n)
    grid.add_row("", Text(outcomes or "-", "dim"))
    grid.add_row(
        "orders", f"{orders['submitted']} sent, {orders['filled']} filled, {orders['unknown']} open"
    )
    for asset, (edge, buy, sell) in list(cross_edges(screen.views).items())[:4]:
        grid.add_row(
            asset,
            Text(f"{edge:+6.1f} bps ", "green" if edge > 0 else "dim")
            + Text(f"{buy} > {sell}", "dim"),
        )
    gates = " ".join(f"{gate} {n}" for gate, n in c.near_misses.most_common(3))
    grid.add_row("misses", Text(gates or "-", "dim"))
    if denied := " ".join(f"{reason} {n}" for reason, n in c.denied.most_common(2)):
        grid.add_row("denied", Text(denied, "yellow"))
    if c.alerts:
        style = "bold red" if c.alerts[-1].severity is Severity.CRITICAL else "yellow"
        grid.add_row("alert", Text(f"{c.alerts[-1].code} {c.alerts[-1].text}", style))
    return _panel(grid, "money and spreads (gross)")


def _add_results(grid: Table, c: Collector) -> None:
    """Add what was earned, what is open and what moved, each in its own asset."""
    risk = c.risk
    for quote, result in sorted(c.books.results.items()):
        open_profit = (risk.unrealized if risk else {}).get(quote, Decimal(0))
        grid.add_row(
            "realized",
            Text(f"{signed(result.realized)} {quote}", _signed_style(result.realized))
            + Text(f"   open {signed(open_profit)}  fees {unsigned(result.fees)}", "dim")
            + Text(funding_text(c, result.funding), "dim"),
        )
    accounts = c.strategies.accounts
    if len(accounts) > 1:  # else it says the same once more
        parts = [
            f"{name} {signed(result.realized)} {quote}"
            for name, books in sorted(accounts.items())
            for quote, result in sorted(books.results.items())
        ]
        grid.add_row("of it", Text(", ".join(parts), "dim"))
    opened = c.books.opened()
    positions = [
        f"{qty:+f} {instrument}{f'@{venue}' if venue else ''}"
        for (venue, instrument), qty in ((holding_place(key), q) for key, q in opened.items())
    ]
    shown = Text(", ".join(positions) or "none", "yellow" if positions else "green")
    grid.add_row("positions", shown)
    for held in list(c.rounds.values())[:ROUNDS_SHOWN]:
        legs = " ".join(f"{leg.qty:+f} {leg.instrument}@{leg.venue}" for leg in held.legs)
        stop = "" if held.stop is None else f" stop {held.stop:f}"
        shown = Text(f"{held.state} {legs}{stop}", "dim", overflow="ellipsis", no_wrap=True)
        grid.add_row(Text(f"round {held.strategy_id}", overflow="ellipsis"), shown)
    for name, newest in list(c.newest_indication.items())[:ROUNDS_SHOWN]:
        told = " ".join(f"{key} {value}" for key, value in newest.values.items())
        shown = Text(told, "dim", overflow="ellipsis", no_wrap=True)
        grid.add_row(Text(name, overflow="ellipsis", no_wrap=True), shown)
    for venue, amounts in (risk.inventory if risk else {}).items():
        moved = " ".join(f"{asset} {_short(amount)}" for asset, amount in amounts.items())
        grid.add_row(Text(f"moved {venue}", overflow="ellipsis"), Text(moved, "dim"))


def _signed_style(amount: Decimal) -> str:
    return "bold green" if amount >= 0 else "bold red"


def _short(amount: Decimal) -> str:
    """Return an amount to four significant digits, or whole where it is large."""
    return f"{amount:+,.0f}" if abs(amount) >= 1_000 else f"{amount:+.4g}"


def cross_edges(
    views: Mapping[tuple[str, str], DepthView],
) -> dict[str, tuple[float, str, str]]:
    """Return per base asset the widest gross edge in bps and where to buy and to sell for it."""
    best: dict[str, tuple[float, str, str]] = {}
    live = [v for v in views.values() if v.state is BookState.LIVE and v.bids and v.asks]
    for buy in live:
        for sell in live:
            name, other = split_instrument(buy.instrument), split_instrument(sell.instrument)
            if (buy.venue, buy.instrument) == (sell.venue, sell.instrument):
                continue
            if (name.base, name.quote) != (other.base, other.quote):
                continue
            edge = (sell.bids[0][0] / buy.asks[0][0] - 1) * 1e4
            if name.base not in best or edge > best[name.base][0]:
                best[name.base] = (edge, buy.venue, sell.venue)
    return dict(sorted(best.items()))


def _when(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%H:%M:%S")


def _opportunities(screen: Screen, width: int) -> Panel:
    shown = _last(screen.collector.recent_opportunities)
    columns: list[tuple[str, JustifyMethod]] = [
        ("time", "left"),
        ("base", "left"),
        ("buy > sell", "left"),
        ("bps", "right"),
        ("net", "right"),
    ]
    if width >= TERMS_COLUMNS and any(terms_text(each) for each in shown):
        columns.append(("in it", "left"))
    table = _table(*columns)
    for o in reversed(shown):
        way = " > ".join("+".join(leg.venue for leg in o.legs if leg.side is side) for side in Side)
        net, net_bps = expected(o)
        edge = Text(f"{net_bps:.1f}", "green")
        assets = "-".join(each.asset for each in o.values) or o.base
        more = [terms_text(o)] if len(columns) > 5 else []
        table.add_row(_when(o.ts_ns), assets, way, edge, f"{net:.2f}", *more)
    return _panel(table, f"opportunities ({screen.collector.opportunities})")


def _fills(screen: Screen) -> Panel:
    table = _table(
        ("time", "left"), ("venue", "left"), ("side", "left"), ("qty", "right"), ("price", "right")
    )
    for f in reversed(_last(screen.collector.recent_fills)):
        side = Text(f"{f.side} {split_instrument(f.instrument).base}")
        side.stylize("green" if f.side is Side.BUY else "red")
        table.add_row(_when(f.ts_ns), f.venue, side, f"{f.qty:.5g}", price_text(float(f.price)))
    return _panel(table, f"fills ({len(screen.collector.fills)})")


def _last(items: Sequence[T]) -> list[T]:
    return list(items)[-TOP_ROWS_MAX:]


def _services(screen: Screen) -> Panel:
    table = _table(
        ("process", "left"),
        ("pid", "right"),
        ("health", "left"),
        ("restarts", "right"),
        ("MB", "right"),
        ("cpu s", "right"),
    )
    beats = {beat.service: beat for beat in screen.collector.alive()}
    for name, used in screen.usage.items():
        beat = beats.get(name)
        if used.stopping:
            health = Text("stopping" if used.up else "stopped", "dim")
        elif not used.up:
            health = Text("down, restarting", "bold red")
        elif beat is None:
            health = Text("up", "green" if name not in SERVICES else "yellow")
        else:
            health = Text("ready", "green") if beat.ready else Text(beat.reason or "…", "yellow")
        restarts = Text(str(used.restarts), "yellow" if used.restarts else "dim")
        table.add_row(
            name, str(used.pid), health, restarts, f"{used.rss_mb:.0f}", f"{used.cpu_s:.1f}"
        )
    return _panel(table, "processes")


def _latency(screen: Screen) -> Panel:
    table = _table(
        ("tick to, us", "left"),
        ("p50", "right"),
        ("p99", "right"),
        ("p99.9", "right"),
        ("n", "right"),
    )
    record = latency_record(screen.collector)
    for name in MEASURES:
        row = record[name]
        cells = ["-" if row[p] is None else f"{row[p]:,.0f}" for p in ("p50", "p99", "p999")]
        table.add_row(name.removeprefix("tick_to_"), *cells, f"{row['n']:,}")
    c = screen.collector
    facts = Table.grid(expand=True, padding=(0, 1, 0, 0))
    facts.add_column(style="dim", no_wrap=True, ratio=1, overflow="ellipsis")
    facts.add_row(
        f"frames {c.counter('ingestor', 'frames'):,}  "
        f"book events {c.counter('orderbook', 'book_events'):,}"
    )
    facts.add_row(
        f"gaps {c.counter('ingestor', 'gaps')}  resyncs {c.counter('ingestor', 'resyncs')}  "
        f"reconnects {c.counter('ingestor', 'reconnects')}"
    )
    return _panel(Group(table, facts), "latency from the tick on")
