"""Loads named blocks of SQL from a ``.sql`` file that lies beside the code that runs it.

A block begins with a line ``-- name: claim_due --`` and ends where the next begins.
"""

from __future__ import annotations

import re
from importlib.resources import files

_HEADER = re.compile(r"^-- name: (\w+) --$", re.MULTILINE)


class Queries:
    """The blocks of one file, by name. Loaded when first asked for, then kept."""

    def __init__(self, package: str, filename: str) -> None:
        self._package = package
        self._filename = filename
        self._blocks: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        """The text of the block ``name``. Raises KeyError with the file's name where there is none."""
        blocks = self._load()
        if name not in blocks:
            raise KeyError(f"{self._package}/{self._filename} has no block named {name}")
        return blocks[name]

    def names(self) -> tuple[str, ...]:
        """The names of all blocks, in the file's order."""
        return tuple(self._load())

    def _load(self) -> dict[str, str]:
        if self._blocks is None:
            text = files(self._package).joinpath(self._filename).read_text(encoding="utf-8")
            parts = _HEADER.split(text)
            self._blocks = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
        return self._blocks
