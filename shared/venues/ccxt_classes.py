"""Single exchanges of ccxt, without all the others."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.errors import ConfigError
from shared.lean_import import imported_when_used, without_init

PACKAGES = ("ccxt", "ccxt.async_support")
PARTS = tuple(
    f"ccxt.base.{name}" for name in ("errors", "exchange", "decimal_to_precision", "precise")
)

RARELY_USED = ("requests", "cryptography.hazmat")
"""For its synchronous clients; and for keys that sign, where HMAC secrets need none of it."""


def _user_agent() -> str:
    """Return how ccxt's clients name themselves, without the library that they ask for it."""
    from importlib.metadata import version  # loads socket

    return f"python-requests/{version('requests')}"


_GIVEN = {"requests.utils.default_user_agent": _user_agent}


def exchange_ids() -> list[str]:
    """Return how ccxt calls its exchanges, without loading any of it."""
    found = find_spec("ccxt")
    assert found is not None, "a dependency"
    assert found.origin is not None, "it has an __init__"
    files = (Path(found.origin).parent / "async_support").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def check_exchange(ccxt_id: str, where: str = "") -> None:
    """Refuse a name that is none of ccxt's exchanges; ``where`` begins the error.

    Raises:
        ConfigError: It is none.
    """
    if ccxt_id not in exchange_ids():
        raise ConfigError(f"{where}ccxt has no exchange {ccxt_id!r}; arb venues --all lists them")


def load_exchange(ccxt_id: str) -> Any:
    """Return the class of an exchange's asynchronous client."""
    with without_init(*PACKAGES, parts=PARTS), imported_when_used(*RARELY_USED, given=_GIVEN):
        return getattr(import_module(f"ccxt.async_support.{ccxt_id}"), ccxt_id)


def streaming_ids() -> list[str]:
    """Return which exchanges have a streaming client in ccxt, without loading any of it."""
    found = find_spec("ccxt")
    assert found is not None, "a dependency"
    assert found.origin is not None, "it has an __init__"
    files = (Path(found.origin).parent / "pro").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def load_streaming(ccxt_id: str) -> Any:
    """Return the class of an exchange's streaming client."""
    rest = load_exchange(ccxt_id)
    with (
        without_init(*PACKAGES, "ccxt.pro", parts=PARTS),
        imported_when_used(*RARELY_USED, given=_GIVEN),
    ):
        whole, asynchronous = (sys.modules[name] for name in PACKAGES)
        vars(whole).update(async_support=asynchronous)
        for each in rest.__mro__:  # an exchange may be derived from another one
            setattr(asynchronous, each.__name__, each)
        return getattr(import_module(f"ccxt.pro.{ccxt_id}"), ccxt_id)


def load_base_error() -> type[Exception]:
    """Return what every error of ccxt is."""
    with without_init(*PACKAGES, parts=PARTS), imported_when_used(*RARELY_USED, given=_GIVEN):
        return import_module("ccxt.base.errors").BaseError  # type: ignore[no-any-return]
