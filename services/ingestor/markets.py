"""A short-lived child process that reads the venues' trading rules with ccxt and prints them.

Apart, because ccxt takes tens of megabytes, and decoding a real venue's list of markets holds the
interpreter for seconds: neither belongs beside a feed. Jobs in on standard input (one line of
JSON), answers out on standard output; when the parent dies its end of the pipe closes, and so does
this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from decimal import localcontext

import msgspec

from services.ingestor.engine.requests import ListingAnswered, ListingJob
from shared.errors import ConfigError
from shared.venues.ccxt_classes import load_exchange
from shared.venues.ccxt_source import PRECISION_MODE
from shared.venues.odd_markets import unreadable
from shared.venues.registry import load_ccxt_setup, load_feed

REQUEST_TIMEOUT_MS = 20_000


async def read_rules(job: ListingJob) -> ListingAnswered:
    """Load the venue's markets and return the rules of the instruments asked for."""
    feed, setup = load_feed(job.adapter), load_ccxt_setup(job.adapter)
    exchange = load_exchange(feed.ccxt_id)(
        {"options": dict(setup.OPTIONS), "timeout": REQUEST_TIMEOUT_MS}
    )
    setup.set_urls(exchange, job.rest_url)
    setup.leave_out_unreadable(exchange)
    try:
        with localcontext():  # ccxt changes the decimal context that it finds
            markets = await exchange.load_markets()
    except unreadable() as error:
        return ListingAnswered(job.venue, error=f"{type(error).__name__}: {error}"[:500])
    finally:
        await exchange.close()
    rules, missing = [], {}
    for instrument in job.instruments:
        market = markets.get(instrument)
        if market is None:
            missing[instrument] = "the venue does not list this instrument, or not readably"
            continue
        symbol, streamed = feed.to_symbol(instrument), feed.is_streamed_as(market)
        if symbol != streamed:
            missing[instrument] = (
                f"the venue's market of this name is {market['id']}, which it streams as "
                f"{streamed or 'nothing'}, not as {symbol}"
            )
            continue
        try:
            told = {**market, PRECISION_MODE: exchange.precisionMode}
            rules.append(feed.rules(job.venue, told))
        except ConfigError as error:
            missing[instrument] = str(error)
    return ListingAnswered(job.venue, rules, missing)


async def answer_all(jobs: list[ListingJob]) -> None:
    """Read several venues at a time; each is answered in a line as soon as it is read.

    Whatever goes wrong at one venue is that venue's answer: the others are read all the same.
    """
    reading = {asyncio.ensure_future(read_rules(job)): job for job in jobs}
    left = set(reading)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            failed = task.exception()
            if failed is not None:
                traceback.print_exception(failed)
                text = f"{type(failed).__name__}: {failed}"[:500]
                answer = ListingAnswered(reading[task].venue, error=text)
            else:
                answer = task.result()
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()


def _die_with_parent() -> None:
    sys.stdin.buffer.read()
    sys.stderr.write("the input was closed: the parent process has ended\n")
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Read the jobs, answer them, end."""
    jobs = msgspec.json.decode(sys.stdin.buffer.readline(), type=list[ListingJob])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    code = 1
    try:
        asyncio.run(answer_all(jobs))
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        # Not the usual end: it would abort, as the thread above still reads the input.
        os._exit(code)


if __name__ == "__main__":
    main()
