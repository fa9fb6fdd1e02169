"""What is stored of a point: its key, its moment, and what it adds to the rollups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import orjson

from tasks.metrics.otlp.conventions import INPUT, OUTPUT
from tasks.metrics.otlp.deltas import as_json
from tasks.metrics.otlp.model import Point, Subject, Values
from tasks.metrics.otlp.spreading import Contribution, contribution_of

_DIGITS = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of ``metric_points``. ``at_ns`` is the middle of the time that it tells of."""

    key: bytes
    kin: bytes
    metric: str
    kind: str
    at_ns: int
    subject: Subject
    contribution: Contribution
    input_output: Decimal = Decimal(0)

    @property
    def counts_tokens(self) -> bool:
        """Whether its values are tokens: of those the rollups hold no histogram."""
        return self.kind in (INPUT, OUTPUT)


def row_of(point: Point, since_ns: int, values: Values) -> Row:
    """The row of what ``point`` adds: ``values``, from ``since_ns`` on (0: not known)."""
    middle_ns = (since_ns + point.time_ns) // 2 if since_ns else point.time_ns
    return Row(_key(point), point.kin, point.metric, point.kind, middle_ns, point.subject, contribution_of(values))


def stream_key(point: Point) -> bytes:
    """Names a cumulative stream and its start: one that begins anew is another."""
    return _digest(point.stream, point.start_ns.to_bytes(8, "big"))


def paired(rows: Sequence[Row]) -> list[Row]:
    """The rows; those of output tokens know the sum of products with the input tokens of the same calls.

    Metrics tell of the two apart, so it is n * mean * mean: as if neither depended on the other.
    """
    inputs = {(row.kin, row.at_ns): row.contribution for row in rows if row.kind == INPUT}
    return [_with_product(row, inputs.get((row.kin, row.at_ns))) if row.kind == OUTPUT else row for row in rows]


def unlike(rows: Iterable[Row]) -> list[Row]:
    """The first row of each key."""
    found: dict[bytes, Row] = {}
    for row in rows:
        found.setdefault(row.key, row)
    return list(found.values())


def _with_product(row: Row, inputs: Contribution | None) -> Row:
    count = max(row.contribution.count, inputs.count) if inputs else 0
    if not inputs or not count:
        return row
    product = row.contribution.total * inputs.total / count
    return replace(row, input_output=product if product >= 10**15 else product.quantize(_DIGITS))


def _key(point: Point) -> bytes:
    """The same for a point that is sent again: same stream, times and values."""
    times = point.start_ns.to_bytes(8, "big") + point.time_ns.to_bytes(8, "big")
    return _digest(point.stream, times + orjson.dumps(as_json(point.values)))


def _digest(stream: bytes, rest: bytes) -> bytes:
    return hashlib.blake2b(stream + rest, digest_size=16).digest()
