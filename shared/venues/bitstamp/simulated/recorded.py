"""How recorded Bitstamp frames are read to be played to clients. Pure."""

from __future__ import annotations

from shared.exchange.listing import Listing
from shared.simulated.recorded import Rows
from shared.simulated.rest import Answer, json_answer
from shared.venues.bitstamp import parse
from shared.venues.bitstamp.recordings import levels_of, read_marks
from shared.venues.bitstamp.session import BOOKS
from shared.venues.unproved_book import RISING_TIMES


class BitstampFormat:
    """Topics are the venue's channels."""

    rule = RISING_TIMES

    def topic(self, payload: bytes, listing: Listing) -> str:
        """Return the topic of a frame."""
        marks = read_marks(payload)
        return f"{marks.prefix}{listing.symbol}" if marks is not None and marks.prefix else ""

    def books_topic(self, listing: Listing) -> str:
        """Return the topic of a book's changes."""
        return f"{BOOKS}{listing.symbol}"

    def update(self, payload: bytes) -> parse.BookUpdate:
        """Read a change of a book."""
        return parse.parse_book(parse.parse_envelope(payload).data)

    def snapshot(self, body: bytes) -> parse.RestBook:
        """Read a REST book."""
        return parse.parse_rest_book(body)

    def levels(self, payload: bytes) -> tuple[Rows, Rows]:
        """Return bids and asks as written."""
        return levels_of(payload)

    def failed(self, text: str) -> Answer:
        """Return the answer of a venue that has no book."""
        return json_answer({"status": "error", "reason": text}, 503)
