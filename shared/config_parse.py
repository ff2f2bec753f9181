"""TOML text to sections: every mistake is named by its place and with what would be right."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from shared.config_sections import StrategyConfig, VenueConfig
from shared.domain.windows import window_of
from shared.errors import ConfigError
from shared.messages.bounds import INSTRUMENT, VENUE
from shared.messages.execution import RESERVED_STRATEGIES

S = TypeVar("S", bound=msgspec.Struct)
WHOLE_NUMBER_MAX = 2**53
"""Beyond it a whole number is not a setting but a typing error."""
_PLACE = re.compile(r" - at `\$(?P<path>.*)`$")


def read_toml(text: str, where: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ConfigError: It is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    except (RecursionError, ValueError) as error:  # nested or written without end
        raise ConfigError(f"{where}: not valid TOML: {str(error)[:80]}") from error


def check_names(given: Iterable[str], known: Iterable[str], where: str, place: str) -> None:
    """Refuse a key that does not exist.

    Raises:
        ConfigError: It does not; the text names the nearest that does.
    """
    there = list(known)
    for name in given:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
            hint = f"do you mean {near[0]}?" if near else f"there are: {', '.join(there)}"
            full = f"{place}.{name}" if place else name
            raise ConfigError(f"{where}: unknown key {full}; {hint}")


def read_section(
    raw: Any, kind: type[S], where: str, place: str, *, texts_are_numbers: bool = True
) -> S:
    """Return one section of the type asked for.

    Args:
        raw: The table as it was read.
        kind: What it is to become.
        where: The file, for messages.
        place: The section, for messages.
        texts_are_numbers: Whether "3" in quotation marks is taken for 3.

    Raises:
        ConfigError: An unknown key, a wrong type or an impossible value.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: {place} must be a table, like [{place}]")
    check_names(raw, kind.__struct_encode_fields__, where, place)
    try:
        section = msgspec.convert(raw, kind, strict=not texts_are_numbers)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PLACE.search(text)
        at = place + (found["path"] if found else "")
        raise ConfigError(f"{where}: {at}: {_PLACE.sub('', text)}") from error
    for name in kind.__struct_fields__:
        _check_number(getattr(section, name), f"{where}: {place}.{name}")
    return section


def read_strategies(raw: Any, where: str) -> list[StrategyConfig]:
    """Return the strategies, each of its own name.

    Raises:
        ConfigError: With the place and what would be right.
    """
    if not isinstance(raw, list):
        raise ConfigError(f"{where}: strategies must be tables, one a strategy: [[strategies]]")
    found: dict[str, StrategyConfig] = {}
    for number, part in enumerate(raw, start=1):
        named = part.get("id") if isinstance(part, Mapping) else None
        place = f"strategies.{named if isinstance(named, str) and named else number}"
        entry = read_section(part, StrategyConfig, where, place)
        if not VENUE.pattern.fullmatch(entry.id):
            raise ConfigError(
                f"{where}: strategies.{number}: id {entry.id!r}: 1 to 64 letters, digits, '_', '.' "
                "or '-'"
            )
        if entry.id in RESERVED_STRATEGIES:
            raise ConfigError(
                f"{where}: strategies.{number}: id {entry.id!r} is a row of the profit by strategy "
                f"that is none ({', '.join(sorted(RESERVED_STRATEGIES))}); give another"
            )
        if entry.id in found:
            raise ConfigError(f"{where}: two strategies have the id {entry.id}; give each its own")
        _check_budget(entry, f"{where}: strategies.{entry.id}")
        found[entry.id] = entry
    return list(found.values())


def _check_number(value: Any, named: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{named} = {value}; give a finite number")
    if isinstance(value, int | float) and abs(value) > WHOLE_NUMBER_MAX:
        raise ConfigError(f"{named} = {value:g}; give at most {WHOLE_NUMBER_MAX}")


def check_venues(venues: Mapping[str, VenueConfig], where: str) -> None:
    """Check names, instruments, addresses and windows of maintenance.

    Raises:
        ConfigError: With the place and what would be right.
    """
    for name, venue in venues.items():
        if not VENUE.pattern.fullmatch(name):
            raise ConfigError(
                f"{where}: venues.{name}: a name has 1 to 64 letters, digits, '_', '.' or '-'"
            )
        if not venue.instruments:
            raise ConfigError(f"{where}: venues.{name}.instruments is empty; name at least one")
        for instrument in venue.instruments:
            if venue.instruments.count(instrument) > 1:
                raise ConfigError(
                    f"{where}: venues.{name}.instruments names {instrument} twice; give it once"
                )
            if not INSTRUMENT.pattern.fullmatch(instrument):
                raise ConfigError(
                    f"{where}: venues.{name}.instruments: instrument {instrument!r} is not "
                    "BASE/QUOTE or BASE/QUOTE:SETTLE without a space, like BTC/USDT"
                )
        check_web_url(venue.rest_url, ("http", "https"), f"{where}: venues.{name}.rest_url")
        check_web_url(venue.ws_url, ("ws", "wss"), f"{where}: venues.{name}.ws_url")
        place = f"{where}: venues.{name}.account_ws_url"
        check_web_url(venue.account_ws_url, ("ws", "wss"), place)
        for text in venue.maintenance:
            try:
                window_of(text)
            except ValueError as error:
                raise ConfigError(f"{where}: venues.{name}.maintenance: {error}") from error


def check_web_url(url: str, schemes: tuple[str, str], named: str) -> None:
    """Check that a text is the address of a web server; empty is the venue's own.

    Raises:
        ConfigError: It is not; the text says what would be right.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    # A path is put behind it, and it is logged: nothing secret may stand there.
    more = any(c in "@?#" or c.isspace() or not c.isprintable() for c in url)
    if not right or more:
        plain, secure = schemes
        raise ConfigError(
            f"{named}: not an address without login and query; like {secure}://host or "
            f"{plain}://host:8090"
        )


def _check_budget(entry: StrategyConfig, place: str) -> None:
    """Refuse limits on what a strategy holds unhedged that are no such limits."""
    for name, unit in (
        ("notional_max", "quote units"),
        ("directional_notional_max", "quote units"),
        ("directional_equity", "quote units"),
        ("directional_risk_bps", "basis points"),
        ("directional_slippage_bps", "basis points"),
    ):
        value = getattr(entry, name)
        if not (value.is_finite() and value >= 0):
            raise ConfigError(f"{place}.{name} = {value}; give 0 or more, in {unit}")
