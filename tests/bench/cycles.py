"""What one update costs where cycles are indexed by market, and where all are looked at.

    python -m tests.bench.cycles [--json] [--updates N]

The markets are a made-up listing of the shape of a large venue: every asset against the first, and
the further quote assets fewer each: 1,255 markets and 1,680 triangles. Both ways
take the same updates in turns; CPU time counts, the best round of each.
"""

from __future__ import annotations

import argparse
import json
import random
import time

from shared.domain.cycles import CycleBoard, Cycles, Market, enumerate_cycles

ROUNDS = 5
QUOTES = (("Q0", 400), ("Q1", 390), ("Q2", 200), ("Q3", 160), ("Q4", 60), ("Q5", 30))
"""Quote assets and how many assets are listed against each."""
FEE = 0.001


def listing() -> Cycles:
    names = [f"{base}/{quote}" for quote, count in QUOTES for base in bases(quote, count)]
    return enumerate_cycles([Market("venue", name) for name in names])


def bases(quote: str, count: int) -> list[str]:
    others = [name for name, _ in QUOTES if name > quote]
    return [*others, *(f"A{number}" for number in range(count))]


def updates_of(cycles: Cycles, count: int) -> list[tuple[int, float, float]]:
    draw = random.Random(7)
    found = []
    for _ in range(count):
        bid = 1.0 + draw.uniform(-0.001, 0.001)
        found.append((draw.randrange(len(cycles.markets)), bid, bid * 1.0002))
    return found


def indexed(cycles: Cycles, updates: list[tuple[int, float, float]]) -> tuple[float, int]:
    board = CycleBoard(cycles)
    start = time.process_time()
    for market, bid, ask in updates:
        board.update(market, bid, ask, FEE, least=1.0)
    return (time.process_time() - start) / len(updates) * 1e6, board.evaluations


def everything(cycles: Cycles, updates: list[tuple[int, float, float]]) -> float:
    """The same products, of all cycles at every update."""
    board = CycleBoard(cycles)
    ways = [(cycle, cycle.backwards()) for cycle in cycles.cycles]
    start = time.process_time()
    for market, bid, ask in updates:
        board.update(market, bid, ask, FEE, least=1e9)
        for forth, back in ways:
            board.product(forth)
            board.product(back)
    return (time.process_time() - start) / len(updates) * 1e6


def measure(count: int) -> dict[str, float]:
    start = time.process_time()
    cycles = listing()
    enumerate_ms = (time.process_time() - start) * 1e3
    updates = updates_of(cycles, count)
    few = updates[: max(1, count // 1_000)]
    rounds = [(indexed(cycles, updates), everything(cycles, few)) for _ in range(ROUNDS)]
    update_us = min(one for (one, _), _ in rounds)
    all_us = min(every for _, every in rounds)
    return {
        "markets": len(cycles.markets),
        "triangles": len(cycles.cycles),
        "cycles_per_market_max": max(map(len, cycles.of_market)),
        "enumerate_ms": round(enumerate_ms, 1),
        "evaluations_per_update": round(rounds[0][0][1] / count, 2),
        "update_us": round(update_us, 2),
        "all_cycles_us": round(all_us, 1),
        "ratio": round(all_us / update_us, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--updates", type=int, default=50_000)
    args = parser.parse_args()
    found = measure(args.updates)
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
