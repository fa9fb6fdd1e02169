"""Loads named blocks of SQL from a ``.sql`` file that lies beside the code that runs it.

A block begins with a line ``-- name: claim_due --`` and ends where the next begins.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

_HEADER = re.compile(r"^-- name: (\w+) --$", re.MULTILINE)
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Prepared(NamedTuple):
    """A statement that PostgreSQL parses and plans once for each connection: for those that run all the time.

    Only where the plan is the same for an empty and a large table: one that was made while the table was small would
    read it through for a minute, until autovacuum has analyzed it. (A test looks at this.)

    ``text`` is the statement as it is given by name, ``prepare`` and ``execute`` make and run it. PostgreSQL must be
    able to tell the types of its parameters: cast where it can't.
    """

    name: str
    text: str
    prepare: str
    execute: str


class Queries:
    """The blocks of one file, by name. Loaded when first asked for, then kept."""

    def __init__(self, package: str, filename: str) -> None:
        self._package = package
        self._filename = filename
        self._blocks: dict[str, str] | None = None
        self._prepared: dict[str, Prepared] = {}

    def __getitem__(self, name: str) -> str:
        """The text of the block ``name``. Raises KeyError with the file's name where there is none."""
        blocks = self._load()
        if name not in blocks:
            raise KeyError(f"{self._package}/{self._filename} has no block named {name}")
        return blocks[name]

    def prepared(self, name: str) -> Prepared:
        """The block ``name`` as a statement to be prepared. Raises KeyError as ``[name]``."""
        known = self._prepared.get(name)
        if known is None:
            known = self._prepared[name] = self._to_prepare(name)
        return known

    def _to_prepare(self, name: str) -> Prepared:
        text = self[name]
        order = list(dict.fromkeys(_PARAMETER.findall(text)))
        numbered = _PARAMETER.sub(lambda found: f"${order.index(found[1]) + 1}", text).replace("%%", "%")
        full_name = f"{self._package}.{self._filename.removesuffix('.sql')}.{name}".replace(".", "_")
        values = ", ".join(f"%({parameter})s" for parameter in order)
        return Prepared(
            full_name,
            text,
            f"PREPARE {full_name} AS {numbered}",
            f"EXECUTE {full_name}" + (f"({values})" if order else ""),
        )

    def names(self) -> tuple[str, ...]:
        """The names of all blocks, in the file's order."""
        return tuple(self._load())

    def _load(self) -> dict[str, str]:
        if self._blocks is None:
            text = files(self._package).joinpath(self._filename).read_text(encoding="utf-8")
            parts = _HEADER.split(text)
            self._blocks = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
        return self._blocks
