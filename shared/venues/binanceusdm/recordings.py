"""What recorded Binance futures lines are about. Pure.

COIN-M frames follow the same rules and are read too, as venue ``binancecoinm``: their quantities
are contracts, so nothing but a verification should use them.
"""

from __future__ import annotations

from decimal import Decimal

from shared.venues.binance.recordings import INVERSE, LINEAR, StreamRecordings
from shared.venues.binanceusdm.feed import DIALECT
from shared.venues.binanceusdm.symbols import to_instrument


class FuturesRecordings(StreamRecordings):
    """Recordings of linear and inverse futures."""

    def __init__(self) -> None:
        super().__init__(
            {LINEAR: "binanceusdm", INVERSE: "binancecoinm"},
            {
                "fapi": "binanceusdm",
                "fstream": "binanceusdm",
                "dapi": "binancecoinm",
                "dstream": "binancecoinm",
            },
            DIALECT,
            to_instrument,
            Decimal(5),
        )


RECORDINGS = FuturesRecordings
