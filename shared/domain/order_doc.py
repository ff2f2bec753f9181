"""Writes docs/orders.md from the table of orders. Pure but for its last line."""

from __future__ import annotations

import sys

from shared.domain import order
from shared.domain.order import CONTRADICTIONS, TERMINAL, TRANSITIONS, OrderNews
from shared.messages.execution import OrderStatus

_HEAD = """# The life of an order

Generated from `shared/domain/order.py` by `python -m shared.domain.order_doc > docs/orders.md`; a
test compares them.

"""
_LEGEND = """
Steps that change nothing are left out, and so are contradictions, which are reported
(`ORDER_CONTRADICTION`): they are in the table. A fill is no step: it is owned whatever the status.

"""


def render() -> str:
    """Return the whole page."""
    return f"{_HEAD}{_theory()}\n## Steps\n\n{_diagram()}{_LEGEND}{_table()}"


def _theory() -> str:
    """Return the module's theory of operation, its first line left out."""
    lines = (order.__doc__ or "").strip().splitlines()[2:]
    return "\n".join(line.replace("``", "`") for line in lines) + "\n"


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> SUBMITTED: on record"]
    steps: dict[tuple[OrderStatus, OrderStatus], list[str]] = {}
    for (before, news), after in TRANSITIONS.items():
        if before is not after and (before, news) not in CONTRADICTIONS:
            steps.setdefault((before, after), []).append(news.value)
    for (before, after), names in steps.items():
        lines.append(f"    {before.value} --> {after.value}: {', '.join(names)}")
    lines += [f"    {status.value} --> [*]" for status in OrderStatus if status in TERMINAL]
    return "\n".join([*lines, "```", ""])


def _table() -> str:
    """Return the table: one row per status, one column per piece of news."""
    heads = [news.value for news in OrderNews]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for status in OrderStatus:
        cells = []
        for news in OrderNews:
            after = TRANSITIONS[status, news]
            mark = " (!)" if (status, news) in CONTRADICTIONS else ""
            cells.append(("-" if after is status else after.value) + mark)
        lines.append(f"| **{status.value}** | {' | '.join(cells)} |")
    lines += ["", "`-`: it stays. (!): a contradiction, reported.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(render())
