"""What the drill provokes: every fault that the simulated venues know, and what follows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OF_ORDERS = ("reject", "lose_answer", "partial_fill", "account")
"""Faults of orders and accounts: no book meets them (``make chaos`` and ``arb sim`` do)."""


@dataclass(frozen=True, slots=True)
class Provoked:
    """One thing done to one venue.

    Attributes:
        name: In the table.
        kind: Of the simulator.
        told: Its parameters.
        one_book: It is about one book; else about all of the venue.
        lasts_s: How long it goes on by itself, or until it is taken back.
        then: A fault that makes the venue's books need what this one spoils.
        back: Parameters that take it back; else it ends by itself.
        is_lie: The venue tells what is not so: where nothing proves quantities, only an audit, or
            the level's next change, ends it. Books begin anew after it: the level may be one that
            is not shown.
    """

    name: str
    kind: str
    told: dict[str, Any] = field(default_factory=dict)
    one_book: bool = False
    lasts_s: float = 0.0
    then: str = ""
    back: dict[str, Any] = field(default_factory=dict)
    is_lie: bool = False


EVERY = (
    Provoked("drop", "drop", one_book=True),
    Provoked("duplicate", "duplicate", one_book=True),
    Provoked("reorder", "reorder", one_book=True, lasts_s=0.2),
    Provoked("delay 0.5 s", "delay", {"ms": 500}, one_book=True, lasts_s=0.5),
    Provoked("delay 3 s", "delay", {"ms": 3_000}, one_book=True, lasts_s=3.0),
    Provoked("wrong_qty", "wrong_qty", one_book=True, lasts_s=6.0, is_lie=True),
    Provoked("checksum", "checksum", one_book=True),
    Provoked("disconnect", "disconnect"),
    Provoked("close 1000", "close", {"code": 1000}),
    Provoked("close 1012", "close", {"code": 1012}),
    Provoked("stall, venue", "stall", {"ms": 7_000}, lasts_s=7.0),
    Provoked("stall, book", "stall", {"ms": 7_000}, one_book=True, lasts_s=7.0),
    Provoked("http_429", "http_429", then="disconnect"),
    Provoked("http_5xx", "http_5xx", then="disconnect"),
    Provoked("ban", "ban", then="disconnect", lasts_s=2.0),
    Provoked("clock_skew", "clock_skew", {"ms": 5_000}, lasts_s=3.0, back={"ms": 0}),
)
KINDS = tuple(dict.fromkeys(one.kind for one in EVERY))
