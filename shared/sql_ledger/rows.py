"""Turns messages into rows of the ledger, and back. Pure.

Every row has a natural key, and one of a few rules says what a second row of that key does. Each
rule gives the same whether a message is taken in once or again, so a stream can be read again from
any point.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import msgspec
import msgspec.inspect

from shared.messages.arb import Opportunity
from shared.messages.balances import BalanceMoved
from shared.messages.base import Message
from shared.messages.control import Alert, Audited, Command
from shared.messages.execution import (
    ApprovedPlan,
    BalanceReport,
    Denied,
    ExecutorReady,
    Fill,
    FundingKnown,
    FundingPaid,
    OrderEvent,
    PlanDone,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.fill_key import FillKey
from shared.messages.restated import FillRestated

Value = str | int | None
M = TypeVar("M", bound=Message)


class Rule(StrEnum):
    """What a row does where there is one of its key."""

    FIRST = "first"  # nothing: a fact does not change
    NEWEST = "newest"  # it takes its place if it is of a later entry
    CHANGE = "change"  # it is written where it differs from the newest row before it
    FILL = "fill"  # it adds the fee that was not known, and a later entry what it is stated in
    STATUS = "status"  # it brings the order to its later status


class Row(msgspec.Struct, frozen=True):
    """One row; ``parts`` are written if it is."""

    table: str
    values: dict[str, Value]
    parts: tuple[Row, ...] = ()


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table's key and rule; ``compared`` are the columns by which a CHANGE is seen."""

    name: str
    key: tuple[str, ...]
    rule: Rule = Rule.FIRST
    compared: tuple[str, ...] = ()


TABLES: Final = {
    table.name: table
    for table in (
        Table(name="opportunities", key=("opportunity_id",)),
        Table(name="denials", key=("opportunity_id", "reason", "ts_ns")),
        Table(name="plans", key=("plan_id",)),
        Table(name="plan_ends", key=("plan_id", "ts_ns")),
        Table(name="order_events", key=("client_order_id", "ts_ns", "status", "filled_qty")),
        Table(name="orders", key=("client_order_id",), rule=Rule.STATUS),
        Table(name="fills", key=FillKey._fields, rule=Rule.FILL),
        Table(name="funding_payments", key=("venue", "instrument", "payment_id")),
        Table(name="balance_moves", key=("venue", "asset", "ts_ns")),
        Table(name="funding_known", key=("venue",), rule=Rule.NEWEST),
        Table(
            name="balance_reports",
            key=("venue", "ts_ns"),
            rule=Rule.CHANGE,
            compared=("balances", "positions"),
        ),
        Table(name="balances", key=("venue", "ts_ns", "asset")),
        Table(name="venue_positions", key=("venue", "ts_ns", "instrument")),
        Table(name="position_reports", key=("ts_ns",), rule=Rule.CHANGE, compared=("held",)),
        Table(name="positions", key=("ts_ns", "venue", "instrument")),
        Table(name="closing_prices", key=("venue", "instrument"), rule=Rule.NEWEST),
        Table(name="trading_states", key=("ts_since_ns", "state", "reason")),
        Table(name="commands", key=("command_id",)),
        Table(name="alerts", key=("ts_ns", "service", "code", "subject")),
        Table(name="audit", key=("hash",)),
        Table(name="execution_modes", key=("mode",)),
    )
}
_STATUS_COLUMNS: Final = (
    "status",
    "filled_qty",
    "venue_order_id",
    "reason",
    "ts_sent_ns",
    "entry_last",
    "ts_last_ns",
)

_NOT_OF_ORDERS: Final = frozenset({"ts_recv_ns", "price_arrival"})
"""What only the rows of ``order_events`` have."""


def entry_text(entry_id: str, index: int) -> str:
    """Return an entry's id and the place of a message in it as text that sorts as they do."""
    milliseconds, _, number = entry_id.partition("-")
    return f"{int(milliseconds):013d}-{int(number or 0):08d}-{index:05d}"


def rows_of(message: Message, entry: str) -> list[Row]:
    """Return what a message adds to the ledger; nothing for types that it does not keep."""
    make = _MAKERS.get(type(message))
    return [] if make is None else make(message, entry)


