"""What the gateway needs of the ``orders`` module of a venue folder."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from shared.errors import Cause, Unavailable
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.key_rights import UNTOLD, KeyRights
from shared.venues.refusals import ErrorMeaning

T = TypeVar("T")

NO_REDUCE_ONLY: Final[Mapping[str, Any]] = MappingProxyType({})
"""``REDUCE_ONLY`` of a venue that has no positions."""


NO_SWITCH: Final = "none at this venue"
"""``NO_DEAD_MAN`` of a venue that cancels no orders when it is not told anything any more."""


class FundingRow(NamedTuple):
    """One row of a venue's income history."""

    payment_id: str
    instrument: str
    amount: Decimal
    asset: str
    ts_ms: int


class RateLimitedRead(Protocol):
    """Makes one request of a kind that ``WEIGHTS`` names, when the rate limit allows."""

    async def __call__(self, what: str, request: Awaitable[T]) -> T:
        """Return the answer; raises a ``VenueError``."""


class OrderQuirks(Protocol):
    """What is peculiar to a venue; each request is made through ``read``, one page at a time.

    What has more pages than a named bound raises ``Unavailable``: part of it is never taken for
    all of it.
    """

    WEIGHT_PER_S: float
    WEIGHT_BURST: float
    WEIGHT_RESERVE: float
    WEIGHTS: Mapping[str, float]
    IS_ORDERED: bool
    FILLS_TOGETHER: bool
    TIMES_IN_FORCE: frozenset[TimeInForce]
    REDUCE_ONLY: Mapping[str, Any]
    """Parameters by which an order may only reduce a position; empty where there are none."""
    NO_DEAD_MAN: str
    """Why the venue has no dead-man's switch that can be used here; empty where it has one."""
    NO_CANCEL_ALL: str
    """Why the account's orders cannot be canceled together; empty where they can."""

    def prepare(self, client: Any) -> None:
        """Set up a new client."""

    def order_params(self, client_order_id: str) -> dict[str, Any]:
        """Return extra parameters of ``create_order``, all but the time in force."""

    def meaning(self, kind: str, text: str, status: int) -> ErrorMeaning:
        """Return what an error means: ccxt class, the venue's answer, HTTP status."""

    def is_not_found(self, text: str) -> bool:
        """Tell "no such order" from other errors."""

    def is_canceled(self, text: str) -> bool:
        """Tell "works no longer" from other errors of a cancel."""

    async def measure_clock(self, client: Any) -> int:
        """Let requests carry the venue's time; return by how many ms ours is ahead of it."""

    async def check_account(self, client: Any, read: RateLimitedRead) -> None:
        """Raise ``Rejected`` if the account, its mode or its key cannot trade."""

    async def key_rights(self, client: Any, read: RateLimitedRead) -> KeyRights:
        """Return what the venue tells of the key beside that."""

    def forced_by(self, client_order_id: str) -> str:
        """Return why the venue made an order itself, such as a liquidation; empty if it did not."""

    async def find(
        self,
        client: Any,
        read: RateLimitedRead,
        instrument: str,
        client_order_id: str,
        venue_order_id: str,
    ) -> dict[str, Any] | None:
        """Return a ccxt order."""

    def fills_in(self, client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
        """Return the ccxt trades that the reply to an order carries."""

    async def fills_of(
        self, client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return an order's ccxt trades."""

    async def fills_since(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
    ) -> list[dict[str, Any]]:
        """Return the account's ccxt trades; one instrument unless FILLS_TOGETHER."""

    async def cancel(
        self, client: Any, instrument: str, client_order_id: str, venue_order_id: str
    ) -> None:
        """Cancel an order."""

    async def cancel_all_after(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str], after_s: int
    ) -> None:
        """Let the venue cancel all open orders in so many seconds unless told again; 0: never."""

    async def cancel_all(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str]
    ) -> None:
        """Cancel the account's orders, whoever placed them, by the venue's own cancel-all.

        Those of all instruments where the venue takes that in a request, else of ``instruments``.
        """

    async def balances(self, client: Any, read: RateLimitedRead) -> dict[str, Balance]:
        """Return what the account has of each asset; where it has positions, the wallet too."""

    async def positions(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str]
    ) -> dict[str, Decimal]:
        """Return perpetual positions in signed base units."""

    async def funding_since(
        self, client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
    ) -> list[FundingRow]:
        """Return what funding of these derivatives paid (negative: cost) since ``since_ms``."""


def never_forced(client_order_id: str) -> str:
    """Return nothing: ``forced_by`` of a venue that makes no orders itself, or not known to."""
    del client_order_id
    return ""


async def no_key_rights(client: Any, read: RateLimitedRead) -> KeyRights:
    """Return nothing: ``key_rights`` of a venue that does not tell, or is not known to."""
    del client, read
    return UNTOLD


async def no_cancel_all_after(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], after_s: int
) -> None:
    """Do nothing: ``cancel_all_after`` of a venue with ``NO_DEAD_MAN``."""
    del client, read, instruments, after_s


async def no_funding(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[FundingRow]:
    """Return nothing: ``funding_since`` of a venue that has no derivatives.

    Raises:
        Unavailable: It has, and how to ask is not known here.
    """
    del client, read, since_ms
    if instruments:
        names = ", ".join(instruments)
        raise Unavailable(f"what funding of {names} paid cannot be asked", cause=Cause.SERVICE)
    return []


async def no_positions(
    client: Any, read: RateLimitedRead, instruments: Sequence[str]
) -> dict[str, Decimal]:
    """Return no positions: ``positions`` of a venue that has none."""
    del client, read, instruments
    return {}
