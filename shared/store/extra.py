"""The libraries of the extra ``[research]``: imported only when something needs them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from shared.errors import ConfigError

INSTALL = "pip install -c constraints.txt -e '.[research]'"


def need(name: str) -> Any:
    """Return a module of the extra.

    Raises:
        ConfigError: It is not installed; the text says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(_missing(name)) from error


def must_have(name: str) -> None:
    """Look whether a module of the extra is there, without loading it.

    Raises:
        ConfigError: It is not installed; the text says how to install it.
    """
    if find_spec(name) is None:
        raise ConfigError(_missing(name))


def _missing(name: str) -> str:
    return f"this needs {name.partition('.')[0]}; install it: {INSTALL}"
