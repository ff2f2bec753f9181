"""After a demo everything it holds is sold and bought back at the venues: the report said so.

Unmodified ccxt clients close every position at the simulated venues' own books, which stand still,
and bring every spot holding back. Then each asset's balances, over all venues, have changed by what
the report called realized and unrealized, less the fees of closing. Nothing here is taken from our
accounting but the report itself.

Equal means: no less, and more only by what the report's closing prices lose to rounding. They have
twelve digits, rounded against us. Coins are rounded to 1e-8 at each execution of an inverse
contract, either way. What is too little for an order is left over; it is worth what the best levels
pay for it that are left on that book.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal as D
from typing import Any

import ccxt.async_support
import pytest

from services.cli.demo import run_demo
from services.cli.demo_strategies import every_built_in
from services.cli.run import Run
from services.cli.venues import Addresses, ControlClient
from shared.venues.registry import load_ccxt_setup, load_feed
from shared.watch.report import Ending, build_report

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

SEEDS = (11, 22, 33)
SECONDS = 7
HELD_AT_THE_END = [each for each in every_built_in().strategies if each.id != "momentum"]
"""All but the one whose round has no hedge: a run's end flattens that, and the others with it."""
DIVISION, COIN_UNIT = D("1e-15"), D("1e-8")
CLOSE_PRICE_DIGITS = 12
AT_ANY_PRICE = {"buy": D("1.05"), "sell": D("0.95")}
Levels = Sequence[tuple[D, D]]
Amounts = dict[str, D]


def worth(levels: Levels, qty: D) -> D | None:
    """Return the quote units for which a book trades a quantity, ``None`` where it is too thin."""
    total = D(0)
    for price, size in levels:
        part = min(qty, size)
        total, qty = total + part * price, qty - part
        if not qty:
            return total
    return None


class Venues:
    """The simulated venues as a stranger sees them: ccxt clients, and what the venues hold."""

    def __init__(self, control: ControlClient, clients: Mapping[str, Any]) -> None:
        self.control, self.clients = control, clients

    async def levels(self, venue: str, instrument: str, side: str) -> Levels | None:
        """Return what an order would take, best first; ``None`` where that is not listed."""
        book = (await self.control.get("books"))[venue].get(instrument)
        if book is None:
            return None
        rows = book["asks" if side == "buy" else "bids"]
        return [(D(str(price)), D(str(size))) for price, size in rows]

    async def best(self, instrument: str, side: str, qty: D) -> str:
        """Return the venue where a quantity sells for most, or is bought for least."""
        totals = {}
        for venue in self.clients:
            levels = await self.levels(venue, instrument, side)
            total = None if levels is None else worth(levels, qty)
            if total is not None:
                totals[venue] = total
        assert totals, f"no book takes {qty} {instrument}"
        return (min if side == "buy" else max)(totals, key=totals.__getitem__)

    async def trade(self, venue: str, instrument: str, side: str, qty: D, first: D) -> D:
        """Take a quantity off a book, as much of it as an order may have; return how much."""
        client, is_perpetual = self.clients[venue], ":" in instrument
        limits = client.market(instrument)["limits"]
        lot = D(str(client.market(instrument)["precision"]["amount"]))
        amount = qty // lot * lot
        is_small = amount * first < D(str(limits["cost"]["min"] or 0)) and not is_perpetual
        if not amount or amount < D(str(limits["amount"]["min"] or 0)) or is_small:
            return D(0)
        price = client.price_to_precision(instrument, float(first * AT_ANY_PRICE[side]))
        parameters = {"timeInForce": "IOC"} | ({"reduceOnly": True} if is_perpetual else {})
        await client.create_order(
            instrument, "limit", side, float(amount), float(price), parameters
        )
        return amount


async def accounts(control: ControlClient) -> dict[str, Any]:
    raw: dict[str, Any] = await control.get("accounts")
    return raw


def held(raw: Mapping[str, Any]) -> Amounts:
    """Return every asset over all venues."""
    total: Amounts = {}
    for account in raw.values():
        for asset, balance in account["balances"].items():
            total[asset] = total.get(asset, D(0)) + D(balance["free"]) + D(balance["used"])
    return total


