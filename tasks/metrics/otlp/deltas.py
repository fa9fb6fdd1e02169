"""From what was counted since a start to what is new: the difference of two points of a cumulative stream.

OpenTelemetry's metrics data model, "Resets and gaps": a stream that begins anew has another start time, and is
another stream here; one that counts less than before without saying so has begun anew too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from tasks.metrics.otlp.model import Buckets, Explicit, Exponential, Point, Values


class Standing(NamedTuple):
    """Where a stream stands: what its last point told."""

    time_ns: int
    values: Values


class Step(NamedTuple):
    """What a point adds: its values since ``since_ns``. ``values`` is None where it adds nothing."""

    since_ns: int
    values: Values | None


def advance(standing: Standing | None, point: Point) -> tuple[Standing, Step]:
    """Where the stream of a cumulative ``point`` stands after it, and what it adds.

    A point that is no later than the last one adds nothing: it came again, or too late, and what it told is in the
    last one. The first point of a stream whose start is not known only says where it stands.
    """
    reached = Standing(point.time_ns, point.values)
    if standing is None:
        unknown = point.start_ns in (0, point.time_ns)
        return reached, Step(point.start_ns, None if unknown or not point.values.count else point.values)
    if point.time_ns <= standing.time_ns:
        return standing, Step(standing.time_ns, None)
    new = difference(standing.values, point.values)
    return reached, Step(standing.time_ns, new if new.count else None)


def difference(before: Values, after: Values) -> Values:
    """The values that are in ``after`` and were not in ``before``; all of them, where it counts less of anything.

    Where buckets changed so that they can't be compared, what is new is known by its count and sum alone.
    """
    count = after.count - before.count
    total = None if after.total is None or before.total is None else after.total - before.total
    if count < 0 or (total is not None and total < 0):
        return after
    known, buckets = _buckets(before.buckets, after.buckets)
    if not known:
        buckets = Explicit((), (count,))
    elif buckets is None:
        return after
    return replace(after, count=count, total=total, buckets=buckets or Explicit((), (count,)))


def _buckets(before: Buckets, after: Buckets) -> tuple[bool, Buckets | None]:
    """Whether the two can be compared, and their difference; None where a bucket counts less than before."""
    if isinstance(before, Explicit) and isinstance(after, Explicit):
        if before.bounds != after.bounds:
            return False, None
        counts = tuple(b - a for a, b in zip(before.counts, after.counts, strict=True))
        return True, None if min(counts) < 0 else Explicit(after.bounds, counts)
    if isinstance(before, Exponential) and isinstance(after, Exponential):
        return True, _exponential(before, after)
    return False, None


def _exponential(before: Exponential, after: Exponential) -> Exponential | None:
    # Scales only become coarser as values spread; a bucket of a coarser scale holds whole ones of a finer.
    scale = min(before.scale, after.scale)
    new = _counts(after, scale)
    for index, count in _counts(before, scale).items():
        new[index] = new.get(index, 0) - count
    # Values may have gone into the bucket of zeros, where its threshold has risen.
    zeros = after.zeros - before.zeros
    if after.threshold > before.threshold:
        gone = sum(count for count in new.values() if count < 0)
        new = {index: max(count, 0) for index, count in new.items()}
        zeros += gone
    if zeros < 0 or any(count < 0 for count in new.values()):
        return None
    held = [index for index, count in new.items() if count]
    if not held:
        return Exponential(scale, zeros, after.threshold, 0, ())
    first, last = min(held), max(held)
    counts = tuple(new.get(index, 0) for index in range(first, last + 1))
    return Exponential(scale, zeros, after.threshold, first, counts)


def _counts(buckets: Exponential, scale: int) -> dict[int, int]:
    """The counts by bucket at a scale that is no finer."""
    counts: dict[int, int] = {}
    for index, count in enumerate(buckets.counts, buckets.offset):
        if count:
            merged = index >> (buckets.scale - scale)
            counts[merged] = counts.get(merged, 0) + count
    return counts


def as_json(values: Values) -> dict[str, Any]:
    """What must be kept of a stream's last point; ``from_json`` reads it."""
    buckets = values.buckets
    kept: dict[str, Any] = {
        "count": values.count,
        "total": None if values.total is None else str(values.total),
        "least": values.least,
        "most": values.most,
        "unit": str(values.unit),
        "inverse": values.inverse,
    }
    if isinstance(buckets, Explicit):
        return {**kept, "bounds": buckets.bounds, "counts": buckets.counts}
    return {**kept, **buckets._asdict()}


def from_json(kept: Mapping[str, Any]) -> Values:
    """The values that ``as_json`` wrote."""
    buckets: Buckets
    if "bounds" in kept:
        buckets = Explicit(tuple(kept["bounds"]), tuple(kept["counts"]))
    else:
        counts = tuple(kept["counts"])
        buckets = Exponential(kept["scale"], kept["zeros"], kept["threshold"], kept["offset"], counts)
    total = kept["total"]
    return Values(
        count=kept["count"],
        total=None if total is None else Decimal(total),
        buckets=buckets,
        least=kept["least"],
        most=kept["most"],
        unit=Decimal(kept["unit"]),
        inverse=kept["inverse"],
    )
