"""`arb strategy list | check | new`: what there is, whether a file is right, and a first one."""

from __future__ import annotations

import asyncio
import inspect
import keyword
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Annotated, Any

import msgspec
import typer

from services.cli.commands_look import RedisUrl
from services.cli.commands_operate import ConfigPath
from services.cli.look import strategy_notes
from services.cli.output import console, emit_json
from services.cli.settings import check as check_config
from services.cli.settings import target
from shared.config_sections import Config, ScannerConfig, StrategyConfig
from shared.errors import ConfigError
from shared.look_ahead import Make, examine, market, run
from shared.messages.arb import Indication, Opportunity, Signal
from shared.messages.execution import RESERVED_STRATEGIES
from shared.strategies import template
from shared.strategies.failure import describe
from shared.strategies.params import shown
from shared.strategies.port import Input, Instance, Strategy
from shared.strategy_files import built_ins, configured, load
from shared.strategy_guard import returns_within
from shared.strategy_inputs import check_answers, check_inputs, inputs_of
from shared.watch.link import open_link

AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
EVENTS = 2_000
CUTS = 5
SEED = 7
RUN_CPU_S = 5.0
"""Of the processor, for one run through the made-up market; a usual one takes 0.1 s."""
HASH_SEEDS = ("1", "2")
VENUES = ("venue-1", "venue-2", "venue-3")
INSTRUMENTS = ("BTC/USDT", "ETH/USDT", "ETH/BTC", "BTC/USDC", "USDC/USDT", "BTC/USDT:USDT")
"""Of the made-up market, where a strategy wants every book."""
TEMPLATE_NAMES = frozenset(vars(template)) - {"TightBooks"}
"""What the template imports and defines: a class of such a name would hide it."""

strategy_app = typer.Typer(help="List, check or begin strategies (docs/strategies.md).")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(strategy_app, name="strategy")


@strategy_app.command("list")
def list_strategies(
    config: ConfigPath = None, redis: RedisUrl = None, as_json: AsJson = False
) -> None:
    """List built-in strategies, or those of --config; with --redis say which warm up, and why."""
    rows = []
    notes = asyncio.run(_notes(redis)) if redis is not None else None
    if config is None:
        entries = [StrategyConfig(id=name, class_=name) for name in built_ins()]
        scanner, where = ScannerConfig(), "built-in"
    else:
        found = check_config(config)
        entries, scanner, where = configured(found), found.scanner, config
    for entry in entries:
        instance = load(entry, scanner, where)
        assert instance.strategy is not None
        how = {} if notes is None else {"note": notes.get(instance.id, "")}
        rows.append(
            {
                "id": instance.id,
                "class": instance.detector,
                "what": _first_line(instance.strategy),
                "params": msgspec.to_builtins(instance.strategy.params),
                "warmup_ms": instance.strategy.warmup().span_ms,
                "strategy_hash": instance.strategy_hash,
                **how,
            }
        )
        if not as_json:
            console.print(f"{instance.id} ({instance.detector}): {rows[-1]['what']}", markup=False)
            console.print(f"    {shown(instance.strategy.params)}", markup=False)
            if how.get("note"):
                console.print(f"    {how['note']}", markup=False)
    if as_json:
        emit_json({"strategies": rows})


async def _notes(redis: str) -> dict[str, str]:
    async with open_link(target(redis)) as link:
        return await strategy_notes(link)


