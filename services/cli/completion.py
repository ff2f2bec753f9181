"""Completion scripts for shells, from the commands themselves. Pure.

They hold all words, so that completing starts no process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

PROGRAM: Final = "arb"
IN_ZSH: Final = "'\\''"
IN_FISH: Final = "\\'"
"""A quote within single quotes."""


@dataclass(frozen=True, slots=True)
class Word:
    """A command or option that can come next, and what it is for."""

    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Place:
    """A command as it was typed so far, and what can come next."""

    path: str
    commands: tuple[Word, ...]
    options: tuple[Word, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """Return all that can come next."""
        return self.commands + self.options


def places_of(command: Any, path: str = PROGRAM) -> Iterator[Place]:
    """Yield every command of a tree of typer's, the outermost first."""
    inner: dict[str, Any] = getattr(command, "commands", {})
    options = [
        Word(name, _line(getattr(each, "help", None)))
        for each in command.params
        if not each.hidden
        for name in each.opts
        if name.startswith("--")
    ]
    commands = [Word(name, _line(each.help)) for name, each in sorted(inner.items())]
    yield Place(path, tuple(commands), (*options, Word("--help", "Show help and exit.")))
    for name, each in sorted(inner.items()):
        yield from places_of(each, f"{path} {name}")


def _line(text: str | None) -> str:
    """Return the first line of a help; shells read backslashes as their own."""
    return (text or "").strip().partition("\n")[0].replace("\\", "/")


def _cases(places: list[Place], line: Callable[[Place], str]) -> str:
    return "\n".join(f'    "{place.path}") {line(place)} ;;' for place in places)


def _deeper(places: list[Place]) -> str:
    """Return the pattern of the commands that hold others, and those of them."""
    return "|".join(f'"{place.path}"' for place in places if place.path != PROGRAM)


def bash(places: list[Place]) -> str:
    """Return the script for bash."""
    words = _cases(places, lambda place: f'words="{" ".join(word.text for word in place.words)}"')
    return f"""# bash completion of {PROGRAM}, from: {PROGRAM} completion bash
_{PROGRAM}() {{
  local at="{PROGRAM}" word words=""
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$at $word" in
      {_deeper(places)}) at="$at $word" ;;
    esac
  done
  case "$at" in
{words}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _{PROGRAM} {PROGRAM}
"""


def zsh(places: list[Place]) -> str:
    """Return the script for zsh."""

    def described(place: Place) -> str:
        told = " ".join(_quoted(f"{_escaped(w.text)}:{w.help}", IN_ZSH) for w in place.words)
        return f"told=({told})"

    return f"""#compdef {PROGRAM}
# zsh completion of {PROGRAM}, from: {PROGRAM} completion zsh
_{PROGRAM}() {{
  local at="{PROGRAM}" word
  local -a told
  for word in ${{words[2,CURRENT-1]}}; do
    case "$at $word" in
      {_deeper(places)}) at="$at $word" ;;
    esac
  done
  case "$at" in
{_cases(places, described)}
  esac
  _describe '{PROGRAM}' told || _files
}}
if [ "$funcstack[1]" = "_{PROGRAM}" ]; then
  _{PROGRAM} "$@"
else
  compdef _{PROGRAM} {PROGRAM}
fi
"""


def fish(places: list[Place]) -> str:
    """Return the script for fish."""
    lines = [
        f"# fish completion of {PROGRAM}, from: {PROGRAM} completion fish",
        f"function __{PROGRAM}_at",
        f'  set -l at "{PROGRAM}"',
        "  for word in (commandline -opc)[2..-1]",
        '    switch "$at $word"',
        f"      case {_deeper(places).replace('|', ' ')}",
        '        set at "$at $word"',
        "    end",
        "  end",
        '  test "$at" = "$argv"',
        "end",
    ]
    for place in places:
        where = f"-n '__{PROGRAM}_at {place.path}'"
        for word in place.commands:
            told = f"-a {word.text} -d {_quoted(word.help, IN_FISH)}"
            lines.append(f"complete -c {PROGRAM} -f {where} {told}")
        for word in place.options:
            told = f"-l {word.text.removeprefix('--')} -d {_quoted(word.help, IN_FISH)}"
            lines.append(f"complete -c {PROGRAM} {where} {told}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace(":", r"\:")


def _quoted(text: str, quote: str) -> str:
    """Return a text in single quotes; ``quote`` is how the shell writes one within."""
    return "'" + text.replace("'", quote) + "'"


SHELLS: Final[dict[str, Callable[[list[Place]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
