"""How a venue's instruments are spread over sockets. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.errors import ConfigError
from shared.venues.port import FeedConnection, FeedKind, FeedSession


def venue_symbols(
    venue: str, instruments: Sequence[str], to_symbol: Callable[[str], str]
) -> dict[str, str]:
    """Return the venue's spelling -> instrument, in order and without repeats.

    Raises:
        ConfigError: An instrument the venue cannot have.
    """
    try:
        return {to_symbol(instrument): instrument for instrument in instruments}
    except ValueError as error:
        raise ConfigError(f"venue {venue}: {error}") from error


def groups_of(symbols: Mapping[str, str], size: int) -> list[dict[str, str]]:
    """Return the symbols in groups of at most ``size``, in order."""
    items = list(symbols.items())
    return [dict(items[start : start + size]) for start in range(0, len(items), size)]


def sockets_of(
    venue: str,
    groups: Iterable[dict[str, str]],
    session_of: Callable[[dict[str, str]], FeedSession],
    *,
    path: str,
    name: str,
    kind: FeedKind,
) -> list[FeedConnection]:
    """Return a socket for each group, named ``<name>-0`` and so on."""
    return [
        FeedConnection(
            venue, path, tuple(group.values()), session_of(group), f"{name}-{index}", kind
        )
        for index, group in enumerate(groups)
    ]


class SpotSockets(ABC):
    """Books and trades of spot, both under one path of the socket's host."""

    path: str
    books_name: str
    """What sockets of books are called; those of trades are called by their kind."""
    instruments_per_connection_max: int

    @abstractmethod
    def to_symbol(self, instrument: str) -> str:
        """Return the symbol that is subscribed for an instrument."""

    @abstractmethod
    def session(self, venue: str, group: dict[str, str], kind: FeedKind) -> FeedSession:
        """Return the session of one socket."""

    def connections(self, venue: str, instruments: Sequence[str]) -> Sequence[FeedConnection]:
        """Return the sockets of books.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        return self._sockets(venue, instruments, FeedKind.DEPTH, self.books_name)

    def extra_connections(
        self, venue: str, kind: FeedKind, instruments: Sequence[str]
    ) -> Sequence[FeedConnection]:
        """Return the sockets of trades.

        Raises:
            ConfigError: An instrument that is not spot.
        """
        return self._sockets(venue, instruments, kind, kind.value)

    def _sockets(
        self, venue: str, instruments: Sequence[str], kind: FeedKind, name: str
    ) -> list[FeedConnection]:
        symbols = venue_symbols(venue, instruments, self.to_symbol)
        groups = groups_of(symbols, self.instruments_per_connection_max)

        def session_of(group: dict[str, str]) -> FeedSession:
            return self.session(venue, group, kind)

        return sockets_of(venue, groups, session_of, path=self.path, name=name, kind=kind)
