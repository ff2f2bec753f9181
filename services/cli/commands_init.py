"""`arb init`: a first configuration, on paper; keys are checked before they are kept."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import settings
from services.cli.commands_look import AsJson
from services.cli.init.answers import Answers, checked, instruments_of, read_answers, split_list
from services.cli.init.key_files import check_keys, read_keys, store, variable_of
from services.cli.init.rendering import render
from services.cli.output import emit_json
from shared.bus.address import Endpoint, mask
from shared.config import DEFAULT_CONFIG
from shared.config_sections import BusConfig
from shared.embedded import SOCKET_PATH_MAX
from shared.errors import ConfigError
from shared.venues.key_rights import KeyRights
from shared.venues.registry import EVERY

KEYS, ENVIRONMENT = "keys", "arb.env"
IN_URL = re.compile(r"[^\s?#%@]+")
YES = Annotated[bool, typer.Option("--yes", help="Ask nothing; take the defaults.")]
ANSWERS = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Ask nothing; read a TOML file.")
]
CONFIG = Annotated[str, typer.Option("--config", metavar="FILE", help="What is written.")]
REDIS = Annotated[
    str,
    typer.Option(
        "--redis", metavar="URL", help="Redis to use; else the bundled one: arb up --embedded."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("init")(init)


def init(
    yes: YES = False,
    answers: ANSWERS = None,
    config: CONFIG = DEFAULT_CONFIG,
    redis: REDIS = "",
    as_json: AsJson = False,
) -> None:
    """Write a first configuration: real books, orders on paper, no secret in it."""
    path = Path(config)
    where = str(answers) if answers is not None else "arb init"
    files = [path, path.parent / ENVIRONMENT, path.parent / KEYS]
    if there := next((each for each in files if each.exists()), None):
        raise ConfigError(f"{there} is there already; move it away, or name another --config")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder; make it first")
    url = _address(redis, path.parent)
    secrets: dict[str, str] = {}
    if answers is not None:
        given = read_answers(answers)
        secrets = read_keys(
            {
                variable_of(venue, part): str(answers.parent / name)
                for venue, pair in given.keys.items()
                for part, name in (("KEY", pair.key_file), ("SECRET", pair.secret_file))
            }
        )
    elif yes:
        given = Answers()
    elif sys.stdin.isatty():
        given, secrets = _asked()
    else:
        raise ConfigError("no terminal to ask on; give --yes, or --answers FILE")
    rights = check_keys(given, secrets, where)
    _write(path, render(given, url), secrets)
    if as_json:
        emit_json(_result(path, given, rights))
    else:
        print("\n".join(_next_steps(path, given, rights, is_bundled=not redis)))


def _address(redis: str, folder: Path) -> str:
    """Return Redis' address: the one given, else a socket of the bundled server in the folder.

    Raises:
        ConfigError: It is none, holds a password, or the bundled server cannot have a socket there.
    """
    if redis:
        Endpoint(BusConfig(url=redis), "--redis")
        if mask(redis) != redis:
            raise ConfigError(
                f"--redis {mask(redis)}: no password is written into a configuration; leave it out "
                "here, and set ARB_REDIS_PASSWORD, or ARB_REDIS_PASSWORD_FILE"
            )
        return redis
    socket = str(folder.absolute() / ".arb" / "bus" / "valkey.sock")
    if len(socket) > SOCKET_PATH_MAX or not IN_URL.fullmatch(socket):
        raise ConfigError(
            f"{folder.absolute()}: the bundled Redis cannot have its socket there: its path would "
            f"be over {SOCKET_PATH_MAX} characters, or has a space or one of ?#%@; take another "
            "folder, or name a Redis with --redis"
        )
    return f"unix://{socket}"


def _asked() -> tuple[Answers, dict[str, str]]:
    answers = checked(
        Answers(
            venues=split_list(
                typer.prompt(f"Venues ({', '.join(EVERY)})", ", ".join(Answers().venues))
            ),
            assets=split_list(typer.prompt("Assets to trade", ", ".join(Answers().assets))),
            quote=typer.prompt("For which asset", Answers().quote),
            order_size=_amount("The most of one order, in it", Answers().order_size),
            capital=_amount("What every account on paper holds of it", Answers().capital),
        ),
        "arb init",
    )
    secrets: dict[str, str] = {}
    for venue in answers.venues:
        key = typer.prompt(f"API key of {venue} (none: Enter)", "", show_default=False).strip()
        if key:
            secrets[variable_of(venue, "KEY")] = key
            secret = typer.prompt(f"API secret of {venue}", hide_input=True).strip()
            secrets[variable_of(venue, "SECRET")] = secret
    return answers, secrets


def _amount(text: str, default: Decimal) -> Decimal:
    told = typer.prompt(text, f"{default:f}")
    try:
        amount = Decimal(told)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and amount > 0):
        raise ConfigError(f"arb init: {told!r} is no amount above 0")
    return amount


def _write(path: Path, text: str, secrets: dict[str, str]) -> None:
    """Write all of it, or nothing of a configuration that is not right."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    try:
        settings.check(str(temporary), {})
        if secrets:
            _keep(path.parent, secrets)
        temporary.replace(path)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(temporary), str(path))) from error
    finally:
        temporary.unlink(missing_ok=True)


def _keep(folder: Path, secrets: dict[str, str]) -> None:
    (folder / KEYS).mkdir(mode=0o700)
    try:
        stored = store(folder / KEYS, secrets)
        lines = [f"{k}_FILE={shlex.quote(str(file.absolute()))}" for k, file in stored.items()]
        (folder / ENVIRONMENT).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except BaseException:  # half of them would be in the way of another try
        shutil.rmtree(folder / KEYS, ignore_errors=True)
        (folder / ENVIRONMENT).unlink(missing_ok=True)
        raise


def _result(path: Path, given: Answers, rights: dict[str, KeyRights]) -> dict[str, Any]:
    return {
        "schema": 1,
        "config": str(path),
        "venues": instruments_of(given),
        "keys": {venue: told._asdict() for venue, told in rights.items()},
    }


def _next_steps(
    path: Path, given: Answers, rights: dict[str, KeyRights], *, is_bundled: bool
) -> list[str]:
    option = "" if str(path) == DEFAULT_CONFIG else f" --config {shlex.quote(str(path))}"
    lines = [f"{path}: {', '.join(given.venues)}; orders on paper, {given.capital:f} {given.quote}"]
    for venue, told in rights.items():
        may = "may not withdraw" if told.may_withdraw is False else "its rights are not told"
        lines.append(f"{path.parent / KEYS}: the key of {venue}, which works; {may}")
    if rights:
        there = shlex.quote(str((path.parent / ENVIRONMENT).absolute()))
        lines.append(f"next: set -a; . {there}; set +a")
    lines.append(f"next: arb up{' --embedded' if is_bundled else ''}{option}")
    lines.append("then: arb status, arb books, arb why")
    return lines
