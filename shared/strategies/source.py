"""Checks the source of a strategy's own file before anything of it runs. Pure.

This is no sandbox: it keeps an honest author from what makes a strategy depend on more than its
inputs (a clock, files, the network, chance), which no replay could repeat.
"""

from __future__ import annotations

import ast
import difflib

from shared.errors import ConfigError

ALLOWED = (  # names to look through, many on a line
    "__future__", "abc", "bisect", "cmath", "collections", "copy", "dataclasses", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "re",
    "string", "types", "typing",
    "msgspec",
    "shared.domain", "shared.messages", "shared.strategies",
)  # fmt: skip
"""Modules, with all that is inside them."""
FORBIDDEN_NAMES = frozenset({  # names to look through, many on a line
    "__import__", "breakpoint", "compile", "eval", "exec", "exit", "globals", "input", "open",
    "print", "quit", "vars",
})  # fmt: skip
VARYING = frozenset({"hash", "id"})
BYTES_MAX = 1_000_000
USER_MODULE = "arb_strategy_"
"""What the name of a module begins with that was read from a user's file."""


def check_source(text: str, where: str) -> None:
    """Refuse a source that cannot be a strategy's.

    Raises:
        ConfigError: With the file, the line and what would be right.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(f"{where}:{error.lineno or 1}: not valid Python: {error.msg}") from error
    except ValueError as error:  # what is wrong on its first line, as older versions say it
        raise ConfigError(f"{where}:1: not valid Python: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ConfigError(f"{where}: not valid Python: {error}") from error
    for node in ast.walk(tree):
        for module in _imported(node, where):
            if not _is_allowed(module):
                raise ConfigError(f"{where}:{node.lineno}: {_refusal(module)}")  # type: ignore[attr-defined]
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in VARYING:
            raise ConfigError(
                f"{where}:{called.lineno}: {called.id}() differs from process to process; "
                "a strategy says the same wherever it runs"
            )
        if isinstance(node, ast.Name) and node.id == "KeyboardInterrupt":
            raise ConfigError(
                f"{where}:{node.lineno}: KeyboardInterrupt is the operator's; raise ValueError"
            )
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            raise ConfigError(
                f"{where}:{node.lineno}: {node.id}() has no place in a strategy: it reads nothing "
                "but its callbacks, and says nothing but what it returns"
            )


def _imported(node: ast.AST, where: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            raise ConfigError(
                f"{where}:{node.lineno}: a strategy is one file: no import from beside it"
            )
        return [node.module or ""]
    return []


def _is_allowed(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in ALLOWED)


def _refusal(module: str) -> str:
    near = difflib.get_close_matches(module, ALLOWED, n=1, cutoff=0.8)
    hint = f"do you mean {near[0]}? " if near else ""
    return (
        f"import of {module} is forbidden: {hint}a strategy has no clock, no IO and no chance of "
        f"its own; allowed are {', '.join(ALLOWED[1:])}"
    )
