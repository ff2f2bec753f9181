"""What a run decides: one hash of it, and a file if one is given."""

from __future__ import annotations

from hashlib import sha256

from services.lab.kernel import Kernel
from services.lab.output import OutputFile
from shared.bus.memory_store import Id, MemoryServer, format_id
from shared.streams import ALL, Format

DECISIONS = {
    spec.key(): spec.name for spec in ALL if spec.format is Format.JSON and not spec.sharded
}
"""Key -> name of the streams whose entries are JSON: everything that is decided."""


class Decisions:
    """Every entry of the streams of decisions, in order, as one JSON object a line."""

    def __init__(self, file: OutputFile | None) -> None:
        self.digest = sha256()
        self.count = 0
        self._file = file

    def add(self, name: str, entry_id: Id, payload: bytes) -> None:
        """Add an entry of the stream of this name."""
        line = b'{"stream":"%b","id":"%b","messages":%b}\n' % (
            name.encode(),
            format_id(entry_id).encode(),
            payload,
        )
        self.count += 1
        self.digest.update(line)
        if self._file is not None:
            self._file.write(line)


class DecisionServer(MemoryServer):
    """The bus's server, which hands over what is decided."""

    def __init__(self, kernel: Kernel, decisions: Decisions) -> None:
        super().__init__(kernel)
        self._decisions = decisions

    def append(self, key: str, payload: bytes, signature: bytes = b"") -> Id:
        """Append an entry."""
        entry_id = super().append(key, payload, signature)
        name = DECISIONS.get(key)
        if name is not None:
            self._decisions.add(name, entry_id, payload)
        return entry_id
