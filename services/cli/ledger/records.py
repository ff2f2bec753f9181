"""What the ledger holds, as the records that commands print: orders, fills, plans, and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import msgspec

from services.cli.export import iso
from services.cli.ledger.file import Wanted
from shared.domain.accounting import ZERO
from shared.domain.contracts import Contract
from shared.domain.executions import cost_of
from shared.domain.fees import plus_known
from shared.domain.instrument import split_instrument
from shared.errors import ConfigError
from shared.messages.base import Certainty
from shared.messages.bounds import PLAN_ID
from shared.sql_ledger.database import Ledger
from shared.sql_ledger.rows import Columns
from shared.watch.why.remedies import DENIALS

Record = dict[str, Any]
NEAR_MAX = 3
"""So many reasons are told that are like one that there is not."""
NAMED_MAX = 20
"""So many names that the ledger knows are told where one is asked for that it does not."""


def orders(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return orders with their latest status and what they traded, the newest last."""
    rows = _newest(
        ledger,
        wanted,
        "SELECT * FROM orders",
        "orders",
        time="ts_ns",
        strategy="strategy",
        venue="venue",
        instrument="instrument",
        plan="plan_id",
    )
    return [_order(ledger, row) for row in rows]


def _newest(
    ledger: Ledger,
    wanted: Wanted,
    select: str,
    table: str,
    *,
    any_leg: Callable[[str], str] | None = None,
    **columns: str,
) -> list[Columns]:
    """Return the wanted rows of a query, ordered by the entries of ``table``, the newest last."""
    where, arguments = wanted.where(any_leg=any_leg, **columns)
    query = f"{select} WHERE {where} ORDER BY {table}.entry DESC LIMIT ?"
    return list(reversed(ledger.query(query, [*arguments, wanted.limit])))


def _order(ledger: Ledger, row: Columns) -> Record:
    traded = ledger.query(
        "SELECT price, qty, fee, fee_asset FROM fills WHERE plan_id = ? AND client_order_id = ?",
        (row["plan_id"], row["client_order_id"]),
    )
    qty = sum((Decimal(each["qty"]) for each in traded), ZERO)
    contract = Contract(split_instrument(row["instrument"]).kind)
    settled = sum(
        (contract.settled(Decimal(each["qty"]), Decimal(each["price"])) for each in traded), ZERO
    )
    return {
        "time": iso(row["ts_ns"]),
        "ts_ns": row["ts_ns"],
        "client_order_id": row["client_order_id"],
        "plan_id": row["plan_id"],
        "strategy": row["strategy"],
        "venue": row["venue"],
        "instrument": row["instrument"],
        "purpose": row["purpose"],
        "side": row["side"],
        "qty": Decimal(row["qty"]),
        "price_limit": Decimal(row["price_limit"]),
        "status": row["status"],
        "filled_qty": Decimal(row["filled_qty"]),
        "price_avg": _average(contract, qty, settled),
        "fees": _fees(row["instrument"], traded),
        "reason": row["reason"],
        "venue_order_id": row["venue_order_id"],
        "ts_sent_ns": row["ts_sent_ns"],
        "ts_last_ns": row["ts_last_ns"],
    }


def _average(contract: Contract, qty: Decimal, settled: Decimal) -> Decimal | None:
    """Return the average price; of inverse contracts, which cost coins, the harmonic mean."""
    if not qty:
        return None
    return qty / settled if contract.is_inverse else settled / qty


def _fees(instrument: str, traded: Sequence[Columns]) -> dict[str, Decimal | None]:
    """Return fees by the asset they were charged in; ``None`` where one is not told yet."""
    _, quote, settle = split_instrument(instrument)
    fees: dict[str, Decimal | None] = {}
    for each in traded:
        asset = each["fee_asset"] or settle or quote
        fee = None if each["fee"] is None else Decimal(each["fee"])
        fees[asset] = plus_known(fees.get(asset, ZERO), fee)
    return fees


