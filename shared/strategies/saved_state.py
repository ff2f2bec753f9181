"""State of a strategy as bytes and back: plain values and objects of strategies' own classes. Pure.

What a strategy remembers is a graph: a pair knows two books, each of which knows its pairs. It is
written as a list of nodes that name each other by number. Only classes of the strategy's own file,
of ``shared.strategies``, ``shared.domain`` and ``shared.messages``, and a few containers come back,
so what was saved can make no other object, and runs no code but the constructors of messages.
A state must be stored together with the hash of its code: here classes are known by name only.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from types import MethodType
from typing import Any

import msgspec

from shared.strategies.source import USER_MODULE

NODES_MAX = 50_000
"""Objects of one state; a larger one is not kept."""
STATE_BYTES_MAX = 4_000_000
"""Bytes of one state; a larger one is not kept."""
MODULES = ("shared.strategies.", "shared.domain.", "shared.messages.", USER_MODULE)
"""What the names of modules begin with whose classes may be in a state."""
_MESSAGES = "shared.messages."
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_ABSENT = object()
_KINDS_MAX = 1_024
"""Classes whose form is remembered."""
_WORD = 2**63
_FACTORIES: dict[str, type] = {kind.__name__: kind for kind in (list, dict, int, float, set, deque)}

Node = list[Any]


class StateError(ValueError):
    """A state that cannot be written, or cannot be taken back."""


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    root: Any
    nodes: list[Node]


_ODD = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    MemoryError,
)
"""What making values of bytes that are no state may raise."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Saved)


def encode_state(state: Any) -> bytes:
    """Return a state as bytes.

    Raises:
        StateError: It holds what cannot be saved, or too much.
    """
    writer = _Writer()
    root = writer.refer(state)
    writer.write_all()
    encoded = _ENCODER.encode(_Saved(root, writer.nodes))
    if len(encoded) > STATE_BYTES_MAX:
        raise StateError(f"{len(encoded)} bytes; at most {STATE_BYTES_MAX} are kept")
    return encoded


def decode_state(encoded: bytes) -> Any:
    """Return the state that was encoded; as many new objects as there were.

    Raises:
        StateError: It is none.
    """
    try:
        saved = _DECODER.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"not a saved state: {error}") from error
    try:
        return _Reader(saved.nodes).read(saved.root)
    except _ODD as error:
        raise StateError(f"not a saved state: {type(error).__name__}: {error}") from error


class _Writer:
    """Writes a graph node by node, without recursion: books and pairs are a long chain."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Any, int] = {}
        self._kept: list[Any] = []  # so that no number is given twice while this goes on
        self._next = 0

    def refer(self, value: Any) -> Any:
        """Return a plain value as it is, and of any other the number of its node."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int and -_WORD <= value < _WORD:
            return value
        key: Any = id(value)
        if kind is not tuple and isinstance(value, tuple) and all(type(v) in _PLAIN for v in value):
            key = kind, repr(value)  # a name may come of a cache or of a state: both are one
        elif kind is Decimal or kind is Fraction:
            key = kind, str(value)  # so may a number
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._kept)
            if number >= NODES_MAX:
                raise StateError(f"more than {NODES_MAX} objects")
            self._kept.append(value)
        return [number]

    def write_all(self) -> None:
        """Write every node there is, and those that they name."""
        while self._next < len(self._kept):
            value = self._kept[self._next]
            self._next += 1
            self.nodes.append(self._node(value))

    def _many(self, values: Any) -> list[Any]:
        refer = self.refer
        return [each if type(each) in _PLAIN else refer(each) for each in values]

    def _node(self, value: Any) -> Node:
        kind = type(value)
        if kind is int:
            return ["i", str(value)]
        if kind is Decimal or kind is Fraction:
            return ["d" if kind is Decimal else "f", str(value)]
        if kind is list or kind is tuple:
            return ["l" if kind is list else "t", self._many(value)]
        if kind is dict or kind is OrderedDict:
            tag = "m" if kind is dict else "o"
            return [tag, self._many(value), self._many(value.values())]
        if kind is defaultdict:
            return ["D", self._factory(value), self._many(value), self._many(value.values())]
        if kind is set or kind is frozenset:
            return ["s" if kind is set else "z", self._many(sorted(value, key=repr))]
        if kind is deque:
            return ["q", value.maxlen, self._many(value)]
        if kind is MethodType:
            return ["b", self.refer(value.__self__), value.__name__]
        if isinstance(value, type):
            return ["c", _name(value)]
        return self._of_class(value, kind)

    def _of_class(self, value: Any, kind: type) -> Node:
        tag, name, slots = _form_of(kind)
        if tag == "e":
            return [tag, name, value.name]
        if tag == "w":
            return [tag, name, _ENCODER.encode(value)]
        if tag == "S":
            return [tag, name, self._many(msgspec.structs.astuple(value))]
        if tag == "T":
            return [tag, name, self._many(value)]
        names, values = [], []
        for attribute in (*slots, *getattr(value, "__dict__", ())):
            found = getattr(value, attribute, _ABSENT)
            if found is not _ABSENT:
                names.append(attribute)
                values.append(found)
        return [tag, name, names, self._many(values)]

    def _factory(self, value: defaultdict[Any, Any]) -> str:
        made = value.default_factory
        name = made.__name__ if isinstance(made, type) else ""
        if made is not None and _FACTORIES.get(name) is not made:
            raise StateError(f"defaultdict({made!r:.60}) cannot be saved")
        return name


