"""Binance USDT-M: does a delta continue the book? Pure, three answers.

The venue's numbered steps (usds-margined-futures, "How to manage a local order book correctly"):

1. Open the stream and buffer its events; GET the snapshot.
2. Drop events with ``u < lastUpdateId``. The first applied one has
   ``U <= lastUpdateId`` and ``u >= lastUpdateId``.
3. Then each event's ``pu`` must equal the ``u`` before it, otherwise start over. ``U == u + 1``
   does **not** hold: ids are shared by all instruments.
"""

from __future__ import annotations

from shared.venues.rest_join import Update, Verdict


class FuturesSequence:
    """The rule by ``pu``: each delta names the one before."""

    def join(self, snapshot_id: int, update: Update) -> Verdict:
        """Judge the first delta after a snapshot (step 2).

        An event covers every id above ``pu`` up to ``u``, so ``pu <= lastUpdateId <= u`` loses
        nothing. That is step 2 widened by the ids between ``pu`` and ``U``, which belong to other
        instruments and on which a snapshot may well end.
        """
        if update.last_id < snapshot_id:
            return Verdict.DROP
        return Verdict.APPLY if update.prev_id <= snapshot_id else Verdict.GAP

    def follow(self, last_id: int, update: Update) -> Verdict:
        """Judge a delta against the one before (step 3); a repeated or older one is dropped."""
        if update.prev_id == last_id:
            return Verdict.APPLY
        return Verdict.DROP if update.last_id <= last_id else Verdict.GAP

    def expected(self, last_id: int) -> int:
        """Return the ``pu`` that would have continued the book."""
        return last_id

    def got(self, update: Update) -> int:
        """Return the ``pu`` that arrived."""
        return update.prev_id


SEQUENCE = FuturesSequence()
