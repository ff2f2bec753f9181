"""Whether a message is right, quickly: the checks of ``checks.py`` without what they say. Pure.

Every message that is read passes here, and most are right. So the check of a type is one function
without loops over its fields, written out from the same annotations when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.messages.bounds import (
    EXPONENT_MIN,
    INSTRUMENT,
    VENUE,
    NumberRange,
    Syntax,
    TimeLimit,
)
from shared.messages.checks import (
    check_of,
    decimal_or_none,
    field_check,
    mark_of,
    names_of,
    notes,
    struct_of_list,
    view_flaw,
)
from shared.messages.market import BookDelta, DepthView

if TYPE_CHECKING:
    import msgspec

IsRight = Callable[[Any, int], bool]

_VENUES, _INSTRUMENTS = names_of(VENUE), names_of(INSTRUMENT)


def first_flaw(messages: Sequence[msgspec.Struct], latest_ns: int) -> str:
    """Return what is wrong with the first message that is wrong; empty if none is."""
    for message in messages:
        kind = type(message)
        try:
            if is_right_of(kind)(message, latest_ns):
                continue
        except InvalidOperation:  # NaN was compared
            pass
        if found := check_of(kind)(message, latest_ns):
            return f"{kind.__name__}{found}"
    return ""


def _is_right_delta(delta: Any, latest_ns: int) -> bool:
    """Tell whether a delta is right; its levels and numbers msgspec has checked."""
    if (
        delta.ts_recv_ns <= latest_ns
        and delta.epoch <= latest_ns
        and delta.instrument in _INSTRUMENTS.known
        and delta.venue in _VENUES.known
    ):
        return True
    return not check_of(BookDelta)(delta, latest_ns)


def _is_right_view(view: Any, latest_ns: int) -> bool:
    """Tell whether a view is right."""
    if (
        view.ts_ns <= latest_ns
        and view.ts_recv_ns <= latest_ns
        and view.epoch <= latest_ns
        and view.instrument in _INSTRUMENTS.known
        and view.venue in _VENUES.known
    ):
        return not view_flaw(view)
    return not check_of(DepthView)(view, latest_ns)


@cache
def is_right_of(kind: type[msgspec.Struct]) -> Callable[[Any, int], bool]:
    """Return a check of whether a value of this type is right: quick, without saying what is wrong.

    The same annotations as in ``check_of``, which says what is wrong. The two types that come a
    thousand times a second have theirs written out.
    """
    return _WRITTEN_OUT.get(kind) or _made_of(kind)


def _made_of(kind: type[msgspec.Struct]) -> IsRight:
    """Write the check of a type out and compile it: a loop over its fields takes twice as long."""
    names: dict[str, Any] = {}
    tests: list[str] = []
    of_parts: list[str] = []
    for name, note in notes(kind):
        value = f"message.{name}"
        if (mark := mark_of(note)) is not None:
            tests.extend(_tests_of(mark, value, names))
        elif (optional := decimal_or_none(note)) is not None:
            inner = " and ".join(_tests_of(optional, "number", names))
            tests.append(f"((number := {value}) is None or ({inner}))")
        elif (struct := struct_of_list(note)) is not None:
            is_right = _named(is_right_of(struct), names)
            of_parts.append(
                f" for part in {value}:\n  if not {is_right}(part, latest_ns):\n   return False\n"
            )
        elif (check := field_check(note)) is not None:
            tests.append(f"not {_named(check, names)}({value}, latest_ns)")
    source = (
        "def is_right(message, latest_ns):\n"
        f" if not ({' and '.join(tests) or 'True'}):\n  return False\n"
        f"{''.join(of_parts)} return True\n"
    )
    exec(compile(source, f"<check of {kind.__name__}>", "exec"), names)
    made: IsRight = names["is_right"]
    return made


def _tests_of(
    mark: Syntax | NumberRange | TimeLimit, value: str, names: dict[str, Any]
) -> Iterator[str]:
    """Yield expressions that are all true of a right value; they use ``names``."""
    if isinstance(mark, TimeLimit):
        yield f"{value} <= latest_ns" + (f" + {mark.ahead_ns}" if mark.ahead_ns else "")
    elif isinstance(mark, NumberRange):
        # NaN raises; where the least is above zero, that bounds the exponent too.
        yield f"{_named(mark.low, names)} <= {value} <= {_named(mark.high, names)}"
        if isinstance(mark.low, Decimal) and mark.low <= 0:
            yield f"{value}.adjusted() >= {EXPONENT_MIN}"
    elif mark.word is not None:
        least, most = mark.word
        is_visible = 'text.isascii() and text.isprintable() and " " not in text'
        is_word = f"{least} <= len(text := {value}) <= {most} and {is_visible}"
        yield f"({is_word} or not {_named(names_of(mark), names)}(text, 0))"
    else:
        found = names_of(mark)
        known, check = _named(found.known, names), _named(found, names)
        yield f"({value} in {known} or not {check}({value}, 0))"


def _named(value: Any, names: dict[str, Any]) -> str:
    """Give a value a name in the source."""
    name = f"v{len(names)}"
    names[name] = value
    return name


_WRITTEN_OUT: dict[type[msgspec.Struct], IsRight] = {
    BookDelta: _is_right_delta,
    DepthView: _is_right_view,
}
