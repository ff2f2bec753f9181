"""A module of a library comes without the rest of it, and the whole still loads after it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shared.venues.registry import EVERY, load_feed
from tests.support import ROOT


def run(script: str) -> list[str]:
    """Return what a script prints in a fresh interpreter."""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ran.stdout.split()


@pytest.mark.parametrize("adapter", EVERY)
def test_one_exchange_comes_without_the_others(adapter: str) -> None:
    wanted = load_feed(adapter).ccxt_id
    script = (
        "import sys; from shared.venues.ccxt_classes import load_exchange\n"
        f"print(load_exchange({wanted!r})().id)\n"
        "print(*(name for name in sys.modules if name.startswith('ccxt.async_support.')))"
    )
    found, *modules = run(script)
    exchanges = [name for name in modules if "base" not in name.split(".")]
    assert found == wanted
    assert f"ccxt.async_support.{wanted}" in exchanges
    assert len(exchanges) <= 2  # one may be made from another


def test_ccxt_as_a_whole_comes_later_with_the_same_classes() -> None:
    script = (
        "from shared.venues.ccxt_classes import load_base_error, load_exchange\n"
        "few = load_exchange('kraken'), load_base_error()\n"
        "import ccxt.async_support as ccxt\n"
        "print(few == (ccxt.kraken, ccxt.BaseError), hasattr(ccxt, 'okx'))"
    )
    assert run(script) == ["True", "True"]


def test_where_ccxt_is_loaded_already_its_class_is_given() -> None:
    script = (
        "import ccxt.async_support as ccxt\n"
        "from shared.venues.ccxt_classes import load_base_error, load_exchange\n"
        "print((load_exchange('kraken'), load_base_error()) == (ccxt.kraken, ccxt.BaseError))"
    )
    assert run(script) == ["True"]


def test_an_executor_on_paper_loads_no_client() -> None:
    script = (
        "import sys, services.executor.__main__\n"
        "print(*(name for name in ('ccxt', 'aiohttp', 'requests')"
        " if name in sys.modules))"
    )
    assert run(script) == []


def test_what_was_loaded_alone_is_a_part_of_the_whole() -> None:
    script = (
        "from shared.bus.redis_parts import RedisError\n"
        "import redis, redis.asyncio\n"
        "print(issubclass(redis.exceptions.NoPermissionError, RedisError),"
        " redis.asyncio.connection.__name__)"
    )
    assert run(script) == ["True", "redis.asyncio.connection"]


def test_the_bus_loads_no_redis_client_and_the_client_loads_later() -> None:
    script = (
        "import sys\n"
        "from shared.bus.redis_parts import Connection, RedisError\n"
        "print('redis.commands.core' in sys.modules)\n"
        "import redis.asyncio\n"
        "print((redis.asyncio.Connection, redis.RedisError) == (Connection, RedisError))\n"
        "print(redis.asyncio.Redis.__name__)"
    )
    assert run(script) == ["False", "True", "Redis"]
