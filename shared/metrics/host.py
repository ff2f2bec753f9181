"""The exporter's host as it was read last. Pure."""

from __future__ import annotations

from typing import Final

from shared.metrics import host_metrics as h
from shared.metrics.metric import HOST_LIMIT_S, Metric
from shared.metrics.requests import HostRead
from shared.metrics.samples import Samples

_LIMIT_NS: Final = int(HOST_LIMIT_S * 1e9)
_PLAIN: Final[dict[str, Metric]] = {
    "cpus": h.HOST_CPUS,
    "load": h.HOST_LOAD,
    "memory_bytes": h.HOST_MEMORY,
    "memory_available_bytes": h.HOST_MEMORY_AVAILABLE,
    "swap_used_bytes": h.HOST_SWAP,
    "clock_synchronized": h.HOST_CLOCK_SYNCED,
    "clock_offset_s": h.HOST_CLOCK_OFFSET,
    "clock_error_s": h.HOST_CLOCK_ERROR,
}
_LABELED: Final[dict[str, Metric]] = {
    "cpu_s": h.HOST_CPU,
    "disk_bytes": h.HOST_DISK,
    "disk_free_bytes": h.HOST_DISK_FREE,
    "disk_io_bytes": h.HOST_DISK_IO,
    "network_bytes": h.HOST_NETWORK,
    "network_errors": h.HOST_NETWORK_ERRORS,
    "pressure": h.HOST_PRESSURE,
}


class Host:
    """The newest reading."""

    def __init__(self) -> None:
        self._read: HostRead | None = None
        self._read_ns = 0

    def on_read(self, read: HostRead, now_ns: int) -> None:
        """Keep a reading."""
        self._read, self._read_ns = read, now_ns

    def tell(self, out: Samples, now_ns: int) -> None:
        """Add what it says, while it is not older than its limit."""
        if self._read is None or now_ns - self._read_ns >= _LIMIT_NS:
            return
        for name, metric in _PLAIN.items():
            if name in self._read.figures:
                out.add(metric, self._read.figures[name])
        for name, metric in _LABELED.items():
            for label, value in sorted(self._read.by_label.get(name, {}).items()):
                out.add(metric, value, label)
