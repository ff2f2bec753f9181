"""From the kill switch's trigger to none of 100 orders: by cancel-all, and order by order.

    python -m tests.bench.cancel_all

At the five simulated venues at once, over HTTP, within the gateways' own rate limits; the gateways
are ready, and their limits have recovered. Prints ms per venue, and the machine's load.
"""

from __future__ import annotations

import asyncio
import os
import sys
from decimal import Decimal
from typing import Any

from services.sentinel.gateways import open_gateways
from services.sentinel.kill import press
from services.sentinel.requests import AllCanceled, CancelAll, ReadOrders
from services.sentinel.transport import VenueGateways
from shared.accounts.gateway import OrderRequest
from shared.accounts.opening import open_account
from shared.clock import SystemClock
from shared.config_sections import BusConfig, Config, ExecutorConfig, VenueConfig
from shared.engine import Action, Result
from shared.errors import Unavailable
from shared.messages.base import Side
from shared.messages.terms import OrderTerms, TimeInForce
from tests.contract.test_gateway import VENUES, fetch, venues

ORDERS = 100
RECOVERED_S = 20.0
"""The slowest limit is full again after that (Kraken's: 15 calls, 0.9 a second)."""


def without_cancel_all(gateways: VenueGateways) -> None:
    """Let no venue have it."""
    carry_out = gateways.carry_out

    async def one_by_one(action: Action) -> Result:
        if isinstance(action, CancelAll):
            return AllCanceled(action.venue, none="not used")
        return await carry_out(action)

    gateways.carry_out = one_by_one  # type: ignore[method-assign]


async def place(venue: str, config: Config, environ: dict[str, str], best: Decimal) -> None:
    gateway = open_account(venue, config, SystemClock(), environ)
    await gateway.start()
    far = (best * Decimal("0.97")).quantize(Decimal(1))
    number = 0
    while number < ORDERS:
        terms = OrderTerms(
            venue=venue,
            instrument=VENUES[venue],
            side=Side.BUY,
            qty=Decimal("0.01"),
            price_limit=far - number,
            time_in_force=TimeInForce.GTC,
        )
        order_id = f"bench{venue[:6]}{os.getpid() % 1_000}x{number}"
        try:
            await gateway.submit(OrderRequest(client_order_id=order_id[:18], terms=terms))
        except Unavailable:  # not sent: the rate limit
            await asyncio.sleep(0.2)
        else:
            number += 1
    await gateway.close()


async def measure(simulated: Any, *, cancels_all: bool) -> dict[str, float | None]:
    """Return venue -> ms until it showed no working order; None: it always showed some."""
    config = Config(
        bus=BusConfig(url="redis://127.0.0.1:1/0"),  # HALT cannot be written, and need not be
        venues={
            name: VenueConfig(
                instruments=[instrument], rest_url=simulated["http"], ws_url=simulated["ws"]
            )
            for name, instrument in VENUES.items()
        },
        executor=ExecutorConfig(mode="simulated", request_timeout_ms=5_000),
    )
    environ = {
        f"ARB_{venue.upper()}_API_{name}": keys[field]
        for venue, keys in simulated["credentials"].items()
        for name, field in (("KEY", "apiKey"), ("SECRET", "secret"))
    }
    books = fetch(f"{simulated['control']}/books?limit=5")
    best = {venue: Decimal(str(books[venue][VENUES[venue]]["bids"][0][0])) for venue in VENUES}
    await asyncio.gather(*(place(venue, config, environ, best[venue]) for venue in VENUES))
    gateways = open_gateways(config, SystemClock(), environ)
    try:
        await asyncio.gather(
            *(gateways.carry_out(ReadOrders(venue, (VENUES[venue],))) for venue in VENUES)
        )
        await asyncio.sleep(RECOVERED_S)
        if not cancels_all:
            without_cancel_all(gateways)
        done = await press(config, gateways, "measured", flatten=False)
        assert done.venues.is_done, done.venues.not_done
        return {venue: each.clear_ms for venue, each in done.venues.orders.items()}
    finally:
        await gateways.close()


def main() -> None:
    for name, cancels_all in (("order by order", False), ("cancel-all", True)):
        with venues() as simulated:
            took = asyncio.run(measure(simulated, cancels_all=cancels_all))
        told = ", ".join(f"{venue} {ms or 0:.0f}" for venue, ms in took.items())
        sys.stdout.write(f"{name}: {told} ms; load {os.getloadavg()[0]:.0f}\n")


if __name__ == "__main__":
    main()
