"""KuCoin spot: does a delta continue the book? Pure, three answers.

The venue's numbered steps ("Level2 - Market Data", calibration procedure):

1. Subscribe ``/market/level2`` and cache its messages.
2. Request the snapshot; its ``sequence`` is the last change it contains.
3. Play the cached messages back: one continues the book where ``sequenceStart <= sequence + 1`` and
   ``sequenceEnd > sequence``, with the ``sequenceEnd`` of the message before from then on.
4. Of a message that begins before the snapshot's end, each change whose own sequence the snapshot
   contains is left out. That number tells nothing about continuity.
5. A change of price 0 only moves the sequence; size 0 deletes the price.
"""

from __future__ import annotations

from shared.venues.contiguous import ContiguousIds

SEQUENCE = ContiguousIds()
