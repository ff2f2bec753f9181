"""What a backtest found, for its report: all of it follows from what went in, nothing of the clock.

The report itself, with its run id, is made by ``services/research``.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from services.lab.backtest import Backtest
from services.lab.backtest_account import BacktestAccount
from services.lab.backtest_assumed import assumed
from services.lab.backtest_terms import BacktestConfig
from services.lab.fill_costs import splits_of
from services.lab.tables import Tables
from shared.domain.instrument import is_spot
from shared.domain.order import ZERO
from shared.store.manifest import sha256_of
from shared.strategy_files import load_strategies
from shared.watch.report import Ending, build_report

ROOT = Path(__file__).parents[2]
CODE = ("shared", "services")
CLOCK = ("seconds", "services", "latency_us", "streams", "open_orders", "ledger_equal")
"""Parts of the report of a live run that a backtest has not, or that differ from run to run."""
LISTED_MAX = 1_000
"""Trades that the report lists."""

EVERYWHERE = (
    "what our orders change in the market beyond the levels that they take: others do not "
    "react, and the books that strategies see still show what we took (an order for it finds "
    "nothing there until the venue shows a change)",
    "orders that rest, so market making too: an order takes what is there when it arrives, or ends",
    "deleveraging: a venue closes what its margin no longer covers, and nothing that wins",
    "rate limits of venues",
    "depth beyond the levels of a view (orderbook.depth_levels): an order fills within them",
    "transfers between venues: what is bought at one stays there",
    "latency that grows when the market is busy: it is drawn as configured",
)
NOT_MODELLED = {
    "recording": (),
    "depth": (
        "less exact than raw recordings: tick, lot and least order are what shows in the levels, "
        "and connections that broke show as pauses only",
    ),
    "bars": (
        "much less exact than order books: of a bar the open is told at its begin, low and high "
        "(the nearer one first) and close at its end, each with a quarter of its volume",
        "the spread, which is backtest.spread_bps, and the depth, which is without bounds: every "
        "fill is whole, whatever its size, and has no impact",
        "ages of books: one is good until the next price of its bar",
        "timers of services between two prices of a bar while nothing is in flight",
    ),
}
CONDITIONS = {"reject_rate": "rejects", "outages_per_hour": "outages of order entry"}
NO_CONDITION = "{} that the recording does not show, at {}: give backtest.{}"
NO_MARGIN = "margin and liquidation at {}: give backtest.venues.{}.leverage"
NO_MARKS = "liquidation of {} {}: the data have no marks of it"
ONE_FEE = "tiers of fees at {}: give backtest.venues.{}.fee_tiers"


def data_of(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what identifies the files that were read, whatever their order."""
    found = [
        {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in {path.resolve() for path in paths}
    ]
    return sorted(found, key=lambda each: (each["file"], each["sha256"]))


def code_hash() -> str:
    """Return a hash of the sources that a backtest runs."""
    digest = blake2b(digest_size=16)
    for part in CODE:
        for path in sorted((ROOT / part).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def facts_of(
    run: Backtest, ended: Ending, terms: BacktestConfig, data: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the facts of a run."""
    source = run.contents.source if isinstance(run.contents, Tables) else "recording"
    report = build_report(run.collector, {}, ended)
    accounts = list(run.accounts.accounts.values())
    paid, parts = accounts_of(accounts), run.accounts.costs.parts
    profits = {quote: line[-1] for quote, line in run.curve.profits.items()}
    unknown = [quote for quote, each in report["pnl"].items() if each["funding"] is None]
    return {
        "kind": "trading",
        "source": source,
        "identity": identity_of(run, terms, data),
        "span": {"first_ns": run.contents.first_ns, "last_ns": run.contents.last_ns},
        "result": {name: part for name, part in report.items() if name not in CLOCK},
        "capital": run.capital(),
        "curve": {"times_ns": run.curve.times_ns, "profits": run.curve.profits},
        "days": {"times_ns": run.days.times_ns, "profits": run.days.profits},
        "accounts": paid,
        "split": splits_of(parts, profits, paid, unknown),
        "traded": {cash: each.traded for cash, each in parts.items()},
        "round_trips": run.trips.told(LISTED_MAX),
        "payments": [p for account in accounts for p in account.payments][-LISTED_MAX:],
        "liquidations": [x._asdict() for account in accounts for x in account.liquidations],
        "fills": list(run.fills)[-LISTED_MAX:],
        "fill_count": run.fill_count,
        "plans": list(run.done)[-LISTED_MAX:],
        "assumed": assumed(terms, run.accounts.accounts, run.accounts.clocks.seen),
        "not_modelled": not_modelled(run, terms, source),
    }


def identity_of(run: Backtest, terms: BacktestConfig, data: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a run follows from; places of this machine are no part of it."""
    config = msgspec.to_builtins(run.config)
    for name in ("bus", "observe", "recorder"):
        del config[name]
    for each in config["strategies"]:
        each["class"] = Path(each["class"]).name
    return {
        "data": data,
        "config": config,
        "terms": msgspec.to_builtins(terms),
        "strategies": {each.id: each.strategy_hash for each in load_strategies(run.config)},
        "seed": terms.seed,
        "code": code_hash(),
        "versions": {
            "python": platform.python_version(),
            "msgspec": msgspec.__version__,
        },
    }


def accounts_of(accounts: Sequence[BacktestAccount]) -> dict[str, Any]:
    """Return what all accounts together earned and paid, by quote asset."""
    found: dict[str, dict[str, Decimal]] = {}
    for account in accounts:
        for quote, result in sorted(account.books.results.items()):
            sums = found.setdefault(quote, dict.fromkeys(("realized", "fees", "funding"), ZERO))
            for name in sums:
                sums[name] += getattr(result, name)
    return found


def not_modelled(run: Backtest, terms: BacktestConfig, source: str) -> list[str]:
    """Return what the run leaves out."""
    found = [*NOT_MODELLED[source], *EVERYWHERE]
    for name, what in CONDITIONS.items():
        lacking = [v for v in run.accounts.accounts if not getattr(terms.conditions(v), name)]
        if lacking:
            found.append(NO_CONDITION.format(what, ", ".join(lacking), name))
    for venue, account in run.accounts.accounts.items():
        perpetuals = [name for at, name in run.contents.rules if at == venue and not is_spot(name)]
        if perpetuals and not terms.of(venue).leverage:
            found.append(NO_MARGIN.format(venue, venue))
        elif perpetuals:
            found += [NO_MARKS.format(venue, n) for n in perpetuals if n not in account.marked]
        if not terms.of(venue).fee_tiers:
            found.append(ONE_FEE.format(venue, venue))
        if account.funding_unknown:
            found.append(f"{account.funding_unknown} fundings at {venue}: no mark, or coin-settled")
    return found
