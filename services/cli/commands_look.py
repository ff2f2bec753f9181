"""`arb status | books | tail | latency`: look at a running system; nothing is changed."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.table import Table

from services.cli import look, tail
from services.cli.book_audits import book_audits, print_audits
from services.cli.output import console, emit_json
from services.cli.settings import target
from shared.errors import ConfigError
from shared.messages.base import Certainty
from shared.streams import BY_NAME, StreamSpec
from shared.watch.link import open_link
from shared.wording import signed, unsigned

RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis", metavar="URL", help="Redis to look at; else ARB_REDIS_URL or arb.toml."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Instrument = Annotated[
    str | None, typer.Option("--instrument", metavar="I", help="Only this one, like BTC/USDT.")
]
EXIT_NOT_WELL = 1


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("status")(status)
    app.command("books")(books)
    app.command("tail")(tail_command)
    app.command("latency")(latency)


def status(redis: RedisUrl = None, as_json: AsJson = False) -> None:
    """Services, trading, streams, lag; exit 1 when not well."""

    async def ask() -> dict[str, Any]:
        async with open_link(target(redis)) as link:
            return await look.status(link)

    found = asyncio.run(ask())
    if as_json:
        emit_json(found)
    else:
        _print_status(found)
    raise typer.Exit(0 if found["well"] else EXIT_NOT_WELL)


def books(
    redis: RedisUrl = None,
    venue: Annotated[str | None, typer.Option("--venue", metavar="V")] = None,
    instrument: Instrument = None,
    levels: Annotated[int, typer.Option("--levels", min=1, max=1000)] = 5,
    *,
    audits: Annotated[
        bool,
        typer.Option("--audits", help="What comparing them with the venues' REST books showed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Order books as the scanner sees them."""

    async def ask() -> list[dict[str, Any]]:
        async with open_link(target(redis)) as link:
            if audits:
                return await book_audits(link, venue, instrument)
            return await look.books(link, venue, instrument, levels)

    found = asyncio.run(ask())
    if as_json:
        emit_json({"audits" if audits else "books": found})
        return
    if found and audits:
        print_audits(found)
        return
    for book in found:
        _print_book(book)
    if not found:
        console.print("no book yet: is the orderbook service running?")


def tail_command(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Like md.depth or exec.event.")],
    *,
    redis: RedisUrl = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="ID", help="After this entry; 0: the oldest.")
    ] = None,
    instrument: Instrument = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="S", help="Only what is of this strategy.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Stop after this many messages.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line and message.")
    ] = False,
) -> None:
    """Decode and print the messages of a stream."""
    spec = _find_stream(stream)
    tail.check_since(since)
    tail.check_filters(spec, strategy, instrument)

    async def print_all() -> None:
        left = count
        async with open_link(target(redis)) as link:
            if instrument is not None:
                look.check_instrument(await look.known_instruments(link), None, instrument)
            async for item in tail.follow(
                link, spec, since=since, instrument=instrument, strategy=strategy
            ):
                if as_json:
                    emit_json(tail.record_of(item))
                else:
                    print(tail.line_of(item), flush=True)
                left = None if left is None else left - 1
                if left == 0:
                    return

    asyncio.run(print_all())


def latency(redis: RedisUrl = None, as_json: AsJson = False) -> None:
    """Time from a tick's arrival to each step."""

    async def ask() -> dict[str, Any]:
        async with open_link(target(redis)) as link:
            return await look.latency(link)

    found = asyncio.run(ask())
    if as_json:
        emit_json({"latency_us": found})
        return
    table = _table("microseconds", "p50", "p99", "p99.9", "n")
    for name, row in found.items():
        cells = ["-" if row[p] is None else f"{row[p]:,.1f}" for p in ("p50", "p99", "p999")]
        table.add_row(name, *cells, str(row["n"]))
    console.print(table)


