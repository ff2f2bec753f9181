"""How far a service is behind, read from a real Redis."""

from __future__ import annotations

import pytest

from shared.bus.tuning import POSITION_KEY
from shared.watch.lags import read_lags
from shared.watch.link import Link

KEY = "{arb}:exec.plan"
PLANS = {KEY: "exec.plan"}


async def lag_ms(link: Link) -> int:
    return (await read_lags(link, PLANS))["executor exec.plan"]


async def now_ms(link: Link) -> int:
    seconds, microseconds = await link._redis.time()
    return seconds * 1000 + microseconds // 1000


async def write(link: Link, at_ms: int) -> str:
    return (await link._redis.xadd(KEY, {"m": b""}, id=f"{at_ms}-0")).decode()


async def stand_at(link: Link, entry_id: str, instance: str = "a") -> None:
    await link._redis.hset(POSITION_KEY, f"executor:{instance}:{KEY}", entry_id)


async def test_a_quiet_stream_is_no_lag_when_something_is_written_at_last(link: Link) -> None:
    now = await now_ms(link)
    await stand_at(link, await write(link, now - 60_000))
    assert await lag_ms(link) == 0
    await write(link, now)
    assert 0 <= await lag_ms(link) < 30_000


async def test_one_entry_that_nobody_takes_is_a_lag_that_grows(link: Link) -> None:
    now = await now_ms(link)
    await stand_at(link, await write(link, now - 60_000))
    await write(link, now - 20_000)
    assert 20_000 <= await lag_ms(link) < 60_000
    await write(link, now - 1_000)
    assert 20_000 <= await lag_ms(link) < 60_000


async def test_another_instance_that_has_taken_it_counts(link: Link) -> None:
    now = await now_ms(link)
    await stand_at(link, await write(link, now - 60_000), "gone")
    await stand_at(link, await write(link, now - 20_000), "at-work")
    assert await lag_ms(link) == 0


async def test_of_what_was_trimmed_the_oldest_left_counts(link: Link) -> None:
    now = await now_ms(link)
    await stand_at(link, await write(link, now - 90_000))
    await write(link, now - 60_000)
    await write(link, now - 20_000)
    await link._redis.xtrim(KEY, maxlen=1, approximate=False)
    assert 20_000 <= await lag_ms(link) < 60_000


@pytest.mark.parametrize(
    "odd", ["", "7", "\u00b2-0", "-1-0", f"{10**30}-0", f"{2**64}-1", "9" * 5_000]
)
async def test_a_position_that_is_no_id_is_none_and_ends_nothing(link: Link, odd: str) -> None:
    await write(link, await now_ms(link) - 20_000)
    await stand_at(link, odd)
    assert await read_lags(link, PLANS) == {}
    await stand_at(link, "1-0", "at-work")
    assert 20_000 <= await lag_ms(link) < 60_000


async def test_a_key_that_is_no_stream_hides_the_lag_of_no_other(link: Link) -> None:
    other = "{arb}:exec.event"
    await link._redis.set(other, "odd")
    await link._redis.hset(POSITION_KEY, f"risk:a:{other}", "1-0")
    await write(link, await now_ms(link) - 20_000)
    await stand_at(link, "1-0")
    lags = await read_lags(link, {**PLANS, other: "exec.event"})
    assert lags.keys() == {"executor exec.plan"}, "not known, and not 0"
