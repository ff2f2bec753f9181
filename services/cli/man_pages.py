"""Manual pages, from the commands themselves. Pure.

Made of the macros of man(7), one page for ``arb`` and one for each command that does something:
``arb config check`` is ``arb-config-check(1)``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.cli.completion import PROGRAM

SECTION = 1
UNTOLD = "See the description."
EXITS = (
    ("0", "Well."),
    ("1", "Not well: something is down, or a run ended badly."),
    ("2", "A mistake of the user: one line says what, where, and what would be right."),
)
"""What every command ends with."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: ``name`` is its file's without the section, ``text`` its source."""

    name: str
    text: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.{SECTION}"


def pages_of(command: Any, version: str, words: tuple[str, ...] = (PROGRAM,)) -> Iterator[Page]:
    """Yield the pages of a tree of typer's commands, the outermost first."""
    inner: dict[str, Any] = getattr(command, "commands", {})
    yield Page("-".join(words), _page(command, version, words, inner))
    for name, each in sorted(inner.items()):
        yield from pages_of(each, version, (*words, name))


def _page(command: Any, version: str, words: tuple[str, ...], inner: dict[str, Any]) -> str:
    name, about = "-".join(words), _paragraphs(command.help)
    title = _text(name.upper())
    lines = [f'.TH "{title}" "{SECTION}" "" "arbstream {_text(version)}" "arbstream manual"']
    lines += [".SH NAME", f"{_text(name)} \\- {_text(about[0].rstrip('.'))}"]
    lines += [".SH SYNOPSIS", *_synopsis(command, words, bool(inner))]
    lines += [".SH DESCRIPTION", _line(about[0])]
    for paragraph in about[1:]:
        lines += [".PP", _line(paragraph)]
    if inner:
        lines.append(".SH COMMANDS")
        for each, what in sorted(inner.items()):
            lines += [".TP", f"\\fB{_text(each)}\\fR", _line(_paragraphs(what.help)[0])]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if told := [(_value(each), each.help) for each in arguments]:
        lines.append(".SH ARGUMENTS")
        for shown, help_text in told:
            lines += [
                ".TP",
                f"\\fI{_text(shown)}\\fR",
                _line(help_text or UNTOLD),
            ]
    lines.append(".SH OPTIONS")
    for each in _options(command):
        lines += [".TP", _option(each), _line(_help(each))]
    lines += [".TP", "\\fB\\-\\-help\\fR", "Show help and exit."]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXITS:
        lines += [".TP", f"\\fB{code}\\fR", _line(meaning)]
    if also := _see_also(words, inner):
        lines += [".SH SEE ALSO", *also]
    return "\n".join(lines) + "\n"


def _value(parameter: Any) -> str:
    """Return what is written for a value."""
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = getattr(parameter.type_descriptor, "annotation", str)
    is_number = annotation in {int, float}
    return "N" if is_number else str(parameter.opts[0]).lstrip("-").upper()


def _options(command: Any) -> list[Any]:
    return [
        each
        for each in command.params
        if each.param_type_name == "option" and not each.hidden and "--help" not in each.opts
    ]


def _synopsis(command: Any, words: tuple[str, ...], is_group: bool) -> list[str]:
    parts = [f"\\fB{_text(' '.join(words))}\\fR"]
    parts += ["[\\fIOPTION\\fR]..."]
    for each in command.params:
        if each.param_type_name == "argument":
            parts.append(f"\\fI{_text(_value(each))}\\fR")
    if is_group:
        parts.append("\\fICOMMAND\\fR ...")
    return [" ".join(parts)]


def _option(option: Any) -> str:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    return f"{names} \\fI{_text(_value(option))}\\fR"


def _help(option: Any) -> str:
    told = option.help or UNTOLD
    if option.is_flag or option.default is None or callable(option.default):
        return told
    return f"{told.rstrip('.')}. Default: {option.default}."


def _see_also(words: tuple[str, ...], inner: dict[str, Any]) -> list[str]:
    names = ["-".join((*words, name)) for name in sorted(inner)]
    if len(words) > 1:
        names.insert(0, "-".join(words[:-1]))
    each = [f".BR {_text(name)} ({SECTION})" for name in names]
    return [f"{line} ," for line in each[:-1]] + each[-1:]


def _paragraphs(text: str | None) -> list[str]:
    """Return the paragraphs of a help, each on one line."""
    told = textwrap.dedent(text or "").strip() or "There is no description."
    return [" ".join(each.split()) for each in told.split("\n\n") if each.strip()]


def _line(text: str) -> str:
    """Return a text as an input line: none that begins like a request."""
    safe = _text(" ".join(text.split()))
    return f"\\&{safe}" if safe[:1] in {".", "'"} else safe


def _text(text: str) -> str:
    """Return a text in which nothing is markup; hyphens stay what is typed."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