def summed(raw: Mapping[str, Any], name: str) -> Amounts:
    """Return the fees, or the funding, that the venues have booked, by asset."""
    total: Amounts = {}
    for account in raw.values():
        for asset, amount in account[name].items():
            total[asset] = total.get(asset, D(0)) + D(amount)
    return total


def less(one: Amounts, other: Amounts) -> Amounts:
    return {a: one.get(a, D(0)) - other.get(a, D(0)) for a in sorted({*one, *other})}


async def close_all(venues: Venues, positions: Sequence[Mapping[str, Any]]) -> tuple[Amounts, int]:
    """Close what the report holds open; return what the parts too small for orders are worth.

    That is, by asset, what the balances lack because these parts were not traded, and how many
    positions were closed by an order.
    """
    missing: Amounts = {}
    orders = 0
    for position in positions:
        instrument, qty = position["instrument"], position["qty"]
        base, quote = instrument.partition(":")[0].split("/")
        side = "sell" if qty > 0 else "buy"
        venue = position["venue"] or await venues.best(instrument, side, abs(qty))
        levels = await venues.levels(venue, instrument, side)
        assert levels is not None
        traded = await venues.trade(venue, instrument, side, abs(qty), levels[0][0])
        orders += traded > 0
        left = abs(qty) - traded
        if not left:
            continue
        assert not position["venue"], "a position of contracts is closed to the last one"
        levels = await venues.levels(venue, instrument, side)
        value = worth(levels or (), left)
        assert value is not None
        sign = 1 if qty > 0 else -1
        missing[quote] = missing.get(quote, D(0)) + sign * value
        missing[base] = missing.get(base, D(0)) - sign * left
    return missing, orders


def expected(report: Mapping[str, Any]) -> Amounts:
    """Return what the report says that was earned, by asset."""
    return {
        asset: money["realized"] + money["unrealized"] for asset, money in report["pnl"].items()
    }


def lost_to_rounding(positions: Sequence[Mapping[str, Any]]) -> Amounts:
    """Return what closing may bring more than was said, by quote asset: a digit of each price."""
    lost: Amounts = {}
    for position in positions:
        pair, _, settle = position["instrument"].partition(":")
        base, quote = pair.split("/")
        if settle != base:
            last_digit = D(1).scaleb(position["close_price"].adjusted() + 1 - CLOSE_PRICE_DIGITS)
            lost[quote] = lost.get(quote, D(0)) + abs(position["qty"]) * last_digit
    return lost


def differences(done: ClosedOut) -> list[str]:
    """Return where the balances have not become what the report said."""
    said, more_max = expected(done.report), lost_to_rounding(done.report["positions"])
    found = []
    for asset in sorted({*done.changed, *said}):
        more = done.changed.get(asset, D(0)) - said.get(asset, D(0))
        either_way = DIVISION + done.coins.get(asset, D(0))
        if not -either_way <= more <= more_max.get(asset, D(0)) + either_way:
            found.append(f"{asset}: {more:+f} than the report's {said.get(asset, D(0)):+f}")
    return found


@dataclasses.dataclass(slots=True)
class ClosedOut:
    """What closing everything at the venues came to."""

    report: dict[str, Any]
    changed: Amounts
    """Of all balances since the start, without the fees of closing and later funding."""
    coins: Mapping[str, D]
    """How far executions of inverse contracts may round, by coin."""
    orders: int
    fee_min: tuple[D, str] | None
    """The smallest fee of the run, and its asset."""


