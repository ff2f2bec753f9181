"""Topics and the live channel: changes only, one frame at a time, bounded."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from services.dashboard.channel import (
    ACK_WITHIN_NS,
    BYTES_PER_S_IN_VIEW_MAX,
    FRAME_BYTES_MAX,
    FRAME_EVERY_NS,
    IDLE_NS,
    REQUEST_BYTES_MAX,
    Client,
    RequestError,
    snapshot,
)
from services.dashboard.topic import GONE_MAX, ROW_BYTES_MAX, Reader, Topic

S = 1_000_000_000


def read(topic: Topic, reader: Reader) -> dict[str, Any]:
    patch = topic.patch(reader, None, 10**6)
    assert not patch.is_cut
    return json.loads(patch.body) if patch.body else {}


class Tab:
    """A client with what its page shows."""

    def __init__(self, topics: dict[str, Topic], *names: str, **rows: list[str]) -> None:
        self.client = Client(topics)
        self.shown: dict[str, dict[str, Any]] = {}
        self.now_ns = 10 * S
        self.ask(type="sub", topics=list(names), rows=rows)

    def ask(self, **request: Any) -> None:
        self.client.on_text(json.dumps(request))

    def frame(self, *, acknowledges: bool = True) -> dict[str, Any] | None:
        frame = self.client.next_frame(self.now_ns)
        if frame is None:
            return None
        assert len(frame) <= FRAME_BYTES_MAX
        told: dict[str, Any] = json.loads(frame)
        for name, patch in (*told["topics"].items(), *told.get("more", {}).items()):
            if patch["is_snapshot"]:
                self.shown[name] = {}
            self.shown[name] |= patch.get("rows", patch.get("cells"))
            for key in patch.get("gone", ()):
                self.shown[name].pop(key, None)
        if acknowledges:
            self.ask(type="ack", n=told["n"])
        return told

    def later(self, ns: int = IDLE_NS, *, acknowledges: bool = True) -> dict[str, Any] | None:
        self.now_ns += ns
        return self.frame(acknowledges=acknowledges)


def test_a_topic_tells_what_changed_since() -> None:
    topic, reader = Topic("t", 10), Reader()
    assert read(topic, reader) == {"is_snapshot": True, "rows": {}}
    topic.put("a", {"x": 1})
    topic.put("b", {"x": 2})
    assert read(topic, reader) == {
        "is_snapshot": False,
        "rows": {"a": {"x": 1}, "b": {"x": 2}},
    }
    topic.put("a", {"x": 1})
    assert read(topic, reader) == {}, "the same again is no change"
    topic.put("a", {"x": 3})
    topic.drop("b")
    assert read(topic, reader) == {"is_snapshot": False, "rows": {"a": {"x": 3}}, "gone": ["b"]}
    assert read(topic, reader) == {}
    assert read(topic, Reader()) == {"is_snapshot": True, "rows": {"a": {"x": 3}}}


def test_a_row_that_is_only_confirmed_is_told_once_a_second() -> None:
    topic, reader = Topic("t", 10), Reader()
    topic.put("a", {"x": 1}, 5_000)
    read(topic, reader)
    topic.put("a", {"x": 1}, 5_900)
    assert read(topic, reader) == {}
    topic.put("a", {"x": 1}, 6_000)
    assert read(topic, reader)["rows"] == {"a": {"x": 1, "as_of_ms": 6_000}}


def test_rows_beyond_the_bound_are_counted_and_events_make_room() -> None:
    topic, reader = Topic("t", 2), Reader()
    topic.replace({"a": {}, "b": {}, "c": {}})
    assert read(topic, reader) == {
        "is_snapshot": True,
        "rows": {"a": {}, "b": {}},
        "left_out": 1,
    }
    topic.replace({"a": {}, "b": {}})
    assert read(topic, reader) == {"is_snapshot": False, "rows": {}, "left_out": 0}
    topic.put("d", {})
    assert len(topic) == 2
    topic.put("e", {"text": "x" * ROW_BYTES_MAX})
    assert read(topic, reader)["rows"]["e"] == {"is_too_long": True}


def test_who_is_too_far_behind_gets_all_anew() -> None:
    topic, reader = Topic("t", 10), Reader()
    topic.put("first", {})
    read(topic, reader)
    for number in range(GONE_MAX + 2):
        topic.put(f"k{number}", {})
        topic.drop(f"k{number}")
    assert read(topic, reader) == {"is_snapshot": True, "rows": {"first": {}}}


def test_rows_that_all_change_again_and_again_take_turns() -> None:
    topic, reader = Topic("t", 100), Reader()
    seen: dict[str, int] = {}
    for turn in range(40):
        for number in range(30):
            topic.put(f"row{number}", {"turn": turn})
        patch = topic.patch(reader, None, 400)
        assert patch.is_cut
        told = json.loads(patch.body)
        assert told["is_snapshot"] == (turn == 0)
        seen |= {key: row["turn"] for key, row in told["rows"].items()}
        assert len(told["rows"]) >= 10
    assert len(seen) == 30
    assert min(seen.values()) >= 36, "each was told within the last three frames"
    topic.drop("row0")
    patch = topic.patch(reader, None, 10**6)
    told = json.loads(patch.body)
    assert (told["gone"], patch.is_cut) == (["row0"], False)
    seen |= {key: row["turn"] for key, row in told["rows"].items()}
    del seen["row0"]
    assert set(seen.values()) == {39}, "and then it has the newest of each"
    assert reader.sent == {}


def test_a_client_has_one_frame_and_then_the_newest() -> None:
    books = Topic("books", 10)
    tab = Tab({"books": books}, "books")
    assert tab.frame(acknowledges=False)["n"] == 1
    for price in range(100):
        books.put("a", {"bid": str(price)})
        assert tab.later(S) is None, "what is not acknowledged is not followed by more"
    tab.ask(type="ack", n=1)
    assert tab.later() == {
        "type": "frame",
        "n": 2,
        "now_ms": tab.now_ns // 1_000_000,
        "topics": {"books": {"is_snapshot": False, "rows": {"a": {"bid": "99"}}}},
    }
    assert not tab.client.is_deaf(tab.now_ns)
    tab.later(acknowledges=False)
    assert tab.client.is_deaf(tab.now_ns + ACK_WITHIN_NS + 1)


def test_silence_is_told_every_second_and_a_hidden_tab_gets_nothing_else() -> None:
    books = Topic("books", 10)
    tab = Tab({"books": books}, "books")
    tab.frame()
    assert tab.later(FRAME_EVERY_NS) is None
    assert tab.later()["topics"] == {}
    tab.ask(type="pause")
    books.put("a", {})
    assert tab.client.wanted() == {}
    assert tab.later()["topics"] == {}
    tab.ask(type="resume")
    assert tab.later()["topics"]["books"]["rows"] == {"a": {}}


def test_what_one_frame_does_not_hold_comes_in_the_next_ones() -> None:
    wide, small = Topic("wide", 2_000), Topic("small", 10, is_card=True)
    for number in range(1_500):
        wide.put(f"row{number}", {"text": "x" * 200})
    tab = Tab({"wide": wide, "small": small}, "wide", "small")
    first = tab.frame()
    small.put("state", "HALTED")
    second = tab.later()
    assert "small" in second["topics"], "a large topic keeps no small one waiting"
    frames = [first, second]
    while len(tab.shown["wide"]) < 1_500:
        frames.append(tab.later())
        assert len(frames) < 20
    assert [f["topics"]["wide"]["is_snapshot"] for f in frames] == [True] + [False] * (
        len(frames) - 1
    )
    assert tab.shown["small"] == {"state": "HALTED"}


def test_frames_keep_to_a_pace_of_bytes() -> None:
    wide = Topic("wide", 2_000)
    for number in range(1_000):
        wide.put(f"row{number}", {"text": "x" * 200})
    tab = Tab({"wide": wide}, "wide")
    tab.frame()
    assert tab.later(FRAME_EVERY_NS) is None, "64 KB are paced to 150 KB/s"
    assert tab.later(FRAME_EVERY_NS) is not None


def test_only_the_rows_in_view_are_told() -> None:
    books = Topic("books", 10)
    for name in "abc":
        books.put(name, {"x": 1})
    tab = Tab({"books": books}, "books", books=["a", "b"])
    tab.frame()
    assert tab.shown["books"].keys() == {"a", "b"}
    books.put("c", {"x": 2})
    assert tab.later()["topics"] == {}
    tab.ask(type="sub", topics=["books"], rows={"books": ["c"]})
    assert tab.later()["topics"]["books"] == {"is_snapshot": True, "rows": {"c": {"x": 2}}}


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("x" * (REQUEST_BYTES_MAX + 1), "oversize", 1009),
        ("{", "malformed", 1008),
        ("[]", "malformed", 1008),
        ('{"x":' + "[" * 3_000 + "]" * 3_000 + ',"type":"pause"}', "malformed", 1008),
        ('{"type":"drop"}', "malformed", 1008),
        ('{"type":"ack","n":"1"}', "malformed", 1008),
        ('{"type":"ack","n":1,"more":1}', "malformed", 1008),
        ('{"type":"sub","topics":["secrets"]}', "malformed", 1008),
        (json.dumps({"type": "sub", "topics": ["books"] * 33}), "malformed", 1008),
    ],
)
def test_what_is_no_request_is_refused(text: str, kind: str, code: int) -> None:
    with pytest.raises(RequestError) as caught:
        Client({"books": Topic("books", 10)}).on_text(text)
    assert (caught.value.kind, caught.value.code) == (kind, code)
    assert len(caught.value.reason) <= 120


def test_a_snapshot_is_a_frame() -> None:
    books = Topic("books", 2_000)
    books.put("a", {"x": 1})
    told = json.loads(snapshot({"books": books}, ["books"], S))
    assert told["topics"] == {"books": {"is_snapshot": True, "rows": {"a": {"x": 1}}}}
    for number in range(1_500):
        books.put(f"row{number}", {"text": "x" * 200})
    told = json.loads(snapshot({"books": books}, ["books"], S))
    assert len(told["topics"]["books"]["rows"]) == len(books), "who polls sees every row"
    with pytest.raises(RequestError, match="no topic"):
        snapshot({"books": books}, ["\udcff"], S)


def test_rows_in_view_come_at_once_and_all_others_in_turn() -> None:
    topic, fill = Topic("t", 1_000), "x" * 250
    rows = {f"row {n}": {"n": 0, "fill": fill} for n in range(500)}
    topic.replace(rows)
    tab = Tab({"t": topic})
    rng, view = random.Random(7), [f"row {n}" for n in range(60)]
    tab.ask(type="sub", topics=["t"], view={"t": view})
    for _ in range(20):
        tab.later()
    assert tab.shown["t"] == rows, "all come first"
    sent = 0
    started_ns = tab.now_ns
    for turn in range(1, 400):
        for key in list(rows):
            rows[key] = {"n": turn, "fill": fill}
        if turn % 50 == 0:  # somebody scrolls
            first = rng.randrange(440)
            view = [f"row {n}" for n in range(first, first + 60)]
            tab.ask(type="sub", topics=["t"], view={"t": view})
            del rows[view[7]]
        topic.replace(rows)
        frame = tab.later(FRAME_EVERY_NS)
        sent += len(json.dumps(frame, separators=(",", ":"))) if frame else 0
        assert all(tab.shown["t"][key]["n"] >= turn - 4 for key in view if key in rows) or (
            turn % 50 < 4
        )
    assert sent / ((tab.now_ns - started_ns) / S) <= BYTES_PER_S_IN_VIEW_MAX
    assert min(row["n"] for row in tab.shown["t"].values()) > 150, "the others come in turn"
    for _ in range(200):
        tab.later()
    assert tab.shown["t"] == rows, "what changed last of a row that left the view comes as well"


def test_who_is_far_behind_gets_all_rows_anew_not_only_those_in_view() -> None:
    topic = Topic("t", 1_000)
    topic.replace({str(n): {"n": n} for n in range(GONE_MAX + 20)})
    tab = Tab({"t": topic})
    tab.ask(type="sub", topics=["t"], view={"t": ["5", "1"]})
    tab.later()
    topic.replace({str(n): {"n": -n} for n in range(10)})
    tab.later()
    assert tab.shown["t"] == {str(n): {"n": -n} for n in range(10)}


def test_rows_that_are_not_wanted_do_not_come_for_want_of_being_in_view() -> None:
    topic = Topic("t", 100)
    topic.replace({str(n): {"n": 0} for n in range(10)})
    tab = Tab({"t": topic})
    tab.ask(type="sub", topics=["t"], rows={"t": ["1", "2"]}, view={"t": ["1"]})
    for turn in range(1, 6):
        tab.later()
        topic.replace({str(n): {"n": turn} for n in range(10)})
    tab.later()
    assert tab.shown["t"] == {"1": {"n": 5}, "2": {"n": 5}}
