"""What recordings have in common where books come on the connection, named in every frame. Pure."""

from __future__ import annotations

from shared.venues.port import Hint


class StreamRecordings:
    """Answers for REST, of which nothing is recorded, and for spellings, which say it all."""

    def learn(self, url: str, body: bytes) -> bool:
        """Nothing to learn: a symbol tells its base and quote."""
        return False

    def instrument_of_url(self, url: str) -> str | None:
        """Nothing: books come on the connection."""
        return None

    def facts_of_url(self, url: str) -> str | None:
        """Nothing: no facts are asked for beside books."""
        return None

    def hint_of_frame(self, raw: bytes) -> Hint | None:
        """Nothing: every frame names its symbol."""
        return None

    def body_of_frame(self, raw: bytes) -> bytes:
        """Nothing to take out: no book is answered over REST."""
        return raw