@strategy_app.command("check")
def check_strategy(
    file: Annotated[str, typer.Argument(metavar="FILE", help="FILE.py, FILE.py:CLASS or a name.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
    digest: Annotated[bool, typer.Option("--digest", hidden=True)] = False,
) -> None:
    """See whether a strategy can run, and whether it looks ahead; a mistake is one line, exit 2."""
    if not file:
        raise ConfigError("FILE is empty; give a file, like my_strategy.py, or a built-in's name")
    context = check_config(config) if config is not None else None
    scanner = context.scanner if context is not None else ScannerConfig()
    instance = load(StrategyConfig(id="check", class_=file), scanner, file)
    assert instance.strategy is not None
    check_answers(instance.strategy, file)
    wanted = inputs_of(instance.strategy, file)
    if context is not None:
        check_inputs(wanted, context.venues, file)
    books = _books(wanted, context)
    strategy = instance.strategy
    if digest:
        events = market(books, EVENTS, SEED, wanted)
        outputs = run(_maker(instance), events)
        print(blake2b(b"".join(outputs), digest_size=16).hexdigest())
        return
    found = _examine(instance, books, wanted, file)
    _compare_processes(file, config)
    if as_json:
        emit_json(
            {
                "ok": True,
                "class": instance.detector,
                "params": msgspec.to_builtins(strategy.params),
                "inputs": [list(depth) for depth in wanted],
                "views": EVENTS,
                "opportunities": found,
                "look_ahead": "none found" if found else "not known",
            }
        )
        return
    no_look_ahead = f"no look-ahead at {CUTS} cuts"
    if not found:
        no_look_ahead = "so whether it looks ahead is not known"
    console.print(
        f"right: {instance.detector}, {shown(strategy.params)}; found {found} opportunities in "
        f"{EVENTS} views of a made-up market; {no_look_ahead}",
        markup=False,
    )


def _maker(instance: Instance) -> Make:
    assert instance.strategy is not None
    kind, params = type(instance.strategy), instance.strategy.params
    return lambda: kind(instance.id, params)


def _compare_processes(file: str, config: str | None) -> None:
    """Run it in two processes that order sets of texts differently.

    Raises:
        ConfigError: Their outputs differ.
    """
    command = [sys.executable, "-m", "services.cli.main", "strategy", "check", file, "--digest"]
    if config is not None:
        command += ["--config", config]
    outputs = set()
    for seed in HASH_SEEDS:
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        outputs.add((done.returncode, done.stdout))
    if len(outputs) > 1:
        raise ConfigError(
            f"{file}: two processes on the same market differ: does it go through a set?"
        )


def _examine(
    instance: Instance, books: Sequence[tuple[str, str]], wanted: Sequence[Input], where: str
) -> int:
    """Run the look-ahead test and return how many opportunities there were.

    Raises:
        ConfigError: It looks ahead, or fails.
    """
    made = _maker(instance)
    events, draw = market(books, EVENTS, SEED, wanted), Random(SEED)
    cuts = sorted(draw.sample(range(len(books), len(events)), CUTS))
    try:
        with returns_within(RUN_CPU_S) as begin:

            def make() -> Strategy[Any]:
                begin()  # the time is that of one run
                return made()

            finding = examine(make, events, cuts, SEED)
            outputs = run(make, events)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: a user's code, told in one line
        raise ConfigError(f"{where}: fails on a made-up market: {describe(error)}") from error
    if finding is not None:
        raise ConfigError(f"{where}: {finding.text}")
    decode = msgspec.msgpack.Decoder(list[Opportunity | Signal | Indication]).decode
    try:
        return sum(len(decode(each)) for each in outputs)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: returns what is no opportunity: {error}") from error


def _books(wanted: Sequence[Input], config: Config | None) -> list[tuple[str, str]]:
    """Return the books that the made-up market has: what the strategy asks for."""
    venues = tuple(config.venues) if config is not None and len(config.venues) > 1 else VENUES
    books = [
        (venue, instrument)
        for depth in wanted
        for venue in ((depth.venue,) if depth.venue else venues)
        for instrument in ((depth.instrument,) if depth.instrument else INSTRUMENTS)
    ]
    return list(dict.fromkeys(books))


@strategy_app.command("new")
def new_strategy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Like my_strategy.")],
) -> None:
    """Write NAME.py, a strategy that runs, and print the lines that configure it."""
    stem = name.removesuffix(".py")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", stem):
        raise ConfigError(
            f"{name!r}: a name has at most 41 small letters, digits and '_', like my_strategy"
        )
    class_name = "".join(part.capitalize() for part in stem.split("_"))
    taken = keyword.iskeyword(class_name) or class_name in TEMPLATE_NAMES
    if taken or stem in RESERVED_STRATEGIES:
        use = f"class {class_name}, a name the file needs" if taken else "an id that is reserved"
        raise ConfigError(f"{name!r}: would be {use}; give another, like my_{stem}")
    path = Path(f"{stem}.py")
    source = source_of_template(class_name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(source)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; give another name") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    console.print(
        f"wrote {path}; it runs with these lines in the arb.toml beside it:\n\n"
        f'[[strategies]]\nid = "{stem}"\nclass = "{path}"\nparams = {{ edge_bps_min = 3.0 }}\n\n'
        f"try it: arb strategy check {path}",
        markup=False,
    )


def source_of_template(name: str) -> str:
    """Return the template's source, with its class renamed."""
    return inspect.getsource(template).replace("TightBooks", name)


def _first_line(strategy: Strategy[Any]) -> str:
    module = inspect.getmodule(type(strategy))
    return (inspect.getdoc(module) or "").partition("\n")[0].removesuffix(" Pure.")
