"""How to bring inventory back into its bands: which transfers, which trades, at what cost. Pure.

Asset by asset, those that others are priced in last. Of one asset every venue outside its band
must give or take as much as brings it to the band's edge, and may be helped by venues within
theirs, down or up to their own edges. The cheapest assignment of the one to the other
(``supply_flow.py``) becomes steps; each is then made larger, up to a target, as what is moved
anyway should not have to be moved again. All of it is worked out for transfers and trades
together, for transfers alone and for trades alone, and the cheapest plan that leaves the fewest
venues outside is proposed.

It is a proposal and no optimum: the fixed fee of a withdrawal counts as a cost per unit of what
would typically be moved, and trades that would even out two assets at once are found by comparing
the three plans only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from shared.domain.instrument import split_instrument
from shared.domain.inventory import (
    Band,
    Held,
    Stock,
    Target,
    VenueAsset,
    grid_down,
    grid_up,
    plain,
    totals_of,
)
from shared.domain.rebalance_plan import Plan, Row, RowState
from shared.domain.rebalance_steps import (
    Market,
    PriceOf,
    Step,
    TradeWay,
    Transfer,
    TransferWay,
    Way,
    apply,
    arriving,
    leaving,
    size_step,
)
from shared.domain.supply_flow import Edge, Room, cheapest_flow

_ZERO: Final = Decimal(0)
ROUNDS_MAX: Final = 50
"""Of one asset: each cuts a way down to what it turned out to carry."""
PASSES_MAX: Final = 4
"""Fees make what venues hold together less, and bands that are shares of it narrower."""


class Inventory(NamedTuple):
    """What a plan is made from.

    Attributes:
        targets: At most one of a place.
        held: VenueAsset -> what is there; what a known venue does not name is not there.
        unknown: Venue -> why its balances are not known.
        ways: Transfers that can be made.
        markets: Spot books that can be traded on.
        price_of: What a unit costs, for the report.
    """

    targets: Sequence[Target]
    held: Mapping[VenueAsset, Held]
    unknown: Mapping[str, str]
    ways: Sequence[TransferWay]
    markets: Sequence[Market]
    price_of: PriceOf


_Takes = Callable[[Way], bool]
_ALLOWED: tuple[_Takes, ...] = (
    lambda way: True,
    lambda way: isinstance(way, TransferWay),
    lambda way: isinstance(way, TradeWay),
)


def plan_rebalance(inventory: Inventory, takes: _Takes = _ALLOWED[0]) -> Plan:
    """Return the cheapest plan found that leaves the fewest places outside their bands.

    Args:
        inventory: What is held, and the ways to move it.
        takes: Which ways may be used.
    """
    allowed = [way for way in _ways_of(inventory) if takes(way)]
    found = [_Planner(inventory, [w for w in allowed if also(w)]).plan() for also in _ALLOWED]
    return min(found, key=_worth_of)  # the first of equals


def _worth_of(plan: Plan) -> tuple[int, int, int, Decimal, int]:
    left = [row for row in plan.rows if row.state is RowState.OUT_OF_BAND]
    totals: dict[str, Decimal] = {}
    for row in plan.rows:
        there = (row.held.total if row.held else _ZERO) + (row.band.target if row.band else _ZERO)
        totals[row.target.asset] = totals.get(row.target.asset, _ZERO) + there
    off = sum((_off(row) / totals[row.target.asset] for row in left), _ZERO)
    return len(left), round(off * 1_000), plan.costs_unknown, plan.cost_known, len(plan.steps)


def _off(row: Row) -> Decimal:
    """Return how far outside its band a place stays."""
    if row.band is None or row.after is None:
        return _ZERO
    return max(_ZERO, row.band.low - row.after, row.after - row.band.high)


class _Planner:
    """Works out one plan."""

    def __init__(self, inventory: Inventory, ways: Sequence[Way]) -> None:
        self._inventory, self._ways = inventory, ways
        self._why: dict[VenueAsset, list[str]] = {}
        self._bands: dict[VenueAsset, Band] = {}

    def plan(self) -> Plan:
        """Plan again with what fees leave, until the bands are those of afterwards."""
        known = self._known_totals()
        bounds = {asset: (total, total) for asset, total in known.items()}
        unknown = frozenset(self._inventory.unknown)
        self._bands = Stock(self._inventory.targets, self._inventory.held, unknown, bounds).bands
        stock, steps = self._pass(bounds)
        for _ in range(PASSES_MAX - 1):
            after = self._totals_after(stock, known)
            wanted = {a: (min(known[a], after[a]), max(known[a], after[a])) for a in known}
            if wanted == bounds:
                break
            bounds = wanted
            stock, steps = self._pass(bounds)
        return Plan(tuple(steps), tuple(self._rows(stock, steps, known)))

    def _pass(self, bounds: Mapping[str, tuple[Decimal, Decimal]]) -> tuple[Stock, list[Step]]:
        inventory = self._inventory
        self._why = {}
        unknown = frozenset(inventory.unknown)
        stock = Stock(inventory.targets, inventory.held, unknown, bounds)
        priced_in = {split_instrument(each.instrument).quote for each in inventory.markets}
        assets = {target.asset for target in inventory.targets}
        steps: list[Step] = []
        for asset in sorted(assets, key=lambda asset: (asset in priced_in, asset)):
            stock, more = self._asset(asset, stock)
            steps += more
        return stock, steps

    def _known_totals(self) -> dict[str, Decimal]:
        """Return what the venues of each asset hold together, where all of them are known."""
        inventory, unknown = self._inventory, self._inventory.unknown
        hidden = {t.asset for t in inventory.targets if t.venue in unknown}
        targets = [target for target in inventory.targets if target.asset not in hidden]
        held = {
            t.venue_asset: inventory.held.get(t.venue_asset, Held(_ZERO)).total for t in targets
        }
        return totals_of(targets, held)

    def _totals_after(self, stock: Stock, known: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return what is held together afterwards; an unknown fee is not taken off."""
        targets = [target for target in self._inventory.targets if target.asset in known]
        return totals_of(
            targets, {target.venue_asset: stock.holds(target.venue_asset) for target in targets}
        )

    def _asset(self, asset: str, before: Stock) -> tuple[Stock, list[Step]]:
        """Return the steps that even out one asset, and what is held after them."""
        places = [place for place in before.bands if place[1] == asset]
        must_give = {venue: grid_up(before.excess((venue, asset))) for venue, _ in places}
        must_take = {venue: grid_up(before.missing((venue, asset))) for venue, _ in places}
        if not (any(must_give.values()) or any(must_take.values())):
            return before, []
        ways = [way for way in self._ways if way.asset == asset]
        ways = [w for w in ways if w.giver in must_give and w.taker in must_take]
        edges = [self._edge(way, before, must_give, must_take) for way in ways]
        supplies = {v: _room(must_give[v], before.spare((v, asset))) for v in must_give}
        needs = {v: _room(must_take[v], before.room((v, asset)) or _ZERO) for v in must_take}
        stock, steps = before, list[Step]()
        for _ in range(ROUNDS_MAX):
            flows = cheapest_flow(supplies, needs, edges)
            stock, steps, is_cut = before.copy(), [], False
            for number, (way, flow) in enumerate(zip(ways, flows, strict=True)):
                if flow <= 0:
                    continue
                made = size_step(way, flow, stock, self._inventory.price_of)
                if isinstance(made, str):
                    self._note(way, made)
                    edges[number] = edges[number]._replace(capacity=_ZERO)
                    is_cut = True
                    continue
                apply(made, stock)
                steps.append(made._replace(why=self._reason(way, before)))
                if self._is_short(made, flow, stock):
                    carried = min(flow, grid_down(arriving(made)))
                    is_cut |= carried < edges[number].capacity
                    edges[number] = edges[number]._replace(capacity=carried)
            if not is_cut:
                break
        return stock, [self._larger(step, stock) for step in steps]

    def _larger(self, step: Step, stock: Stock) -> Step:
        """Return a step that goes on to a target, as far as the other steps leave room for it."""
        apply(step, stock, -1)
        qty, price_of = arriving(step), self._inventory.price_of
        made = size_step(step.way, qty, stock, price_of, to_target=True)
        larger = step if isinstance(made, str) else made._replace(why=step.why)
        if arriving(larger) < qty:
            larger = step
        apply(larger, stock)
        return larger

    def _is_short(self, step: Step, flow: Decimal, stock: Stock) -> bool:
        """Tell whether a step moves less than was assigned to it, and that is missed."""
        taker = step.way.taker, step.way.asset
        return leaving(step) < flow or (arriving(step) < flow and stock.missing(taker) > 0)

    def _edge(
        self,
        way: Way,
        stock: Stock,
        must_give: Mapping[str, Decimal],
        must_take: Mapping[str, Decimal],
    ) -> Edge:
        """Return a way with what it carries at most and what a unit of a typical step costs."""
        giver, taker = (way.giver, way.asset), (way.taker, way.asset)
        shut = Edge(way.giver, way.taker, _ZERO, None)
        spare, room = stock.spare(giver), stock.room(taker) or _ZERO
        if min(spare, room) <= 0:
            return shut
        give = max(must_give[way.giver], stock.holds(giver) - stock.bands[giver].target)
        take = max(must_take[way.taker], stock.bands[taker].target - stock.holds(taker))
        usual = min(give, take) if min(give, take) > 0 else max(give, take)
        price_of = self._inventory.price_of
        made = size_step(way, grid_up(min(usual, spare, room)), stock, price_of)
        if isinstance(made, str):
            self._note(way, made)
            return shut
        moved = arriving(made)
        cost = None if made.cost is None else made.cost / moved
        if isinstance(way, TransferWay):
            return shut._replace(capacity=grid_down(min(spare, room)), cost=cost)
        most = size_step(way, min(spare, room), stock, price_of)
        carried = moved if isinstance(most, str) else max(moved, arriving(most))
        return shut._replace(capacity=grid_down(min(carried, spare, room)), cost=cost)

    def _reason(self, way: Way, stock: Stock) -> str:
        """Return in words what is wrong where a step begins and ends."""
        parts = []
        for venue, is_wrong, word in (
            (way.taker, stock.missing((way.taker, way.asset)), "below"),
            (way.giver, stock.excess((way.giver, way.asset)), "above"),
        ):
            if is_wrong:
                place = venue, way.asset
                band = self._bands[place]
                parts.append(
                    f"{venue} holds {plain(stock.holds(place))} {way.asset}, {word} its band of "
                    f"{plain(band.low)} to {plain(band.high)}"
                )
        return ", and ".join(parts)

    def _note(self, way: Way, why: str) -> None:
        for venue in (way.giver, way.taker):
            notes = self._why.setdefault((venue, way.asset), [])
            if why not in notes:
                notes.append(why)

    # -- what becomes of it ---------------------------------------------------------------------

    def _rows(self, stock: Stock, steps: Sequence[Step], known: Mapping[str, Decimal]) -> list[Row]:
        doubtful = {
            (step.way.taker, step.way.asset)
            for step in steps
            if isinstance(step, Transfer) and step.arrives is None
        }
        held, unknown = self._inventory.held, self._inventory.unknown
        totals = {a: (total, total) for a, total in self._totals_after(stock, known).items()}
        at_last = Stock(self._inventory.targets, held, frozenset(unknown), totals)
        rows = []
        for target in self._inventory.targets:
            place = target.venue_asset
            if target.venue in unknown:
                rows.append(Row(target, None, None, None, RowState.UNKNOWN, unknown[target.venue]))
                continue
            here, after = held.get(place, Held(_ZERO)), stock.holds(place)
            if place not in self._bands:
                others = sorted(
                    t.venue
                    for t in self._inventory.targets
                    if t.asset == target.asset and t.venue in unknown
                )
                why = f"its share is of all, and what {', '.join(others)} holds is unknown"
                rows.append(Row(target, here, None, after, RowState.UNKNOWN, why))
                continue
            band, row = self._bands[place], Row(target, here, None, after, RowState.IN_BAND)
            row = row._replace(band=band)
            if place in doubtful:
                why = "the fee of a transfer to it is unknown, and so is what arrives"
                row = row._replace(after=None, state=RowState.UNKNOWN, reason=why)
            elif not at_last.bands[place].holds(after):
                why = self._why_not(target, stock, at_last)
                row = row._replace(state=RowState.OUT_OF_BAND, reason=why)
            elif not band.holds(here.total):
                row = row._replace(state=RowState.BROUGHT_BACK)
            rows.append(row)
        return rows

    def _why_not(self, target: Target, stock: Stock, at_last: Stock) -> str:
        """Return in words why a place stays outside its band."""
        asset, venue = target.venue_asset[1], target.venue
        bands = {place: band for place, band in at_last.bands.items() if place[1] == asset}
        total = sum((stock.holds(place) for place in bands), _ZERO)
        is_below = stock.holds(target.venue_asset) < bands[target.venue_asset].low
        ends = [band.low if is_below else band.high for band in bands.values()]
        edge = sum(ends, _ZERO)
        if is_below and total < edge:
            return f"all venues hold {plain(total)} {asset}, their bands begin at {plain(edge)}"
        if not is_below and total > edge:
            return f"all venues hold {plain(total)} {asset}, their bands end at {plain(edge)}"
        ways = [w for w in self._ways if w.asset == asset]
        if not any(venue == (way.taker if is_below else way.giver) for way in ways):
            what = f"brings {asset} here" if is_below else f"takes {asset} from here"
            return f"no configured transfer and no market at two venues {what}"
        if notes := self._why.get(target.venue_asset):
            return "; ".join(notes)
        if not is_below and not stock.spare(target.venue_asset):
            return "what is above its band is in use, not free"
        return "what others may give or take within their bands, and what is free, is too little"


def _ways_of(inventory: Inventory) -> list[Way]:
    """Return every way to move an asset that has targets, transfers first."""
    ways: list[Way] = list(inventory.ways)
    markets = sorted(inventory.markets, key=lambda each: (each.instrument, each.venue))
    for sell in markets:
        for buy in markets:
            if sell.instrument == buy.instrument and sell.venue != buy.venue:
                name = split_instrument(sell.instrument)
                ways += [TradeWay(asset, sell, buy) for asset in (name.base, name.quote)]
    return ways


def _room(must: Decimal, most: Decimal) -> Room:
    must = min(must, grid_up(most))
    return Room(must, max(_ZERO, grid_down(most) - must))
