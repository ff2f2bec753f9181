"""Order entry at a venue that only ccxt knows: the quirks of no venue in particular.

What it may send and ask is what was found out before (``ccxt_capabilities``). That a request for an
order carries its client order id does not prove that the venue finds it. So "no such order" counts
only after some order of the account that had ended was found so (where only open ones are found,
that proves nothing). It is tried with each order that is asked for, and with that of the newest
execution; until then a lookup that finds nothing is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.accounts import ccxt_errors
from shared.accounts.ccxt_capabilities import (
    CLIENT_ID,
    VALIDITY_MS,
    WINDOW,
    Capability,
    Probed,
)
from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.order_port import (
    NO_REDUCE_ONLY,
    RateLimitedRead,
    never_forced,
    no_cancel_all_after,
    no_funding,
    no_key_rights,
    no_positions,
)
from shared.venues.refusals import ErrorMeaning
from shared.venues.together import ask_each

RATE_SHARE = 0.5
"""Of the requests that ccxt allows; the rest is left to market data."""
BURST_S = 5.0
ENDED = frozenset({"closed", "canceled", "expired", "rejected"})
"""ccxt's words for an order that works no longer."""
REQUESTS_MAX = 100
"""To read executions in one go."""
KINDS = (
    "submit",
    "query",
    "lookup",
    "cancel",
    "cancel_all",
    "open",
    "fills",
    "balances",
    "book",
    "markets",
    "clock",
)


