"""Imports a module of a library without what the library's packages import in their ``__init__``.

ccxt imports a hundred exchanges there, redis-py its cluster, search and JSON clients: tens of
megabytes in every process that uses one module. While the block runs, modules with the packages'
names and paths stand in for them; then they are taken away, so whoever imports the library as a
whole later gets all of it, with the same classes, and finds what is loaded already as its parts.

What a library imports for a case that may never come (ccxt: a second HTTP client, and the keys that
few venues sign with) is loaded when it is first used (``imported_when_used``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any


class _PackageStub(ModuleType):
    """A package that was not run. ``parts`` are the modules where its names are defined."""

    def __init__(self, name: str, parts: tuple[str, ...]) -> None:
        super().__init__(name)
        spec = find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"no package named {name}", name=name)
        self.__spec__, self.__path__ = spec, list(spec.submodule_search_locations)
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            for part in map(import_module, self._parts):
                if hasattr(part, name):
                    return getattr(part, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _StubFinder:
    """Finds a package that is imported as a whole after some of its modules were imported alone.

    Python makes a module an attribute of its package when it loads the module; the package was not
    there then.
    """

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the package is; what is loaded of it is put in place before it runs."""
        spec = PathFinder.find_spec(name, path, target) if name in self.packages else None
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return None
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            for full_name, part in list(sys.modules.items()):
                parent, _, child = full_name.rpartition(".")
                if parent == name:
                    setattr(module, child, part)
            run(module)

        loader.exec_module = exec_module
        return spec


@contextmanager
def without_init(*packages: str, parts: tuple[str, ...] = ()) -> Iterator[None]:
    """Do not run the ``__init__`` of these packages for an import in the block.

    Args:
        packages: Outer ones first. Nothing is different where one of them is loaded already.
        parts: Modules that define what others import from the packages themselves.
    """
    if any(name in sys.modules for name in packages):
        yield
        return
    try:
        for name in packages:
            sys.modules[name] = _PackageStub(name, parts)
        yield
    finally:
        for name in packages:
            sys.modules.pop(name, None)
        finders: list[Any] = sys.meta_path  # no subclass of Finder: importlib.abc loads random
        if not any(isinstance(each, _StubFinder) and each.packages == packages for each in finders):
            finders.insert(0, _StubFinder(packages))


class _Later:
    """A name of a module that is imported when it is first used after the block."""

    def __init__(self, path: str, finder: _LaterFinder) -> None:
        self._path, self._finder = path, finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._finder.is_open:  # a class that is being made only keeps it
            return _Later(f"{self._path}.{name}", self._finder)
        return getattr(self._resolve(), name)

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self._resolve()(*values, **named)

    def _resolve(self) -> Any:
        from pkgutil import resolve_name

        return resolve_name(self._path)


class _LaterModule(ModuleType):
    """Stands in for a module in the block; every name can be imported from it."""

    _finder: _LaterFinder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self.__name__}.{name}"
        return self._finder.given.get(path) or _Later(path, self._finder)


class _LaterFinder:
    """Finds a stand-in for every module of some packages."""

    def __init__(self, packages: frozenset[str], given: Mapping[str, Any]) -> None:
        self.packages, self.given, self.is_open = packages, given, True

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a stand-in is made."""
        if not any(name == each or name.startswith(f"{each}.") for each in self.packages):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a stand-in."""
        module = _LaterModule(spec.name)
        module._finder = self
        return module

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


@contextmanager
def imported_when_used(
    *packages: str, given: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[None]:
    """Let modules that are loaded in the block use these packages without loading them.

    A call of what was imported, or an attribute of it, loads the real one. For names that are
    called or read, not for base classes or exceptions. What is loaded already is used as it is.

    Args:
        packages: Or parts of them, like ``a.b``.
        given: By its full name, what is used in the place of the real one.
    """
    finder = _LaterFinder(frozenset(packages) - sys.modules.keys(), given)
    finders: list[Any] = sys.meta_path
    finders.insert(0, finder)
    try:
        yield
    finally:
        finder.is_open = False
        finders.remove(finder)
        for name in [n for n, module in sys.modules.items() if isinstance(module, _LaterModule)]:
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(child, None)
            del sys.modules[name]
