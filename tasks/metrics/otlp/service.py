"""What callers may do with OTLP's points: record them durably, each once. ``tasks.metrics.jobs`` rolls them up.

A point makes no ``model-execution-recorded``: it tells of many executions, and names none. Its batch is told as those
of executions are (``metric-batch-changed``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from tasks import correlation
from tasks.db.pool import Database, Transaction
from tasks.ids import new_id
from tasks.metrics.otlp import store
from tasks.metrics.otlp.deltas import advance
from tasks.metrics.otlp.model import Point
from tasks.metrics.otlp.rows import Row, paired, row_of, stream_key, unlike
from tasks.settings import Settings

# Points of one transaction: few enough that another request, which waits for the same streams, waits for short.
_AT_ONCE = 2_000
# Points that are worked out without a break: about 30 ms.
_IN_A_ROW = 200


class OtlpService:
    """OTLP's points behind HTTP. ``hint`` is as that of ``MetricsService``."""

    def __init__(self, db: Database, settings: Settings, hint: Callable[[], object]) -> None:
        self._db = db
        self._chunk_rows = settings.metrics_chunk_rows
        self._hint = hint

    def record(self, points: Sequence[Point]) -> int:
        """Makes what the points add durable; when this returns, it is committed. Returns how many added something.

        A point that comes again adds nothing: one that is not cumulative is known by its stream, its times and its
        values, a cumulative one by the time to which its stream was told.

        Raises:
            DatabaseUnavailable, DatabaseBusy: some of it may be stored; sending all of it again is right.
        """
        recorded = 0
        # Points of one stream in the order of time, whoever sorted them.
        for part in _parts(sorted(points, key=lambda point: point.time_ns)):
            recorded += self._record(part)
        if recorded:
            self._hint()
        return recorded

    def _record(self, points: list[Point]) -> int:
        added = [row_of(point, point.start_ns, point.values) for point in _unhurried(points) if _adds(point)]
        if not any(point.cumulative for point in points):
            with self._db.autocommit() as tx:
                return self._store(tx, added)
        with self._db.transaction() as tx:
            return self._store(tx, added + _advanced(tx, [point for point in points if point.cumulative]))

    def _store(self, tx: Transaction, rows: list[Row]) -> int:
        if not rows:
            return 0
        return store.record(
            tx,
            new_id(),
            paired(unlike(rows)),
            chunk_rows=self._chunk_rows,
            correlation_id=correlation.current(),
        )


def _adds(point: Point) -> bool:
    return not point.cumulative and point.values.count > 0


def _advanced(tx: Transaction, points: list[Point]) -> list[Row]:
    """What cumulative points add, and their streams moved on."""
    keys = [stream_key(point) for point in points]
    standings = store.lock_streams(tx, {key: point.start_ns for key, point in zip(keys, points, strict=True)})
    rows = []
    for key, point in zip(keys, _unhurried(points), strict=True):
        standings[key], step = advance(standings.get(key), point)
        if step.values is not None:
            rows.append(row_of(point, step.since_ns, step.values))
    store.move_streams(tx, standings)
    return rows


def _unhurried(points: list[Point]) -> Iterator[Point]:
    """The points; now and then others in this process, greenlets of a web server, have their turn."""
    for number, point in enumerate(points, 1):
        yield point
        if number % _IN_A_ROW == 0:
            time.sleep(0)


def _parts(points: list[Point]) -> Iterator[list[Point]]:
    rest = iter(points)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