class GenericOrders:
    """``shared/venues/order_port.py`` for an exchange of which only ccxt knows anything."""

    IS_ORDERED = True
    """Nonces may have to rise as they arrive."""
    FILLS_TOGETHER = False
    REDUCE_ONLY = NO_REDUCE_ONLY
    NO_DEAD_MAN = "not used through the generic gateway"

    def __init__(self, probed: Probed) -> None:
        self._probed = probed
        told = probed.findings[Capability.CANCEL_ALL]
        self.NO_CANCEL_ALL = "" if told.can else told.why
        self.TIMES_IN_FORCE: frozenset[TimeInForce] = probed.times_in_force
        dearest = max(probed.weights.values(), default=1.0)
        weights = {kind: probed.weights.get(kind, dearest) for kind in KINDS}
        self.WEIGHTS: Mapping[str, float] = {**weights, "executions": weights["fills"]}
        self.WEIGHT_PER_S = RATE_SHARE * 1_000 / max(probed.rate_limit_ms, 1.0)
        self.WEIGHT_BURST = max(BURST_S * self.WEIGHT_PER_S, 8 * dearest)
        self.WEIGHT_RESERVE = self.WEIGHT_BURST / 2
        self._ahead_ms = self._last_nonce = 0
        self._is_found_by_client_id = False
        self.forced_by = never_forced
        self.key_rights = no_key_rights
        self.cancel_all_after = no_cancel_all_after
        self.positions = no_positions
        self.funding_since = no_funding

    def prepare(self, client: Any) -> None:
        """Let requests carry the venue's time, and nonces that rise whatever the clock does."""
        local_ms, nonce = client.milliseconds, client.nonce

        def venue_ms() -> int:
            return int(local_ms()) - self._ahead_ms

        def rising() -> int:
            self._last_nonce = max(self._last_nonce + 1, int(nonce()))
            return self._last_nonce

        client.milliseconds, client.nonce = venue_ms, rising
        client.seconds = lambda: venue_ms() // 1_000

    def order_params(self, client_order_id: str) -> dict[str, Any]:
        """Return extra parameters of ``create_order``, all but the time in force."""
        return {CLIENT_ID: client_order_id, WINDOW: VALIDITY_MS}

    def meaning(self, kind: str, text: str, status: int) -> ErrorMeaning:
        """Return what an error means: ccxt class, the venue's answer, HTTP status."""
        return ccxt_errors.meaning(kind, text, status)

    def is_not_found(self, text: str) -> bool:
        """Tell "no such order" from other errors."""
        return ccxt_errors.is_not_found(text)

    def is_canceled(self, text: str) -> bool:
        """Tell "works no longer" from other errors of a cancel."""
        return ccxt_errors.is_not_found(text)

    async def measure_clock(self, client: Any) -> int:
        """Let requests carry the venue's time; return by how many ms ours is ahead of it."""
        if self._probed.findings[Capability.CLOCK].can:
            told = int(await client.fetch_time())
            self._ahead_ms += int(client.milliseconds()) - told
            self._last_nonce = 0  # where it is a time, one of a clock that was ahead is refused
        return self._ahead_ms

    async def check_account(self, client: Any, read: RateLimitedRead) -> None:
        """Nothing: whether the key may trade, ccxt does not tell; the first order does."""
        del client, read

    async def find(
        self,
        client: Any,
        read: RateLimitedRead,
        instrument: str,
        client_order_id: str,
        venue_order_id: str,
    ) -> dict[str, Any] | None:
        """Return a ccxt order."""
        if not venue_order_id:
            return await self._looked_up(client, read, instrument, client_order_id)
        order = await self._asked(read, "query", client.fetch_order(venue_order_id, instrument))
        if not self._is_found_by_client_id:
            await self._try_lookup(client, read, instrument, order)
        return order

    async def _looked_up(
        self, client: Any, read: RateLimitedRead, instrument: str, client_order_id: str
    ) -> dict[str, Any]:
        """Return the order by the id that we gave it, or try to prove that there is none.

        Raises:
            OutcomeUnknown: There is none, and it is not proven that there would be.
        """
        try:
            return await self._by_client_id(client, read, instrument, client_order_id)
        except Rejected as error:
            if not self.is_not_found(str(error)):
                raise
            if not self._is_found_by_client_id:
                await self._prove(client, read, instrument)
            if self._is_found_by_client_id:
                raise
            text = "not found, and no order was found there yet by its client order id"
            raise OutcomeUnknown(f"{client_order_id}: {text}", cause=Cause.SERVICE) from error

    async def _by_client_id(
        self, client: Any, read: RateLimitedRead, instrument: str, client_order_id: str
    ) -> dict[str, Any]:
        """Ask for an order by the id that we gave it; one that has ended proves that all are found.

        Raises:
            OutcomeUnknown: The answer is of another order.
        """
        request = client.fetch_order(None, instrument, {CLIENT_ID: client_order_id})
        order = await self._asked(read, "lookup", request)
        if order.get(CLIENT_ID) != client_order_id:
            text = f"asked for by its client order id, and told of {order.get(CLIENT_ID)!r}"
            raise OutcomeUnknown(f"{client_order_id}: {text}", cause=Cause.SERVICE)
        self._is_found_by_client_id |= order.get("status") in ENDED
        return order

    async def _prove(self, client: Any, read: RateLimitedRead, instrument: str) -> None:
        """Look up the order of the newest execution, of whenever and whomever, if there is one."""
        try:
            trades = await read("executions", client.fetch_my_trades(instrument))
            newest: dict[str, Any] = max(
                trades, key=lambda trade: int(trade["timestamp"]), default={}
            )
            if newest.get("order"):
                await self.find(client, read, instrument, "", str(newest["order"]))
        except VenueError:
            return  # what is asked for stays unknown, and is asked for again

    async def _asked(
        self, read: RateLimitedRead, what: str, request: Awaitable[dict[str, Any]]
    ) -> dict[str, Any]:
        """Ask for an order; "not found" that comes with a server's error is no answer."""
        try:
            order = await read(what, request)
        except Rejected:
            raise
        except VenueError as error:
            raise type(error)(f"not told of an order: {error}", error.code, error.cause) from error
        _check_filled(order)
        return order

    async def _try_lookup(
        self, client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
    ) -> None:
        """Prove with an order that is known that its client order id finds it, if it does."""
        client_order_id = order.get(CLIENT_ID)
        if not client_order_id or order.get("status") not in ENDED:
            return
        try:
            await self._by_client_id(client, read, instrument, str(client_order_id))
        except VenueError:
            return  # tried again with the next one; nothing is lost but the proof

    def fills_in(self, client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
        """Nothing: whether the reply to an order carries all its executions is not documented.

        Raises:
            OutcomeUnknown: It tells of an end and not of what was filled before.
        """
        del client, instrument
        if order.get("status") in ENDED:
            _check_filled(order)
        return []

    async def fills_of(
        self, client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return an order's ccxt trades, out of all since it was made."""
        made_ms = order.get("timestamp")
        if made_ms is None:
            raise Unavailable(f"order {order['id']} carries no time", cause=Cause.SERVICE)
        trades = await self._fills(client, read, "executions", (instrument, int(made_ms) - 1_000))
        return [trade for trade in trades if str(trade.get("order")) == str(order["id"])]

    async def fills_since(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
    ) -> list[dict[str, Any]]:
        """Return the account's executions in one instrument since ``since_ms``."""
        (instrument,) = instruments
        return await self._fills(client, read, "fills", (instrument, since_ms))

    async def _fills(
        self, client: Any, read: RateLimitedRead, what: str, of: tuple[str, int]
    ) -> list[dict[str, Any]]:
        reader = _FillReader(client, read, what, of[0], self._probed)
        return await reader.since(of[1])

    async def cancel(
        self, client: Any, instrument: str, client_order_id: str, venue_order_id: str
    ) -> None:
        """Cancel an order.

        Raises:
            Unavailable: Only our id is known, and the venue takes none; ask for the order first.
        """
        params = {} if venue_order_id else {CLIENT_ID: client_order_id}
        if params and not self._probed.findings[Capability.CANCEL_BY_CLIENT_ID].can:
            text = f"{client_order_id}: not canceled, its venue order id is not known yet"
            raise Unavailable(text, cause=Cause.ORDER)
        await client.cancel_order(venue_order_id or None, instrument, params)

    async def cancel_all(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str]
    ) -> None:
        """Cancel all orders of each instrument; where there are none, that may be an error."""
        requests = [client.cancel_all_orders(instrument) for instrument in instruments]
        await ask_each(read, "cancel_all", requests, self.is_canceled)

    async def balances(self, client: Any, read: RateLimitedRead) -> dict[str, Balance]:
        """Return asset -> what orders may use, and what they hold; both must be told."""
        told = await read("balances", client.fetch_balance())
        found = {}
        for asset in told["total"]:
            row = told[asset]
            free, used = Decimal(str(row["free"])), Decimal(str(row["used"]))
            found[asset] = Balance(free=free, used=used)
        return found


def _check_filled(order: Mapping[str, Any]) -> None:
    """Refuse an order of which it is not known what was filled; that is not nothing.

    Raises:
        OutcomeUnknown: It is not.
    """
    if order.get("filled") is None:
        text = f"told of order {order.get('id')}, and not how much of it is filled"
        raise OutcomeUnknown(text, cause=Cause.SERVICE)


class _FillReader:
    """Reads executions of an instrument to the end of both sides, whichever end a page is of."""

    def __init__(
        self, client: Any, read: RateLimitedRead, what: str, instrument: str, probed: Probed
    ) -> None:
        self._client, self._read, self._what = client, read, what
        self._instrument, self._probed = instrument, probed
        self._found: dict[tuple[str, str], dict[str, Any]] = {}  # by trade and side: both ours
        self._left = REQUESTS_MAX

    async def since(self, since_ms: int) -> list[dict[str, Any]]:
        """Return all since a time.

        Raises:
            Unavailable: They are not, or cannot be known to be, all.
        """
        now_ms = int(self._client.milliseconds()) + 60_000  # whatever the venue's clock says
        span_ms = self._probed.fills_span_ms or now_ms
        while since_ms <= now_ms:
            until_ms = min(since_ms + span_ms - 1, now_ms)
            await self._window(since_ms, until_ms)
            since_ms = until_ms + 1
        return list(self._found.values())

    async def _window(self, since_ms: int, until_ms: int) -> None:
        page, _ = await self._page(since_ms, until_ms)
        limit = self._probed.fills_limit
        if not page or (limit is not None and len(page) < limit):
            return
        if not self._probed.fills_until:
            raise self._incomplete("a full page, and no way to ask for those before")
        newest = oldest = page
        while True:
            newest, is_news = await self._page(_times(newest)[-1], until_ms)
            if not is_news:
                break
        while True:
            last_ms = _times(oldest)[0]
            oldest, is_news = await self._page(since_ms, last_ms)
            if oldest and _times(oldest)[-1] > last_ms:
                raise self._incomplete("executions after the time that they were asked up to")
            if not is_news:
                return

    async def _page(self, since_ms: int, until_ms: int) -> tuple[list[dict[str, Any]], bool]:
        """Return a page, and whether anything of it is new."""
        if not self._left:
            raise self._incomplete(f"more than {REQUESTS_MAX} pages")
        self._left -= 1
        limit = self._probed.fills_limit
        params = {"until": until_ms} if self._probed.fills_until else {}
        page: list[dict[str, Any]] = await self._read(
            self._what, self._client.fetch_my_trades(self._instrument, since_ms, limit, params)
        )
        for name in ("id", "order"):
            if any(not trade.get(name) for trade in page):
                raise self._incomplete(f"an execution without {name}")
        before = len(self._found)
        self._found |= {(str(trade["id"]), trade["side"]): trade for trade in page}
        if limit is not None and len(page) >= limit and len(set(_times(page))) == 1:
            raise self._incomplete("a whole page of one millisecond")
        return page, len(self._found) > before

    def _incomplete(self, why: str) -> Unavailable:
        return Unavailable(
            f"{self._instrument}: not all executions are read: {why}", cause=Cause.SERVICE
        )


def _times(page: Sequence[dict[str, Any]]) -> list[int]:
    return sorted(int(trade["timestamp"]) for trade in page)
