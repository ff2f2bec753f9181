"""Files of exchanges' public archives: what their names say, and the checksum that lies beside.

They often have no heading, so what their columns are is known by the name of the file, like
``BTCUSDT-1m-2024-08.zip`` (a month) or ``BTCUSDT-aggTrades-2024-08-01.zip`` (a day, UTC).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from services.cli.data.instrument import spellings_of
from shared.domain.instrument import is_spot
from shared.errors import ConfigError
from shared.store.manifest import sha256_of
from shared.store.rows import SECOND_NS

CHECKSUM = ".CHECKSUM"
CHECKSUM_BYTES_MAX = 4_096
SPOT_IN_US_FROM_NS = 1_735_689_600 * SECOND_NS
"""From 2025 on times of spot are microseconds; those of derivatives stayed milliseconds."""
EDGE_NS = 60 * SECOND_NS
"""Rows at the edge of a day or month may be so far outside it."""
_NAME = re.compile(
    r"(?P<symbol>[A-Z0-9_]+)-(?P<what>\d+(?:s|m|h|d|w|mo)|[a-z][A-Za-z]+)"
    r"-(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d))?\.(?:zip|csv|csv\.gz)"
)
_INVERSE = re.compile(r"[A-Z0-9]+USD_(?:PERP|\d{6})")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Archive(NamedTuple):
    """What the name of an archive's file says.

    Attributes:
        symbol: As the exchange writes it.
        kind: ``klines``, ``aggTrades``, ``trades``, ``fundingRate``, ``bookTicker``, ...
        step_s: Of klines; 0 for a month and for all else.
        from_ns: Where its rows begin, and ``to_ns`` where they end.
    """

    symbol: str
    kind: str
    step_s: int
    from_ns: int
    to_ns: int

    @property
    def is_inverse(self) -> bool:
        """Whether quantities are contracts and what stands in for quote volume is in the base."""
        return _INVERSE.fullmatch(self.symbol) is not None


def archive_of(path: Path) -> Archive | None:
    """Parse the name of an archive's file; ``None`` if the file is not from an archive."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    year, month, day = int(match["year"]), int(match["month"]), int(match["day"] or 1)
    try:
        begin = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
    end = begin + timedelta(days=1)
    if match["day"] is None:
        end = (begin + timedelta(days=31)).replace(day=1)
    span = (int(begin.timestamp()) * SECOND_NS, int(end.timestamp()) * SECOND_NS)
    what = match["what"]
    if not what[0].isdecimal():
        return Archive(match["symbol"], what, 0, *span)
    unit = what.lstrip("0123456789")
    step_s = int(what.removesuffix(unit)) * _SECONDS.get(unit, 0)
    return Archive(match["symbol"], "klines", step_s, *span)


def check_symbol(path: Path, archive: Archive, venue: str, instrument: str) -> None:
    """Refuse an archive's file of another symbol.

    Raises:
        ConfigError: Its name says another one than the instrument has.
    """
    spellings = spellings_of(venue, instrument)
    if archive.symbol.replace("_", "") not in spellings:
        raise ConfigError(
            f"{path}: its name says {archive.symbol}, but {instrument} is {spellings[0]}; "
            "give the --instrument that it is of"
        )


def check_moment(where: str, archive: Archive, ts_ns: int, text: str, instrument: str) -> None:
    """Refuse a row that its file cannot have: of another day, or in another market's unit.

    Raises:
        ConfigError: What the name says and what the row says differ.
    """
    edge_ns = max(EDGE_NS, archive.step_s * SECOND_NS)
    if not archive.from_ns - edge_ns <= ts_ns < archive.to_ns + edge_ns:
        raise ConfigError(
            f"{where}: {text} is {shown(ts_ns)} UTC, which is not within the name of its file "
            f"({shown(archive.from_ns)[:10]} until {shown(archive.to_ns)[:10]})"
        )
    if ts_ns < SPOT_IN_US_FROM_NS or len(text) not in {13, 16} or not text.isdecimal():
        return
    spot = is_spot(instrument)
    if spot != (len(text) == 16):
        unit, right = ("milliseconds", "microseconds") if spot else ("microseconds", "milliseconds")
        market = "spot" if spot else "derivatives"
        raise ConfigError(
            f"{where}: {text} is in {unit}, but from 2025 on archives of {market} are in {right}: "
            f"is it of another market than {instrument}? --as takes it as it is"
        )


def check_checksum(path: Path) -> bool:
    """Hold a file against the checksum beside it; tell whether there was one.

    Raises:
        ConfigError: The file is another one, or was not downloaded whole.
    """
    beside = path.with_name(path.name + CHECKSUM)
    try:
        with beside.open("rb") as file:
            parts = file.read(CHECKSUM_BYTES_MAX).decode("utf-8-sig", "replace").split()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{beside}: cannot be read: {error.strerror}") from error
    if not parts or not _HEX.fullmatch(parts[0]):
        raise ConfigError(f"{beside}: is no checksum; download it again, or remove it")
    if len(parts) > 1 and Path(parts[1].lstrip("*")).name != path.name:
        raise ConfigError(f"{beside}: is of {parts[1].lstrip('*')}, not of {path.name}")
    if sha256_of(path) != parts[0].lower():
        raise ConfigError(
            f"{path}: its SHA-256 is not the one in {beside.name}: it is damaged or was replaced; "
            "download both again"
        )
    return True


def shown(ts_ns: int) -> str:
    """Return a time as people write it."""
    return f"{datetime.fromtimestamp(ts_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S}"
