"""Marks and funding of one connection: events in, messages out. Pure.

The running rate comes with the marks. How long its interval is and what it is kept within is asked
of REST now and then, and what has settled after each settlement: none of it is known at first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qs, parse_qsl, urlsplit

from shared.errors import ParseError
from shared.messages.market import Funding, FundingSettled, Mark
from shared.venues.port import Effect, Emit, FetchFacts, Malformed
from shared.venues.times import unix_ns

TERMS = "funding terms"
HISTORY = "funding history "
"""Before the instrument's name."""
ROWS: Final = "limit"
"""The parameter that says how many rows are wanted."""
TERMS_NS = 600_000_000_000
TERMS_VALID_NS = 3 * TERMS_NS
"""How long what was told of intervals and caps counts while it cannot be read again."""
SETTLED_AFTER_NS = 5_000_000_000
"""After the venue's clock rolled to the next settlement, until the last one is asked for."""
AGAIN_NS = 15_000_000_000
ATTEMPTS_MAX = 20
"""How often a settlement that is not in the history yet is asked for."""
REPEAT_NS = 30_000_000_000
HISTORY_KEPT = 12
"""Settlements that are repeated, for readers that started later."""
SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
INTERVAL_DEFAULT_NS = 8 * HOUR_NS
"""The usual one, which some venues tell of no instrument that has it."""


class MarkEvent(Protocol):
    """A mark-price event."""

    @property
    def symbol(self) -> str:
        """The venue's spelling."""

    @property
    def mark_price(self) -> float:
        """Mark price, quote units."""

    @property
    def index_price(self) -> float | None:
        """Index price, quote units."""

    @property
    def rate(self) -> float | str:
        """Funding rate per interval; empty text where the instrument does not fund."""

    @property
    def ts_funding(self) -> int:
        """When it settles, in the venue's unit."""

    @property
    def ts_venue(self) -> int:
        """The venue's event time, in its unit."""


class TermsRow(Protocol):
    """The terms of a symbol that differ from the usual."""

    @property
    def symbol(self) -> str:
        """The venue's spelling."""

    @property
    def interval_hours(self) -> float:
        """Between two settlements."""

    @property
    def rate_cap(self) -> float | None:
        """Highest rate."""

    @property
    def rate_floor(self) -> float | None:
        """Lowest rate."""


class SettledRow(Protocol):
    """One settlement of a symbol."""

    @property
    def symbol(self) -> str:
        """The venue's spelling."""

    @property
    def rate(self) -> float:
        """What settled."""

    @property
    def ts_funding(self) -> int:
        """When, in the venue's unit."""

    @property
    def mark_price(self) -> float | str | None:
        """Mark price it settled at; old ones have none."""


@dataclass(frozen=True, slots=True)
class FundingDialect:
    """How a venue tells of funding.

    Attributes:
        interval_default_ns: Of what is not among the terms told; ``None`` where all are.
    """

    parse_mark: Callable[[bytes], MarkEvent]
    parse_terms: Callable[[bytes], Sequence[TermsRow]]
    parse_history: Callable[[bytes], Sequence[SettledRow]]
    terms_path: str
    history_path: Callable[[str], str]
    interval_default_ns: int | None = INTERVAL_DEFAULT_NS

    def topic_of(self, url: str, name_of: Callable[[str], str | None]) -> str | None:
        """Return the topic of a recorded request, ``None`` where it asks for something else.

        ``name_of`` tells our name of the venue's symbol. How many rows were asked for may differ.
        """
        if _asks_for(self.terms_path, url):
            return TERMS
        symbol = parse_qs(urlsplit(url).query).get("symbol", [""])[0]
        if not symbol or not _asks_for(self.history_path(symbol), url):
            return None
        name = name_of(symbol)
        return None if name is None else HISTORY + name


def _asks_for(path: str, url: str) -> bool:
    ours, theirs = urlsplit(path), urlsplit(url)
    if ours.path != theirs.path:
        return False
    wanted, asked = dict(parse_qsl(ours.query)), dict(parse_qsl(theirs.query))
    return wanted | {ROWS: ""} == asked | {ROWS: ""}


@dataclass(slots=True)
class _Terms:
    interval_ns: int | None = None
    rate_cap: float | None = None
    rate_floor: float | None = None


class _Instrument:
    """What is known of one instrument's funding."""

    def __init__(self, name: str, symbol: str) -> None:
        self.name, self.symbol = name, symbol
        self.terms = _Terms()
        self.next_ns: int | None = None  # the venue's next settlement
        self.wanted_ns: int | None = None  # the settlement whose record is awaited
        self.attempts = 0
        self.due_ns: int | None = 0  # when the history is asked for; None: not, or under way
        self.settled: deque[FundingSettled] = deque(maxlen=HISTORY_KEPT)


