"""`arb export`: fills and lots as rows, from the bus or from a file of messages.

The rows are those of the ledger: a fill counts once, one that no announced order explains is left
out, and the strategy is that of the approved plan.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from services.cli.ledger.plans_on_record import PlansOnRecord
from services.cli.output import as_record
from shared.codec import decode
from shared.domain.executions import cost_of
from shared.domain.instrument import split_instrument
from shared.domain.lots import Lot, Lots, Point
from shared.domain.strategy_books import UNKNOWN
from shared.errors import CodecError, ConfigError
from shared.messages.base import Message, Side, type_tag
from shared.messages.execution import Fill
from shared.messages.fill_key import FillKey, fill_key
from shared.messages.restated import FillRestated
from shared.streams import EXEC_EVENT, EXEC_PLAN
from shared.watch.link import Link

_SPECS: Final = {
    kind.__struct_config__.tag: spec for spec in (EXEC_EVENT, EXEC_PLAN) for kind in spec.types
}
FILL_COLUMNS: Final = ("time", *Fill.__struct_fields__, "quote", "amount")
_END: Final = ("", "_venue", "_trade", "_price", "_amount", "_fee", "_fee_asset")
LOT_COLUMNS: Final = (
    "strategy",
    "instrument",
    "quote",
    "side",
    "qty",
    "state",
    *(f"{end}{part}" for end in ("opened", "closed") for part in _END),
    "profit",
    "held_s",
)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class History:
    """The fills on record, in order. ``is_whole``: none before the first one is missing."""

    is_whole: bool = True
    unowned: int = 0
    _fills: dict[FillKey, Fill] = field(default_factory=dict)
    _plans: PlansOnRecord = field(default_factory=PlansOnRecord)

    def on_message(self, message: Message) -> None:
        """Take in one message; types it has no use for are ignored."""
        match message:
            case Fill():
                self._on_fill(message)
            case FillRestated():
                self._on_restated(message)
            case _:
                self._plans.on_message(message)

    def fills(self) -> list[Fill]:
        """Return each fill once, with its fee if it was reported later."""
        return [
            msgspec.structs.replace(fill, strategy=self._plans.strategy_of(fill))
            for fill in self._fills.values()
        ]

    def _on_fill(self, fill: Fill) -> None:
        key, orders = fill_key(fill), self._plans.orders
        is_new = key not in self._fills
        # What a venue made itself is of no order; risk books it only where it closes something.
        is_judged = self.is_whole or orders.knows(fill.plan_id)  # else its orders are trimmed away
        is_judged = is_judged and not fill.reduced_by
        if is_judged and (orders.ownership_flaw(fill) or (is_new and orders.overfills(fill))):
            self.unowned += 1
            return
        before = self._fills.get(key)
        if before is None:
            orders.book(fill)
            self._fills[key] = fill
        elif before.fee is None and fill.fee is not None:
            told = {"fee": fill.fee, "fee_asset": fill.fee_asset, "fee_quote": fill.fee_quote}
            self._fills[key] = msgspec.structs.replace(before, **told)

    def _on_restated(self, told: FillRestated) -> None:
        key = fill_key(told.fill)
        if key in self._fills:
            self._fills[key] = msgspec.structs.replace(
                self._fills[key], report_asset=told.report_asset, report_price=told.report_price
            )


async def read_bus(link: Link) -> History:
    """Return all that the durable streams still hold."""
    history = History()
    for spec in (EXEC_PLAN, EXEC_EVENT):  # plans first: they name the strategies
        if await link.trimmed(spec.key()):
            history.is_whole = False
        async for item in link.whole(spec):
            history.on_message(item.message)
    return history


def read_file(path: Path) -> History:
    """Return what a file of JSON lines holds.

    Lines are as ``arb tail exec.event --json``, ``arb replay --decisions`` and ``arb export fills
    --json`` write them. Such a file may hold fills alone: then they are taken as they are.

    Raises:
        ConfigError: It cannot be read, or a line is none of these; with its number.
    """
    history = History(is_whole=False)
    try:
        lines = sys.stdin.buffer if str(path) == "-" else path.open("rb")
        with lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    for message in _messages_of(line, f"{path} line {number}"):
                        history.on_message(message)
    except OSError as error:
        raise ConfigError(f"--file {path}: cannot be read: {error.strerror}") from error
    return history


def _messages_of(line: bytes, where: str) -> Iterator[Message]:
    try:
        raw = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not a JSON object: {error}") from error
    found = raw.get("messages", [raw.get("message", raw)])
    if not isinstance(found, list) or not all(isinstance(m, dict) and type_tag in m for m in found):
        raise ConfigError(
            f"{where} holds no message; it takes what arb tail exec.event --json, arb replay "
            "--decisions and arb export fills --json write"
        )
    for message in found:
        spec = _SPECS.get(message[type_tag]) if isinstance(message[type_tag], str) else None
        if spec is None:
            continue
        try:
            yield from decode(spec, msgspec.json.encode([message]))
        except CodecError as error:
            raise ConfigError(f"{where}: {error}") from error


@dataclass(frozen=True, slots=True)
class Period:
    """From when on, and until when (not included), in UNIX ns; ``None``: without a bound."""

    from_ns: int | None = None
    to_ns: int | None = None

    def begins_after(self, ts_ns: int) -> bool:
        """Tell whether this moment is before the period."""
        return self.from_ns is not None and ts_ns < self.from_ns

    def ends_before(self, ts_ns: int) -> bool:
        """Tell whether this moment is after the period."""
        return self.to_ns is not None and ts_ns >= self.to_ns


def parse_period(begin: str | None, end: str | None) -> Period:
    """Return the period between two times.

    Raises:
        ConfigError: One is no time, or they are the wrong way round.
    """
    period = Period(
        None if begin is None else time_ns("--from", begin),
        None if end is None else time_ns("--to", end),
    )
    if None not in (period.from_ns, period.to_ns) and period.begins_after(period.to_ns or 0):
        raise ConfigError(f"--from {begin} is later than --to {end}")
    return period


def time_ns(option: str, text: str) -> int:
    """Return the moment that an option names, UNIX ns.

    Raises:
        ConfigError: It is no time.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{option} {text!r} is not a time; like 2026-11-26 or 2026-11-26T07:30:00Z (UTC "
            "unless it says otherwise)"
        ) from error
    when = when.replace(tzinfo=when.tzinfo or UTC)
    return (when - _EPOCH) // timedelta(microseconds=1) * 1_000


