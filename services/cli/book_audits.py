"""`arb books --audits`: what comparing books with the venues' REST books has shown."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cli.look import check_instrument, known_instruments, newest_views
from services.cli.output import console
from shared.clock import SystemClock
from shared.messages.book_audit import AuditVerdict, BookAudited
from shared.streams import MD_AUDIT, MD_DEPTH
from shared.watch.link import Link

WINDOW_MS = 24 * 3_600_000
"""How far back is looked, as far as the stream goes."""
NEVER = "never"
STYLES = {AuditVerdict.AGREES: "green", AuditVerdict.DIFFERS: "red", AuditVerdict.UNDECIDED: "dim"}


async def book_audits(
    link: Link, venue: str | None, instrument: str | None
) -> list[dict[str, Any]]:
    """Return a record of every book: its last comparison, and how many ended how.

    Raises:
        ConfigError: That venue or instrument is unknown.
    """
    if venue is not None or instrument is not None:
        check_instrument(await known_instruments(link), venue, instrument)
    told: dict[tuple[str, str], list[BookAudited]] = {
        (view.venue, view.instrument): [] for view in newest_views(await link.recent(MD_DEPTH))
    }
    for item in await link.recent(MD_AUDIT, WINDOW_MS):
        if isinstance(item.message, BookAudited):
            told.setdefault((item.message.venue, item.message.instrument), []).append(item.message)
    now_ns = SystemClock.now_ns()
    return [
        {"venue": name[0], "instrument": name[1], **_record(of_book, now_ns)}
        for name, of_book in sorted(told.items())
        if venue in (None, name[0]) and instrument in (None, name[1])
    ]


def _record(told: list[BookAudited], now_ns: int) -> dict[str, Any]:
    counted = {
        verdict.value.lower(): sum(each.verdict is verdict for each in told)
        for verdict in AuditVerdict
    }
    record: dict[str, Any] = {**counted, "failed": sum(each.failed for each in told), "last": None}
    if told:
        last = told[-1]
        record["last"] = {
            "verdict": last.verdict,
            "feed": last.feed,
            "failed": last.failed,
            "age_s": round((now_ns - last.ts_ns) / 1e9, 1),
            "compared": last.compared,
            "changed": last.changed,
            "differences": last.differences,
            "reason": last.reason,
        }
    return record


def print_audits(records: list[dict[str, Any]]) -> None:
    """Print a line per book."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("book", "last"):
        table.add_column(name, no_wrap=True)
    for name in ("s ago", "levels", "agree", "differ", "undec.", "failed"):
        table.add_column(name, justify="right")
    for each in records:
        last = each["last"]
        verdict = NEVER if last is None else f"[{STYLES[last['verdict']]}]{last['verdict'].value}"
        table.add_row(
            f"{each['venue']} {each['instrument']}",
            verdict,
            "" if last is None else f"{last['age_s']:.0f}",
            "" if last is None else str(last["compared"]),
            *(str(each[name]) for name in ("agrees", "differs", "undecided", "failed")),
        )
    console.print(table)
    for each in records:
        last = each["last"] or {"differences": [], "reason": "", "feed": ""}
        said = "; ".join(last["differences"]) or last["reason"]
        if said:
            feed = f", feed {last['feed']}" if last["feed"] else ""
            console.print(f"{each['venue']} {each['instrument']}{feed}: {said}")