class FundingFeed:
    """Marks, rates and settlements of some symbols; ``symbols``: venue's spelling -> ours."""

    def __init__(self, venue: str, symbols: Mapping[str, str], dialect: FundingDialect) -> None:
        self._venue, self._dialect = venue, dialect
        self._of = {symbol: _Instrument(name, symbol) for symbol, name in symbols.items()}
        self._by_topic = {HISTORY + each.name: each for each in self._of.values()}
        self._terms_due_ns: int | None = 0
        self._terms_read_ns: int | None = None
        self._repeat_ns = 0

    def open(self) -> None:
        """The connection is new: requests of before are answered to nobody."""
        self._terms_due_ns = 0
        for each in self._of.values():
            each.due_ns, each.attempts = 0, 0

    def on_mark(self, raw: bytes, now_ns: int) -> Sequence[Effect]:
        """A frame with a mark price."""
        return self.take_mark(self._dialect.parse_mark(raw), now_ns)

    def take_mark(self, event: MarkEvent, now_ns: int) -> Sequence[Effect]:
        """A mark price, with the running rate where the instrument funds."""
        known = self._of.get(event.symbol)
        if known is None:
            return ()
        index_price, ts_venue_ns = event.index_price or None, unix_ns(event.ts_venue)
        mark = Mark(
            venue=self._venue,
            instrument=known.name,
            mark_price=event.mark_price,
            index_price=index_price,
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
        )
        if isinstance(event.rate, str) or not event.ts_funding:
            return (Emit(mark),)
        ts_funding_ns = unix_ns(event.ts_funding)
        self._note_next(known, ts_funding_ns, now_ns)
        terms = known.terms if self._are_terms_valid(now_ns) else _Terms()
        funding = Funding(
            venue=self._venue,
            instrument=known.name,
            mark_price=event.mark_price,
            index_price=index_price,
            rate=event.rate,
            ts_funding_ns=ts_funding_ns,
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
            interval_ns=terms.interval_ns,
            rate_cap=terms.rate_cap,
            rate_floor=terms.rate_floor,
        )
        return (Emit(mark), Emit(funding))

    def on_timer(self, now_ns: int) -> Sequence[Effect]:
        """Ask for what is due, and repeat what has settled."""
        effects: list[Effect] = []
        if self._terms_due_ns is not None and now_ns >= self._terms_due_ns:
            self._terms_due_ns = None
            effects.append(FetchFacts(TERMS, self._dialect.terms_path, 1))
        for topic, each in self._by_topic.items():
            if each.due_ns is not None and now_ns >= each.due_ns:
                each.due_ns = None
                effects.append(FetchFacts(topic, self._dialect.history_path(each.symbol), 1))
        if now_ns >= self._repeat_ns:
            self._repeat_ns = now_ns + REPEAT_NS
            effects += [Emit(s) for each in self._of.values() for s in each.settled]
        return effects

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """An answer that was asked for."""
        try:
            if topic == TERMS:
                self._take_terms(body, now_ns)
                return ()
            known = self._by_topic.get(topic)
            return () if known is None else self._take_history(known, body, now_ns)
        except ParseError as error:
            self.on_facts_failed(topic, 0.0, now_ns)
            return (Malformed(str(error)),)

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """It could not be had: ask again later."""
        again_ns = now_ns + max(AGAIN_NS, int(retry_after_s * SECOND_NS))
        if topic == TERMS:
            self._terms_due_ns = again_ns
        elif (known := self._by_topic.get(topic)) is not None:
            known.due_ns = again_ns

    def _note_next(self, known: _Instrument, next_ns: int, now_ns: int) -> None:
        """Note when the venue settles next; what it said before has settled if that has moved."""
        before_ns, known.next_ns = known.next_ns, next_ns
        if before_ns is None or next_ns <= before_ns:
            return
        known.wanted_ns, known.attempts = before_ns, 0
        known.due_ns = now_ns + SETTLED_AFTER_NS
        # The interval may have changed with it: the venue's own times say so first.
        known.terms.interval_ns = next_ns - before_ns
        if self._terms_due_ns is not None:
            self._terms_due_ns = min(self._terms_due_ns, now_ns + SETTLED_AFTER_NS)

    def _are_terms_valid(self, now_ns: int) -> bool:
        return self._terms_read_ns is not None and now_ns - self._terms_read_ns <= TERMS_VALID_NS

    def _take_terms(self, body: bytes, now_ns: int) -> None:
        rows = {row.symbol: row for row in self._dialect.parse_terms(body)}
        for symbol, known in self._of.items():
            row = rows.get(symbol)
            if row is None:
                known.terms = _Terms(self._dialect.interval_default_ns)
            else:
                interval_ns = round(row.interval_hours * HOUR_NS / SECOND_NS) * SECOND_NS
                known.terms = _Terms(interval_ns or None, row.rate_cap, row.rate_floor)
        self._terms_read_ns, self._terms_due_ns = now_ns, now_ns + TERMS_NS

    def _take_history(self, known: _Instrument, body: bytes, now_ns: int) -> Sequence[Effect]:
        rows = [row for row in self._dialect.parse_history(body) if row.symbol == known.symbol]
        found: list[Effect] = []
        before_ns = None
        for row in sorted(rows, key=lambda row: row.ts_funding):
            ts_ns = unix_ns(row.ts_funding)
            newest_ns = known.settled[-1].ts_funding_ns if known.settled else 0
            if ts_ns > newest_ns:
                settled = self._settled(known, row, before_ns, now_ns)
                known.settled.append(settled)
                found.append(Emit(settled))
            before_ns = ts_ns
        newest_ns = known.settled[-1].ts_funding_ns if known.settled else 0
        if known.wanted_ns is None or newest_ns >= known.wanted_ns - SECOND_NS:
            known.wanted_ns = None
        elif known.attempts < ATTEMPTS_MAX:
            known.attempts += 1
            known.due_ns = now_ns + AGAIN_NS
        return found

    def _settled(
        self, known: _Instrument, row: SettledRow, before_ns: int | None, now_ns: int
    ) -> FundingSettled:
        ts_ns = unix_ns(row.ts_funding)
        interval_ns = None
        if before_ns is not None:  # the venue's stamps jitter by some ms
            interval_ns = round((ts_ns - before_ns) / SECOND_NS) * SECOND_NS or None
        mark = row.mark_price
        return FundingSettled(
            venue=self._venue,
            instrument=known.name,
            rate=row.rate,
            ts_funding_ns=ts_ns,
            ts_recv_ns=now_ns,
            mark_price=mark if isinstance(mark, float) and mark > 0 else None,
            interval_ns=interval_ns,
        )
