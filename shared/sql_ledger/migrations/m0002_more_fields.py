"""A column for the fields that a message has gained since its table was made, as JSON by name."""

from __future__ import annotations

_OF_MESSAGES = (
    "opportunities",
    "denials",
    "plans",
    "plan_ends",
    "order_events",
    "fills",
    "funding_payments",
    "funding_known",
    "balance_reports",
    "commands",
    "alerts",
)

SQL: tuple[str, ...] = tuple(f"ALTER TABLE {name} ADD COLUMN more TEXT" for name in _OF_MESSAGES)
