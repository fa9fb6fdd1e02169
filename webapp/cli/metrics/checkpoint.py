"""Remembers how far the import of a file has come, in a small file beside it, so that a repeat goes on from there."""

from __future__ import annotations

import os
from pathlib import Path

import orjson


class Checkpoint:
    """How far one file is recorded. It holds only as long as the file is the same, by size and time."""

    def __init__(self, path: Path) -> None:
        found = path.stat()
        self._identity = [found.st_size, found.st_mtime_ns]
        self._note = path.with_name(path.name + ".import-place")

    def read(self) -> int:
        """The number of the last row that is done; 0 where there is none."""
        try:
            noted = orjson.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return 0
        same = isinstance(noted, dict) and noted.get("file") == self._identity
        return int(noted["row"]) if same and isinstance(noted.get("row"), int) else 0

    def write(self, row: int) -> None:
        """Notes that all rows up to ``row`` are recorded."""
        fresh = self._note.with_name(self._note.name + ".new")
        fresh.write_bytes(orjson.dumps({"file": self._identity, "row": row}))
        os.replace(fresh, self._note)

    def clear(self) -> None:
        """Forgets it: the file is done, or is to be read from its beginning."""
        self._note.unlink(missing_ok=True)
