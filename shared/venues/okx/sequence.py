"""OKX: does a message continue the book? Pure.

The venue's numbered steps (WebSocket v5, "Order book channel", sequence id):

1. The snapshot has ``prevSeqId`` -1; its ``seqId`` is where the chain begins.
2. Of every update ``prevSeqId`` is the ``seqId`` of the message before.
3. Where nothing changes for a minute, a message without levels comes whose ``prevSeqId`` is its own
   ``seqId``: it is no gap.
4. After maintenance ``seqId`` may be less than ``prevSeqId``; the chain holds all the same.
5. On a break unsubscribe and subscribe again.

By step 4 a smaller number does not tell an old message from a new one. So only a message that was
applied here is dropped as a repetition, and anything else that does not continue is a gap.
"""

from __future__ import annotations

from collections import deque

from shared.venues.rest_join import Verdict

REMEMBERED = 64
"""Messages that are known again when they are repeated."""


class Chain:
    """The numbers of one book since its snapshot."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self._applied = deque[tuple[int, int]](maxlen=REMEMBERED)

    def follow(self, prev_seq: int, seq: int) -> Verdict:
        """Judge an update (steps 2 to 4); one that is applied is the last from here on."""
        if prev_seq == self.seq:
            self.seq = seq
            self._applied.append((prev_seq, seq))
            return Verdict.APPLY
        return Verdict.DROP if (prev_seq, seq) in self._applied else Verdict.GAP