class Columns(Protocol):
    """A row as a database gives it."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Iterable[str]: ...


def message_of(kind: type[M], row: Columns) -> M:
    """Return the message that a row was made of; a field it does not have has its default."""
    there = {name: row[name] for name in row.keys() if name not in {"entry", MORE}}  # noqa: SIM118
    if row[MORE] is not None:
        there |= msgspec.json.decode(row[MORE])
    nested = _nested(kind)
    fields = {
        name: msgspec.json.decode(value) if name in nested and value is not None else value
        for name, value in there.items()
    }
    return msgspec.convert(fields, kind, strict=False)


def fitting(values: dict[str, Value], columns: Container[str]) -> dict[str, Value]:
    """Return values as the columns of a table; those it has none for go into ``more``.

    So a field that a message gains needs no new schema.
    """
    if all(name in columns for name in values):
        return values
    known = {name: value for name, value in values.items() if name in columns}
    rest = {name: value for name, value in values.items() if name not in columns}
    return {**known, MORE: _JSON.encode(rest).decode()}


@lru_cache(maxsize=64)
def _nested(kind: type[Message]) -> frozenset[str]:
    """Return the fields that are, or may be, lists, tables or structures: JSON in their column."""
    return frozenset(
        each.name
        for each in msgspec.structs.fields(kind)
        if any(isinstance(known, _COMPOSED) for known in _kinds(each.type))
    )


def _kinds(annotation: Any) -> Sequence[msgspec.inspect.Type]:
    """Return what a field may be."""
    known = msgspec.inspect.type_info(annotation)
    return known.types if isinstance(known, msgspec.inspect.UnionType) else (known,)


_COMPOSED: Final = (
    msgspec.inspect.CollectionType,
    msgspec.inspect.DictType,
    msgspec.inspect.StructType,
)
MORE: Final = "more"
"""The column of the fields that a message has gained since its table was made."""
_JSON: Final = msgspec.json.Encoder(decimal_format="string", order="deterministic")


def _value(value: Any) -> Value:
    """Return a field as SQL keeps it; a decimal with all its digits."""
    if value is None or type(value) is int or type(value) is str:
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, bool):
        return int(value)
    return _JSON.encode(value).decode()


def _columns(message: Message) -> dict[str, Value]:
    return {name: _value(getattr(message, name)) for name in message.__struct_fields__}


def _as_it_is(table: str) -> Callable[[Any, str], list[Row]]:
    """Return how a message becomes one row with its fields as columns."""
    return lambda message, entry: [Row(table, {"entry": entry, **_columns(message)})]


def _order(event: OrderEvent, entry: str) -> list[Row]:
    columns = _columns(event)
    order = {name: value for name, value in columns.items() if name not in _NOT_OF_ORDERS}
    order |= {"entry": entry, "entry_last": entry, "ts_last_ns": event.ts_ns}
    return [Row("order_events", {"entry": entry, **columns}), Row("orders", order)]


def _restated(told: FillRestated, entry: str) -> list[Row]:
    """Return the row of a fill as it is stated now."""
    stated = {"report_asset": told.report_asset, "report_price": _value(told.report_price)}
    return [Row("fills", {"entry": entry, **_columns(told.fill), **stated})]


def _balances(report: BalanceReport, entry: str) -> list[Row]:
    at: dict[str, Value] = {"venue": report.venue, "ts_ns": report.ts_ns}
    balances = [
        Row("balances", {**at, "asset": a, "free": _value(b.free), "used": _value(b.used)})
        for a, b in sorted(report.balances.items())
    ]
    positions = [
        Row("venue_positions", {**at, "instrument": name, "qty": _value(qty)})
        for name, qty in sorted(report.positions.items())
    ]
    return [Row("balance_reports", {"entry": entry, **_columns(report)}, (*balances, *positions))]


def _risk(report: RiskReport, entry: str) -> list[Row]:
    """Return what is held, where it changed, and at which prices it could be closed."""
    held = [[each.venue, each.instrument, each.qty] for each in report.positions]
    positions = tuple(
        Row(
            "positions",
            {
                "ts_ns": report.ts_ns,
                "venue": each.venue,
                "instrument": each.instrument,
                "qty": _value(each.qty),
                "entry_price": _value(each.entry),
                "close_price": _value(each.close_price),
                "unrealized": _value(each.unrealized),
            },
        )
        for each in report.positions
    )
    snapshot: dict[str, Value] = {"ts_ns": report.ts_ns, "entry": entry, "held": _value(held)}
    return [
        Row("position_reports", snapshot, positions),
        *(
            closing_price(
                (each.venue, each.instrument), each.qty, each.close_price, entry, report.ts_ns
            )
            for each in report.positions
        ),
    ]


def closing_price(
    place: tuple[str, str], qty: Decimal, price: Decimal | None, entry: str, ts_ns: int
) -> Row:
    """Return at which price a quantity of an instrument at a venue could be closed."""
    values: dict[str, Value] = {"venue": place[0], "instrument": place[1], "entry": entry}
    values |= {"ts_ns": ts_ns, "qty": _value(qty), "price": _value(price)}
    return Row("closing_prices", values)


def _state(state: TradingStateChanged, entry: str) -> list[Row]:
    since: dict[str, Value] = {"ts_since_ns": state.ts_since_ns, "entry": entry}
    return [Row("trading_states", {**since, "state": state.state.value, "reason": state.reason})]


def _mode(ready: ExecutorReady, entry: str) -> list[Row]:
    return [Row("execution_modes", {"mode": ready.mode, "entry": entry, "ts_ns": ready.ts_ns})]


_MAKERS: Final[dict[type[Message], Callable[[Any, str], list[Row]]]] = {
    Opportunity: _as_it_is("opportunities"),
    Denied: _as_it_is("denials"),
    ApprovedPlan: _as_it_is("plans"),
    PlanDone: _as_it_is("plan_ends"),
    OrderEvent: _order,
    Fill: _as_it_is("fills"),
    FillRestated: _restated,
    FundingPaid: _as_it_is("funding_payments"),
    FundingKnown: _as_it_is("funding_known"),
    BalanceReport: _balances,
    BalanceMoved: _as_it_is("balance_moves"),
    RiskReport: _risk,
    TradingStateChanged: _state,
    Command: _as_it_is("commands"),
    Alert: _as_it_is("alerts"),
    Audited: _as_it_is("audit"),
    ExecutorReady: _mode,
}


def insert_of(table: Table, columns: tuple[str, ...]) -> str:
    """Return the statement that writes a row of these columns by the rule of its table."""
    name, key = table.name, ", ".join(table.key)
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join(f":{column}" for column in columns)
    into = f"INSERT INTO {name} ({names})"
    match table.rule:
        case Rule.NEWEST:
            taken = ", ".join(f'"{c}" = excluded."{c}"' for c in columns if c not in table.key)
            update = f"UPDATE SET {taken} WHERE excluded.entry > {name}.entry"
            return f"{into} VALUES ({marks}) ON CONFLICT ({key}) DO {update}"
        case Rule.FILL:
            adds = f"{name}.fee IS NULL AND excluded.fee IS NOT NULL"
            later = f"excluded.entry > {name}.entry"
            when = dict.fromkeys(("fee", "fee_asset", "fee_quote"), adds)
            when |= dict.fromkeys(("report_asset", "report_price"), later)
            taken = ", ".join(
                f"{c} = CASE WHEN {is_new} THEN excluded.{c} ELSE {name}.{c} END"
                for c, is_new in when.items()
            )
            update = f"UPDATE SET {taken} WHERE ({adds}) OR {later}"
            return f"{into} VALUES ({marks}) ON CONFLICT ({key}) DO {update}"
        case Rule.STATUS:
            taken = ", ".join(f"{c} = excluded.{c}" for c in _STATUS_COLUMNS)
            update = f"UPDATE SET {taken} WHERE excluded.entry_last > {name}.entry_last"
            return f"{into} VALUES ({marks}) ON CONFLICT ({key}) DO {update}"
        case Rule.CHANGE:
            same = " AND ".join(f"{c} = :{c}" for c in table.key if c != "ts_ns")
            where = f"{same} AND ts_ns <= :ts_ns" if same else "ts_ns <= :ts_ns"
            before = ", ".join(table.compared)
            newest = f"SELECT {before} FROM {name} WHERE {where} ORDER BY ts_ns DESC LIMIT 1"
            equal = " AND ".join(f"{c} = :{c}" for c in table.compared)
            return (
                f"{into} SELECT {marks} WHERE NOT EXISTS (SELECT 1 FROM ({newest}) AS newest "
                f"WHERE {equal}) "
                f"ON CONFLICT ({key}) DO NOTHING"
            )
        case _:
            return f"{into} VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING"
