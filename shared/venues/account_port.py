"""What a venue folder offers to follow an account on a socket: a sans-IO session. Pure.

``account_stream.py`` of a folder has ``ACCOUNT`` of the shape of ``AccountFeed``; a venue without
it is asked by REST alone. What a session says is news beside the answers to requests: it may come
before them, after them, twice or not at all, and REST is the truth where anything is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.venues.order_port import RateLimitedRead
from shared.venues.port import Malformed, Reconnect, Send

AMOUNT_MAX = Decimal(10) ** 18


def checked(*amounts: Decimal | None) -> None:
    """See that these are amounts.

    Raises:
        ParseError: One is not a number, or absurdly large.
    """
    for amount in amounts:
        if amount is None:
            continue
        if not amount.is_finite() or not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
            raise ParseError(f"{amount} is no amount")


class FillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One execution; its id is the one that REST tells it by."""

    trade_id: str
    price: Decimal
    qty: Decimal
    fee: Decimal | None = None
    fee_asset: str = ""
    ts_venue_ms: int = 0


class OrderSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the stream shows it; what it does not say (quantity, price) is zero.

    ``filled_qty`` is cumulative, ``fill`` the execution that it tells of, if it does.
    """

    instrument: str
    client_order_id: str
    venue_order_id: str
    side: Side
    status: OrderStatus
    filled_qty: Decimal
    qty: Decimal = Decimal(0)
    price_limit: Decimal = Decimal(0)
    fill: FillSeen | None = None
    reason: str = ""


class Followed(msgspec.Struct, frozen=True):
    """From here on the stream tells everything."""


class Missed(msgspec.Struct, frozen=True):
    """Something that the stream told did not arrive here."""

    reason: str


AccountEffect = Send | Reconnect | Malformed | Followed | Missed | OrderSeen


class AccountSession(Protocol):
    """One connection's; never raises on bad input: that is ``Malformed``."""

    def on_open(self) -> Sequence[AccountEffect]:
        """The connection is up."""

    def on_frame(self, raw: bytes) -> Sequence[AccountEffect]:
        """A frame arrived."""


@dataclass(frozen=True, slots=True)
class AccountConnection:
    """A socket to open: ``path`` is appended to the base URL of the account's streams."""

    path: str
    session: AccountSession


class AccountFeed(Protocol):
    """How an account is followed at a venue."""

    lifetime_s: float
    """The connection is renewed before the venue ends it."""
    renew_s: float
    """How often ``renew`` must be called; 0: never."""

    def base_url(self, ws_url: str) -> str:
        """Return where the streams of accounts are served; ``ws_url`` is empty for the venue's own.

        Else it is the address that stands for the venue, as for its market data.
        """

    async def prepare(
        self, client: Any, read: RateLimitedRead, instruments: Mapping[str, str]
    ) -> AccountConnection:
        """Make ready what a connection needs (a listen key, a token, a signature).

        ``instruments`` are those that are traded, by the venue's symbol. Raises a ``VenueError``.
        """

    async def renew(self, client: Any, read: RateLimitedRead) -> None:
        """Keep it valid."""
