"""What became of one opportunity, signal or plan: everything that was said of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from services.cli.output import as_record
from shared.domain.fees import BPS, EDGE_STEP
from shared.messages.arb import Opportunity, Signal
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan, Denied, Fill, OrderEvent, OrderPurpose, PlanDone
from shared.messages.fill_key import FillKey, fill_key
from shared.watch.plan_waterfall import Order, kinds_of, waterfall
from shared.watch.why.remedies import DENIALS
from shared.wording import signed

_MS = 1_000_000


class Trail:
    """Collects what is about one id; what comes twice counts once.

    Plans must be given first: a plan's opportunity, and an opportunity's plan, are known from them.

    Args:
        wanted: Id of an opportunity, a signal or a plan.
    """

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.offer: Opportunity | Signal | None = None
        self.denials: dict[tuple[str, int], Denied] = {}
        self.plan: ApprovedPlan | None = None
        self.ends: dict[int, PlanDone] = {}
        self.events: dict[tuple[str, int, str, Decimal], OrderEvent] = {}
        self.fills: dict[FillKey, Fill] = {}
        self._plan_id = self._offer_id = wanted

    @property
    def is_found(self) -> bool:
        """Whether anything was said of it."""
        return any((self.offer, self.denials, self.plan, self.ends, self.events, self.fills))

    @property
    def is_whole(self) -> bool:
        """Whether it is known from what was found to its end."""
        is_ended = bool(self.ends) if self.plan is not None else bool(self.denials)
        return self.offer is not None and is_ended

    @property
    def plan_id(self) -> str:
        """The id of its plan; of an opportunity without one it is the opportunity's."""
        return self._plan_id

    @property
    def offer_id(self) -> str:
        """The id of its opportunity or signal."""
        return self._offer_id

    def take_all(self, messages: Iterable[Message]) -> None:
        """Take in messages, as ``take`` does."""
        for message in messages:
            self.take(message)

    def take(self, message: Message) -> None:
        """Take in a message if it is about the wanted."""
        match message:
            case ApprovedPlan() if self.wanted in {message.plan_id, message.opportunity_id}:
                self.plan = message
                self._plan_id, self._offer_id = message.plan_id, message.opportunity_id
            case Opportunity() if message.opportunity_id == self._offer_id:
                self.offer = message
            case Signal() if message.signal_id == self._offer_id:
                self.offer = message
            case Denied() if message.opportunity_id == self._offer_id:
                self.denials[message.reason, message.ts_ns] = message
            case PlanDone() if message.plan_id == self._plan_id:
                self.ends[message.ts_ns] = message
            case OrderEvent() if message.plan_id == self._plan_id:
                key = message.client_order_id, message.ts_ns, message.status, message.filled_qty
                self.events[key] = message
            case Fill() if message.plan_id == self._plan_id:
                before = self.fills.get(fill_key(message))
                if before is None or before.fee is None:
                    self.fills[fill_key(message)] = message


def record_of(trail: Trail) -> dict[str, Any]:
    """Return the path of what was found, in the form in which it is printed as JSON."""
    plan, ends = trail.plan, [trail.ends[ts] for ts in sorted(trail.ends)]
    end = ends[-1] if ends else None
    denials = sorted(trail.denials.values(), key=lambda each: each.ts_ns)
    orders, fills = _orders(trail), list(trail.fills.values())
    kinds = kinds_of(trail.events.values())
    return {
        "schema": 1,
        "sentence": _sentence(trail, denials, end),
        "offer": None if trail.offer is None else as_record(trail.offer),
        "edges": _edges(trail.offer),
        "books": _books(trail.offer),
        "rules": rules_of(denials, plan),
        "denials": [as_record(each) for each in denials],
        "plan": None if plan is None else as_record(plan),
        "orders": orders,
        "fills": [_fill(each, plan, kinds) for each in fills],
        "end": None if end is None else as_record(end),
        "times_ms": _times(trail, end),
        "waterfall": None if plan is None else waterfall(plan, kinds, fills, end),
        "not_known": _not_known(trail, denials, end),
    }


def _sentence(trail: Trail, denials: Sequence[Denied], end: PlanDone | None) -> str:
    if trail.plan is None and denials:
        last = denials[-1]
        numbers = ", ".join(f"{name} {value}" for name, value in last.context.items())
        return f"Denied for {last.reason}: {numbers or 'no numbers'}."
    if end is not None:
        why = f" ({end.reason})" if end.reason else ""
        expected = "" if trail.plan is None else f" of {signed(trail.plan.net_expected)} expected"
        return (
            f"{end.outcome}{why}: realized {signed(end.realized)} {end.quote}{expected}, "
            f"{end.certainty}."
        )
    if trail.plan is not None or trail.events:
        return "Approved, and not ended as far as it is on record."
    return "Found, and neither approved nor denied as far as it is on record."


def _edges(offer: Opportunity | Signal | None) -> dict[str, Any] | None:
    """Return what the edge is made of, basis points of the notional."""
    if not isinstance(offer, Opportunity) or not offer.notional:
        return None
    in_bps = BPS / offer.notional
    return {
        "gross_bps": (offer.gross * in_bps).quantize(EDGE_STEP),
        "fees_bps": (offer.fees * in_bps).quantize(EDGE_STEP),
        "net_bps": offer.edge_bps,
    }


