"""One sample of everything: processes, tabs, streams, latency, counts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from services.cli.run import Run
from shared import histogram
from shared.errors import ArbError
from shared.watch.link import open_link
from shared.watch.stream_state import StreamGauge
from tests.soak.record import Latency, ProcessSample, Sample, TabSample
from tests.soak.signs import Heard
from tests.soak.tabs import Tabs
from tests.soak.terminal import Terminal

TOP, HARNESS, CHROMIUM, DRIVER = "arb top", "soak", "chromium", "playwright"
MEASURE = "tick_to_order"
_OF_BROWSER = {"chrom": CHROMIUM, "node": DRIVER}


@dataclass
class Sampler:
    """Measures one run; ``heard`` has followed its streams from their start."""

    run: Run
    heard: Heard
    terminal: Terminal | None
    tabs: Tabs | None
    shards: int
    _before: dict[int, int] = field(default_factory=dict)

    async def sample(self, at_s: float) -> Sample:
        """Return everything as it is now; what does not answer is missing."""
        heard = self.heard
        sample = Sample(
            at_s=round(at_s, 1),
            processes=self._processes(),
            tabs=await self._tabs(),
            tick_to_order=self._latency(),
            frames=heard.counter("ingestor", "frames"),
            opportunities=heard.opportunities,
            plans=len(heard.plans),
            fills=len(heard.fills),
            denied=sum(heard.denied.values()),
            refused_orders=heard.order_counts()["rejected"],
            state=str(heard.state.state) if heard.state else "",
            load_1m=round(psutil.getloadavg()[0], 2),
            cpu_percent=psutil.cpu_percent(),
        )
        with suppress(ArbError):
            await self._redis(sample)
        return sample

    async def _redis(self, sample: Sample) -> None:
        async with open_link(self.run.stack.url) as link:
            sample.redis_mb = round((await link.info("memory"))["used_memory"] / 1e6, 2)
            told = await StreamGauge(self.shards).read(link)
        sample.streams = {name: size for name, size in told.sizes.items() if size[0]}
        sample.dead_letters = sum(told.dead.values())

    async def _tabs(self) -> dict[str, TabSample]:
        return {} if self.tabs is None else await self.tabs.sample()

    def _latency(self) -> Latency:
        now = self.heard.latency(MEASURE)
        since, self._before = histogram.subtract(now, self._before), now
        p50, p99 = (histogram.percentile(since, fraction) for fraction in (0.5, 0.99))
        return Latency(
            n=sum(since.values()),
            p50_us=None if p50 is None else round(p50 / 1e3, 1),
            p99_us=None if p99 is None else round(p99 / 1e3, 1),
        )

    def _processes(self) -> dict[str, ProcessSample]:
        used = self.run.stack.supervisor.usage()
        named = {name: [each.pid] for name, each in used.items() if each.up}
        named[HARNESS] = [psutil.Process().pid]
        if self.terminal is not None and self.terminal.pid is not None:
            named[TOP] = [self.terminal.pid]
        if self.tabs is not None:
            known = {pid for pids in named.values() for pid in pids}
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    kind = next((k for part, k in _OF_BROWSER.items() if part in child.name()), "")
                    if kind and child.pid not in known:
                        named.setdefault(kind, []).append(child.pid)
        found = {name: _measure(pids) for name, pids in named.items()}
        return {name: each for name, each in found.items() if each is not None}


def _measure(pids: list[int]) -> ProcessSample | None:
    """Return processes as one; its epoch is the first one's id."""
    rss = fds = 0
    cpu_s = 0.0
    with suppress(psutil.Error):
        for pid in pids:
            process = psutil.Process(pid)
            with process.oneshot():
                rss += process.memory_info().rss
                fds += process.num_fds()
                cpu_s += sum(process.cpu_times()[:2])
        return ProcessSample(
            epoch=pids[0], rss_mb=round(rss / 1e6, 2), fds=fds, cpu_s=round(cpu_s, 1)
        )
    return None
