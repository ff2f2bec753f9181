"""One Kraken book out of a recording: what a live client knows must be found out. Pure.

* **Depth**: without the acknowledgement of the subscription nobody says where the venue truncates,
  and a thin snapshot does not tell. A book of each depth that the venue offers is kept; the
  checksums leave the right ones over, and the smallest of those counts.
* **Decimals**: a recorder that wrote the numbers again (``4.0``, ``1e-05``) lost zeros that the
  checksum is over. The decimals with which the snapshot's checksum verifies are the venue's. Where
  none do, checksums cannot be checked and the book is applied all the same.
"""

from __future__ import annotations

from itertools import product

from shared.messages.base import BookState
from shared.venues.kraken import parse
from shared.venues.kraken.book import CheckedBook
from shared.venues.kraken.checksum import CHECKED_LEVELS, book_checksum
from shared.venues.kraken.synced import DEPTHS, Levels, SyncedBook
from shared.venues.port import BookStatus, Checked, Effect, Emit

DECIMALS_MAX = 16
"""Prices and quantities of Kraken have at most 10 decimals today."""


class RecordedBook(SyncedBook):
    """A recorded book."""

    _is_granted = False
    _is_unprovable = False
    _precision: parse.Precision | None = None
    _twins: dict[int, CheckedBook] = {}  # noqa: RUF012 (replaced as a whole, never changed)
    _last: tuple[Levels, Levels] = ([], [])

    def grant(self, depth: int) -> None:
        """Keep as many levels as the acknowledgement says."""
        self._is_granted, self._twins = True, {}
        super().grant(depth)

    def on_snapshot(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Take a whole book, and find out how its numbers were written."""
        self._precision, self._is_unprovable = precision_of(data)
        return super().on_snapshot(data, now_ns)

    def _levels(self, data: parse.BookData) -> tuple[Levels, Levels]:
        return (
            parse.parse_levels(data.bids, self._precision),
            parse.parse_levels(data.asks, self._precision),
        )

    def _fit(self, levels: int) -> None:
        super().grant(max(levels, self._depth))
        if not self._is_granted:
            self._twins = {depth: CheckedBook(depth) for depth in DEPTHS if depth > self._depth}

    def _replace(self, bids: Levels, asks: Levels) -> None:
        super()._replace(bids, asks)
        for twin in self._twins.values():
            twin.replace(bids, asks)

    def _apply(self, bids: Levels, asks: Levels) -> None:
        super()._apply(bids, asks)
        self._last = bids, asks
        for twin in self._twins.values():
            twin.apply(bids, asks)

    def _checked(self, data: parse.BookData) -> Checked:
        return Checked(self.instrument, None) if self._is_unprovable else super()._checked(data)

    def _prove(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        if self._is_unprovable or data.checksum is None:
            return []
        checksum = data.checksum
        self._twins = {d: twin for d, twin in self._twins.items() if twin.checksum() == checksum}
        if self._book.checksum() == checksum or not self._twins:
            return super()._prove(data, now_ns)
        return self._deepen(data, now_ns)

    def _deepen(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Go on with the book of the next depth: this one's was too small."""
        self._depth = min(self._twins)
        self._book = self._twins[self._depth]
        self._twins = {depth: twin for depth, twin in self._twins.items() if depth > self._depth}
        self.epoch = max(now_ns, self.epoch + 1)
        self._seq += 1
        whole = self._snapshot(*self._book.levels(self._depth), data, now_ns)
        # It holds this update already, which changes nothing a second time and is counted.
        update = self._delta(*self._last, data, now_ns)
        status = BookStatus(self.instrument, BookState.LIVE, "of a greater depth", self.epoch)
        return [Checked(self.instrument, True), Emit(whole), Emit(update), status]


def precision_of(data: parse.BookData) -> tuple[parse.Precision | None, bool]:
    """Return the decimals to restore (``None``: take as sent), and whether nothing can be proved.

    Raises:
        ParseError: Not numbers.
    """
    if data.checksum is None or not (data.bids or data.asks):
        return None, False
    prices, quantities = (
        [bytes(getattr(level, name)) for level in (*data.bids, *data.asks)]
        for name in ("price", "qty")
    )
    shown = max(map(_decimals, prices)), max(map(_decimals, quantities))
    if _verifies(data, shown):
        return shown, False
    if _verifies(data, None):
        return None, False
    for price_decimals, qty_decimals in product(range(DECIMALS_MAX + 1), repeat=2):
        if _verifies(data, (price_decimals, qty_decimals)):
            return (price_decimals, qty_decimals), False
    return None, _is_rewritten(prices) and _is_rewritten(quantities) and _vary(prices + quantities)


def _verifies(data: parse.BookData, precision: parse.Precision | None) -> bool:
    bids, asks = (
        parse.parse_levels(side[:CHECKED_LEVELS], precision) for side in (data.bids, data.asks)
    )
    checksum = book_checksum((text for *_, text in asks), (text for *_, text in bids))
    return checksum == data.checksum


def _decimals(text: bytes) -> int:
    return len(text.partition(b".")[2]) if text.replace(b".", b"").isdigit() else 0


def _is_rewritten(texts: list[bytes]) -> bool:
    """Whether no number has a zero at its end but for ``4.0``: the venue pads, programs do not."""
    fractions = [text.partition(b".")[2] for text in texts]
    return not any(fraction.endswith(b"0") and fraction != b"0" for fraction in fractions)


def _vary(texts: list[bytes]) -> bool:
    return len({len(text.partition(b".")[2]) for text in texts}) > 1