def _books(offer: Opportunity | Signal | None) -> list[dict[str, Any]]:
    """Return the books it was made of; ``age_ms`` is from the frame's arrival to the finding."""
    if not isinstance(offer, Opportunity):
        return []
    return [
        {
            "venue": leg.venue,
            "instrument": leg.instrument,
            "side": leg.side,
            "qty": leg.qty,
            "price_avg": leg.price_avg,
            "price_limit": leg.price_limit,
            "fee_bps": leg.fee_bps,
            "levels": leg.levels_used,
            "book_id": leg.book_id,
            "age_ms": _ms(offer.ts_ns - leg.book_ts_recv_ns),
        }
        for leg in offer.legs
    ]


def rules_of(denials: Sequence[Denied], plan: ApprovedPlan | None) -> dict[str, Any] | None:
    """Return the rules that let it pass, the one that did not, and those not asked any more.

    Rules are asked in the order of docs/denials.md; one that is off lets everything pass.
    ``None`` where risk has not decided.
    """
    names = list(DENIALS)
    if plan is not None:
        return {"passed": names, "denied": None, "not_asked": []}
    if not denials or denials[-1].reason not in DENIALS:
        return None
    at = names.index(denials[-1].reason)
    return {"passed": names[:at], "denied": names[at], "not_asked": names[at + 1 :]}


def _orders(trail: Trail) -> list[dict[str, Any]]:
    """Return orders with their last status, by when they were put on record."""
    by_id: dict[str, list[OrderEvent]] = {}
    for event in sorted(trail.events.values(), key=lambda each: each.ts_ns):
        by_id.setdefault(event.client_order_id, []).append(event)
    return [_order(events, trail.plan) for events in by_id.values()]


def _order(events: Sequence[OrderEvent], plan: ApprovedPlan | None) -> dict[str, Any]:
    first, last = events[0], sorted(events, key=lambda each: (each.ts_ns, each.filled_qty))[-1]
    sent_ns = max(each.ts_sent_ns for each in events)
    return {
        "client_order_id": last.client_order_id,
        "purpose": last.purpose,
        "venue": last.venue,
        "instrument": last.instrument,
        "side": last.side,
        "qty": last.qty,
        "price_limit": last.price_limit,
        "status": last.status,
        "filled_qty": last.filled_qty,
        "reason": last.reason,
        "sent_ms": None if plan is None or not sent_ns else _ms(sent_ns - plan.ts_ns),
        "settled_ms": _ms(last.ts_ns - first.ts_ns),
    }


def _fill(fill: Fill, plan: ApprovedPlan | None, kinds: dict[str, Order]) -> dict[str, Any]:
    """Return a fill; ``slip_bps`` is how much worse (negative: better) it was than expected."""
    order, slip = kinds.get(fill.client_order_id), None
    if plan is not None and order is not None and order.purpose is OrderPurpose.LEG:
        leg = plan.legs[order.leg_index] if order.leg_index < len(plan.legs) else None
        if leg is not None and leg.instrument == fill.instrument:
            worse = fill.side.signed(fill.price - leg.price_expected)
            slip = (worse / leg.price_expected * BPS).quantize(EDGE_STEP)
    return {
        "client_order_id": fill.client_order_id,
        "venue": fill.venue,
        "instrument": fill.instrument,
        "side": fill.side,
        "qty": fill.qty,
        "price": fill.price,
        "slip_bps": slip,
        "fee": fill.fee,
        "fee_asset": fill.fee_asset,
    }


def _times(trail: Trail, end: PlanDone | None) -> dict[str, float | None]:
    """Return what passed from step to step, ms by our clock; ``None``: not on record."""
    offer, plan = trail.offer, trail.plan
    decided = plan or next(iter(trail.denials.values()), None)
    sent = [each.ts_sent_ns for each in trail.events.values() if each.ts_sent_ns]
    return {
        "tick_to_depth": _ms(offer.ts_depth_ns - offer.ts_recv_ns) if offer else None,
        "depth_to_found": _ms(offer.ts_ns - offer.ts_depth_ns) if offer else None,
        "found_to_decision": _ms(decided.ts_ns - offer.ts_ns) if offer and decided else None,
        "plan_to_order": _ms(min(sent) - plan.ts_ns) if plan and sent else None,
        "plan_to_end": _ms(end.ts_ns - plan.ts_ns) if plan and end else None,
    }


def _not_known(trail: Trail, denials: Sequence[Denied], end: PlanDone | None) -> list[str]:
    missing = []
    if trail.offer is None:
        missing.append("the opportunity: its entry is trimmed, and no ledger has it")
    if trail.plan is None and not denials:
        missing.append("risk's decision: skipped as late, silent, or its entry is trimmed")
    if trail.plan is not None and end is None:
        missing.append("how the plan ended: it has not, or its entry is trimmed")
    if any(fill.fee is None for fill in trail.fills.values()):
        missing.append("fees: a venue has not told one yet")
    return missing


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / _MS, 3)
