"""Binance USDT-M frames that differ from spot: bytes to typed values. Pure.

Trades, book tickers and REST books have the shapes of spot and are parsed there.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.binance.parse import Id, Levels, Price, Qty, VenueTime, decode

Rate = Annotated[float, Meta(ge=-10, le=10)]
Hours = Annotated[float, Meta(gt=0, le=366 * 24)]


class DepthUpdate(msgspec.Struct, frozen=True, gc=False):
    """A diff-depth event; ``pu`` is the ``u`` of the one before.

    ``{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,
    "u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"]],"a":[["61800.30","2.510"]]}``
    """

    symbol: str = field(name="s")
    first_id: Id = field(name="U")
    last_id: Id = field(name="u")
    prev_id: Id = field(name="pu")
    bids: Levels = field(name="b")
    asks: Levels = field(name="a")
    ts_venue: VenueTime = field(name="E")


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """Mark and index price with the running funding rate; ``T`` is when it settles.

    ``{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT","p":"28147.27373413",
    "P":"28142.15563565","i":"28159.75642857","r":"0.00002754","T":1680652800000}``; instruments
    that do not fund send an empty ``r``.
    """

    symbol: str = field(name="s")
    mark_price: Price = field(name="p")
    rate: Rate | Literal[""] = field(name="r")
    ts_funding: VenueTime = field(name="T")
    ts_venue: VenueTime = field(name="E")
    index_price: Qty | None = field(name="i", default=None)


class FundingTerms(msgspec.Struct, frozen=True, gc=False):
    """What ``fundingInfo`` tells of a symbol; those with the usual terms are left out there.

    ``{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000",
    "adjustedFundingRateFloor":"-0.02500000","fundingIntervalHours":4,"disclaimer":false}``
    """

    symbol: str
    interval_hours: Hours = field(name="fundingIntervalHours")
    rate_cap: Rate | None = field(name="adjustedFundingRateCap", default=None)
    rate_floor: Rate | None = field(name="adjustedFundingRateFloor", default=None)


class SettledFunding(msgspec.Struct, frozen=True, gc=False):
    """A row of ``fundingRate``; old ones have no mark price.

    ``{"symbol":"BTCUSDT","fundingTime":1680652800007,"fundingRate":"0.00002760",
    "markPrice":"28140.10000000"}``
    """

    symbol: str
    rate: Rate = field(name="fundingRate")
    ts_funding: VenueTime = field(name="fundingTime")
    mark_price: Qty | Literal[""] | None = field(name="markPrice", default=None)


class _DepthFrame(msgspec.Struct, frozen=True, gc=False):
    data: DepthUpdate


class _MarkFrame(msgspec.Struct, frozen=True, gc=False):
    data: MarkPrice


_DEPTH = msgspec.json.Decoder(_DepthFrame, strict=False)
_MARK = msgspec.json.Decoder(_MarkFrame, strict=False)
_TERMS = msgspec.json.Decoder(list[FundingTerms], strict=False)
_HISTORY = msgspec.json.Decoder(list[SettledFunding], strict=False)


def parse_depth(raw: bytes) -> DepthUpdate:
    """Parse a wrapped diff-depth event.

    Raises:
        ParseError: Not the documented shape.
    """
    try:  # not by ``decode``: a call less on the hottest path
        return _DEPTH.decode(raw).data
    except (ValueError, RecursionError) as error:
        raise ParseError(f"depthUpdate: {error}") from error


def parse_mark(raw: bytes) -> MarkPrice:
    """Parse a wrapped mark-price event.

    Raises:
        ParseError: Not the documented shape.
    """
    return decode(_MARK, raw, "markPriceUpdate").data


def parse_terms(body: bytes) -> list[FundingTerms]:
    """Parse the answer of ``fundingInfo``.

    Raises:
        ParseError: Not the documented shape.
    """
    return decode(_TERMS, body, "fundingInfo")


def parse_history(body: bytes) -> list[SettledFunding]:
    """Parse the answer of ``fundingRate``.

    Raises:
        ParseError: Not the documented shape.
    """
    return decode(_HISTORY, body, "fundingRate")
