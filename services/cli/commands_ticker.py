"""`arb ticker`: a price asked for over REST, again and again; no Redis and no configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, NamedTuple

import typer

from services.cli.export import iso
from services.cli.output import console, emit_json, note
from shared.clock import SystemClock
from shared.errors import Cause, Unavailable
from shared.messages.base import Message
from shared.messages.market import BookSnapshot, Level, VenueStatus
from shared.sources.coingecko import NAME as COINGECKO
from shared.sources.coingecko import CoinGeckoPrice
from shared.sources.polled_source import TIMEOUT_S, PolledSource
from shared.sources.polling import Polled, ReferencePrice
from shared.sources.venue_books import PolledBook

EVERY_S_MIN, EVERY_S_MAX = 0.2, 86_400
NO_PRICE = "no price: a side is empty"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("ticker")(ticker)


def ticker(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=f"A venue, or {COINGECKO}: no venue's price.")
    ],
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Like BTC/USDT.")],
    *,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval", min=EVERY_S_MIN, max=EVERY_S_MAX, help="Seconds; else 2, or the source's."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=300, help="Seconds that an answer may take.")
    ] = TIMEOUT_S,
    count: Annotated[
        int | None, typer.Option("--count", min=1, metavar="N", help="Prices; else until Ctrl-C.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Ask once; exit 1 where that brings no price.")
    ] = False,
    rest_url: Annotated[
        str, typer.Option("--rest-url", metavar="URL", help="Instead of the source's own address.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per price.")
    ] = False,
) -> None:
    """Time, price and change of an instrument, asked for over REST; failures go to stderr."""
    polled = _polled(source, instrument, rest_url)
    asked = PolledSource(
        polled, SystemClock(), every_s=interval or polled.every_s, timeout_s=timeout
    )
    asyncio.run(_follow(asked, _Printer(as_json=as_json, once=once), 1 if once else count))


def _polled(source: str, instrument: str, rest_url: str) -> Polled:
    if source == COINGECKO:
        return CoinGeckoPrice(instrument, rest_url)
    return PolledBook(source, instrument, rest_url)


async def _follow(source: PolledSource, printer: _Printer, count: int | None) -> None:
    ended = asyncio.Event()

    def take(messages: Sequence[Message]) -> None:
        for message in messages:
            printer.take(message)
            if printer.failure or printer.printed == count:
                ended.set()

    running = asyncio.create_task(source.run(take))
    waiting = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
    if printer.failure:
        raise Unavailable(printer.failure, cause=Cause.SERVICE)


class _Quote(NamedTuple):
    price: Decimal | None
    bid: Decimal | None
    ask: Decimal | None


class _Printer:
    """Prints prices, each with its change since the one before."""

    def __init__(self, *, as_json: bool, once: bool) -> None:
        self._as_json, self._once = as_json, once
        self._last: Decimal | None = None
        self.printed = 0
        self.failure = ""

    def take(self, message: Message) -> None:
        """Print what a source says."""
        if isinstance(message, VenueStatus):
            self._on_failure(message)
        elif isinstance(message, BookSnapshot):
            self._on_quote(message, _middle(message))
        elif isinstance(message, ReferencePrice):
            self._on_quote(message, _Quote(_decimal(message.price), None, None))

    def _on_failure(self, status: VenueStatus) -> None:
        text = f"{status.venue} {status.instrument}: {status.reason}"
        if self._once:
            self.failure = text.rpartition("; asked again")[0] or text
        else:
            note(f"{iso(status.ts_ns)[11:23]}  {text}")

    def _on_quote(self, message: BookSnapshot | ReferencePrice, quote: _Quote) -> None:
        if quote.price is not None:
            self.printed += 1
        elif self._once:
            self.failure = f"{message.venue} {message.instrument}: {NO_PRICE}"
            return
        change = percent = None
        if quote.price is not None and self._last is not None:
            change = quote.price - self._last
            percent = round(100 * change / self._last, 4)
        self._last = quote.price if quote.price is not None else self._last
        if self._as_json:
            emit_json(
                {
                    "time": iso(message.ts_recv_ns),
                    "source": message.venue,
                    "instrument": message.instrument,
                    **{name: _text(value) for name, value in quote._asdict().items()},
                    "change": _text(change),
                    "change_percent": _text(percent),
                    "source_time": None
                    if message.ts_venue_ns is None
                    else iso(message.ts_venue_ns),
                }
            )
            return
        price = NO_PRICE if quote.price is None else f"{quote.price:f}"
        moved = "" if change is None else f"  {change:+f} ({percent:+.4f} %)"
        sides = "" if quote.bid is None else f"  bid {quote.bid:f}"
        sides += "" if quote.ask is None else f"  ask {quote.ask:f}"
        console.print(
            f"{iso(message.ts_recv_ns)[11:23]}  {message.instrument}  {price}{moved}{sides}",
            soft_wrap=True,
            markup=False,
        )


def _middle(book: BookSnapshot) -> _Quote:
    """Return the middle of a book; where a side is empty there is none."""
    bid, ask = _best(book.bids), _best(book.asks)
    return _Quote(None if bid is None or ask is None else (bid + ask) / 2, bid, ask)


def _best(side: Sequence[Level]) -> Decimal | None:
    return _decimal(side[0][0]) if side else None


def _decimal(price: float) -> Decimal:
    return Decimal(repr(price))


def _text(value: Decimal | None) -> str | None:
    """Return a number with all its digits and no exponent."""
    return None if value is None else f"{value:f}"
