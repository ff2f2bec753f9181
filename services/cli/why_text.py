"""The answer of `arb why` as lines of a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from shared.watch.why.funnel import OWN_PRICE_GATES, PRICE_GATES
from shared.watch.why.obstacles import duration
from shared.wording import counted, signed

WIDTH = 80
LABEL = 15
ROWS_MAX = 5
"""Books, gates and denials that are listed; JSON has all."""


def lines_of(answer: dict[str, Any]) -> list[str]:
    """Return the answer in lines of at most 80 columns."""
    lines = textwrap.wrap(answer["sentence"], WIDTH)
    for number, each in enumerate(answer["obstacles"], 1):
        lines += paragraph(f"{number}. {each['effect']}", each["text"])
        lines += paragraph("", f"right: {each['remedy']}")
    for text in answer["not_known"]:
        lines += paragraph("not known", text)
    if answer["funnel"] is None:
        return lines
    window = duration((answer["until_ns"] - answer["since_ns"]) / 1e9)
    between = f" between {' and '.join(answer['pair'])}" if "pair" in answer else ""
    lines += ["", *textwrap.wrap(f"the last {window}{between} at {answer['redis']}", WIDTH)]
    for label, text in _steps(answer["funnel"]):
        lines += paragraph(label, text)
    return lines


def paragraph(label: str, text: str) -> list[str]:
    """Return a label and beside it a text, in as many lines as it takes."""
    lines = textwrap.wrap(text, WIDTH - LABEL) or [""]
    if len(label) >= LABEL:  # it stands above
        return [label, *(f"{'':<{LABEL}}{line}".rstrip() for line in lines)]
    return [f"{label if not n else '':<{LABEL}}{line}".rstrip() for n, line in enumerate(lines)]


def _steps(funnel: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "frames", _frames(funnel["frames"])
    yield from _books(funnel["books"])
    yield from _near_misses(funnel["near_misses"])
    found = funnel["found"]
    best = "" if found["best"] is None else f"; best edge {found['best']['edge_bps']:+.2f} bps, id "
    best += "" if found["best"] is None else str(found["best"]["opportunity_id"])
    signals = f", {counted(found['signals'], 'signal')}" if found["signals"] else ""
    yield "opportunities", f"{found['opportunities']:,}{signals}{best}"
    yield from _denied(funnel["denied"])
    plans = funnel["plans"]
    smaller = f", {plans['made_smaller']:,} made smaller" if plans["made_smaller"] else ""
    text = f"{plans['approved']:,} approved{smaller}, {plans['in_flight']:,} in flight"
    yield "plans", text
    outcomes = ", ".join(f"{n:,} {name}" for name, n in sorted(plans["outcomes"].items()))
    money = ", ".join(f"{signed(amount)} {quote}" for quote, amount in plans["realized"].items())
    yield "outcomes", (outcomes or "none") + (f"; realized {money}" if money else "")


def _frames(frames: dict[str, Any]) -> str:
    if frames["since_start"] is None:
        return "not known: no ingestor tells of them"
    rate = "unknown" if frames["per_s"] is None else f"{frames['per_s']:,.1f}"
    return f"{rate} a second, {frames['since_start']:,} since the ingestors started"


def _books(books: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if books["total"] is None:
        yield "books", "not known: no venue and no orderbook service tells of one"
        return
    yield "books", f"{books['live']} of {books['total']} LIVE"
    for row in books["not_live"][:ROWS_MAX]:
        why = f": {row['reason']}" if row["reason"] else ""
        age = "" if row["age_ms"] is None else f", {duration(row['age_ms'] / 1e3)} old"
        yield "", f"{row['venue']} {row['instrument']} {row['state']}{why}{age}"
    yield from _more(books["not_live"])


def _near_misses(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if not rows:
        yield "near misses", "none: nothing was compared, or all of it was an opportunity"
    for number, row in enumerate(rows[:ROWS_MAX]):
        parts = [f"{row['gate']} {row['comparisons']:,} x"]
        if row["edge_bps"] is not None:
            parts.append(f"best {row['edge_bps']:+.2f} bps {row['edge_is']}")
        if row["gross_bps"] is not None:
            parts.append(f"gross {row['gross_bps']:+.2f}, fees {row['fees_bps']:.2f}")
        if row["needs_bps"] is not None and row["gate"] in {*PRICE_GATES, *OWN_PRICE_GATES}:
            parts.append(f"needs {row['needs_bps']:+.2f}")
        buy, sell = row["buy"], row["sell"]
        parts.append(f"{row['strategy']}: {buy['venue']} > {sell['venue']} {buy['instrument']}")
        yield "" if number else "near misses", ", ".join(parts)
    yield from _more(rows)


def _denied(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if not rows:
        yield "denied", "none"
    for number, row in enumerate(rows[:ROWS_MAX]):
        example = row["example"]
        yield (
            "" if number else "denied",
            f"{row['count']:,} {row['reason']}, like {example['opportunity_id']}: "
            f"{context_text(example['context'])}",
        )
    yield from _more(rows)


def context_text(context: dict[str, str]) -> str:
    """Return the numbers of a denial or near miss."""
    return ", ".join(f"{name} {value}" for name, value in context.items()) or "no numbers"


def _more(rows: Iterable[Any]) -> Iterator[tuple[str, str]]:
    more = len(list(rows)) - ROWS_MAX
    if more > 0:
        yield "", f"and {more} more: --json"
