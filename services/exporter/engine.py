"""Exporter: shows what is measured of all services; it decides nothing and writes nothing. Pure.

``samples`` is what a scrape shows at one moment. ``shared/metrics`` has the table of metrics, and
folds messages and readings into it.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.config_sections import Config
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.base import Message
from shared.metrics import table as m
from shared.metrics.fold import Fold
from shared.metrics.samples import Samples


class ExporterEngine:
    """Everything that is exposed."""

    def __init__(self, config: Config) -> None:
        self._fold = Fold(config)

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin with nothing: all of it is told again within seconds."""
        del saved
        return self.on_timer(now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Fold one input."""
        del redelivered
        self._fold.on_message(message, now_ns)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Ask for what is due."""
        out = Step()
        out.at_once.extend(self._fold.due(now_ns))
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when the next reading is due; none while all are under way."""
        return self._fold.next_deadline_ns()

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return readings of Redis and the host that failed, and samples that found no room."""
        return self._fold.counters()

    def gauges(self) -> Mapping[str, float]:
        """It has none."""
        return {}

    def samples(self, now_ns: int, version: str) -> Samples:
        """Return what a scrape shows now.

        Args:
            now_ns: UNIX ns.
            version: Of the exporter.
        """
        out = self._fold.samples(now_ns)
        out.add(m.BUILD, 1.0, version, self._fold.mode(now_ns))
        return out


ENGINE = EngineSpec(new=lambda config, given: ExporterEngine(config))