async def closed_out(run: Run, ending: Ending, addresses: Addresses) -> ClosedOut:
    """Close all that a demo holds at its end with clients of our own making."""
    report = build_report(run.collector, {}, ending)
    assert run.control is not None
    before = {venue: as_told(each) for venue, each in run.accounts_before.items()}
    ended = await accounts(run.control)
    async with AsyncExitStack() as stack:
        clients = {}
        for venue, keys in addresses.credentials.items():
            setup = load_ccxt_setup(venue)
            settings = {"apiKey": keys.api_key, "secret": keys.secret, "enableRateLimit": False}
            made = getattr(ccxt.async_support, load_feed(venue).ccxt_id)
            client = made({**settings, "options": dict(setup.OPTIONS)})
            stack.push_async_callback(client.close)
            setup.set_urls(client, addresses.http)
            await client.load_markets()
            clients[venue] = client
        missing, orders = await close_all(Venues(run.control, clients), report["positions"])
        after = await accounts(run.control)
        for venue, client in clients.items():
            told = {a: n for a, n in (await client.fetch_balance())["total"].items() if n}
            assert told == pytest.approx(
                {a: float(n) for a, n in held({venue: after[venue]}).items()}
            )
    for venue, account in after.items():
        assert not any(D(qty) for qty in account["positions"].values()), (
            venue,
            account["positions"],
        )
        assert not account["open_orders"]
    fees = less(summed(after, "fees"), summed(ended, "fees"))
    later = less(summed(after, "funding"), summed(before, "funding"))
    for paid in run.collector.funding.payments.items.values():
        later[paid.asset] -= paid.amount
    changed = less(held(after), held(before))
    for asset in changed:
        changed[asset] += fees.get(asset, D(0)) - later.get(asset, D(0)) + missing.get(asset, D(0))
    return ClosedOut(report, changed, coin_rounding(ended, after), orders, least_fee(report, ended))


def least_fee(report: Mapping[str, Any], ended: Mapping[str, Any]) -> tuple[D, str] | None:
    """Return the smallest fee that was paid in an asset that the report is about."""
    fills = [fill for account in ended.values() for fill in account["fills"]]
    paid = [(D(fill["fee"]), fill["fee_asset"]) for fill in fills]
    return min((each for each in paid if each[0] and each[1] in report["pnl"]), default=None)


def as_told(account: Any) -> dict[str, Any]:
    """Return an account in the control port's own shape."""
    return {
        "balances": {a: {"free": b.free, "used": b.used} for a, b in account.balances.items()},
        "funding": account.funding,
    }


def coin_rounding(ended: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, D]:
    """Return how far rounding of coins may go: a unit for each execution that closed a contract."""
    units: dict[str, D] = {}
    for venue, account in after.items():
        for fill in account["fills"][len(ended[venue]["fills"]) :]:
            pair, _, settle = fill["instrument"].partition(":")
            if settle and pair.startswith(f"{settle}/"):
                units[settle] = units.get(settle, D(0)) + COIN_UNIT
    return units


async def demo_closed_out(seed: int) -> ClosedOut:
    found: list[ClosedOut] = []

    async def at_end(run: Run, ending: Ending, addresses: Addresses) -> None:
        closing = asyncio.create_task(closed_out(run, ending, addresses))  # ccxt changes decimals
        found.append(await closing)

    shown = dataclasses.replace(every_built_in(), strategies=HELD_AT_THE_END)
    report = await run_demo(SECONDS, seed, True, shown, at_end=at_end)
    assert found, report["problems"]
    assert not differences(found[0]), (seed, report["problems"])
    assert (report["problems"], report["flattened"]) == ([], False)
    for asset, said in expected(report).items():
        assert report["venue_equity_change"][asset] == said, asset
    return found[0]


def without_a_fee(done: ClosedOut) -> ClosedOut:
    """Return the same with a report that has forgotten one fee."""
    assert done.fee_min is not None
    fee, asset = done.fee_min
    money = done.report["pnl"][asset]
    forgetful = {**done.report["pnl"], asset: {**money, "realized": money["realized"] + fee}}
    return dataclasses.replace(done, report={**done.report, "pnl": forgetful})


@pytest.mark.timeout(300)
async def test_what_a_demo_holds_sells_at_the_venues_for_what_its_report_said() -> None:
    orders = contracts = 0
    for seed in SEEDS:
        done = await demo_closed_out(seed)
        if done.fee_min:
            assert differences(without_a_fee(done)), "a fee is too little to tell"
        orders += done.orders
        contracts += sum(bool(each["venue"]) for each in done.report["positions"])
    assert orders > contracts > 0, "the demos held too little at their end to say anything"
