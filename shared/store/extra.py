"""The libraries of the extra ``[research]``: imported only when something needs them."""

from __future__ import annotations

from importlib import import_module
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
        raise ConfigError(f"this needs {name.partition('.')[0]}; install it: {INSTALL}") from error
