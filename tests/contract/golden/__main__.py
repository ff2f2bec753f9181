"""Adds golden bytes for every message type whose encoding changed."""

from shared.codec import encode
from shared.streams import STREAM_OF
from tests.contract.examples import KINDS, example, tag_of
from tests.contract.test_golden import FOLDER, versions

for kind in KINDS:
    payload = encode(STREAM_OF[kind], [example(kind)])
    known = versions(kind)
    if not known or known[-1].read_bytes() != payload:
        path = FOLDER / f"{tag_of(kind)}.{len(known) + 1}.bin"
        path.write_bytes(payload)
        print(f"added {path.name}; read it before you commit it")
