"""House rules that a linter does not know, read from the sources themselves.

An exception is written where it is made: ``# tidy-ok: reason`` on the line (or on the line of the
``def`` or ``class``, or anywhere in the first three lines for a whole file).
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.venues.registry import EVERY
from tests.conftest import GROUPS
from tests.support import ROOT

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
CLASS_LINES_MAX = 250
PARAMETERS_MAX = 6  # more only by keyword

ESCAPE = re.compile(r"#\s*tidy-ok:\s*\S")
SOURCES = sorted(
    p for name in ("shared", "services", "arbstream") for p in (ROOT / name).rglob("*.py")
)
VENUES = EVERY
VENUE_NAME = re.compile("|".join(VENUES), re.IGNORECASE)
REGISTRY = "shared/venues/registry.py"

# What may be called only in its home: dotted name -> (files or folders, what to use instead).
HOMES: dict[str, tuple[tuple[str, ...], str]] = {
    "time.time": (("shared/clock.py",), "shared.clock, or now_ns as an argument"),
    "time.time_ns": (("shared/clock.py",), "shared.clock, or now_ns as an argument"),
    "time.monotonic_ns": (("shared/clock.py",), "shared.clock"),
    "time.monotonic": (("shared/clock.py",), "shared.clock"),
    "time.perf_counter": (("shared/clock.py",), "shared.clock"),
    "time.perf_counter_ns": (("shared/clock.py",), "shared.clock"),
    "time.process_time": (("shared/clock.py",), "shared.clock"),
    "datetime.now": ((), "shared.clock"),
    "datetime.utcnow": ((), "shared.clock"),
    "datetime.datetime.now": ((), "shared.clock"),
    "uuid.uuid4": ((), "ids are functions of inputs"),
    "uuid4": ((), "ids are functions of inputs"),
    "os.environ": (("shared/config.py", "services/cli/"), "shared.config"),
    "os.getenv": (("shared/config.py", "services/cli/"), "shared.config"),
    "print": (("services/cli/",), "shared.logs, or the ready line of a program"),
}
RANDOM_HOMES = ("shared/backoff.py",)  # jitter; everything else draws from a seeded Random


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def excused(path: Path, line: int) -> bool:
    lines = lines_of(path)
    return bool(ESCAPE.search(lines[line - 1])) or any(ESCAPE.search(text) for text in lines[:3])


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of code and comment: a docstring is documentation, not length."""
    first = node.body[0]
    docstring = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := dotted(node.value)):
        return f"{inner}.{node.attr}"
    return ""


def too_long(path: Path) -> Iterator[str]:
    if len(lines_of(path)) > FILE_LINES_MAX and not excused(path, 1):
        yield f"{relative(path)}: {len(lines_of(path))} lines, at most {FILE_LINES_MAX}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            limit = FUNCTION_LINES_MAX
        elif isinstance(node, ast.ClassDef):
            limit = CLASS_LINES_MAX
        else:
            continue
        if length(node) > limit and not excused(path, node.lineno):
            yield (
                f"{relative(path)}:{node.lineno}: {node.name} has {length(node)} lines, "
                f"at most {limit}"
            )


def too_many_parameters(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        positional = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        if positional and positional[0] in {"self", "cls"}:
            positional = positional[1:]
        if len(positional) > PARAMETERS_MAX and not excused(path, node.lineno):
            yield (
                f"{relative(path)}:{node.lineno}: {node.name} takes {len(positional)} positional "
                f"parameters, at most {PARAMETERS_MAX}; make the rest keyword-only"
            )


def away_from_home(path: Path) -> Iterator[str]:
    here = relative(path)
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, (ast.Attribute, ast.Name)) or not (name := dotted(node)):
            continue
        if isinstance(node.ctx, ast.Store) or excused(path, node.lineno):
            continue
        if name in HOMES:
            homes, instead = HOMES[name]
            if not here.startswith(homes or ("-",)):
                yield f"{here}:{node.lineno}: {name} belongs in {homes or 'no file'}; use {instead}"
        elif re.fullmatch(r"random\.[a-z]\w*", name) and not here.startswith(RANDOM_HOMES):
            yield f"{here}:{node.lineno}: {name}: draw from a random.Random(seed) that is passed in"


def swallowed(path: Path) -> Iterator[str]:
    if relative(path) == "shared/runner.py":
        return
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = node.type is None or any(
            c is not None and dotted(c) in {"Exception", "BaseException"} for c in caught
        )
        passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if broad and not passed_on and not excused(path, node.lineno):
            yield (
                f"{relative(path)}:{node.lineno}: catches everything; name the errors, "
                "or let the runner end the process"
            )


def venue_named(path: Path) -> Iterator[str]:
    """A venue named outside its folder and its row, in code or in prose.

    A venue of a family may name another one, whose protocol it shares.
    """
    here = relative(path)
    if here == REGISTRY or any(here.startswith(f"shared/venues/{name}/") for name in VENUES):
        return
    for number, text in enumerate(lines_of(path), 1):
        named = VENUE_NAME.search(text)
        if named and not excused(path, number):
            yield f"{here}:{number}: names {named.group()} outside the venue's folder"


