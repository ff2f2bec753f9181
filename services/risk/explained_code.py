"""Codes that carry their explanation, which documents are generated from. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ExplainedCode(StrEnum):
    """Codes that carry an explanation."""

    explanation: str

    def __new__(cls, code: str, explanation: str) -> Self:
        """Make a member that is its code and carries its explanation."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.explanation = explanation
        return member
