"""Reads executions from JSONL, CSV and Parquet files, row by row, each with its number.

CSV has text alone: numbers and truth values are read by what the field is, an empty cell is nothing, ``metadata`` is
JSON. A Parquet time without a zone is UTC.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson

from webapp.metrics.aliases import ALIASES

FORMATS = ("jsonl", "csv", "parquet")
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_WHOLE = frozenset({"input_tokens", "output_tokens", "context_size", "retry_count"})
_REAL = frozenset({"latency_ms", "first_token_latency_ms", "quality_score", "user_satisfaction", "cost_usd"})
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_ROWS_AT_ONCE = 5_000


class Row(NamedTuple):
    """One row: its number (of the line; in Parquet of the row), what it says, or why it can't be read.

    ``done`` is how far in the file it is: bytes, in Parquet rows.
    """

    number: int
    item: Any
    problem: str | None
    done: int


class Source(NamedTuple):
    """A file that can be read: ``total`` in the unit of ``Row.done``."""

    total: int
    rows: Iterator[Row]


def format_of(path: Path) -> str:
    """The format that the file's ending names. Raises click.UsageError."""
    found = _ENDINGS.get(path.suffix.lower())
    if found is None:
        raise click.UsageError(f"{path.name}: not known what format this is; say --format {'|'.join(FORMATS)}.")
    return found


def source_of(path: Path, file_format: str) -> Source:
    """The rows of a file. Raises click.ClickException where it can't be read."""
    readers: dict[str, Callable[[Path], Source]] = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}
    return readers[file_format](path)


def _jsonl(path: Path) -> Source:
    def rows() -> Iterator[Row]:
        done = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                done += len(line)
                if not line.strip():
                    continue
                try:
                    yield Row(number, orjson.loads(line), None, done)
                except orjson.JSONDecodeError as problem:
                    yield Row(number, None, f"not valid JSON: {problem.msg}", done)

    return Source(path.stat().st_size, rows())


def _csv(path: Path) -> Source:
    def rows() -> Iterator[Row]:
        with path.open("rb") as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            reader = csv.DictReader(text)
            for cells in reader:
                problem = "has more cells than the header" if None in cells else None
                item = None if problem else _typed(cells)
                yield Row(reader.line_num, item, problem, raw.tell())

    return Source(path.stat().st_size, rows())


def _typed(cells: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: _value(ALIASES.get(name, name), cell) for name, cell in cells.items() if cell not in (None, "")}


def _value(field: str, cell: Any) -> Any:
    """What a cell says; as it is where it does not say what the field is, for the check to refuse."""
    try:
        if field in _WHOLE:
            return int(cell)
        if field in _REAL:
            return float(cell)
        if field == "metadata":
            return orjson.loads(cell)
    except ValueError:
        return cell
    return _TRUTH.get(cell.strip().lower(), cell) if field == "success" else cell


def _parquet(path: Path) -> Source:
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise click.ClickException("Parquet files need pyarrow: install 'omninode-bridge[parquet]'.") from None
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as problem:
        raise click.ClickException(f"{path.name} can't be read as Parquet: {problem}") from problem

    def rows() -> Iterator[Row]:
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            for cells in batch.to_pylist():
                number += 1
                item = {name: _plain(value) for name, value in cells.items() if value is not None}
                if isinstance(item.get("metadata"), str):
                    item["metadata"] = _value("metadata", item["metadata"])
                yield Row(number, item, None, number)

    return Source(file.metadata.num_rows, rows())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return float(value) if isinstance(value, Decimal) else value