def left_over(path: Path) -> Iterator[str]:
    for number, text in enumerate(lines_of(path), 1):
        if re.search(r"\b(FIXME|TODO|XXX|HACK)\b", text) and not excused(path, number):
            yield f"{relative(path)}:{number}: {text.strip()[:60]}"


def undocumented(path: Path) -> Iterator[str]:
    if lines_of(path) and not (ast.get_docstring(tree_of(path)) or excused(path, 1)):
        yield f"{relative(path)}: no docstring that says what the module is and what is pure in it"


RULES = [
    too_long,
    too_many_parameters,
    away_from_home,
    swallowed,
    venue_named,
    left_over,
    undocumented,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds_everywhere(rule) -> None:
    found = [finding for path in SOURCES for finding in rule(path)]
    assert not found, "\n" + "\n".join(found)


def test_tests_hold_no_leftovers() -> None:
    paths = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    found = [finding for path in paths for finding in left_over(path)]
    assert not found, "\n" + "\n".join(found)


def imports_of(path: Path) -> Iterator[str]:
    package = relative(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # relative
                base = package.rsplit(".", node.level)[0] if "." in package else package
                module = f"{base}.{module}".rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_module_is_imported_or_run() -> None:
    """A module that nothing imports and nobody starts is dead."""
    everything = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "deploy").rglob("*.py")]
    imported = {name for path in everything for name in imports_of(path)}
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "pyproject.toml"]
    started = "\n".join(p.read_text(encoding="utf-8") for p in texts)
    dead = []
    for path in SOURCES:
        module = relative(path).removesuffix(".py").replace("/", ".")
        if path.name in {"__init__.py", "__main__.py"} or module in imported or module in started:
            continue
        if path.parent == ROOT / "shared" / "strategies" / "built_in":
            continue  # configured by the name of the file
        # Venue folders are loaded by name: <package>.<venue>.<part>
        loader = re.sub("|".join(sorted(VENUES, key=len, reverse=True)), "{adapter}", module)
        if any(loader in "\n".join(lines_of(p)) for p in SOURCES):
            continue
        dead.append(module)
    assert not dead, f"nothing imports: {', '.join(dead)}"


def test_no_registry_address_in_the_project() -> None:
    """Where packages come from is the machine's business, not the project's."""
    hosts = re.compile(r"index-url|extra-index|pypi\.org/simple|find-links", re.IGNORECASE)
    names = ["constraints.txt", "pyproject.toml", "Makefile", "deploy/Dockerfile", ".ci/run"]
    found = [n for n in names if (p := ROOT / n).exists() and hosts.search(p.read_text())]
    assert not found, f"a package index is named in {found}"


def test_constraints_pin_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, separator, version = line.partition("==")
        assert separator and version, f"constraints.txt: {line!r} is not NAME==VERSION"
        pins[name.lower().replace("_", "-")] = version
    names = {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0].lower() for text in wanted}
    names.discard(project["name"])  # an extra that includes another one
    assert not names - set(pins), f"not pinned: {sorted(names - set(pins))}"


SAMPLES = {
    "too_long": "def f():\n" + "    x = 1\n" * 80,
    "too_many_parameters": "def f(a, b, c, d, e, f, g): ...\n",
    "away_from_home": "import time\nt = time.time()\n",
    "swallowed": "try:\n    pass\nexcept Exception:\n    pass\n",
    "venue_named": "# as at KRAKEN\n",
    "left_over": "# TO" + "DO later\n",
    "undocumented": "x = 1\n",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_can_fail_and_be_excused(rule, tmp_path, monkeypatch) -> None:
    """A rule that never fires protects nothing."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    bad = tmp_path / "bad.py"
    bad.write_text(SAMPLES[rule.__name__])
    assert list(rule(bad))
    good = tmp_path / "good.py"
    good.write_text("# tidy-ok: a reason\n" + SAMPLES[rule.__name__])
    assert not list(rule(good))


def test_tables_of_documents_are_tables() -> None:
    """An editor that wraps lines makes a paragraph of bars out of one."""
    found = [
        f"{relative(path)}:{number}"
        for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
        for number, text in enumerate(lines_of(path), 1)
        if "|---|" in text and not re.fullmatch(r"\|[-:| ]+\|", text)
    ]
    assert not found, f"no table, but its bars in a paragraph: {found}"


def test_what_one_worker_runs_alone_is_there() -> None:
    assert [path for path in GROUPS if not (ROOT / path).exists()] == []


def test_every_exception_is_still_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        path: [n for n, text in enumerate(lines_of(path), 1) if ESCAPE.search(text)]
        for path in SOURCES
    }
    monkeypatch.setattr(sys.modules[__name__], "ESCAPE", re.compile("(?!)"))
    for path, numbers in made.items():
        found = [text for rule in RULES for text in rule(path)] if numbers else []
        for number in numbers:
            where = f"{relative(path)}:" if number <= 3 else f"{relative(path)}:{number}:"
            assert any(text.startswith(where) for text in found), f"{where} no rule objects to it"
