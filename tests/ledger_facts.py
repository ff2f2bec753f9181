"""What a system may say of its trading, as entries of streams, and a ledger that reads them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from shared.audit import Chain, of_no_file
from shared.messages.balances import Balance, BalanceMoved
from shared.messages.base import Message, TradingState
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import (
    BalanceReport,
    Denied,
    ExecutorReady,
    Fill,
    FundingKnown,
    FundingPaid,
    TradingStateChanged,
)
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import TABLES
from shared.sql_ledger.take_in import take_in
from shared.streams import STREAM_OF
from shared.watch.pages import Page
from tests.decision_builders import MS, PERP, T0, make_opportunity
from tests.ledger_builders import D, of_risk, told_plan

EVERY_MS = 20
OPPORTUNITY = make_opportunity()
Entries = list[tuple[str, list[Message]]]


def facts(plans: int, seed: int) -> list[Message]:
    """What a system may say: plans, snapshots that repeat, fees that are told later, duplicates."""
    chance = random.Random(seed)
    facts: list[Message] = []
    for number in range(plans):
        now_ns = T0 + number * EVERY_MS * MS
        facts += told_plan(number)
        late = msgspec.structs.replace(facts[-2], ts_ns=now_ns + 9 * MS)
        for index, message in enumerate(facts[-8:]):
            if isinstance(message, Fill) and chance.random() < 0.5:
                facts[len(facts) - 8 + index] = msgspec.structs.replace(message, fee=None)
                facts.append(message)
        facts.append(late)
        free = D(chance.choice([1, 1, 2]))
        facts += [
            BalanceReport(
                ts_ns=now_ns,
                venue="alpha",
                balances={"BTC": Balance(free=free, used=D(0))},
                positions={PERP: free},
            ),
            of_risk(now_ns, D(chance.choice([0, 3, 3]) if number else 3), D(2)),
            TradingStateChanged(ts_ns=now_ns, state=TradingState.ACTIVE, reason="", ts_since_ns=T0),
            ExecutorReady(ts_ns=now_ns, ready=True, mode="paper", open_plans=0, unknown_orders=0),
            FundingKnown(ts_ns=now_ns, venue="gamma", ts_known_ns=now_ns),
        ]
    facts += [
        OPPORTUNITY,
        Denied(ts_ns=T0, opportunity_id="o1", reason="EDGE", context={"edge": "1"}),
        Command(ts_ns=T0, command_id="c1", kind=CommandKind.HALT, operator="me"),
        Alert(ts_ns=T0, service="risk", severity=Severity.INFO, code="C", text="t"),
        of_no_file(Chain().next(T0, "me", "terminal", "halt", "confirmed", command_id="c1")),
        FundingPaid(
            ts_ns=T0,
            venue="gamma",
            instrument=PERP,
            payment_id="f1",
            amount=D("-0.10"),
            asset="USDT",
            ts_funding_ns=T0,
        ),
        BalanceMoved(ts_ns=T0, venue="alpha", asset="USDT", amount=D("-2.5"), ts_since_ns=T0),
    ]
    return facts


def streams_of(facts: Sequence[Message], chance: random.Random) -> dict[str, Entries]:
    """The messages as entries of their streams, one or a few in each."""
    streams: dict[str, Entries] = {}
    for place, message in enumerate(facts):
        entries = streams.setdefault(STREAM_OF[type(message)].key(), [])
        if entries and chance.random() < 0.3:
            entries[-1][1].append(message)
        else:
            entries.append((f"{1_000 + place // 3}-{place % 3}", [message]))
    return streams


def read(ledger: Ledger, streams: dict[str, Entries], count: int) -> bool:
    """Read a piece of each stream behind the ledger's positions; tell whether there was any."""
    positions = ledger.positions()
    pages = {}
    for stream, entries in streams.items():
        at = positions.get(stream)
        begin = 0 if at is None else [entry_id for entry_id, _ in entries].index(at.entry_id) + 1
        chosen = entries[begin : begin + count]
        pages[stream] = Page(chosen, len(entries), len(entries), entries[-1][0], 0)
    taken = take_in(pages, positions, T0)
    assert not taken.gaps
    ledger.write(taken.rows, taken.positions)
    return bool(taken.entries)


def contents(ledger: Ledger) -> dict[str, list[str]]:
    """Every table's rows, sorted."""
    return {
        name: sorted(
            repr(sorted((key, row[key]) for key in row.keys()))  # noqa: SIM118
            for row in ledger.query(f"SELECT * FROM {name}")
        )
        for name in TABLES
    }
