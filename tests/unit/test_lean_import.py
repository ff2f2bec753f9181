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


HEAVY = ("requests", "urllib3", "charset_normalizer", "cryptography.hazmat")


def test_a_live_executor_loads_no_second_client_and_no_ciphers_that_it_does_not_use() -> None:
    ids = [load_feed(adapter).ccxt_id for adapter in EVERY]
    script = (
        "import sys, services.executor.__main__, shared.accounts.ccxt_gateway\n"
        "from hashlib import sha256\n"
        "from shared.venues.ccxt_classes import load_exchange\n"
        f"for name in {ids}:\n"
        "    client = load_exchange(name)({'apiKey': 'k', 'secret': 'c2VjcmV0'})\n"
        "    client.hmac(b'text', b'secret', sha256)\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    assert run(script) == []


SIGN = """
from hashlib import sha256
from ccxt.base.exchange import Exchange
from tests.unit.test_lean_import import pem_of_tests
text, key = "timestamp=1&quantity=2", "7" * 64
signed = [Exchange.ecdsa(text, key, curve, "sha256") for curve in ("p256", "secp256k1")]
signed += [Exchange.rsa(text, pem_of_tests()), Exchange.eddsa(text.encode(), b"7" * 32)]
signed += [len(Exchange.rsa(text, pem_of_tests(), padding_mode="pss"))]
signed += [Exchange.secp256k1_uncompressed_public_key(b"7" * 32).hex()]
print(sha256(repr(signed).encode()).hexdigest())
"""


def pem_of_tests() -> str:
    """Return an RSA key, the same one every time."""
    from cryptography.hazmat.primitives import serialization as names
    from cryptography.hazmat.primitives.asymmetric import rsa

    p, q, e = 2**521 - 1, 2**607 - 1, 65_537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    kind = names.Encoding.PEM, names.PrivateFormat.PKCS8, names.NoEncryption()
    return numbers.private_key().private_bytes(*kind).decode()


def test_a_client_names_itself_as_it_always_does() -> None:
    script = "print(load_exchange('kraken')().userAgent)"
    lean = run("from shared.venues.ccxt_classes import load_exchange\n" + script)
    from requests.utils import default_user_agent

    assert lean == [default_user_agent()]


def test_keys_that_sign_are_loaded_when_one_does_and_sign_alike() -> None:
    lean = "from shared.venues.ccxt_classes import load_exchange\nload_exchange('kraken')\n"
    (signed,) = run(lean + SIGN)
    assert [signed] == run("import ccxt.async_support" + SIGN)


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
