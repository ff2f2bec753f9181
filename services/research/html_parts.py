"""Parts that the pages of reports are put together from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from services.research.report_style import STYLE


def page(title: str, sections: Sequence[str]) -> str:
    """Return a whole page; empty sections are left out."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def card(title: str, body: str, note: str = "") -> str:
    """Return a section with a heading."""
    small = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{small}{body}</section>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> str:
    """Return a table; ``styles`` are of its rows."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = []
    for n, row in enumerate(rows):
        style = f' class="{styles[n]}"' if n < len(styles) and styles[n] else ""
        columns = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{style}>{columns}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def moment(ts_ns: float) -> str:
    """Return a time in UTC."""
    return f"{datetime.fromtimestamp(ts_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


def money(value: float | None) -> str:
    """Return an amount with its sign."""
    return "not known" if value is None else f"{value:+,.2f}"


def amount(value: float) -> str:
    """Return a short amount for an axis."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def basis_points(value: float) -> str:
    """Return a fraction in basis points."""
    return f"{value * 1e4:,.3g} bps"
