"""The page's own files, read once when the dashboard starts. IO."""

from __future__ import annotations

import gzip
import mimetypes
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}


class _File(NamedTuple):
    kind: str
    is_text: bool
    body: bytes
    packed: bytes  # by gzip; empty where that makes it no smaller


class Pages:
    """Every file below a folder, by its path there: what is not among them cannot be asked for."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): _file_of(path.suffix, path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    async def index(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page."""
        return self._answer(request, "index.html")

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Answer with one of its files."""
        return self._answer(request, request.match_info["path"])

    def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        file = self._files.get(path)
        if file is None:
            raise web.HTTPNotFound
        takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if is_packed := takes_gzip and bool(file.packed):
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=file.packed if is_packed else file.body,
            headers=headers,
            content_type=file.kind,
            charset="utf-8" if file.is_text else None,
        )


def _file_of(suffix: str, body: bytes) -> _File:
    kind = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    is_text = kind.startswith("text/") or kind.endswith(("json", "svg+xml"))
    packed = gzip.compress(body, mtime=0) if is_text else b""
    return _File(kind, is_text, body, packed if len(packed) < len(body) else b"")