def fills(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return executions, the newest last."""
    rows = _newest(
        ledger,
        wanted,
        f"SELECT fills.*, {_STRATEGY} AS owner FROM fills LEFT JOIN plans USING (plan_id)",
        "fills",
        time="fills.ts_ns",
        strategy=_STRATEGY,
        venue="fills.venue",
        instrument="fills.instrument",
        plan="fills.plan_id",
    )
    return [_fill(row) for row in rows]


_STRATEGY = "coalesce(nullif(plans.strategy, ''), fills.strategy)"


def _fill(row: Columns) -> Record:
    cash = split_instrument(row["instrument"]).cash
    fee = None if row["fee"] is None else Decimal(row["fee"])
    price, qty = Decimal(row["price"]), Decimal(row["qty"])
    return {
        "time": iso(row["ts_ns"]),
        "ts_ns": row["ts_ns"],
        "ts_venue_ns": row["ts_venue_ns"],
        "trade_id": row["trade_id"],
        "client_order_id": row["client_order_id"],
        "plan_id": row["plan_id"],
        "strategy": row["owner"],
        "round_id": row["round_id"],
        "venue": row["venue"],
        "instrument": row["instrument"],
        "side": row["side"],
        "qty": qty,
        "price": price,
        "amount": cost_of(row["instrument"], qty, price),
        "quote": cash,
        "fee": fee,
        "fee_asset": "" if fee is None else row["fee_asset"] or cash,
        "fee_quote": None if row["fee_quote"] is None else Decimal(row["fee_quote"]),
        "reduced_by": row["reduced_by"],
    }


PLANS = (
    "SELECT plans.*, ends.outcome, ends.realized, ends.fees AS fees, ends.certainty, ends.reason, "
    "ends.residual, ends.dust, ends.ts_ns AS ts_done_ns, opportunities.edge_bps, "
    "opportunities.notional, opportunities.detector FROM plans "
    "LEFT JOIN (SELECT plan_ends.* FROM plan_ends JOIN (SELECT plan_id, max(ts_ns) AS ts_ns "
    "FROM plan_ends GROUP BY plan_id) AS last USING (plan_id, ts_ns)) AS ends USING (plan_id) "
    "LEFT JOIN opportunities USING (opportunity_id) "
)


def plans(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return plans with their last end and the opportunity they came from, the newest last."""
    rows = _newest(
        ledger,
        wanted,
        PLANS,
        "plans",
        time="plans.ts_ns",
        strategy="plans.strategy",
        plan="plans.plan_id",
        any_leg=ledger.any_leg("plans.legs"),
    )
    return [plan_record(row) for row in rows]


def plan_record(row: Columns) -> Record:
    """Return a row of ``PLANS`` as a record."""

    def money(name: str) -> Decimal | None:
        return None if row[name] is None else Decimal(row[name])

    legs = msgspec.json.decode(row["legs"])
    return {
        "time": iso(row["ts_ns"]),
        "ts_ns": row["ts_ns"],
        "plan_id": row["plan_id"],
        "opportunity_id": row["opportunity_id"],
        "strategy": row["strategy"],
        "detector": row["detector"],
        "intent": row["intent"],
        "round_id": row["round_id"],
        "base": row["base"],
        "quote": row["quote"],
        "legs": [f"{leg['side']} {leg['instrument']} {leg['venue']}" for leg in legs],
        "edge_bps": money("edge_bps"),
        "notional": money("notional"),
        "net_expected": money("net_expected"),
        "loss_cap": money("loss_cap"),
        "outcome": row["outcome"],
        "realized": money("realized"),
        "fees": money("fees"),
        "certainty": row["certainty"] or "unknown",
        "residual": {} if row["residual"] is None else msgspec.json.decode(row["residual"]),
        "dust": {} if row["dust"] is None else msgspec.json.decode(row["dust"]),
        "reason": row["reason"] or "",
        "ts_done_ns": row["ts_done_ns"],
    }


_SAID_IN: dict[str, Sequence[str]] = {
    "venue": ("balance_reports", "orders", "fills"),
    "instrument": ("orders", "fills", "venue_positions", "positions", "funding_payments"),
    "strategy": ("orders", "fills", "plans", "plan_ends"),
}
"""Filter -> the tables that have a column of that name."""


def check_known(ledger: Ledger, wanted: Wanted) -> None:
    """Check what nothing was found by: venue, instrument, strategy, plan, reason.

    Raises:
        ConfigError: The ledger has others, and nothing at all of this one; or it cannot be one.
    """
    if wanted.plan is not None:
        _check_plan(ledger, wanted.plan)
    if wanted.reason is not None:
        _check_reason(ledger, wanted.reason)
    for name, tables in _SAID_IN.items():
        value = getattr(wanted, name)
        selects = [f"SELECT {name} AS known FROM {table}" for table in tables]
        if name == "strategy":
            selects.append("SELECT strategy_id AS known FROM opportunities")
        told = ledger.query(" UNION ".join(selects)) if value is not None else []
        known = sorted(row["known"] for row in told if row["known"])
        if known and value not in known and not _is_of_a_leg(ledger, name, value):
            named = ", ".join(known[:NAMED_MAX])
            more = f" and {len(known) - NAMED_MAX} more" if len(known) > NAMED_MAX else ""
            raise ConfigError(f"no {name} {value!r} in the ledger; it has {named}{more}")


def _check_plan(ledger: Ledger, plan: str) -> None:
    """Refuse what is no plan's id, and one that nothing in the ledger is of."""
    if not PLAN_ID.pattern.fullmatch(plan):
        raise ConfigError(f"--plan {plan!r} is no plan's id; arb plans lists them")
    for table in ("plans", "orders", "fills"):
        if ledger.query(f"SELECT 1 AS found FROM {table} WHERE plan_id = ? LIMIT 1", [plan]):
            return
    raise ConfigError(f"no plan {plan!r} in the ledger; arb plans lists them")


def _check_reason(ledger: Ledger, reason: str) -> None:
    """Refuse what is no reason of a denial, of this version or one that wrote the ledger."""
    told = [row["reason"] for row in ledger.query("SELECT DISTINCT reason FROM denials")]
    known = sorted({*DENIALS, *told})
    if reason in known:
        return
    near = get_close_matches(reason.upper(), known, NEAR_MAX) or known[:NAMED_MAX]
    raise ConfigError(
        f"no reason {reason!r}; there are {', '.join(near)} and others, see docs/denials.md"
    )


def _is_of_a_leg(ledger: Ledger, name: str, value: str) -> bool:
    if name == "strategy":
        return False
    for table in ("plans", "opportunities"):
        is_of = ledger.any_leg(f"{table}.legs")(name)
        if ledger.query(f"SELECT 1 AS found FROM {table} WHERE {is_of} LIMIT 1", [value]):
            return True
    return False


def balances(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return what every venue reported last."""
    where, arguments = wanted.where(time="ts_ns", venue="venue")
    rows = ledger.query(
        "SELECT balances.* FROM balances JOIN (SELECT venue, max(ts_ns) AS ts_ns FROM "
        f"balance_reports WHERE {where} GROUP BY venue) AS last USING (venue, ts_ns) "
        "ORDER BY venue, asset LIMIT ?",
        [*arguments, wanted.limit],
    )
    return [
        {
            "time": iso(row["ts_ns"]),
            "ts_ns": row["ts_ns"],
            "venue": row["venue"],
            "asset": row["asset"],
            "free": Decimal(row["free"]),
            "used": Decimal(row["used"]),
        }
        for row in rows
    ]


def positions(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return what was held when it last changed, and the newest price at which it could be closed.

    ``venue`` is empty for spot, which counts over all venues together. Before ``until_ns`` it is
    what was held then; where the newest price is of later, the one of then.
    """
    before, last = Wanted(until_ns=wanted.until_ns).where(time="ts_ns")
    where, arguments = replace(wanted, until_ns=None).where(
        time="positions.ts_ns", venue="positions.venue", instrument="positions.instrument"
    )
    rows = ledger.query(
        "SELECT positions.*, closing_prices.price AS price, closing_prices.ts_ns AS ts_price_ns "
        "FROM positions LEFT JOIN closing_prices USING (venue, instrument) WHERE positions.ts_ns = "
        f"(SELECT max(ts_ns) FROM position_reports WHERE {before}) AND {where} "
        "ORDER BY venue, instrument LIMIT ?",
        [*last, *arguments, wanted.limit],
    )
    return [_position(row, wanted.until_ns) for row in rows]


def _position(row: Columns, until_ns: int | None) -> Record:
    qty, entry = Decimal(row["qty"]), Decimal(row["entry_price"])
    told, ts_price_ns = row["price"], row["ts_price_ns"]
    if until_ns is not None and (ts_price_ns is None or ts_price_ns >= until_ns):
        told, ts_price_ns = row["close_price"], row["ts_ns"]
    price = None if told is None else Decimal(told)
    contract = Contract(split_instrument(row["instrument"]).kind)
    return {
        "time": iso(row["ts_ns"]),
        "ts_ns": row["ts_ns"],
        "venue": row["venue"],
        "instrument": row["instrument"],
        "qty": qty,
        "entry": entry,
        "close_price": price,
        "ts_price_ns": ts_price_ns,
        "unrealized": None if price is None else contract.profit(qty, entry, price),
        "certainty": Certainty.UNKNOWN if price is None else Certainty.KNOWN,
    }


def denials(ledger: Ledger, wanted: Wanted) -> list[Record]:
    """Return what risk denied and why, the newest last, with the opportunity where it is known."""
    rows = _newest(
        ledger,
        wanted,
        "SELECT denials.*, strategy_id, edge_bps, notional, net, quote FROM denials "
        "LEFT JOIN opportunities USING (opportunity_id)",
        "denials",
        time="denials.ts_ns",
        strategy="opportunities.strategy_id",
        reason="denials.reason",
        any_leg=ledger.any_leg("opportunities.legs"),
    )
    return [
        {
            "time": iso(row["ts_ns"]),
            "ts_ns": row["ts_ns"],
            "opportunity_id": row["opportunity_id"],
            "strategy": row["strategy_id"] or "",
            "reason": row["reason"],
            "edge_bps": None if row["edge_bps"] is None else Decimal(row["edge_bps"]),
            "net": None if row["net"] is None else Decimal(row["net"]),
            "quote": row["quote"] or "",
            "context": msgspec.json.decode(row["context"]),
        }
        for row in rows
    ]
