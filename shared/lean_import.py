"""Imports a module of a library without what the library's packages import in their ``__init__``.

ccxt imports a hundred exchanges there, redis-py its cluster, search and JSON clients: tens of
megabytes in every process that uses one module. While the block runs, modules with the packages'
names and paths stand in for them; then they are taken away, so whoever imports the library as a
whole later gets all of it, with the same classes, and finds what is loaded already as its parts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
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