def _table(*columns: str, folded: str = "") -> Table:
    """Return a table that shows every cell whole; only column ``folded`` goes on in more lines."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        wraps = column == folded
        table.add_column(column, no_wrap=not wraps, overflow="fold", ratio=1 if wraps else None)
    return table


def verdict(found: dict[str, Any]) -> str:
    """Return in a line how the system is, the cause first."""
    causes = [found["redis"]["problem"]] if found["redis"]["problem"] else []
    if found["missing"]:
        causes.append("missing " + ", ".join(found["missing"]))
    return "well" if found["well"] else "NOT WELL: " + "; ".join(causes)


def round_line(held: dict[str, Any]) -> str:
    """Return an open round in one line."""
    legs = ", ".join(
        f"{leg['qty']:+f} {leg['instrument']} at {leg['venue']}" for leg in held["legs"]
    )
    earned = ", ".join(f"{signed(amount)} {quote}" for quote, amount in held["realized"].items())
    paid = (
        ", ".join(f"{signed(amount)} {asset}" for asset, amount in held["funding"].items()) or "0"
    )
    funding = paid if held["funding_certainty"] is not Certainty.UNKNOWN else "unknown"
    age = "" if held["age_s"] is None else f" for {held['age_s']:.0f} s"
    why = f", {held['reason']}" if held["reason"] else ""
    stop = "" if held["stop"] is None else f", stop {held['stop']:f}"
    if held["ending"]:
        stop += f", being closed by its {held['ending'].lower()}"
    return (
        f"round {held['round']} of {held['strategy']} {held['state']}{age}: "
        f"{legs or 'nothing yet'}; realized {earned or '0'}, "
        f"funding {funding}{stop}{why}"
    )


def _print_status(found: dict[str, Any]) -> None:
    trading = found["trading"]
    redis = found["redis"]
    console.print(f"{verdict(found)}   {redis['server']} at {redis['url']}", soft_wrap=True)
    why = f" ({trading['reason']})" if trading["reason"] else ""
    console.print(f"trading {trading['state']}{why}, mode {trading['mode']}")
    exposure = ", ".join(f"{qty:+} {asset}" for asset, qty in trading["exposure"].items() if qty)
    caveat = "" if trading["state"] != "unknown" else "as last published: "
    console.print(
        f"{caveat}exposure {exposure or 'flat'}, plans in flight {trading['plans_in_flight']}"
    )
    for place, why in trading["venues_down"].items():
        console.print(f"no new orders to {place.replace('|', ' ')}: {why}", markup=False)
    for venue, switch in trading["switches"].items():
        console.print(f"dead-man's switch at {venue}: {look.switch_text(switch)}", markup=False)
    for plan_id, why in trading["plans_waiting"].items():
        console.print(f"plan {plan_id} waits: {why}", markup=False)
    for quote, realized in trading["realized"].items():
        profit = trading["unrealized"].get(quote, Decimal(0))
        console.print(
            f"realized {signed(realized)} {quote} after {unsigned(trading['fees'][quote])} fees, "
            f"funding {signed(funding_of(trading, quote))} of it, unrealized {signed(profit)}"
        )
    for line in day_lines(trading):
        console.print(line, markup=False, soft_wrap=True)
    for venue, why in trading["funding_unknown"].items():
        console.print(f"funding at {venue} is not known: {why}", markup=False)
    for quote, fees in trading["fees_unpriced"].items():
        console.print(f"{quote}: {look.unpriced_text(fees)}".rstrip("; "), markup=False)
    for line in strategy_lines(trading["pnl_by_strategy"]):
        console.print(line, markup=False)
    for position in trading["positions"]:
        where = f"at {position['venue']}" if position["venue"] else "over all venues"
        console.print(f"position {position['qty']:+f} {position['instrument']} {where}")
    for held in trading["rounds"]:
        console.print(round_line(held), markup=False, soft_wrap=True)
    for venue, amounts in trading["inventory"].items():
        moved = ", ".join(f"{amount.normalize():+f} {asset}" for asset, amount in amounts.items())
        console.print(f"moved at {venue}: {moved}")
    table = _table("service", "instance", "pid", "state", "uptime s", "reason", folded="reason")
    several_hosts = len({row["host"] for row in found["services"]}) > 1
    for row in found["services"]:
        # What Redis does not take cannot be heard: the process itself may well be up.
        gone = "silent" if redis["problem"] else "down"
        state = gone if not row["up"] else ("ready" if row["ready"] else "not ready")
        pid = f"{row['pid']} on {row['host']}" if several_hosts else str(row["pid"])
        table.add_row(
            row["service"], row["instance"], pid, state, f"{row['uptime_s']:.0f}", row["reason"]
        )
    console.print(table)
    for row in found["services"]:
        for what, note in row["notes"].items():
            console.print(f"{row['service']}: {what}: {note}", markup=False, soft_wrap=True)
    table = _table("stream", "entries", "of", "kB", "lag ms", folded="lag ms")
    for row in found["streams"]:
        lag = " ".join(f"{who}={ms}" for who, ms in row["lag_ms"].items())
        table.add_row(
            row["key"],
            str(row["entries"]),
            str(row["entries_max"]),
            f"{row['bytes'] / 1e3:.0f}",
            lag,
        )
    console.print(table)
    for alert in found["alerts"]:
        console.print(
            f"alert {alert['age_s']:.0f} s ago: {alert['service']} {alert['severity']} "
            f"{alert['code']}: {alert['text']}"
        )


def day_lines(trading: dict[str, Any]) -> list[str]:
    """Return a line per quote asset: the result of the UTC day, and how far below the peak it is.

    What positions are worth counts, by a price of before where no book says it now.
    """
    estimated = "; ".join(f"{what}: {why}" for what, why in trading["marks_estimated"].items())
    caveat = f" (estimated: {estimated})" if estimated else ""
    return [
        f"today {signed(today)} {quote} with open positions, "
        f"{unsigned(trading['drawdown'].get(quote, Decimal(0)))} below the peak{caveat}"
        for quote, today in trading["today"].items()
    ]


def strategy_lines(by_strategy: dict[str, Any]) -> list[str]:
    """Return a line per strategy and quote asset: what it earned."""
    return [
        f"strategy {strategy}: realized {signed(money['realized'])} {quote} after "
        f"{unsigned(money['fees'])} fees, unrealized {signed(money['unrealized'])}"
        for strategy, earned in by_strategy.items()
        for quote, money in earned.items()
    ]


def funding_of(trading: dict[str, Any], quote: str) -> Decimal | None:
    """Return what funding paid in a quote asset; ``None`` where some of it may be missing."""
    funding: Decimal = trading["funding"].get(quote, Decimal(0))
    return None if trading["funding_unknown"] else funding


def _print_book(book: dict[str, Any]) -> None:
    state = book["state"] if not book["silent"] else f"SILENT, last {book['state']}"
    console.print(
        f"{book['venue']} {book['instrument']} {state} {book['reason']} "
        f"spread {book['spread_bps']} bps, {book['age_ms']} ms old"
    )
    table = _table("bid qty", "bid", "ask", "ask qty")
    for row in range(max(len(book["bids"]), len(book["asks"]))):
        bid = book["bids"][row] if row < len(book["bids"]) else ("", "")
        ask = book["asks"][row] if row < len(book["asks"]) else ("", "")
        table.add_row(str(bid[1]), str(bid[0]), str(ask[0]), str(ask[1]))
    console.print(table)


def _find_stream(name: str) -> StreamSpec:
    """Return a stream by its name.

    Raises:
        ConfigError: No such stream; the text lists the existing ones.
    """
    spec = BY_NAME.get(name)
    if spec is None:
        raise ConfigError(f"no stream {name!r}; there are: {', '.join(BY_NAME)}")
    return spec
