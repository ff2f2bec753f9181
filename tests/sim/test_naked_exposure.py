"""How long an uneven fill leaves a plan naked at venues 20 ms away, in virtual time.

The market moves every 150 ms, and nothing else goes wrong. ``tests/bench/naked_exposure.py``
measures the same with real processes.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import partial
from itertools import islice
from random import Random

import pytest

from services.executor.ids import parse_client_order_id
from services.lab.account import AccountPort
from services.lab.kinds import Kind
from services.lab.positions import key_of
from services.lab.world import START_NS, World
from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder, Order
from shared.messages.control import CommandKind
from tests.sim.test_kind_mutants import worlds_of

_MS = 1_000_000
ONE_WAY_MS = 10
TRADED_NS, ENDED_NS = 6_000 * _MS, 2_000 * _MS
BOOKS_NS = 100 * _MS
"""How often venues publish what has changed in their books."""
UNEVEN_SHARE = 0.5
"""Of legs, that fill to a part of what the book has, or to nothing."""
WORLDS, UNEVEN_MIN = 8, 100
NAKED_MS_MAX = 250
Signed = list[tuple[int, Decimal]]
"""When the venues filled something (ms), and the base units that it brought in."""


def naked_ms(fills: Signed, dust: Decimal) -> int | None:
    """Return how long fills left a plan apart by more than dust; ``None``: they still do."""
    begun_ms, apart, longest = 0, Decimal(0), 0
    for ts_ms, qty in fills:
        if abs(apart) <= dust:
            begun_ms = ts_ms
        apart += qty
        if abs(apart) <= dust:
            longest = max(longest, ts_ms - begun_ms)
    return None if abs(apart) > dust else longest


def fill_in_part(exchange: Exchange, draw: Random) -> None:
    """Let the first order of a leg fill in part now and then; what evens a plan out does not."""
    place = exchange.place

    def placed(request: IncomingOrder, now_ms: int, share: Decimal = Decimal(1)) -> Order:
        parsed = parse_client_order_id(request.client_id)
        if parsed is not None and parsed[2] == 0 and draw.random() < UNEVEN_SHARE:
            share = Decimal(draw.randrange(10)) / 10
        return place(request, now_ms, share)

    exchange.place = placed  # type: ignore[method-assign]


def tell_books(world: World) -> None:
    """Publish what our own orders took out of the books, too, and not only moves of the market."""
    world.feed.on_move()
    world.kernel.after(BOOKS_NS, partial(tell_books, world))


def times_of(seed: int) -> list[int | None]:
    """Trade for a while where legs fill in part; return the times of plans that were uneven."""
    world = World(seed)
    for exchange in world.exchanges.values():
        fill_in_part(exchange, Random(f"{seed}/{exchange.venue}/uneven"))
    world.start()
    tell_books(world)
    world.kernel.run_until(START_NS + TRADED_NS)
    world.send_command(CommandKind.HALT)
    world.kernel.run_until(START_NS + TRADED_NS + ENDED_NS)
    assert not world.checkers.violations, world.story
    of_plans: dict[str, Signed] = defaultdict(list)
    bases = {}
    for exchange in world.exchanges.values():
        for fill in exchange.fills:
            fee = fill.fee if fill.fee_asset == fill.listing.base else Decimal(0)
            of_plans[key_of(fill)].append((fill.ts_ms, fill.side.signed(fill.qty) - fee))
            bases[key_of(fill)] = fill.listing.base
    times = [naked_ms(sorted(of_plans[each]), world.dust(bases[each])) for each in of_plans]
    return [each for each in times if each != 0]


def ninety_ninth(times: list[int]) -> int:
    """Return the time that one in a hundred exceeds."""
    return sorted(times)[-1 - len(times) // 100]


@pytest.fixture
def near_venues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every request and every answer take 10 ms."""
    monkeypatch.setattr(AccountPort, "_latency_ns", lambda self: ONE_WAY_MS * _MS)


@pytest.mark.usefixtures("near_venues")
@pytest.mark.timeout(400)
def test_uneven_fills_are_evened_within_a_quarter_of_a_second() -> None:
    times: list[int] = []
    for seed in islice(worlds_of(Kind.PAIRS), WORLDS):
        found = times_of(seed)
        assert None not in found, f"seed {seed} left a plan uneven"
        times += [each for each in found if each is not None]
    assert len(times) >= UNEVEN_MIN
    assert ninety_ninth(times) < NAKED_MS_MAX, sorted(times)[-5:]
