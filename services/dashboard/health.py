"""Processes, hops, streams and feeds: whether the system works, and since when not. Pure."""

from __future__ import annotations

from typing import Any, Final

from services.dashboard.market import Market
from services.dashboard.requests import StreamsRead
from services.dashboard.topic import Topic
from services.dashboard.values import ms
from shared.messages.control import Heartbeat
from shared.services import SERVICES
from shared.streams import ALL
from shared.watch.collector import Collector
from shared.watch.latency import latency_record

SILENT_AFTER_NS: Final = 5_000_000_000
FORGET_NS: Final = 3_600_000_000_000
PROCESSES_MAX: Final = 64
ROWS_MAX: Final = 500
LOST_AFTER_NS: Final = 3_000_000_000


class Health:
    """The newest heartbeat of each process and the newest reading of the streams.

    Args:
        collector: Keeps the latencies.
        market: Keeps the feeds.
        shards: Of the streams that have any.
    """

    def __init__(self, collector: Collector, market: Market, shards: int) -> None:
        self._collector, self._market, self._shards = collector, market, shards
        self._beats: dict[tuple[str, str], Heartbeat] = {}
        self._restarts: dict[tuple[str, str], int] = {}
        self._streams: StreamsRead | None = None
        self._streams_ns = 0
        self.read_ns = 0
        self.reason = "it has not been read yet"
        self.topic = Topic("health", ROWS_MAX)

    def on_beat(self, beat: Heartbeat, now_ns: int) -> None:
        """Keep the newest heartbeat of each process; one of an hour ago is of nobody."""
        if now_ns - beat.ts_ns >= FORGET_NS:
            return
        for key, known in list(self._beats.items()):
            if now_ns - known.ts_ns >= FORGET_NS:
                del self._beats[key]
                self._restarts.pop(key, None)
        key = beat.service, beat.instance
        before = self._beats.get(key)
        if before is None and len(self._beats) >= PROCESSES_MAX:
            return
        if before is not None:
            if beat.ts_ns < before.ts_ns:
                return
            if beat.ts_started_ns > before.ts_started_ns:
                self._restarts[key] = self._restarts.get(key, 0) + 1
        self._beats[key] = beat

    def forget_later(self, than_ns: int) -> None:
        """Forget what is said to be of a later time."""
        self._beats = {key: beat for key, beat in self._beats.items() if beat.ts_ns <= than_ns}
        if self._streams_ns > than_ns:
            self._streams = None
        self.read_ns = min(self.read_ns, than_ns)

    def on_streams(self, read: StreamsRead, now_ns: int) -> None:
        """Keep a reading of the streams."""
        self._streams, self._streams_ns = read, now_ns

    def on_read(self, now_ns: int) -> None:
        """Note that Redis has answered."""
        self.read_ns, self.reason = now_ns, ""

    def on_lost(self, reason: str) -> None:
        """Note that Redis could not be read, and why."""
        self.reason = reason

    def is_bus_read(self, now_ns: int) -> bool:
        """Tell whether Redis answers now."""
        return not self.reason and now_ns - self.read_ns < LOST_AFTER_NS

    def processes(self, now_ns: int) -> list[dict[str, Any]]:
        """Return every process that was heard, and the services of which none ever was."""
        rows = [
            {
                "name": beat.instance,
                "service": beat.service,
                "is_ready": beat.ready,
                "reason": beat.reason,
                "as_of_ms": ms(beat.ts_ns),
                "is_silent": now_ns - beat.ts_ns > SILENT_AFTER_NS,
            }
            for _, beat in sorted(self._beats.items())
        ]
        heard = {service for service, _ in self._beats}
        unheard = {"is_ready": False, "reason": "not heard yet", "as_of_ms": None}
        rows += [
            {"name": name, "service": name, **unheard, "is_silent": True}
            for name in SERVICES
            if name not in heard
        ]
        return rows

    def show(self, now_ns: int) -> None:
        """Bring all of it up to date."""
        rows: dict[str, Any] = {}
        ages: dict[str, int] = {}
        for key, beat in sorted(self._beats.items()):
            name = f"process|{beat.service}|{beat.instance}"
            rows[name], ages[name] = self._process(key, beat, now_ns), ms(beat.ts_ns)
        for hop, record in latency_record(self._collector).items():
            rows[f"hop|{hop}"] = {
                "kind": "hop",
                "name": hop,
                "p50_us": record["p50"],
                "p99_us": record["p99"],
                "p999_us": record["p999"],
                "n": record["n"],
            }
        for (venue, source), status in sorted(self._market.feeds.items()):
            name = f"feed|{venue}|{source}"
            ages[name] = ms(status.ts_ns)
            rows[name] = {
                "kind": "feed",
                "venue": venue,
                "source": source,
                "feed": status.feed,
                "state": status.state,
                "reason": status.reason,
            }
        self._add_streams(rows, ages)
        self.topic.replace(rows, ages)

    def _process(self, key: tuple[str, str], beat: Heartbeat, now_ns: int) -> dict[str, Any]:
        return {
            "kind": "process",
            "service": beat.service,
            "name": beat.instance,
            "is_ready": beat.ready,
            "reason": beat.reason,
            "is_silent": now_ns - beat.ts_ns > SILENT_AFTER_NS,
            "pid": beat.pid,
            "started_ms": ms(beat.ts_started_ns),
            "restarts": self._restarts.get(key, 0),
            "http_port": beat.http_port,
            "notes": beat.notes,
        }

    def _add_streams(self, rows: dict[str, Any], ages: dict[str, int]) -> None:
        if (read := self._streams) is None:
            return
        for spec in ALL:
            shards = self._shards if spec.sharded else 1
            entries, size = read.sizes.get(spec.name, (0, 0))
            name = f"stream|{spec.name}"
            ages[name] = ms(self._streams_ns)
            rows[name] = {
                "kind": "stream",
                "name": spec.name,
                "entries": entries,
                "entries_max": spec.entries_max * shards,
                "bytes": size,
                "bytes_max": spec.bytes_max * shards,
                "lag_ms": {
                    service: lag
                    for (stream, service), lag in sorted(read.lags_ms.items())
                    if stream == spec.name
                },
                "dead_letters": read.dead.get(spec.name),
            }
