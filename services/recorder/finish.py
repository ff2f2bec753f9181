"""``python -m services.recorder.finish ROOT SEGMENT``: a segment into Parquet, in its own process.

What it reads and builds is large and would hold up the recorder. Whenever it is killed, the segment
is still there or its Parquet file is whole; the next one goes on from that.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shared.errors import ArbError
from shared.store.manifest import StoreFault, read_manifest, sha256_of, sync_directory
from shared.store.parquet import Made, write_raw
from shared.store.rows import SEGMENT_SUFFIX
from shared.store.segments import read_segment


def finish(root: Path, name: str) -> int:
    """Turn a segment into Parquet and remove it; return its rows."""
    path = root / name
    file = path.with_name(path.name.removesuffix(SEGMENT_SUFFIX) + ".parquet")
    segment = read_segment(path)
    if segment.rows and not _is_whole(file):
        write_raw(file, segment.rows, Made(missing=segment.missing, torn_bytes=segment.torn_bytes))
    path.unlink()
    sync_directory(path.parent)
    return len(segment.rows)


def _is_whole(file: Path) -> bool:
    """Tell whether the file was finished before, and only its segment is left to be removed."""
    try:
        return file.exists() and read_manifest(file).sha256 == sha256_of(file)
    except StoreFault:
        return False


def main(arguments: list[str]) -> int:
    """Finish one, and say in one line what came of it."""
    root, name = arguments
    try:
        rows = finish(Path(root), name)
    except (ArbError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{rows}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
