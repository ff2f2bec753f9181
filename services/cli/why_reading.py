"""Reads what `arb why` answers from: a window of the decision streams, and the newest state.

Reads in small pages and without groups, so it takes nothing away and holds no service up.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from services.cli import look
from services.cli.ledger.file import opened
from services.cli.why_trail import Trail
from shared.config import DEFAULT_CONFIG, load_config
from shared.errors import BusUnavailable, ConfigError
from shared.messages.arb import Opportunity
from shared.messages.base import Message
from shared.messages.control import Heartbeat
from shared.messages.execution import ApprovedPlan, Denied, Fill, OrderEvent, PlanDone
from shared.messages.market import InstrumentInfo, VenueStatus
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import message_of
from shared.strategy_files import load_strategies
from shared.streams import (
    ALL,
    ARB_NEARMISS,
    ARB_OPPORTUNITY,
    ARB_SIGNAL,
    EXEC_EVENT,
    EXEC_PLAN,
    MD_DEPTH,
    MD_INSTRUMENT,
    MD_STATUS,
    RISK_EVENT,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.link import Link, Target, open_link
from shared.watch.why.facts import Facts
from shared.watch.why.obstacles import PATH

WINDOW = (ARB_OPPORTUNITY, ARB_SIGNAL, ARB_NEARMISS, EXEC_PLAN, EXEC_EVENT, RISK_EVENT)
OF_ONE = (EXEC_PLAN, ARB_OPPORTUNITY, ARB_SIGNAL, RISK_EVENT, EXEC_EVENT)
"""Plans first: they say which opportunity and which plan belong together."""
STATES = (SYS_HEALTH, EXEC_EVENT, RISK_EVENT)
RULES_BACK = 1_000
_MS = 1_000_000


async def read(target: Target, since_ns: int, now_ns: int) -> tuple[Facts, list[Heartbeat]]:
    """Return what the streams say since a moment; of a Redis that is away, that it is.

    Raises:
        ConfigError: The address is wrong, or of a server that cannot hold the streams.
    """
    facts = Facts(now_ns=now_ns, since_ns=since_ns)
    try:
        async with open_link(target) as link:
            facts.where = link.where
            return facts, await _read(link, facts)
    except BusUnavailable as error:
        text = " ".join(str(error).split())
        empty = Facts(now_ns=now_ns, since_ns=since_ns, where=facts.where, bus_problem=text)
        empty.is_readable = False
        return empty, []


async def _read(link: Link, facts: Facts) -> list[Heartbeat]:
    wrong = await link.wrong_types()
    facts.bus_problem = "; ".join(wrong.values()) or await link.why_no_writes()
    beats: list[Heartbeat] = []
    for spec in _readable(STATES, wrong):
        for item in await link.newest(spec, count=look.ENTRIES_BACK):
            facts.now.on_message(item.message)
            if isinstance(item.message, Heartbeat):
                beats.append(item.message)
    since_id = f"{facts.since_ns // _MS}-0"
    for spec in _readable(WINDOW, wrong):
        facts.take([item.message async for item in link.whole(spec, since_id)])
        await _note_cut(link, spec, facts)
    await _read_markets(link, facts, wrong)
    for spec in _readable(ALL, wrong):
        if spec.producer in PATH:
            last = [await link.last_id(key) for key in await link.keys(spec)]
            wrote_ns = max(_ms_of(each) for each in last) * _MS
            facts.wrote_ns[spec.producer] = max(wrote_ns, facts.wrote_ns.get(spec.producer, 0))
    return beats


def _readable(specs: Collection[StreamSpec], wrong: Collection[str]) -> list[StreamSpec]:
    return [spec for spec in specs if spec.key() not in wrong]


async def _note_cut(link: Link, spec: StreamSpec, facts: Facts) -> None:
    """Note where the stream no longer has the beginning of the window."""
    page = (await link.pages({spec.key(): (spec, "0-0")}, 1))[spec.key()]
    oldest_ns = _ms_of(page.entries[0][0]) * _MS if page.entries else facts.now_ns
    if page.added > page.length and oldest_ns > facts.since_ns:
        facts.cut_ns[spec.name] = oldest_ns


async def _read_markets(link: Link, facts: Facts, wrong: Collection[str]) -> None:
    if MD_DEPTH.key() not in wrong:
        facts.views = look.newest_views(await link.recent(MD_DEPTH))
    if MD_STATUS.key() not in wrong:
        for item in await link.recent(MD_STATUS):
            if isinstance(item.message, VenueStatus):
                facts.take_status(item.message)
    if MD_INSTRUMENT.key() not in wrong:
        for item in await link.newest(MD_INSTRUMENT, count=RULES_BACK):
            if isinstance(item.message, InstrumentInfo):
                rules = item.message.rules
                facts.rules[rules.venue, rules.instrument] = rules


async def read_trail(target: Target, wanted: str, ledger: str | None) -> Trail:
    """Return what the streams, and where they do not have all of it the ledger, say of an id.

    Raises:
        ConfigError: Nothing is said of it; or the ledger that was given cannot be read.
        BusUnavailable: Redis is away, and no ledger knows it.
    """
    trail, away = Trail(wanted), None
    try:
        async with open_link(target) as link:
            for spec in OF_ONE:
                async for item in link.whole(spec):
                    trail.take(item.message)
    except BusUnavailable as error:
        away = error
    if not trail.is_whole:
        _add_ledger(trail, ledger)
    if trail.is_found:
        return trail
    if away is not None:
        raise away
    raise ConfigError(
        f"nothing is known of {wanted!r}: neither the streams nor a ledger have an opportunity, "
        "signal or plan of that id; arb why and arb plans name some"
    )


def _add_ledger(trail: Trail, given: str | None) -> None:
    """Add what the ledger has; without one that is configured or given, nothing."""
    try:
        with opened(given) as ledger, ledger.at_one_moment():
            trail.take_all(_told(ledger, ApprovedPlan, "plans", "plan_id", trail.wanted))
            trail.take_all(_told(ledger, ApprovedPlan, "plans", "opportunity_id", trail.wanted))
            for kind, table in ((Opportunity, "opportunities"), (Denied, "denials")):
                trail.take_all(_told(ledger, kind, table, "opportunity_id", trail.offer_id))
            for made, table in OF_PLAN:
                trail.take_all(_told(ledger, made, table, "plan_id", trail.plan_id))
    except ConfigError:
        if given is not None:
            raise


OF_PLAN: tuple[tuple[type[Message], str], ...] = (
    (PlanDone, "plan_ends"),
    (OrderEvent, "order_events"),
    (Fill, "fills"),
)


def _told(
    ledger: Ledger, kind: type[Message], table: str, column: str, value: str
) -> Iterator[Message]:
    for row in ledger.query(f"SELECT * FROM {table} WHERE {column} = ?", [value]):
        yield message_of(kind, row)


def take_config(facts: Facts) -> None:
    """Note what the strategies of the configuration ask for, where there is a configuration."""
    path = os.environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    if not Path(path).exists():
        return
    try:
        config = load_config(None, os.environ)
    except ConfigError as error:
        facts.config_problem = str(error)
        return
    for each in load_strategies(config, path):
        asked = getattr(getattr(each.strategy, "params", None), "edge_bps_min", None)
        if asked is not None:
            facts.needs_bps[each.id] = float(asked)


def _ms_of(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])
