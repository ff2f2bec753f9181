"""The dashboard's page as files: what others wrote is unchanged, and it asks nobody else."""

from __future__ import annotations

import gzip
import hashlib
import re

from tests.support import ROOT

STATIC = ROOT / "services" / "dashboard" / "static"
VENDOR = STATIC / "vendor"
SUMS = VENDOR / "SHA256SUMS"
OWN = sorted(
    path
    for path in STATIC.rglob("*")
    if path.suffix in {".js", ".css", ".html", ".svg"} and VENDOR not in path.parents
)
BYTES_MAX = 207_000
GZIPPED_BYTES_MAX = 80_000
LINES_MAX = 400

FORBIDDEN = {
    "markup made of text": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser",
    "code made of text": r"\beval\(|new Function",
    "another host": r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9-]+\.[a-z]",
    "an inline script or style": r"<script>|<style|\sstyle=\"|\son[a-z]+=\"",
    "a secret kept by the page": r"(?:localStorage|sessionStorage)\.setItem\((?!KEY)",
}


def test_what_others_wrote_is_what_they_published() -> None:
    listed = dict(reversed(line.split("  ")) for line in SUMS.read_text().splitlines())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name not in {SUMS.name, "README.md"}
    }
    assert found == listed
    programs = {name.split(".")[0] for name in found}
    licences = {name.split(".")[0] for name in found if name.endswith(".LICENSE")}
    assert programs == licences


def test_the_page_keeps_its_own_rules() -> None:
    faults = [
        f"{path.relative_to(STATIC)}:{number}: {what}"
        for path in OWN
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if re.search(pattern, re.sub(r"^\s*(//|\*|/\*).*", "", line))
    ]
    faults += [
        f"{path.relative_to(STATIC)} is too long"
        for path in OWN
        if len(path.read_text().splitlines()) > LINES_MAX
    ]
    assert not faults


def test_every_file_is_reached_from_the_first() -> None:
    reached = {STATIC / "index.html"}
    while True:
        texts = "\n".join(f"{path.parent}\n{path.read_text()}" for path in reached)
        names = set(re.findall(r"[\w.-]+\.(?:js|mjs|css|svg)\b", texts))
        more = {path for path in STATIC.rglob("*") if path.name in names}
        if more <= reached:
            break
        reached |= more
    assert set(OWN) <= reached


def test_modules_are_asked_for_at_once_and_not_one_behind_another() -> None:
    index = (STATIC / "index.html").read_text()
    asked = set(re.findall(r"(?:href|src)=\"/static/([\w./-]+\.m?js)\"", index))
    assert asked == {
        path.relative_to(STATIC).as_posix()
        for path in STATIC.rglob("*")
        if path.suffix in {".js", ".mjs"}
    }


def test_the_page_is_small() -> None:
    sent = [path.read_bytes() for path in STATIC.rglob("*") if path.suffix in {".mjs", ".js"}]
    sent += [path.read_bytes() for path in OWN if path.suffix in {".css", ".html"}]
    assert sum(map(len, sent)) <= BYTES_MAX
    assert sum(len(gzip.compress(each)) for each in sent) <= GZIPPED_BYTES_MAX
