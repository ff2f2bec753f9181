"""A store's tables as what a backtest plays: books, their grid, their span, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from services.lab.output import when
from services.lab.recorded import HOUR_NS, PAUSE_NS_MAX
from services.lab.table_rows import Market, Timed, markets_in, messages_of, rows_of
from shared.domain.instrument import MarketKey
from shared.errors import ConfigError
from shared.messages.rules import InstrumentRules
from shared.store.rows import SECOND_NS
from shared.venues.grid import Grid
from shared.venues.registry import EVERY, load_recordings

BAR_DECIMALS = 6
"""More than the prices of bars show: so half a spread of whole basis points is exact, and any other
to a part in a billion of the price, where its tick is a thousandth of it or less."""
NOTIONAL_MIN = Decimal(5)
KINDS = ("depth", "bar")
"""What a book may be made of, the more exact first."""


@dataclass(slots=True)
class Tables:
    """What is played, as ``recorded.Contents`` for recordings.

    ``source`` is ``depth`` or ``bars``; ``step_ns`` the length of a bar, 0 of depth.
    """

    source: str
    markets: list[Market]
    spread_bps: float = 0.0
    rules: dict[MarketKey, InstrumentRules] = field(default_factory=dict)
    first_ns: int = 0
    last_ns: int = 0
    step_ns: int = 0
    holes: list[str] = field(default_factory=list)

    def messages(self) -> Iterator[Timed]:
        """Yield the messages of the books that are played."""
        chosen = [each for each in self.markets if (each.venue, each.instrument) in self.rules]
        ticks = {key: -int(rules.tick_size.log10()) for key, rules in self.rules.items()}
        return messages_of(chosen, self.spread_bps, ticks)


def tables_of(
    root: Path,
    fees_bps: Mapping[str, Decimal],
    spread_bps: float,
    kind: str = "",
    bar_s: int = 0,
) -> Tables:
    """Read a store's tables once: the books, their grid and span.

    Args:
        root: Of the store.
        fees_bps: Taker fees by venue, of the configuration.
        spread_bps: Of the books that are made of bars.
        kind: ``depth`` or ``bar``; empty takes depth where there is any.
        bar_s: How long bars are, where there are several lengths.

    Raises:
        ConfigError: There are no such tables, or no fee of a venue is known.
    """
    found = {name: markets_in(root, name) for name in KINDS}
    chosen = kind or next((name for name in KINDS if found[name]), "")
    if not chosen or not found[chosen]:
        wanted = f"table {kind}" if kind else "table of depth or bars"
        raise ConfigError(f"{root}: no {wanted} in it; see arb data ls, arb data derive and import")
    books = found[chosen] if chosen == "depth" else _of_length(root, found[chosen], bar_s)
    there = {(each.venue, each.instrument) for each in books}
    extra = [*(() if chosen == "bar" else markets_in(root, "trade")), *markets_in(root, "funding")]
    extra += [_shortest(each) for name in ("mark", "index") for each in markets_in(root, name)]
    markets = [*books, *(each for each in extra if (each.venue, each.instrument) in there)]
    source = "bars" if chosen == "bar" else "depth"
    tables = Tables(source, markets, spread_bps if source == "bars" else 0.0)
    for each in books:
        _survey(each, tables, fees_bps)
    return tables


def _of_length(root: Path, markets: Sequence[Market], bar_s: int) -> list[Market]:
    """Return the markets with the files of their bars of one length."""
    steps = sorted({m.step_ns // SECOND_NS for each in markets for _, m in each.files})
    if bar_s not in steps and (bar_s or len(steps) > 1):
        lengths = ", ".join(map(str, steps))
        raise ConfigError(f"{root}: has bars of {lengths} s; give one as backtest.bar_s")
    wanted = (bar_s or steps[0]) * SECOND_NS
    kept = [
        each._replace(files=[f for f in each.files if f[1].step_ns == wanted]) for each in markets
    ]
    return [each for each in kept if each.files]


def _shortest(market: Market) -> Market:
    """Return a market with its bars of the least length: the nearest to a mark each second."""
    least_ns = min(manifest.step_ns for _, manifest in market.files)
    return market._replace(files=[f for f in market.files if f[1].step_ns == least_ns])


def _survey(market: Market, tables: Tables, fees_bps: Mapping[str, Decimal]) -> None:
    """Take one book's grid, span and holes in."""
    grid, is_bar = Grid(), market.table == "bar"
    venue, instrument = market.venue, market.instrument
    before_ns = 0
    for row in rows_of(market):
        at_ns = row[0]
        if before_ns and is_bar and at_ns != before_ns + row[1]:
            missing = (at_ns - before_ns) // row[1] - 1
            tables.holes.append(f"{venue} {instrument} lacks {missing} bars before {when(at_ns)}")
        elif before_ns and not is_bar and at_ns - before_ns > PAUSE_NS_MAX:
            hours = (at_ns - before_ns) // HOUR_NS
            tables.holes.append(f"{venue} {instrument} lacks {hours} hours before {when(at_ns)}")
        before_ns = at_ns
        if is_bar:
            tables.step_ns = max(tables.step_ns, row[1])
            grid.add((f"{price!r}", "0") for price in row[2:6])
        elif row[6] is not None:
            grid.add(((f"{row[7]!r}", f"{row[8]!r}"),))
        tables.first_ns = min(tables.first_ns or at_ns, at_ns)
    end_ns = before_ns + (tables.step_ns if is_bar else 0)
    tables.last_ns = max(tables.last_ns, end_ns)
    for file, manifest in market.files:
        tables.holes += [f"{file.name}: {each.reason}" for each in manifest.missing]
    fee, least = _terms_of(venue, fees_bps)
    rules = grid.rules(venue, instrument, taker_fee_bps=fee, notional_min=least)
    if is_bar:
        lot = Decimal("1e-5")
        tick = rules.tick_size.scaleb(-BAR_DECIMALS)
        rules = InstrumentRules(
            venue=venue,
            instrument=instrument,
            tick_size=tick,
            lot_size=lot,
            qty_min=lot,
            notional_min=rules.notional_min,
            taker_fee_bps=fee,
            maker_fee_bps=fee,
        )
    tables.rules[venue, instrument] = rules


def _terms_of(venue: str, fees_bps: Mapping[str, Decimal]) -> tuple[Decimal, Decimal]:
    """Return the taker fee at a venue and the least value of an order there."""
    for adapter in EVERY:
        reader = load_recordings(adapter)
        if venue in reader.venues:
            return fees_bps.get(venue, reader.taker_fee_bps), reader.notional_min
    if venue not in fees_bps:
        raise ConfigError(
            f"the fees of {venue} are not known here; give venues.{venue}.taker_fee_bps"
        )
    return fees_bps[venue], NOTIONAL_MIN


def sources_of(tables: Tables) -> Sequence[dict[str, object]]:
    """Return what identifies the files that are played."""
    return [
        {"file": path.name, "sha256": manifest.sha256, "bytes": manifest.bytes}
        for market in tables.markets
        for path, manifest in market.files
    ]
