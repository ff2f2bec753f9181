"""Tick-to-order through all five processes, measured by the processes themselves.

A light frame source (``frame_source.py``) sends real-shaped frames at a steady rate to the real
ingestor over a WebSocket; orderbook, scanner, risk and executor (paper) run as they always do, over
an embedded Valkey on a unix socket. Each measure starts when the causing frame was received; the
last one ends when the order is handed to the gateway.

Where the machine has two processors or more, services are spread over two of them and keep their
caches warm as deploy/README.md advises for it; ``--plain`` leaves that to the kernel.

    python -m tests.bench.tick_to_order [--rate 1000] [--seconds 20] [--plain] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import redis

from shared import codec, histogram, streams
from shared.embedded import EmbeddedServer
from shared.messages.base import Message
from shared.messages.control import Heartbeat
from shared.messages.execution import ApprovedPlan, OrderEvent, OrderPurpose, OrderStatus
from shared.services import SERVICES

HOP_SAMPLES = 400
WARM_UP_S = 120.0
"""Until the first order; a busy machine needs most of it."""

CONFIG = """
[bus]
url = "{url}"
[venues.binance]
instruments = ["BTC/USDT"]
rest_url = "http://127.0.0.1:{port}"
ws_url = "ws://127.0.0.1:{port}"
[venues.kraken]
instruments = ["BTC/USDT"]
rest_url = "http://127.0.0.1:{port}"
ws_url = "ws://127.0.0.1:{port}"
[scanner]
cooldown_ms = 20
notional_max = 1000.0
[risk]
edge_bps_max = 500.0
daily_loss_max = 100000000
instrument_notional_max = 1000000000
venue_notional_max = 1000000000
total_notional_max = 1000000000
[executor]
mode = "paper"
paper_latency_ms = 1
paper_balance = 100000000
"""

PROCESS = """
[process]
warming_ms = 1
[process.processors]
ingestor = [{one}]
orderbook = [{one}]
scanner = [{one}]
risk = [{two}]
executor = [{two}]
"""


def _process_section() -> str:
    if not hasattr(os, "sched_getaffinity") or len(usable := sorted(os.sched_getaffinity(0))) < 2:
        return ""
    return PROCESS.format(one=usable[1], two=usable[0])


def heartbeats(client: Any) -> dict[str, Heartbeat]:
    """The newest heartbeat of each service."""
    found: dict[str, Heartbeat] = {}
    entries = client.xrevrange(streams.SYS_HEALTH.key(), count=50)
    for _, fields in entries:
        messages: list[Message] = codec.decode(streams.SYS_HEALTH, fields[codec.FIELD])
        for message in messages:
            if isinstance(message, Heartbeat):
                found.setdefault(message.service, message)
    return found


def _wait_for_plans(client: Any, seconds: float, log: Path) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat = heartbeats(client).get("executor")
        if beat and beat.counters.get("orders_submitted", 0) > 0:
            return
        time.sleep(0.2)
    raise SystemExit(f"no order within the warm-up; the services said:\n{log.read_text()[-2_000:]}")


def _summary(before: dict[str, Heartbeat], after: dict[str, Heartbeat]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for service, beat in after.items():
        for name, buckets in beat.latency.items():
            earlier = before[service].latency.get(name, {}) if service in before else {}
            counted = histogram.subtract(buckets, earlier)
            row: dict[str, float | int | None] = {"n": sum(counted.values())}
            for label, fraction in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
                value = histogram.percentile(counted, fraction)
                row[label] = None if value is None else round(value / 1e3, 1)
            result[name] = row
    return result


def _newest(client: Any, spec: streams.StreamSpec, kind: type[Any]) -> list[Any]:
    entries = client.xrevrange(spec.key(), count=HOP_SAMPLES)
    decoded = (m for _, fields in entries for m in codec.decode(spec, fields[codec.FIELD]))
    return [message for message in decoded if isinstance(message, kind)]


def _waterfall(client: Any) -> dict[str, float]:
    """Median time between the decisions of neighbouring processes, microseconds."""
    plans = {p.plan_id: p for p in _newest(client, streams.EXEC_PLAN, ApprovedPlan)}
    steps: dict[str, list[int]] = {}
    for plan in plans.values():
        steps.setdefault("tick_depth", []).append(plan.ts_depth_ns - plan.ts_recv_ns)
        steps.setdefault("depth_opportunity", []).append(plan.ts_opportunity_ns - plan.ts_depth_ns)
        steps.setdefault("opportunity_plan", []).append(plan.ts_ns - plan.ts_opportunity_ns)
    for event in _newest(client, streams.EXEC_EVENT, OrderEvent):
        if event.plan_id in plans and event.purpose is OrderPurpose.LEG:
            if event.status is OrderStatus.SUBMITTED:
                ahead = event.ts_ns - plans[event.plan_id].ts_ns
                steps.setdefault("plan_order", []).append(ahead)
            elif event.ts_sent_ns:
                steps.setdefault("tick_sent", []).append(event.ts_sent_ns - event.ts_recv_ns)
    return {name: round(median(values) / 1e3, 1) for name, values in steps.items()}


@dataclass
class Running:
    """A stack that trades: its Redis, its processes by name, its folder."""

    client: Any
    named: dict[str, psutil.Process]
    folder: Path

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time that each process has used."""
        return {name: sum(p.cpu_times()[:2]) for name, p in self.named.items()}


