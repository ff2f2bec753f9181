"""What `arb init` asks, and what is taken for an answer. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import msgspec

from shared.errors import ConfigError
from shared.venues.registry import ADAPTERS, EVERY, load_feed

VENUES = ADAPTERS
ASSETS = ("BTC", "ETH", "SOL")
ASSET = re.compile(r"[A-Z0-9]{1,20}")
AMOUNT_MAX = 1_000_000_000


class KeyFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files with the two parts of a venue's key, relative to the folder of the answers."""

    key_file: str
    secret_file: str


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a venue is reached instead of its own addresses."""

    rest_url: str = ""
    ws_url: str = ""


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answers; what is left out is as shown.

    Attributes:
        venues: Whose books are followed, and where orders go on paper.
        assets: What is traded.
        quote: What it is traded for.
        order_size: The most of one order, in ``quote``.
        capital: What each account on paper holds of ``quote``.
        ledger: Whether orders, fills and results are written into a file.
        keys: Venue -> files of its key; used in no mode but live, checked and kept all the same.
        addresses: Venue -> where it is reached.
    """

    venues: tuple[str, ...] = VENUES
    assets: tuple[str, ...] = ASSETS
    quote: str = "USDT"
    order_size: Decimal = Decimal(1_000)
    capital: Decimal = Decimal(10_000)
    ledger: bool = True
    keys: dict[str, KeyFiles] = {}
    addresses: dict[str, Place] = {}


def read_answers(path: Path) -> Answers:
    """Return the answers of a TOML file.

    Raises:
        ConfigError: It cannot be read, or an answer is none.
    """
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=Answers, strict=False)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return checked(found, str(path))


def checked(answers: Answers, where: str) -> Answers:
    """Return the answers, if a configuration can be made of them.

    Raises:
        ConfigError: One is none; ``where`` begins the text.
    """
    for name, values in (("venues", answers.venues), ("assets", answers.assets)):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"{where}: {name}: at least one, and each once")
    for venue in (*answers.venues, *answers.keys, *answers.addresses):
        if venue not in EVERY:
            raise ConfigError(f"{where}: no venue {venue!r}; there are: {', '.join(EVERY)}")
    for venue in (*answers.keys, *answers.addresses):
        if venue not in answers.venues:
            raise ConfigError(f"{where}: {venue} is not among the venues that were chosen")
    for asset in (*answers.assets, answers.quote):
        if not ASSET.fullmatch(asset):
            raise ConfigError(f"{where}: {asset!r} is no asset, such as BTC")
    for name, amount in (("order_size", answers.order_size), ("capital", answers.capital)):
        if not (amount.is_finite() and 0 < amount <= AMOUNT_MAX):
            raise ConfigError(f"{where}: {name}: {amount} is not above 0 and at most {AMOUNT_MAX}")
    if answers.quote in answers.assets:
        raise ConfigError(f"{where}: {answers.quote} cannot be traded for itself")
    if answers.order_size > answers.capital:
        raise ConfigError(
            f"{where}: an order of {answers.order_size} is more than the capital, {answers.capital}"
        )
    instruments_of(answers)
    return answers


def instruments_of(answers: Answers) -> dict[str, list[str]]:
    """Return venue -> what is followed there: spot where it has that, else perpetuals.

    Raises:
        ConfigError: A venue has neither.
    """
    return {
        venue: [_instrument(venue, asset, answers.quote) for asset in answers.assets]
        for venue in answers.venues
    }


def _instrument(venue: str, asset: str, quote: str) -> str:
    feed = load_feed(venue)
    spot = f"{asset}/{quote}"
    for instrument in (spot, f"{spot}:{quote}"):
        try:
            feed.to_symbol(instrument)
        except ValueError:
            continue
        return instrument
    raise ConfigError(f"{venue} has no {spot}, neither spot nor perpetual")


def split_list(text: str) -> tuple[str, ...]:
    """Return what was typed with commas or spaces between."""
    return tuple(part for part in re.split(r"[\s,]+", text) if part)
