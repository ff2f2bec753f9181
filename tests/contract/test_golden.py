"""The bytes on the wire do not change by accident, and old bytes still mean what they meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.codec import decode, encode
from shared.errors import CodecError
from shared.messages.base import Message
from shared.streams import STREAM_OF, Format
from tests.contract.examples import KINDS, example, example_before_bounds, tag_of

DECODE = {Format.MSGPACK: msgspec.msgpack.decode, Format.JSON: msgspec.json.decode}
FOLDER = Path(__file__).parent / "golden"


def versions(kind: type[Message]) -> list[Path]:
    """The golden files of a type, oldest first."""
    return sorted(
        FOLDER.glob(f"{tag_of(kind)}.*.bin"), key=lambda path: int(path.name.split(".")[-2])
    )


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_what_is_written_today_is_the_newest_golden(kind: type[Message]) -> None:
    files = versions(kind)
    assert files, f"no golden bytes of {tag_of(kind)}: see tests/contract/golden/__init__.py"
    assert encode(STREAM_OF[kind], [example(kind)]) == files[-1].read_bytes(), (
        "the wire changed; if that is meant and compatible: python -m tests.contract.golden"
    )


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_bytes_of_every_age_still_decode(kind: type[Message]) -> None:
    for path in versions(kind):
        now = example(kind)
        try:
            (message,) = decode(STREAM_OF[kind], path.read_bytes())
        except CodecError:  # of before fields had bounds: the layout is what must still hold
            now = example_before_bounds(kind)
            (message,) = DECODE[STREAM_OF[kind].format](path.read_bytes(), type=list[kind])
        assert type(message) is kind
        if STREAM_OF[kind].format is Format.MSGPACK:
            written = set(
                kind.__struct_fields__[: len(msgspec.msgpack.decode(path.read_bytes())[0]) - 1]
            )
        else:
            written = set(msgspec.json.decode(path.read_bytes())[0]) - {"type"}
        for name in written:
            old, new = getattr(message, name), getattr(now, name)
            if STREAM_OF[kind].format is Format.JSON:
                new = of_then(old, new, msgspec.json.decode(path.read_bytes())[0][name])
            assert old == new, f"{path.name}: {name}"


def of_then(old: Any, new: Any, written: Any) -> Any:
    """A value as it is today, but for the fields of structs that were not written then."""
    if isinstance(old, msgspec.Struct):
        return msgspec.structs.replace(old, **{p: getattr(new, p) for p in written if p != "type"})
    if isinstance(old, dict) and set(old) == set(new) == set(written):
        return {key: of_then(old[key], new[key], written[key]) for key in written}
    if isinstance(old, list):
        return [of_then(*parts) for parts in zip(old, new, written, strict=True)]
    return new


@pytest.mark.parametrize("kind", KINDS, ids=tag_of)
def test_a_newer_process_may_send_fields_we_do_not_know(kind: type[Message]) -> None:
    spec = STREAM_OF[kind]
    payload = encode(spec, [example(kind)])
    if spec.format is Format.MSGPACK:
        (raw,) = msgspec.msgpack.decode(payload)
        payload = msgspec.msgpack.encode([[*raw, "from the future"]])
    else:
        (raw,) = msgspec.json.decode(payload)
        payload = msgspec.json.encode([{**raw, "from_the_future": 1}])
    assert decode(spec, payload) == [example(kind)]


def test_no_golden_file_is_without_its_type() -> None:
    tags = {tag_of(kind) for kind in KINDS}
    assert {path.name.split(".")[0] for path in FOLDER.glob("*.bin")} == tags
