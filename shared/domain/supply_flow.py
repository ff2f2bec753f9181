"""Who gives how much to whom: the cheapest assignment of supplies to needs. Pure, Decimal.

A minimum-cost flow from givers to takers over edges of limited capacity. What *must* be given or
taken comes before any cost: as much of it as the edges can carry is assigned, rerouting what was
assigned before where that makes room for more. What only *may* be given or taken is used for no
other purpose. Among the assignments that do this, it is one of least cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

_ZERO: Final = Decimal(0)
Cost = tuple[int, int, int]
"""Of a unit: what it leaves undone (negative: does), uses of unknown cost, and its cost.

Whole numbers of ``_COST_STEP``: rounded sums would make going forth and back look like a gain.
"""
_COST_STEP: Final = Decimal("1e-18")
_FREE: Final[Cost] = (0, 0, 0)
_WANTED: Final[Cost] = (-1, 0, 0)


class Room(NamedTuple):
    """What one side must give or take, and what it may beyond that; neither is negative."""

    must: Decimal
    may: Decimal


class Edge(NamedTuple):
    """A way from a giver to a taker.

    Attributes:
        giver: A key of the supplies.
        taker: A key of the needs.
        capacity: The most that it carries.
        cost: Of a unit; ``None`` is unknown, and dearer than any that is known.
    """

    giver: str
    taker: str
    capacity: Decimal
    cost: Decimal | None


@dataclass(slots=True)
class _Arc:
    """One direction of an edge: where it leads and how much more it carries."""

    end: int
    left: Decimal
    cost: Cost
    back: int


class _Network:
    """Nodes with arcs, each beside the arc that undoes it."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.arcs: list[_Arc] = []
        self.leaving: list[list[int]] = [[] for _ in range(nodes)]

    def join(self, start: int, end: int, capacity: Decimal, cost: Cost) -> int:
        """Add an arc and return its number."""
        number = len(self.arcs)
        undone = (-cost[0], -cost[1], -cost[2])
        self.arcs += [_Arc(end, capacity, cost, number + 1), _Arc(start, _ZERO, undone, number)]
        self.leaving[start].append(number)
        self.leaving[end].append(number + 1)
        return number

    def cheapest_path(self, start: int, end: int) -> tuple[Cost, list[int]] | None:
        """Return the cheapest way with anything left (Bellman-Ford: costs may be negative)."""
        best: list[Cost | None] = [None] * self.nodes
        came_by = [-1] * self.nodes
        best[start] = _FREE
        for _ in range(self.nodes - 1):
            has_changed = False
            for node in range(self.nodes):
                here = best[node]
                if here is None:
                    continue
                for number in self.leaving[node]:
                    arc = self.arcs[number]
                    there = best[arc.end]
                    cost = _sum(here, arc.cost)
                    if arc.left > 0 and (there is None or cost < there):
                        best[arc.end], came_by[arc.end], has_changed = cost, number, True
            if not has_changed:
                break
        found = best[end]
        if found is None:
            return None
        path, node = [], end
        while node != start:
            path.append(came_by[node])
            node = self.arcs[self.arcs[came_by[node]].back].end
        return found, path

    def push(self, path: Sequence[int]) -> None:
        """Send along a path what its narrowest arc carries."""
        qty = min(self.arcs[number].left for number in path)
        for number in path:
            arc = self.arcs[number]
            arc.left -= qty
            self.arcs[arc.back].left += qty


def cheapest_flow(
    supplies: Mapping[str, Room], needs: Mapping[str, Room], edges: Sequence[Edge]
) -> list[Decimal]:
    """Return what each edge carries.

    Args:
        supplies: Giver -> what it must and may give.
        needs: Taker -> what it must and may take.
        edges: Between them; those of others carry nothing.
    """
    givers = {name: number for number, name in enumerate(supplies, start=2)}
    takers = {name: number for number, name in enumerate(needs, start=2 + len(givers))}
    source, sink = 0, 1
    network = _Network(2 + len(givers) + len(takers))
    for name, room in supplies.items():
        network.join(source, givers[name], room.must, _WANTED)
        network.join(source, givers[name], room.may, _FREE)
    for name, room in needs.items():
        network.join(takers[name], sink, room.must, _WANTED)
        network.join(takers[name], sink, room.may, _FREE)
    joined = [
        network.join(givers[edge.giver], takers[edge.taker], edge.capacity, _cost_of(edge))
        if edge.giver in givers and edge.taker in takers
        else None
        for edge in edges
    ]
    while True:  # each turn uses up an arc of the cheapest path, whose cost only rises
        found = network.cheapest_path(source, sink)
        if found is None or found[0][0] >= 0:
            break
        network.push(found[1])
    return [_ZERO if number is None else network.arcs[number + 1].left for number in joined]


def _cost_of(edge: Edge) -> Cost:
    return (0, 1, 0) if edge.cost is None else (0, 0, int(edge.cost / _COST_STEP))


def _sum(one: Cost, other: Cost) -> Cost:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
