"""Keeps the simulated venues' accounts in a folder, so that they outlive ``kill -9``.

Theory of operation. A venue has one file, ``VENUE.state``: records one after the other, each with
its length and two CRC-32 before it (of that length, and of the record). The first says whose file
it is, the second is the whole state, the others are changes in order
(``shared/exchange/state.py``). ``Store.written`` appends what is new, and whoever tells a client
anything calls it first. Nothing is synced to the disk: a killed process leaves the kernel what it
wrote, only a machine that stops may not.

A file that has grown by ``GROWTH_BYTES_MAX``, or to twice its state if that is more, is written
again beside the old one and renamed over it, which also happens when it is opened. A kill may leave
the last record torn: nobody was told of it, and it is cut off and said. Anything else that is not
as it was written is damage, which is an error.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import msgspec

from shared.errors import ArbError, ConfigError
from shared.exchange.restore import StateError, rest_orders, restore
from shared.exchange.state import Change, Recorder
from shared.simulated.port import SimulatedVenue

GROWTH_BYTES_MAX = 8_000_000
VERSION = 1
_HEAD = struct.Struct("<III")
"""Length of the record, CRC-32 of these four bytes, CRC-32 of the record."""


class StateLostError(ArbError):
    """The accounts cannot be written any more; the venues must not go on."""


class Owner(msgspec.Struct, array_like=True):
    """The first record: whose file it is, and how it is written."""

    venue: str
    version: int


_encoder = msgspec.msgpack.Encoder()
_owner = msgspec.msgpack.Decoder(Owner)
_change = msgspec.msgpack.Decoder(Change)


class Store:
    """The state files of all venues of one simulation.

    Args:
        folder: Made if it is not there.
        venues: New ones; their accounts are restored here.

    Raises:
        ConfigError: The folder cannot be used, another simulation does, or a file is damaged.
    """

    def __init__(self, folder: Path, venues: Mapping[str, SimulatedVenue]) -> None:
        self.error = ""
        """Why nothing can be written any more; empty while all is well."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"--state {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(f"--state {folder}: another simulation is using it") from error
        self._files: list[_StateFile] = []
        try:
            for name, venue in venues.items():
                self._files.append(_StateFile(folder / f"{name}.state", venue))
        except BaseException:
            self.close()
            raise

    def look(self) -> None:
        """Notice what changes without orders: to be called as the market moves."""
        for file in self._files:
            file.recorder.look()

    def written(self) -> bool:
        """Write what is new; tell whether it is, so that clients may be told."""
        if not self.error:
            try:
                for file in self._files:
                    if file.recorder.has_news:
                        file.append()
            except OSError as error:
                self.error = f"the accounts cannot be written: {error}"
        return not self.error

    def close(self) -> None:
        """Let another process have the folder."""
        for file in self._files:
            file.close()
        self._files.clear()
        os.close(self._lock)


class _StateFile:
    """The file of one venue, open at its end."""

    def __init__(self, path: Path, venue: SimulatedVenue) -> None:
        self._path, self._venue = path, venue.venue
        try:
            if path.exists():
                exchange, funding = venue.exchange, venue.funding
                restore(exchange, funding, read_changes(path, venue.venue))
                rest_orders(exchange)
            self.recorder = Recorder(venue.exchange, venue.funding)
            self._fd = -1
            self._begin()
        except StateError as error:
            raise ConfigError(f"{path} does not fit this simulation: {error}") from error
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def append(self) -> None:
        """Write what changed; a file that has grown too much is begun again."""
        if self._size >= self._size_max:
            self._begin()
        else:
            self._size += _write(self._fd, _framed(_encoder.encode(self.recorder.take())))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)

    def _begin(self) -> None:
        """Put a file with nothing but the present state in the place of the old one."""
        beside = self._path.with_suffix(".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        owner = _framed(_encoder.encode(Owner(self._venue, VERSION)))
        self._size = _write(fd, owner + _framed(_encoder.encode(self.recorder.everything())))
        self._size_max = self._size + max(GROWTH_BYTES_MAX, self._size)
        beside.replace(self._path)
        self.close()
        self._fd = fd


def read_changes(path: Path, venue: str) -> Iterator[Change]:
    """Read a venue's file, the state it begins with and the changes after it.

    Raises:
        ConfigError: It is damaged, or another venue's, or of a later version.
    """
    records, at = _records(path), 0
    try:
        owner = _owner.decode(next(records)[1])
        if owner.version != VERSION or owner.venue != venue:
            raise ConfigError(
                f"{path} is of {owner.venue}, version {owner.version}; "
                f"wanted is {venue}, version {VERSION}"
            )
        at, whole = next(records)
        yield _change.decode(whole)
        while (found := next(records, None)) is not None:
            at = found[0]
            yield _change.decode(found[1])
    except StopIteration as error:
        raise _damaged(path, 0, "the state it begins with is not there") from error
    except msgspec.MsgspecError as error:
        raise _damaged(path, at, str(error)) from error


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file and where they are, without one that a kill tore at the end."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            return _say_torn(path, len(data) - at)
        length, crc_of_length, crc = _HEAD.unpack_from(data, at)
        if crc32(data[at : at + 4]) != crc_of_length:
            raise _damaged(path, at, "not the length of a record")
        begin = at + _HEAD.size
        if begin + length > len(data):
            return _say_torn(path, len(data) - at)
        record = data[begin : begin + length]
        if crc32(record) != crc:
            raise _damaged(path, at, "its checksum is another")
        yield at, record
        at = begin + length


def _say_torn(path: Path, count: int) -> None:
    sys.stderr.write(f"venuesim: {path}: a kill tore its last record: {count} bytes are cut off\n")


def _damaged(path: Path, at: int, what: str) -> ConfigError:
    return ConfigError(
        f"{path} is damaged at byte {at}: {what}; move it away to begin with new accounts"
    )


def _framed(record: bytes) -> bytes:
    length = struct.pack("<I", len(record))
    return _HEAD.pack(len(record), crc32(length), crc32(record)) + record


def _write(fd: int, data: bytes) -> int:
    """Write all of it; return how much that is."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
    return len(data)
