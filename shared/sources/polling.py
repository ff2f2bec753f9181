"""What a polled source says of itself, and when it is asked again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from shared.delays import GrowingDelay, Uniform
from shared.errors import ConfigError, NotServed, ParseError
from shared.messages.base import MarketMessage
from shared.messages.bounds import FloatPrice, Instrument, Moment, Venue, VenueTime
from shared.retry_after import retry_after_s

OK, BAD_REQUEST, NOT_FOUND = 200, 400, 404
DEFINITE = (BAD_REQUEST, NOT_FOUND)
"""Asking again will not help."""
FAILED_S, FAILED_S_MAX = 1.0, 60.0
ERROR_CHARACTERS_MAX = 200


class ReferencePrice(MarketMessage, frozen=True, kw_only=True, tag="reference_price"):
    """A price that nobody trades at, as a source computes it; on no stream, and prices nothing."""

    venue: Venue
    instrument: Instrument
    price: FloatPrice
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None


class Polled(Protocol):
    """One thing that is asked for over REST."""

    source: str
    instrument: str
    url: str
    every_s: float
    """How often it is asked for unless somebody says otherwise: what its source allows anybody."""

    def read(self, body: bytes, now_ns: int) -> MarketMessage:
        """Read an answer that was received at ``now_ns`` (UNIX ns).

        Raises:
            ParseError: It is not what the source documents.
            NotServed: The source does not have it.
        """


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came of a request. ``status`` is 0 where no answer came, and ``error`` says why.

    ``retry_after`` is the header of this name, in seconds.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A message or what is wrong, and the seconds from the request to the next one."""

    message: MarketMessage | None
    problem: str
    next_s: float


class Polling:
    """Judges answers.

    After a good answer it is asked again at its interval. After a failure the pauses grow, up to a
    minute; what the source asks for with ``Retry-After`` is obeyed, and none is shorter than the
    interval.

    Args:
        polled: What is asked for.
        every_s: The interval.
        uniform: Jitter of the pauses.
    """

    def __init__(self, polled: Polled, every_s: float, uniform: Uniform) -> None:
        self._polled, self._every_s = polled, every_s
        self._failed = GrowingDelay(FAILED_S, FAILED_S_MAX, uniform)

    def judge(self, answer: HttpAnswer, now_ns: int) -> Verdict:
        """Return what an answer is worth.

        Raises:
            NotServed: See ``Polled``; also an answer that says so by its status.
        """
        if answer.status in DEFINITE:
            raise NotServed(
                f"{self._polled.source} does not serve {self._polled.instrument}: it answered "
                f"{_said(answer)}"
            )
        if answer.status != OK:
            problem = f"answered {_said(answer)}" if answer.status else answer.error
            return self._later(problem, retry_after_s(answer.status, answer.retry_after))
        try:
            message = self._polled.read(answer.body, now_ns)
        except ParseError as error:
            return self._later(f"answered what cannot be read: {error}", 0.0)
        self._failed.reset()
        return Verdict(message, "", self._every_s)

    def _later(self, problem: str, pause_s: float) -> Verdict:
        return Verdict(None, problem, max(self._every_s, pause_s, self._failed.next_s()))


def _said(answer: HttpAnswer) -> str:
    text = " ".join(answer.body[: 4 * ERROR_CHARACTERS_MAX].decode("utf-8", "replace").split())
    said = "".join(c for c in text if c.isprintable())[:ERROR_CHARACTERS_MAX]
    return f"{answer.status}: {said}" if said else f"{answer.status}"


def checked_base(url: str) -> str:
    """Return the address of a source without its last slash.

    Raises:
        ConfigError: It is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"address {url!r} of a source; give http://... or https://...")
    return url.rstrip("/")
