"""Rows of the screens opportunities, plans and positions of `arb top`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from services.cli.look import price_text
from services.cli.opportunity_terms import expected
from services.cli.screen import short_name
from services.cli.top.cells import SILENT, UNKNOWN, Row, clock, money, number
from services.cli.top.watched import Watched, is_silent
from shared.messages.base import Side
from shared.messages.execution import PlanLeg


def opportunities(watched: Watched, now_ns: int) -> Iterator[Row]:
    del now_ns
    for offer in reversed(watched.offers):
        net, edge = expected(offer)
        way = " > ".join(
            "+".join(leg.venue for leg in offer.legs if leg.side is side) or UNKNOWN
            for side in Side
        )
        answer = watched.answers.items.get(offer.opportunity_id, UNKNOWN)
        assets = "-".join(each.asset for each in offer.values) or offer.base
        yield Row(
            offer.opportunity_id,
            (
                clock(offer.ts_ns),
                assets,
                way,
                number(f"{edge:.1f}"),
                number(f"{net:.2f}"),
                Text(answer, "yellow" if answer.startswith("denied") else ""),
            ),
            offer,
            offer.opportunity_id,
        )


def plans(watched: Watched, now_ns: int) -> Iterator[Row]:
    for plan_id, plan in reversed(watched.plans.items.items()):
        made, done = plan.approved, plan.done
        outcome = Text("open", "cyan") if done is None else Text(str(done.outcome))
        took = (now_ns if done is None else done.ts_ns) - made.ts_ns
        yield Row(
            plan_id,
            (
                clock(made.ts_ns),
                made.base,
                outcome,
                money(made.net_expected),
                number(UNKNOWN) if done is None else money(done.realized),
                number(f"{took / 1e9:.1f}s"),
                " ".join(map(_leg, made.legs)),
            ),
            plan,
            plan_id,
        )


def _leg(leg: PlanLeg) -> str:
    return f"{'+' if leg.side is Side.BUY else '-'}{leg.venue}"


def positions(watched: Watched, now_ns: int) -> Iterator[Row]:
    risk = watched.risk
    for each in () if risk is None else risk.positions:
        closes_at = None if each.close_price is None else float(each.close_price)
        worth = None if each.close_price is None else each.qty * each.close_price
        yield Row(
            f"{each.venue}|{each.instrument}",
            (
                each.venue or "all venues",
                short_name(each.instrument),
                number(f"{each.qty.normalize():+f}"),
                number(price_text(float(each.entry))),
                number(UNKNOWN if closes_at is None else price_text(closes_at)),
                number(UNKNOWN if worth is None else f"{worth:,.2f}"),
                money(each.unrealized),
                "" if risk is None else _silent(risk.ts_ns, now_ns),
            ),
            each,
        )
    for key, held in sorted(watched.rounds.items()):
        for leg in held.legs:
            if leg.qty:
                yield Row(
                    f"round {key} {leg.venue} {leg.instrument}",
                    (
                        leg.venue,
                        short_name(leg.instrument),
                        number(f"{leg.qty.normalize():+f}"),
                        number(UNKNOWN if leg.entry is None else price_text(float(leg.entry))),
                        number(""),
                        number(""),
                        number(""),
                        _silent(held.ts_ns, now_ns) or f"of {held.strategy_id}, {held.state}",
                    ),
                    held,
                )


def _silent(told_ns: int, now_ns: int) -> Text:
    """Return that it was so once, where nobody has said so lately; else nothing."""
    text = f"{SILENT} since {clock(told_ns)}" if is_silent(told_ns, now_ns) else ""
    return Text(text, "bold red")