def fill_rows(fills: Iterable[Fill], period: Period) -> Iterator[dict[str, Any]]:
    """Return a row per fill of the period."""
    for fill in fills:
        if period.begins_after(fill.ts_ns) or period.ends_before(fill.ts_ns):
            continue
        yield {
            "time": iso(fill.ts_ns),
            **as_record(fill),
            "quote": split_instrument(fill.instrument).cash,
            "amount": cost_of(fill.instrument, fill.qty, fill.price),
        }


def lot_rows(fills: Iterable[Fill], period: Period) -> Iterator[dict[str, Any]]:
    """Return a row per lot closed in the period, then one per lot that is open at its end."""
    lots = Lots()
    for fill in fills:
        if not period.ends_before(fill.ts_ns):
            lots.trade(fill)
    for lot in lots.closed():
        if lot.closed is not None and not period.begins_after(lot.closed.ts_ns):
            yield _lot_row(lot)
    for lot in lots.open():
        yield _lot_row(lot)


def _lot_row(lot: Lot) -> dict[str, Any]:
    opened, closed = lot.opened, lot.closed
    return {
        "strategy": lot.strategy or UNKNOWN,
        "instrument": lot.instrument,
        "quote": split_instrument(lot.instrument).cash,
        "side": "long" if lot.side is Side.BUY else "short",
        "qty": lot.qty,
        "state": "open" if closed is None else "closed",
        **_end("opened", opened, lot.opened_amount),
        **_end("closed", closed, lot.closed_amount),
        "profit": lot.profit,
        "held_s": None if closed is None else Decimal(closed.ts_ns - opened.ts_ns).scaleb(-9),
    }


def _end(name: str, point: Point | None, amount: Decimal | None) -> dict[str, Any]:
    columns = [f"{name}{part}" for part in _END]
    if point is None:
        return dict.fromkeys(columns)
    time, fee = iso(point.ts_ns), (point.fee, point.fee_asset)
    values = (time, point.venue, point.trade_id, point.price, amount, *fee)
    return dict(zip(columns, values, strict=True))


def iso(ts_ns: int) -> str:
    """Return a moment as text, UTC, with all its digits."""
    seconds, rest_ns = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
