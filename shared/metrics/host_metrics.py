"""THE TABLE OF METRICS, of the machine and of what each process uses of it. Pure."""

from __future__ import annotations

from shared.metrics.metric import Kind, Metric, Source

_C, _G = Kind.COUNTER, Kind.GAUGE
_PROC = ("service", "proc")

PROCESS_CPU = Metric(
    name="arb_process_cpu_seconds_total",
    kind=_C,
    labels=_PROC,
    source=Source.BEAT,
    text="Processor time that the process has used, user and system",
)
PROCESS_RESIDENT = Metric(
    name="arb_process_resident_bytes",
    kind=_G,
    labels=_PROC,
    source=Source.BEAT,
    text="Memory of the process that is resident",
)
PROCESS_FILES = Metric(
    name="arb_process_open_files",
    kind=_G,
    labels=_PROC,
    source=Source.BEAT,
    text="File descriptors that the process has open",
)
PROCESS_FILES_MAX = Metric(
    name="arb_process_open_files_max",
    kind=_G,
    labels=_PROC,
    source=Source.BEAT,
    text="File descriptors that it may have open",
)
PROCESS_CLOCK_AHEAD = Metric(
    name="arb_process_clock_ahead_seconds",
    kind=_G,
    labels=_PROC,
    source=Source.BEAT,
    text="How far the process's time is ahead of its machine's clock, which was set back; else 0",
)

HOST_CPU = Metric(
    name="arb_host_cpu_seconds_total",
    kind=_C,
    labels=("mode",),
    source=Source.HOST,
    text="Processor time of the exporter's host by mode: user, system, iowait, steal, idle, other",
)
HOST_CPUS = Metric(
    name="arb_host_cpus",
    kind=_G,
    source=Source.HOST,
    text="Processors of the host",
)
HOST_LOAD = Metric(
    name="arb_host_load",
    kind=_G,
    source=Source.HOST,
    text="Tasks that run or wait for a processor or a disk, mean of one minute",
)
HOST_MEMORY = Metric(
    name="arb_host_memory_bytes",
    kind=_G,
    source=Source.HOST,
    text="Memory of the host",
)
HOST_MEMORY_AVAILABLE = Metric(
    name="arb_host_memory_available_bytes",
    kind=_G,
    source=Source.HOST,
    text="Memory that processes can still be given without swapping",
)
HOST_SWAP = Metric(
    name="arb_host_swap_used_bytes",
    kind=_G,
    source=Source.HOST,
    text="Swap that is used",
)
HOST_DISK = Metric(
    name="arb_host_disk_bytes",
    kind=_G,
    labels=("mount",),
    source=Source.HOST,
    text="Size of a file system on a disk, once per disk",
)
HOST_DISK_FREE = Metric(
    name="arb_host_disk_free_bytes",
    kind=_G,
    labels=("mount",),
    source=Source.HOST,
    text="Space in it that services can still use",
)
HOST_DISK_IO = Metric(
    name="arb_host_disk_io_bytes_total",
    kind=_C,
    labels=("direction",),
    source=Source.HOST,
    text="Bytes read from and written to disks",
)
HOST_NETWORK = Metric(
    name="arb_host_network_bytes_total",
    kind=_C,
    labels=("direction",),
    source=Source.HOST,
    text="Bytes received and sent, the loopback's left out",
)
HOST_NETWORK_ERRORS = Metric(
    name="arb_host_network_errors_total",
    kind=_C,
    labels=("direction",),
    source=Source.HOST,
    text="Packets received and sent with errors, the loopback's left out",
)
HOST_PRESSURE = Metric(
    name="arb_host_pressure_ratio",
    kind=_G,
    labels=("resource",),
    source=Source.HOST,
    text="Part of the last minute in which some task waited for the resource: cpu, memory, io",
)
HOST_CLOCK_SYNCED = Metric(
    name="arb_host_clock_synchronized",
    kind=_G,
    source=Source.HOST,
    text="1 while the kernel's clock is disciplined by a time source, else 0",
)
HOST_CLOCK_OFFSET = Metric(
    name="arb_host_clock_offset_seconds",
    kind=_G,
    source=Source.HOST,
    text="By how much the time source still moves the kernel's clock; absent without one",
)
HOST_CLOCK_ERROR = Metric(
    name="arb_host_clock_error_seconds",
    kind=_G,
    source=Source.HOST,
    text="How far the clock may be wrong at most, by the kernel's count; absent without a source",
)
