"""Whether the machine has room, power and time for what runs on it. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity, Series

_WARNING = AlertSeverity.WARNING

DISK_FREE_MIN: Final = 0.05
DISK_FILLING: Final = 0.4
"""Where less of it is free, whether it will be full soon is looked at."""
DISK_TREND: Final = "6h"
DISK_AHEAD_S: Final = 86_400
MEMORY_FREE_MIN: Final = 0.1
CPU_WINDOW: Final = "5m"
CPU_IDLE: Final = ("idle", "iowait")
CPU_BUSY_MAX: Final = 0.9
STEAL_MAX: Final = 0.05
PRESSURE_MAX: Final = 0.2
NETWORK_WINDOW: Final = "10m"
NETWORK_ERRORS_MAX: Final = 10
OPEN_FILES_MAX: Final = 0.8
HOST_CLOCK_OFFSET_MAX_S: Final = 0.25
CLOCK_AHEAD_MAX_S: Final = 0.25


def _cpu(busy: int, idle: int, steal: int = 0) -> Series:
    """Return processor time by mode, as it rises in each interval of 15 s."""
    name = 'arb_host_cpu_seconds_total{mode="%s"}'
    rises = {"user": busy, "idle": idle, "steal": steal}
    return {name % mode: f"0+{rise}x80" for mode, rise in rises.items()}


def _share(modes: str) -> str:
    """Return the part of all processor time that goes to modes, as PromQL."""
    rate = "rate(arb_host_cpu_seconds_total%s[" + CPU_WINDOW + "])"
    some = rate % f'{{mode=~"{modes}"}}'
    return f"sum({some}) / sum({rate % ''})"


_DISK_FREE: Final = "arb_host_disk_free_bytes / arb_host_disk_bytes"
HOST: Final = (
    AlertRule(
        name="ArbHostDisk",
        severity=_WARNING,
        expression=f"{_DISK_FREE} < {DISK_FREE_MIN} or ({_DISK_FREE} < {DISK_FILLING} and "
        f"predict_linear(arb_host_disk_free_bytes[{DISK_TREND}], {DISK_AHEAD_S}) < 0)",
        lasts="10m",
        summary="A disk is nearly full, or will be within a day",
        first="df -h; du -xh --max-depth=2 / | sort -h | tail",
        causes="Recordings, logs, Redis' append-only file while it is rewritten.",
        remedy="Move recordings away, or make the disk larger. A full disk stops Redis' writes.",
        halt="If less than 1 % is free: orders are not sent once Redis cannot write.",
        fires={
            'arb_host_disk_bytes{mount="/"}': "100x240",
            'arb_host_disk_free_bytes{mount="/"}': "39-0.1x240",
        },
        labels={"mount": "/"},
        quiet={
            'arb_host_disk_bytes{mount="/"}': "100x240",
            'arb_host_disk_free_bytes{mount="/"}': "39x240",
        },
        interval="1m",
        at="2h",
    ),
    AlertRule(
        name="ArbHostMemory",
        severity=_WARNING,
        expression=f"arb_host_memory_available_bytes / arb_host_memory_bytes < {MEMORY_FREE_MIN}",
        lasts="5m",
        summary="Less than a tenth of the memory is available",
        first="arb status",
        causes="A process grows, Redis' memory is bounded too high, or something else runs here.",
        remedy="arb_process_resident_bytes shows which process; restart it, and report it.",
        fires={"arb_host_memory_bytes": "100x60", "arb_host_memory_available_bytes": "9x60"},
        quiet={"arb_host_memory_bytes": "100x60", "arb_host_memory_available_bytes": "11x60"},
    ),
    AlertRule(
        name="ArbHostCpu",
        severity=_WARNING,
        expression=f"1 - {_share('|'.join(CPU_IDLE))} > {CPU_BUSY_MAX}",
        lasts="10m",
        summary="The processors are more than nine tenths busy",
        first="arb latency",
        causes="More books than the machine is made for, a burst, or other work on it.",
        remedy="Take other work away, or shard the books over more processors (deploy/README.md).",
        fires=_cpu(95, 5),
        quiet=_cpu(85, 15),
        at="18m",
    ),
    AlertRule(
        name="ArbHostSteal",
        severity=_WARNING,
        expression=f"{_share('steal')} > {STEAL_MAX}",
        lasts="10m",
        summary="Another guest of the machine takes our processor time",
        first="arb latency",
        causes="A shared or burstable virtual machine.",
        remedy="Move to dedicated processors.",
        fires=_cpu(50, 42, 8),
        quiet=_cpu(50, 48, 2),
        at="18m",
    ),
    AlertRule(
        name="ArbHostPressure",
        severity=_WARNING,
        expression=f"arb_host_pressure_ratio > {PRESSURE_MAX}",
        lasts="5m",
        summary="Tasks wait for a resource more than a fifth of the time",
        first="arb latency",
        causes="cpu: too much runs at once; memory: it swaps; io: the disk is slow or full.",
        remedy="Give the machine more of what is short, or less to do.",
        fires={'arb_host_pressure_ratio{resource="cpu"}': "0.25x60"},
        labels={"resource": "cpu"},
        quiet={'arb_host_pressure_ratio{resource="cpu"}': "0.15x60"},
    ),
    AlertRule(
        name="ArbHostNetwork",
        severity=_WARNING,
        expression=f"increase(arb_host_network_errors_total[{NETWORK_WINDOW}]) > "
        f"{NETWORK_ERRORS_MAX}",
        summary="Network cards report errors",
        first="ip -s link",
        causes="A bad cable, port or driver.",
        remedy="Change the cable or port; feeds resynchronize meanwhile.",
        fires={'arb_host_network_errors_total{direction="received"}': "0+1x60"},
        labels={"direction": "received"},
        quiet={'arb_host_network_errors_total{direction="received"}': "50x60"},
    ),
    AlertRule(
        name="ArbHostOpenFiles",
        severity=_WARNING,
        expression=f"arb_process_open_files / arb_process_open_files_max > {OPEN_FILES_MAX}",
        lasts="1m",
        summary="A process is about to run out of file descriptors",
        first="arb status",
        causes="A limit that is too low for so many venues, or connections that are not closed.",
        remedy="Raise LimitNOFILE; restart the process, and report it.",
        fires={
            'arb_process_open_files{service="ingestor",proc="ingestor-0"}': "900x60",
            'arb_process_open_files_max{service="ingestor",proc="ingestor-0"}': "1024x60",
        },
        labels={"service": "ingestor", "proc": "ingestor-0"},
        quiet={
            'arb_process_open_files{service="ingestor",proc="ingestor-0"}': "90x60",
            'arb_process_open_files_max{service="ingestor",proc="ingestor-0"}': "1024x60",
        },
    ),
    AlertRule(
        name="ArbHostClock",
        severity=_WARNING,
        expression="arb_host_clock_synchronized == 0 or "
        f"abs(arb_host_clock_offset_seconds) > {HOST_CLOCK_OFFSET_MAX_S}",
        lasts="10m",
        summary="No time source keeps the machine's clock, or it is wrong by more than 250 ms",
        first="chronyc tracking",
        causes="No chrony or NTP runs, or it cannot reach its servers.",
        remedy="Start it. Ages of books and validity of requests are counted by this clock.",
        halt="If venues refuse requests for their time.",
        fires={"arb_host_clock_synchronized": "0x80"},
        quiet={"arb_host_clock_synchronized": "1x80", "arb_host_clock_offset_seconds": "0.1x80"},
        at="15m",
    ),
    AlertRule(
        name="ArbClockSetBack",
        severity=_WARNING,
        expression=f"max(arb_process_clock_ahead_seconds) > {CLOCK_AHEAD_MAX_S}",
        summary="The machine's clock was set back; processes go on with the time they had",
        first="arb status",
        causes="Somebody set it, or NTP corrected one that was ahead by seconds.",
        remedy="Wait: they are a tenth slower until it has caught up, 10 s for each second. "
        "Restart none of them alone, it would have another time; all if it was set far back.",
        halt="Before you restart them all.",
        fires={'arb_process_clock_ahead_seconds{service="risk",proc="risk-0"}': "3x60"},
        quiet={'arb_process_clock_ahead_seconds{service="risk",proc="risk-0"}': "0.2x60"},
    ),
)