@lru_cache(maxsize=_KINDS_MAX)
def _form_of(kind: type) -> tuple[str, str, tuple[str, ...]]:
    """Return how an object of a class is written: the tag of its node, its name, its slots.

    Raises:
        StateError: It may not be in a state.
    """
    name = _name(kind)
    if issubclass(kind, Enum):
        return "e", name, ()
    if issubclass(kind, msgspec.Struct):
        return "w" if kind.__module__.startswith(_MESSAGES) else "S", name, ()
    if issubclass(kind, tuple):
        return "T", name, ()
    slots: list[str] = []
    for each in kind.__mro__:
        its = each.__dict__.get("__slots__", ())
        slots += (its,) if isinstance(its, str) else its
    return "O", name, tuple(slots)


def _name(kind: type) -> str:
    module = kind.__module__
    if not module.startswith(MODULES) or "<" in kind.__qualname__:
        raise StateError(
            f"{module}.{kind.__qualname__} cannot be saved; a strategy remembers plain values, "
            "messages and objects of its own file's classes"
        )
    return f"{module}:{kind.__qualname__}"


class _Reader:
    """Makes objects again: those that can change first, empty, for they may name each other."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._made: dict[int, Any] = {}

    def read(self, root: Any) -> Any:
        for number, node in enumerate(self._nodes):
            if (make := _EMPTY.get(node[0])) is not None:
                self._made[number] = make(node)
        for number in range(len(self._nodes)):
            self._get([number])
        # Dicts and sets last: their keys may be objects whose hash is of what they hold.
        for kinds in ("O", "lq", "moDs"):
            for number, node in enumerate(self._nodes):
                if node[0] in kinds:
                    self._fill(self._made[number], node)
        return self._get(root)

    def _get(self, given: Any) -> Any:
        if type(given) is not list:
            return given
        (number,) = given
        if number not in self._made:
            self._made[number] = self._whole(self._nodes[number])
        return self._made[number]

    def _many(self, given: Sequence[Any]) -> list[Any]:
        return [self._get(each) for each in given]

    def _whole(self, node: Node) -> Any:
        """Return what cannot change once it is made."""
        tag, *told = node
        if tag in _SCALARS:
            return _SCALARS[tag](told[0])
        if tag == "b":
            return getattr(self._get(told[0]), told[1])
        if tag in "tz":
            return (tuple if tag == "t" else frozenset)(self._many(told[0]))
        kind = _class_of(told[0])
        if tag == "c":
            return kind
        if tag == "e":
            return kind[told[1]]  # type: ignore[index]
        if tag == "w":
            return msgspec.msgpack.decode(told[1], type=kind)
        if tag in "ST":
            return kind(*self._many(told[1])) if tag == "T" else self._struct(kind, told[1])
        raise StateError(f"no kind of node {tag!r:.20}")

    def _struct(self, kind: Any, values: Sequence[Any]) -> Any:
        return kind(**dict(zip(kind.__struct_fields__, self._many(values), strict=True)))

    def _fill(self, made: Any, node: Node) -> None:
        tag = node[0]
        if tag == "O":
            for name, value in zip(node[2], self._many(node[3]), strict=True):
                object.__setattr__(made, name, value)
        elif tag in "lqs":
            (made.update if tag == "s" else made.extend)(self._many(node[-1]))
        else:
            made.update(zip(self._many(node[-2]), self._many(node[-1]), strict=True))


_SCALARS: dict[str, Callable[[str], Any]] = {"i": int, "d": Decimal, "f": Fraction}
_EMPTY: dict[str, Callable[[Node], Any]] = {
    "l": lambda node: [],
    "m": lambda node: {},
    "o": lambda node: OrderedDict(),
    "D": lambda node: defaultdict(_FACTORIES[node[1]] if node[1] else None),
    "s": lambda node: set(),
    "q": lambda node: deque(maxlen=node[1]),
    "O": lambda node: object.__new__(_class_of(node[1])),
}


def _class_of(name: str) -> type:
    """Return a class by its name, of a module that is loaded already.

    Raises:
        StateError: There is none of this name that may be in a state.
    """
    module, _, path = name.partition(":")
    if not module.startswith(MODULES):
        raise StateError(f"{name:.80} may not be in a state")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or found.__module__ != module:
        raise StateError(f"there is no class {name:.80}")
    return found