@contextmanager
def running(
    rate: float, *, plain: bool, config: str = "", beside: Sequence[str] = ()
) -> Iterator[Running]:
    """Run the frame source and the services; the body begins when orders are sent.

    Args:
        rate: Frames per second.
        plain: Leave processors and caches to the kernel.
        config: TOML to add.
        beside: More services.
    """
    with tempfile.TemporaryDirectory(prefix="arb-bench-") as name, ExitStack() as held:
        folder = Path(name)
        server = EmbeddedServer(folder).start()
        held.callback(server.stop)
        children: list[subprocess.Popen[Any]] = []
        held.callback(_stop, children)
        source = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.frame_source", "--rate", str(rate)],
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(source)
        assert source.stdout is not None
        port = json.loads(source.stdout.readline())["port"]
        section = "" if plain else _process_section()
        text = CONFIG.format(url=server.url, port=port) + section + config
        (folder / "arb.toml").write_text(text)
        environ = dict(os.environ, ARB_CONFIG=str(folder / "arb.toml"), ARB_LOG_LEVEL="WARNING")
        environ["ARB_DASHBOARD_DIR"] = str(folder / "dashboard")
        named = {"source": psutil.Process(source.pid)}
        log = held.enter_context((folder / "services.log").open("wb"))
        for service in (*SERVICES, *beside):
            command = [sys.executable, "-m", f"services.{service}"]
            child = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
            children.append(child)
            named[service] = psutil.Process(child.pid)
        assert server.pid is not None
        named["valkey"] = psutil.Process(server.pid)
        client = redis.Redis.from_url(server.url)
        held.callback(client.close)
        _wait_for_plans(client, WARM_UP_S, folder / "services.log")
        time.sleep(3)
        yield Running(client, named, folder)


def _stop(children: list[subprocess.Popen[Any]]) -> None:
    for child in reversed(children):
        child.terminate()
    for child in children:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()


def measure(rate: float = 1000.0, seconds: float = 20.0, *, plain: bool = False) -> dict[str, Any]:
    """Run the stack at ``rate`` frames per second; latencies in microseconds, CPU in cores."""
    with running(rate, plain=plain) as stack:
        before, cpu_s = heartbeats(stack.client), stack.cpu_s()
        started = time.monotonic()
        time.sleep(seconds)
        after = heartbeats(stack.client)
        elapsed = time.monotonic() - started
        cores = {
            name: round((used - cpu_s[name]) / elapsed, 3) for name, used in stack.cpu_s().items()
        }
        frames = after["ingestor"].counters["frames"] - before["ingestor"].counters["frames"]
        waterfall = _waterfall(stack.client)
    return {
        "frames_per_s": round(frames / elapsed),
        "latency_us": _summary(before, after),
        "waterfall_p50_us": waterfall,
        "cpu_cores": cores,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.rate, options.seconds, plain=options.plain)
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
