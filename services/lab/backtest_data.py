"""What a backtest plays: files of recordings, or a store with its raw frames, depth or bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from services.lab.backtest import closings_ns
from services.lab.backtest_facts import data_of
from services.lab.backtest_terms import BacktestConfig
from services.lab.recorded import Contents, survey, survey_capture
from services.lab.tables import Tables, sources_of, tables_of
from shared.capture import Capture
from shared.config_sections import Config
from shared.errors import ConfigError
from shared.store.manifest import StoreFault, read_manifest
from shared.store.reading import Lines, recordings_in

FALLS_NS_MAX = 1_000_000_000
"""A clock may be set back a little; more is a file that is not in order."""
MS = 1_000_000
REFRESH_MS, REFRESH_MS_MAX = 500, 60_000
"""How often books made of bars are repeated: within every limit on a book's age, where strategies
decide on bars; and the longest interval otherwise."""


def load_data(
    paths: Sequence[Path], config: Config, terms: BacktestConfig
) -> tuple[Contents | Tables, list[dict[str, Any]]]:
    """Return what is played, and what identifies it.

    Raises:
        ConfigError: It is not there, not right, or not whole where holes are refused.
    """
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        if terms.data not in {"", "raw"}:
            raise ConfigError(f"backtest.data = {terms.data!r} is of a store; --data names files")
        return survey(paths, falls_ns_max=FALLS_NS_MAX), data_of(paths)
    if len(paths) > 1:
        raise ConfigError(f"{folders[0]} is a store; give it alone, or files of recordings")
    root = folders[0]
    try:
        recordings = recordings_in(root) if terms.data in {"", "raw"} else {}
        if recordings or terms.data == "raw":
            lines = Lines(recordings)
            capture = Capture(lines.paths, None, lines.read)
            files = sorted({file for each in recordings.values() for file, _ in each.files})
            named = [
                {"file": file.name, "sha256": manifest.sha256, "bytes": manifest.bytes}
                for file in files
                for manifest in (read_manifest(file),)
            ]
            contents = survey_capture(capture, [str(root)], falls_ns_max=FALLS_NS_MAX)
            return contents, named
        fees = _fees_of(config)
        tables = tables_of(root, fees, terms.spread_bps, terms.data, terms.bar_s)
    except StoreFault as error:
        raise ConfigError(f"{error}; arb data verify says more") from error
    if tables.holes and terms.holes == "refuse":
        raise ConfigError(
            f'{root}: {tables.holes[0]}; backtest.holes = "keep" trades on with what there is'
        )
    return tables, list(sources_of(tables))


def _fees_of(config: Config) -> Mapping[str, Decimal]:
    return {
        name: venue.taker_fee_bps
        for name, venue in config.venues.items()
        if venue.taker_fee_bps is not None
    }


def fitted(config: Config, contents: Contents | Tables) -> Config:
    """Return a configuration in which a book made of bars is good until the next price of a bar.

    Where strategies decide on closed bars it is repeated nearly as often as live while timers run:
    they, risk and the executor find a view of it then that is young enough. Else it is repeated
    with the bars, but within the time after which a book is forgotten.
    """
    if not isinstance(contents, Tables) or contents.source != "bars":
        return config
    step_ms = contents.step_ns // MS
    book, scanner, risk = config.orderbook, config.scanner, config.risk
    refresh_ms = REFRESH_MS if closings_ns(config) else min(step_ms, REFRESH_MS_MAX)
    return msgspec.structs.replace(
        config,
        orderbook=msgspec.structs.replace(
            book,
            stale_after_ms=max(book.stale_after_ms, 2 * step_ms),
            refresh_ms=max(book.refresh_ms, refresh_ms),
        ),
        scanner=msgspec.structs.replace(
            scanner, book_age_ms_max=max(scanner.book_age_ms_max, 2 * step_ms)
        ),
        risk=msgspec.structs.replace(risk, book_age_ms_max=max(risk.book_age_ms_max, 2 * step_ms)),
    )
