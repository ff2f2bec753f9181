"""``watch``: the engines of ingestor and orderbook in the caller's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.ingestor.source import VenueSource
from services.orderbook.engine import OrderbookEngine
from shared.cancel import cancel_and_wait
from shared.clock import Clock, SystemClock
from shared.config_sections import OrderbookConfig, VenueConfig
from shared.errors import ConfigError
from shared.messages.base import Message
from shared.messages.market import DepthView, ResyncRequest, VenueStatus


async def watch(
    venue: str,
    instrument: str,
    *,
    depth: int = 20,
    adapter: str = "",
    rest_url: str = "",
    ws_url: str = "",
    accept_unproved: bool = False,
) -> AsyncIterator[DepthView]:
    """Yield the book of an instrument as it is now, whenever it has changed.

    Who is slower than the market gets the newest book, not all of them. Only a LIVE book has
    levels, best first; of any other ``reason`` says what is wrong, and it heals by itself.

    Args:
        venue: Its name, as ``arb venues`` knows it.
        instrument: ``BASE/QUOTE``, or ``BASE/QUOTE:SETTLE`` of a perpetual.
        depth: Levels of each side.
        adapter: Who reads it, where ``venue`` is a name of your own.
        rest_url: Instead of the venue's own address.
        ws_url: Instead of the venue's own address.
        accept_unproved: Take a book for LIVE of which nothing proves that no change was lost.

    Raises:
        ConfigError: No such venue, or it does not serve the instrument.
    """
    config = VenueConfig(
        instruments=[instrument],
        adapter=adapter,
        rest_url=rest_url,
        ws_url=ws_url,
        accept_unproved=accept_unproved,
    )
    if not 1 <= depth <= 1_000:
        raise ConfigError(f"depth = {depth}; give 1 to 1000 levels")
    watched = _Watched(venue, instrument, config, depth)
    running = [asyncio.create_task(watched.run()), asyncio.create_task(watched.keep_time())]
    try:
        while True:
            news = asyncio.ensure_future(watched.news.wait())
            try:
                await asyncio.wait({news, *running}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            for task in running:
                if task.done():
                    task.result()
            if watched.refused:
                raise ConfigError(f"{venue} does not serve {instrument}: {watched.refused}")
            yield watched.newest()
    finally:
        await cancel_and_wait(running)


class _Watched:
    """One book: what the source says of it, and what the orderbook's engine makes of that."""

    def __init__(self, venue: str, instrument: str, config: VenueConfig, depth: int) -> None:
        self._clock: Clock = SystemClock()
        self._source = VenueSource({venue: config}, self._clock)
        accepted = [venue] if config.accept_unproved else []
        self._engine = OrderbookEngine(OrderbookConfig(depth_levels=depth), accepted=accepted)
        self._engine.own(0, None, self._clock.now_ns())
        self._instrument = instrument
        self._view: DepthView | None = None
        self.news = asyncio.Event()
        self.refused = ""

    async def run(self) -> None:
        """Follow the source."""
        await self._source.run(self._take)

    async def keep_time(self) -> None:
        """Let the engine judge silence."""
        while True:
            due_ns = self._engine.next_deadline_ns() or 0
            await asyncio.sleep(max(0, due_ns - self._clock.now_ns()) / 1e9)
            self._show(self._engine.on_timer(self._clock.now_ns()).messages)

    def newest(self) -> DepthView:
        """Return the newest view; there is news when it changes."""
        self.news.clear()
        assert self._view is not None, "there was news"
        return self._view

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if type(message) is VenueStatus and message.instrument and message.refused:
                self.refused = message.reason
                self.news.set()
            self._show(self._engine.on_message(message, self._clock.now_ns()).messages)

    def _show(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if type(message) is ResyncRequest:
                self._source.ask(message)
            elif type(message) is DepthView and _differs(message, self._view):
                self._view = message
                self.news.set()


def _differs(view: DepthView, known: DepthView | None) -> bool:
    """Whether a view shows anything else: the engine also repeats them as they are."""
    if known is None:
        return True
    return (view.state, view.reason, view.bids, view.asks) != (
        known.state,
        known.reason,
        known.bids,
        known.asks,
    )
