"""Signatures of the entries that move money: plans and commands. Pure.

Redis' users limit who may write to a stream; a signature says who did. It is a keyed BLAKE2b digest
(RFC 7693, hashlib) over the name of the stream and the encoded messages, and travels beside them in
the same entry. The writer signs with the first key it was given; a reader accepts any of its own,
so that keys can be changed while the system runs (docs/adr/0020).

A reader verifies before it decodes. Only HALT counts unsigned: it is the safe direction, and an
operator who has no key at hand must be able to stop the system.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from shared.errors import CodecError, ConfigError
from shared.messages.control import Command, CommandKind, LimitsChange, Severity
from shared.streams import CTL_COMMAND, StreamSpec

SIGNATURE: Final = b"s"
"""The field of a stream entry that holds its signature, in hexadecimal digits."""
DIGEST_BYTES: Final = 32
KEY_BYTES: Final = (32, 64)
"""The fewest and the most bytes of a key; BLAKE2b takes no more than 64."""
KEYS_MAX: Final = 2
"""Keys accepted at a time: the present one, and the one before or after it."""
COMMAND_AGE_NS_MAX: Final = 60_000_000_000
"""A signed command is written when it is given. One that was given so much longer before its entry
was written is an old one, repeated. Covers clocks of operators that are behind."""
UNSIGNED_HALTS_MAX: Final = 16
"""Unsigned HALTs obeyed within ``COMMAND_AGE_NS_MAX``. Fewer than the command ids that risk and
executor remember, so nobody makes them forget a RESUME and then repeats it."""

Decode = Callable[[StreamSpec, bytes, int], list[Any]]


class Report(Protocol):
    """Reports something to the operator: a constant code and a text with the numbers."""

    def __call__(
        self, code: str, text: str, severity: Severity = ..., subject: str = ...
    ) -> None: ...


class Unverified(CodecError):  # noqa: N818 - like the other errors of the bus
    """An entry was not written by a holder of the key, or is a repeated old one."""


class Entry(NamedTuple):
    """One entry as it was read; its id begins with the server's time, UNIX ms."""

    payload: bytes
    signature: bytes
    entry_id: str

    @property
    def written_ms(self) -> int:
        """When it was written."""
        return int(self.entry_id.partition("-")[0])


class SigningKeys:
    """The keys of one process, by the names that ``StreamSpec.signed_with`` gives them.

    Args:
        keys: Name -> accepted keys; the first one signs.
        accept_unsigned_until_ns: UNIX ns; until then an entry without a signature is accepted.

    Raises:
        ConfigError: A key is too short or too long, or there are too many.
    """

    __slots__ = ("_keys", "accept_unsigned_until_ns")

    def __init__(
        self, keys: Mapping[str, Sequence[bytes]], accept_unsigned_until_ns: int = 0
    ) -> None:
        for name, accepted in keys.items():
            if not 1 <= len(accepted) <= KEYS_MAX:
                raise ConfigError(f"the {name} key has {len(accepted)} lines; give one or two keys")
            if not all(KEY_BYTES[0] <= len(key) <= KEY_BYTES[1] for key in accepted):
                least, most = KEY_BYTES
                raise ConfigError(f"a {name} key is of {least} to {most} bytes; make a new one")
        self._keys = MappingProxyType({name: tuple(each) for name, each in keys.items()})
        self.accept_unsigned_until_ns = accept_unsigned_until_ns

    def __repr__(self) -> str:
        return f"SigningKeys({', '.join(self._keys) or 'none'})"

    def has(self, name: str) -> bool:
        """Tell whether there is a key of that name."""
        return name in self._keys

    def sign(self, spec: StreamSpec, payload: bytes) -> bytes:
        """Return the signature of an entry; empty where this process does not hold the key."""
        accepted = self._keys.get(spec.signed_with)
        return _digest(accepted[0], spec, payload) if accepted else b""

    def flaw(self, spec: StreamSpec, payload: bytes, signature: bytes, now_ns: int) -> str:
        """Return why an entry is not to be trusted; empty where it is."""
        accepted = self._keys.get(spec.signed_with)
        if accepted is None:
            return f"this process has no {spec.signed_with} key to verify it with"
        if not signature:
            return "" if now_ns < self.accept_unsigned_until_ns else "it is not signed"
        for key in accepted:
            if hmac.compare_digest(_digest(key, spec, payload), signature):
                return ""
        return f"its signature is not of the {spec.signed_with} key"


NO_KEYS: Final = SigningKeys({})
"""Of a process that neither signs nor may trust what is signed."""


def _digest(key: bytes, spec: StreamSpec, payload: bytes) -> bytes:
    name = spec.name.encode()
    digest = blake2b(name, digest_size=DIGEST_BYTES, key=key)
    digest.update(b"\0")
    digest.update(payload)
    return digest.hexdigest().encode()


class Verifier:
    """What a reader of signed streams does with an entry before anything else sees it."""

    def __init__(self, keys: SigningKeys, counters: dict[str, int], report: Report) -> None:
        self._keys, self._counters, self._report = keys, counters, report
        self._halts_ns: deque[int] = deque(maxlen=UNSIGNED_HALTS_MAX)

    def read(self, spec: StreamSpec, entry: Entry, now_ns: int, decode: Decode) -> list[Any]:
        """Return the messages of an entry, verified where its stream is signed.

        One that does not verify is counted and told.

        Raises:
            Unverified: It is not.
            CodecError: As ``decode``.
        """
        if not spec.signed_with:
            return decode(spec, entry.payload, now_ns)
        try:
            return self._read(spec, entry, now_ns, decode)
        except Unverified as error:
            self._counters["unverified"] += 1
            text = f"{spec.name} {entry.entry_id}: {error}; nothing was done for it"
            self._report("ENTRY_UNVERIFIED", text, Severity.CRITICAL, spec.name)
            raise

    def _read(self, spec: StreamSpec, entry: Entry, now_ns: int, decode: Decode) -> list[Any]:
        flaw = self._keys.flaw(spec, entry.payload, entry.signature, now_ns)
        is_command = spec.name == CTL_COMMAND.name
        if flaw and not is_command:
            raise Unverified(flaw)
        messages = decode(spec, entry.payload, now_ns)
        if not is_command:
            return messages
        halts = all(_is_halt(message) for message in messages)
        if flaw and not (halts and self._may_halt(now_ns)):
            raise Unverified(flaw)
        if not halts:
            _refuse_old(messages, entry.written_ms)
        return messages

    def _may_halt(self, now_ns: int) -> bool:
        """Tell whether one more unsigned HALT is obeyed; so many within a minute add nothing."""
        halts_ns = self._halts_ns
        if len(halts_ns) == UNSIGNED_HALTS_MAX and now_ns - halts_ns[0] < COMMAND_AGE_NS_MAX:
            return False
        halts_ns.append(now_ns)
        return True


def _is_halt(message: object) -> bool:
    return isinstance(message, Command) and message.kind is CommandKind.HALT


def _refuse_old(commands: Sequence[Command | LimitsChange], written_ms: int) -> None:
    for command in commands:
        age_ns = written_ms * 1_000_000 - command.ts_ns
        if age_ns > COMMAND_AGE_NS_MAX:
            kind = command.kind if isinstance(command, Command) else "a change of limits,"
            raise Unverified(
                f"{kind} {command.command_id} was given {age_ns / 1e9:.0f} s before it was "
                "written here: an old one, repeated"
            )
