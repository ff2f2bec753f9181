"""Finds the strategies that are configured: built-in by name, a user's own by the path of a file.

Reads files and runs a strategy's module once, so it is no part of any engine. Every mistake is one
line that names the file and what would be right.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib.abc import ExecutionLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from shared import domain, messages, strategies
from shared.config_parse import read_section
from shared.config_sections import Config, ScannerConfig, StrategyConfig
from shared.errors import ConfigError
from shared.strategies import built_in
from shared.strategies.callbacks import flaw_of_class
from shared.strategies.failure import describe
from shared.strategies.params import check_declared, flaw_of_made
from shared.strategies.port import Instance, Strategy
from shared.strategies.source import BYTES_MAX, USER_MODULE, check_source
from shared.strategy_guard import returns_within

DEFAULT = "cross_venue"
"""Runs where no [[strategies]] are configured; its parameters are those of [scanner]."""
LOAD_CPU_S = 1.0
"""Of the processor, for what a file does when it is read, and for making its strategy."""
_BUILT_IN: dict[str, tuple[type[Strategy[Any]], bytes]] = {}  # bounded by the built-in ones


def built_ins() -> list[str]:
    """Return the names of the built-in strategies: their files."""
    return sorted(found.name for found in pkgutil.iter_modules(built_in.__path__))


def configured(config: Config) -> list[StrategyConfig]:
    """Return the strategies that a configuration runs."""
    return list(config.strategies) or [StrategyConfig(id=DEFAULT, class_=DEFAULT)]


def load_strategies(config: Config, where: str = "configuration") -> list[Instance]:
    """Return every configured strategy; one that cannot run is there with its problem."""
    found = []
    for each in configured(config):
        try:
            found.append(load(each, config.scanner, where))
        except ConfigError as error:
            found.append(
                Instance(
                    id=each.id,
                    detector=each.class_,
                    problem=str(error),
                    on_disable=each.on_disable,
                )
            )
    return found


def load(entry: StrategyConfig, scanner: ScannerConfig, where: str) -> Instance:
    """Return one strategy.

    Raises:
        ConfigError: It cannot run.
    """
    place = f"strategies.{entry.id}"
    kind, detector, source = find_class(entry.class_, f"{where}: {place}")
    raw: Any = entry.params
    if detector == DEFAULT and isinstance(raw, dict):
        raw = {**_of_scanner(scanner), **raw}
    params = read_section(raw, kind.Params, where, f"{place}.params", texts_are_numbers=False)
    try:
        with returns_within(LOAD_CPU_S):
            strategy = kind(entry.id, params)
            flaw = flaw_of_made(strategy, entry.id, params)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: another's code, told in one line
        raise ConfigError(
            f"{where}: {place}: {kind.__name__} cannot be made: {describe(error)}"
        ) from error
    if flaw:
        raise ConfigError(f"{where}: {place}: {kind.__name__} cannot be made: {flaw}")
    digest = blake2b(source, digest_size=8)
    digest.update(msgspec.json.encode(params))
    return Instance(
        entry.id,
        detector,
        digest.hexdigest(),
        strategy,
        on_disable=entry.on_disable,
        code_hash=code_hash(),
    )


def _of_scanner(scanner: ScannerConfig) -> dict[str, Any]:
    return {
        "edge_bps_min": scanner.edge_bps_min,
        "notional_quote_max": scanner.notional_max,
        "book_age_ms_max": scanner.book_age_ms_max,
        "cooldown_ms": scanner.cooldown_ms,
        "opportunity_ttl_ms": scanner.opportunity_ttl_ms,
    }


def find_class(named: str, where: str) -> tuple[type[Strategy[Any]], str, bytes]:
    """Return a strategy's class, what it is called, and its source.

    Raises:
        ConfigError: There is none of that name, or its file is not right.
    """
    path, _, name = named.partition(":")
    if not path.endswith(".py"):
        kind, source = _BUILT_IN.get(named) or _load_built_in(named, where)
        return kind, named, source
    source = _read(path, where)
    module = _run(path, source)
    kind = _class_in(module, name, path)
    return kind, f"{Path(path).name}:{kind.__name__}", source


def _load_built_in(named: str, where: str) -> tuple[type[Strategy[Any]], bytes]:
    """Read and check a built-in strategy, once in a process; return its class and source."""
    names = built_ins()
    if named not in names:
        near = difflib.get_close_matches(named, names, n=1, cutoff=0.6)
        hint = f"do you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"{where}: no built-in strategy {named!r}; {hint}there are: "
            f"{', '.join(names)}; a file of your own is given like my_strategy.py"
        )
    try:
        module = importlib.import_module(f"{built_in.__name__}.{named}")
    except Exception as error:  # tidy-ok: a strategy that cannot be loaded is told in one line
        raise ConfigError(f"{where}: built-in strategy {named}: {describe(error)}") from error
    source = Path(str(module.__file__)).read_bytes()
    found = _BUILT_IN[named] = _class_in(module, "", where), source
    return found


def _class_in(module: ModuleType, name: str, where: str) -> type[Strategy[Any]]:
    there = {kind.__name__: kind for kind in _classes(module)}
    if not there:
        raise ConfigError(f"{where}: no strategy in it; write class Mine(Strategy[MineParams])")
    if not name and len(there) > 1:
        raise ConfigError(f"{where}: several strategies, {', '.join(there)}; give FILE.py:NAME")
    if name and name not in there:
        raise ConfigError(f"{where}: no strategy {name!r} in it; there are: {', '.join(there)}")
    kind = there[name] if name else next(iter(there.values()))
    check_declared(kind.Params, where)
    if flaw := flaw_of_class(kind):
        raise ConfigError(f"{where}: {kind.__name__}: {flaw}")
    return kind


def _classes(module: ModuleType) -> Iterator[type[Strategy[Any]]]:
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Strategy)
            and value.__module__ == module.__name__
        ):
            yield value


@cache
def code_hash() -> str:
    """Return a hash of the sources that strategies are built from."""
    digest = blake2b(digest_size=8)
    for package in (strategies, domain, messages):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: str, where: str) -> bytes:
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a zero byte in it
        raise ConfigError(f"{where}: {path!r} is no path of a file; like my_strategy.py") from error
    if len(source) > BYTES_MAX:
        raise ConfigError(f"{where}: {path} has more than {BYTES_MAX} bytes; is it a strategy?")
    return source


class _Text(ExecutionLoader):
    """Runs a source that was read already, so that what is hashed is what runs."""

    def __init__(self, path: str, text: str) -> None:
        self._path, self._text = path, text

    def get_filename(self, fullname: str) -> str:
        """Return where it was read."""
        return self._path

    def get_source(self, fullname: str) -> str:
        """Return it."""
        return self._text


def _run(path: str, source: bytes) -> ModuleType:
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from error
    check_source(text, path)
    name = f"{USER_MODULE}{blake2b(path.encode() + source, digest_size=8).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_loader(name, _Text(path, text), origin=path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where annotations are looked up
    try:
        with returns_within(LOAD_CPU_S):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: another's code, told in one line
        del sys.modules[name]
        raise ConfigError(f"{path}: {describe(error)}") from error
    return module
