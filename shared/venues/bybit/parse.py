"""Bybit v5 frames and answers: bytes to typed values. Pure; bad bytes give ``ParseError`` only.

Numbers arrive as strings and are decoded straight to floats in C, where their bounds are checked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.venues.decoding import decoded
from shared.venues.times import NANOS_MAX

Price = Annotated[float, Meta(gt=0, le=1e15)]
Qty = Annotated[float, Meta(ge=0, le=1e18)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
VenueTime = Annotated[int, Meta(ge=0, le=NANOS_MAX)]
Rate = Annotated[float, Meta(ge=-10, le=10)]
Minutes = Annotated[float, Meta(gt=0, le=366 * 24 * 60)]
Empty = Literal[""]
"""How the venue writes that there is none."""
Levels = list[tuple[Price, Qty]]


class BookData(msgspec.Struct, frozen=True, gc=False):
    """A book, whole or changed levels only; ``u`` numbers the frames of one topic."""

    symbol: str = field(name="s")
    update_id: Id = field(name="u")
    bids: Levels = field(name="b")
    asks: Levels = field(name="a")


class BookFrame(msgspec.Struct, frozen=True, gc=False):
    """A frame of ``orderbook``; ``cts`` is when the engine matched, ``ts`` when it was sent.

    ``{"topic":"orderbook.500.XRPUSDT","type":"delta","ts":1733011200790,"data":{"s":"XRPUSDT",
    "b":[["1.9531","7171"]],"a":[["1.9535","0"]],"u":20254871,"seq":130020239609},
    "cts":1733011200782}``
    """

    topic: str
    type: str
    data: BookData
    ts: VenueTime
    cts: VenueTime | None = None

    @property
    def depth(self) -> int:
        """Levels of a side that the topic carries, 0 where it does not say."""
        told = self.topic.split(".")[1:2]
        return int(told[0]) if told and told[0].isdecimal() and len(told[0]) < 6 else 0


class TradePrint(msgspec.Struct, frozen=True, gc=False):
    """A public trade; ``S`` is the taker's side, ``BT`` tells one that was agreed elsewhere.

    ``{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",
    "i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}``
    """

    trade_id: Annotated[str, Meta(min_length=1, max_length=64)] = field(name="i")
    symbol: str = field(name="s")
    side: str = field(name="S")
    price: Price = field(name="p")
    qty: Price = field(name="v")
    ts_venue: VenueTime = field(name="T")
    is_block: bool = field(name="BT", default=False)


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """What a ``tickers`` frame tells; a delta leaves out what has not changed.

    ``{"symbol":"BTCUSDT","markPrice":"17217.33","indexPrice":"17227.36",
    "nextFundingTime":"1673280000000","fundingRate":"-0.000212"}``
    """

    symbol: str
    mark_price: Price | Empty | None = field(name="markPrice", default=None)
    index_price: Qty | Empty | None = field(name="indexPrice", default=None)
    rate: Rate | Empty | None = field(name="fundingRate", default=None)
    ts_funding: VenueTime | Empty | None = field(name="nextFundingTime", default=None)


class TickerFrame(msgspec.Struct, frozen=True, gc=False):
    """A frame of ``tickers``."""

    type: str
    data: Ticker
    ts: VenueTime


class FundingTerms(msgspec.Struct, frozen=True, gc=False):
    """What ``instruments-info`` tells of funding; the interval is in minutes.

    ``{"symbol":"BTCUSDT","fundingInterval":480,"upperFundingRate":"0.005",
    "lowerFundingRate":"-0.005"}``
    """

    symbol: str
    interval_minutes: Minutes = field(name="fundingInterval")
    upper_rate: Rate | Empty | None = field(name="upperFundingRate", default=None)
    lower_rate: Rate | Empty | None = field(name="lowerFundingRate", default=None)

    @property
    def interval_hours(self) -> float:
        """Between two settlements."""
        return self.interval_minutes / 60

    @property
    def rate_cap(self) -> float | None:
        """Highest rate."""
        return self.upper_rate if isinstance(self.upper_rate, float) else None

    @property
    def rate_floor(self) -> float | None:
        """Lowest rate."""
        return self.lower_rate if isinstance(self.lower_rate, float) else None


class SettledFunding(msgspec.Struct, frozen=True, gc=False):
    """A row of ``funding/history``, which tells no mark price.

    ``{"symbol":"ETHPERP","fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}``
    """

    symbol: str
    rate: Rate = field(name="fundingRate")
    ts_funding: VenueTime = field(name="fundingRateTimestamp")
    mark_price: None = None


class Envelope(msgspec.Struct, frozen=True):
    """Any frame, as far as it must be read to tell what it is.

    ``{"success":true,"ret_msg":"","conn_id":"5e07","req_id":"1","op":"subscribe"}``; refused with
    ``{"success":false,"ret_msg":"error:handler not found,topic:orderbook.50.X","req_id":"1",...}``.
    """

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: Any = None


class _TradeFrame(msgspec.Struct, frozen=True, gc=False):
    data: list[TradePrint]


class _Terms(msgspec.Struct, frozen=True):
    rows: list[FundingTerms] = field(name="list")


class _History(msgspec.Struct, frozen=True):
    rows: list[SettledFunding] = field(name="list")


class _TermsAnswer(msgspec.Struct, frozen=True):
    result: _Terms
    code: int = field(name="retCode", default=-1)


class _HistoryAnswer(msgspec.Struct, frozen=True):
    result: _History
    code: int = field(name="retCode", default=-1)


_BOOK = msgspec.json.Decoder(BookFrame, strict=False)
_TRADE = msgspec.json.Decoder(_TradeFrame, strict=False)
_TICKER = msgspec.json.Decoder(TickerFrame, strict=False)
_TERMS = msgspec.json.Decoder(_TermsAnswer, strict=False)
_HISTORY = msgspec.json.Decoder(_HistoryAnswer, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def parse_book(raw: bytes) -> BookFrame:
    """Parse a frame of ``orderbook``."""
    return decoded(_BOOK, raw, "orderbook")


def parse_trades(raw: bytes) -> list[TradePrint]:
    """Parse a frame of ``publicTrade``."""
    return decoded(_TRADE, raw, "publicTrade").data


def parse_ticker(raw: bytes) -> TickerFrame:
    """Parse a frame of ``tickers``."""
    return decoded(_TICKER, raw, "tickers")


def parse_terms(body: bytes) -> list[FundingTerms]:
    """Parse the answer of ``instruments-info``."""
    answer = decoded(_TERMS, body, "instruments-info")
    _check(answer.code, "instruments-info")
    return answer.result.rows


def parse_history(body: bytes) -> list[SettledFunding]:
    """Parse the answer of ``funding/history``."""
    answer = decoded(_HISTORY, body, "funding/history")
    _check(answer.code, "funding/history")
    return answer.result.rows


def parse_envelope(raw: bytes) -> Envelope:
    """Parse only what tells a frame's kind."""
    return decoded(_ENVELOPE, raw, "frame")


def _check(code: int, what: str) -> None:
    """Refuse an answer that says no: it comes with HTTP 200, too."""
    if code:
        raise ParseError(f"{what}: retCode {code}")
