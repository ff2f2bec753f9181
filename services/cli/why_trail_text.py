"""The path of one opportunity or plan as lines of a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from services.cli.ledger.tables import BESIDE_LABELS, STEP_LABELS, amount, plain, short
from services.cli.why_text import WIDTH, context_text, paragraph
from shared.wording import counted


def trail_lines(record: dict[str, Any]) -> list[str]:
    """Return the path in lines of at most 80 columns."""
    lines = textwrap.wrap(record["sentence"], WIDTH)
    for text in record["not_known"]:
        lines += paragraph("not known", text)
    lines.append("")
    for label, text in _steps(record):
        lines += paragraph(label, text)
    return lines


def _steps(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _offer(record)
    yield from _decision(record)
    yield from _orders(record)
    end = record["end"]
    if end is not None:
        left = ", ".join(f"{plain(qty)} {asset}" for asset, qty in end["residual"].items())
        why = f": {end['reason']}" if end["reason"] else ""
        yield "end", f"{end['outcome']}{why}" + (f"; left unhedged {left}" if left else "")
    yield from _waterfall(record["waterfall"])
    times = ", ".join(
        f"{name.replace('_', ' ')} {'unknown' if ms is None else f'{ms:,.1f}'}"
        for name, ms in record["times_ms"].items()
    )
    yield "ms", times


def _offer(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    offer, edges = record["offer"], record["edges"]
    if offer is None:
        return
    name = offer.get("opportunity_id") or offer["signal_id"]
    yield "found", f"{offer['type']} {name} by {offer['strategy_id'] or offer['detector']}"
    if edges is not None:
        yield (
            "edge",
            f"gross {edges['gross_bps']:+} bps, fees {edges['fees_bps']}, net "
            f"{edges['net_bps']:+}; {amount(offer['net'])} {offer['quote']} expected of "
            f"{short(offer['notional'])}",
        )
    for number, book in enumerate(record["books"], 1):
        yield (
            f"leg {number}",
            f"{book['side']} {plain(book['qty'])} {book['instrument']} at {book['venue']}, "
            f"avg {short(book['price_avg'])}, limit {short(book['price_limit'])}, fee "
            f"{plain(book['fee_bps'])} bps, {counted(book['levels'], 'level')}; book "
            f"{book['age_ms']:,.1f} ms old: {book['book_id']}",
        )


def _decision(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for denial in record["denials"]:
        yield "denied", f"{denial['reason']}: {context_text(denial['context'])}"
    rules, plan = record["rules"], record["plan"]
    if rules is not None and rules["denied"] is not None:
        passed, rest = counted(len(rules["passed"]), "rule"), len(rules["not_asked"])
        yield "rules", f"{passed} passed or off, then {rules['denied']}, {rest} not asked"
    if plan is None:
        return
    yield "approved", f"plan {plan['plan_id']}, loss cap {short(plan['loss_cap'])} {plan['quote']}"
    if (was := plan["shrunk"]) is not None:
        yield "", f"smaller than offered ({plain(was.qty)}), by {', '.join(was.limits)}"


def _orders(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(record["orders"], 1):
        sent = "sent at a time not told"
        if each["sent_ms"] is not None:
            sent = f"sent after {each['sent_ms']:,.1f} ms"
        why = f": {each['reason']}" if each["reason"] else ""
        yield (
            f"order {number}",
            f"{each['purpose']} {each['side']} {plain(each['qty'])} {each['instrument']} at "
            f"{each['venue']}, limit {short(each['price_limit'])}, {sent}, {each['status']} "
            f"{plain(each['filled_qty'])} after {each['settled_ms']:,.1f} ms{why}",
        )
    for number, each in enumerate(record["fills"], 1):
        fee = "fee unknown"
        if each["fee"] is not None:
            fee = f"fee {short(each['fee'])} {each['fee_asset']}".rstrip()
        slip = "" if each["slip_bps"] is None else f", {_slip_text(each['slip_bps'])}"
        yield (
            f"fill {number}",
            f"{each['side']} {plain(each['qty'])} {each['instrument']} at {each['venue']} for "
            f"{short(each['price'])}{slip}, {fee}",
        )


def _slip_text(slip_bps: Decimal) -> str:
    if not slip_bps:
        return "as expected"
    return f"{abs(slip_bps)} bps {'worse' if slip_bps > 0 else 'better'} than expected"


def _waterfall(steps: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if steps is None:
        return
    rows = [(label, steps["steps"][name]) for name, label in STEP_LABELS.items()]
    rows.append(("= realized", steps["realized"]))
    rows += [(label, steps[name]) for name, label in BESIDE_LABELS.items() if steps[name]]
    for number, (label, figure) in enumerate(rows):
        told = amount(figure["amount"], 4, figure["certainty"])
        yield "" if number else steps["quote"], f"{label:<45}{told:>18}"
