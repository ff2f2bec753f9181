"""Single exchanges of ccxt, without all the others."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from shared.lean_import import without_init

PACKAGES = ("ccxt", "ccxt.async_support")
PARTS = tuple(
    f"ccxt.base.{name}" for name in ("errors", "exchange", "decimal_to_precision", "precise")
)


def load_exchange(ccxt_id: str) -> Any:
    """Return the class of an exchange's asynchronous client."""
    with without_init(*PACKAGES, parts=PARTS):
        return getattr(import_module(f"ccxt.async_support.{ccxt_id}"), ccxt_id)


def load_base_error() -> type[Exception]:
    """Return what every error of ccxt is."""
    with without_init(*PACKAGES, parts=PARTS):
        return import_module("ccxt.base.errors").BaseError  # type: ignore[no-any-return]
