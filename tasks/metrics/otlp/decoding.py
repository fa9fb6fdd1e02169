"""Reads points from OTLP's messages: those of GenAI metrics, each checked; the others are counted, with the reason.

What one point gets wrong is no reason to refuse another, as OTLP has it (partial success).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
)

from tasks.errors import TooLarge
from tasks.metrics.model import NAME_LIMIT
from tasks.metrics.otlp import conventions
from tasks.metrics.otlp.model import MAX_POINTS, Buckets, Explicit, Exponential, Point, Reading, Subject, Values

_Data = HistogramDataPoint | ExponentialHistogramDataPoint
_Attributes = dict[str, str]

EARLIEST_NS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 10**9
# Clocks differ; one that is a day ahead is wrong.
_AHEAD_NS = int(timedelta(days=1).total_seconds()) * 10**9
_MOST_BUCKETS = 2_000
_SCALES = range(-10, 21)
_MOST_VALUE = 1e15
# Of one point; buckets of rollups, which add up many, hold less than 10^12.
_MOST_COUNT = 1_000_000_000
_DIGEST_BYTES = 16


class Unusable(ValueError):
    """A point that can't be taken; the text is the reason, as it goes into the answer."""


class _Origin(NamedTuple):
    """What the points of one scope have in common: attributes of their resource, and a digest of both."""

    attributes: _Attributes
    digest: bytes


class _Series(NamedTuple):
    """A metric's points, and what is needed to read them."""

    origin: _Origin
    metric: Metric
    kind: str
    unit: Decimal
    cumulative: bool
    digest: bytes


def read(request: ExportMetricsServiceRequest, now: datetime, ignored: Sequence[str] = ()) -> Reading:
    """The points of a request, none of them later than a day after ``now``.

    Metrics whose name matches one of ``ignored`` (as ``fnmatch`` has it) are passed over without a word.

    Raises:
        TooLarge: more than 20,000 points of GenAI metrics.
    """
    reading = Reading()
    latest_ns = int(now.timestamp() * 1e9) + _AHEAD_NS
    seen = 0
    for resource_metrics in request.resource_metrics:
        attributes = _texts(resource_metrics.resource.attributes)
        resource = _digest(b"resource", _canonical(resource_metrics.resource.attributes))
        for scope_metrics in resource_metrics.scope_metrics:
            origin = _Origin(attributes, _digest(resource, _scope(scope_metrics.scope)))
            for metric in scope_metrics.metrics:
                if any(fnmatchcase(metric.name, pattern) for pattern in ignored):
                    continue
                series = _series(origin, metric, reading)
                if series is None:
                    continue
                points = _points_of(metric)
                seen += len(points)
                if seen > MAX_POINTS:
                    raise TooLarge(f"The request holds more than {MAX_POINTS} points: send fewer at a time.")
                for data in points:
                    _take(series, data, latest_ns, reading)
    return reading


def _series(origin: _Origin, metric: Metric, reading: Reading) -> _Series | None:
    """How to read the metric's points; None where they are all refused, and noted as such."""
    count = len(_points_of(metric))
    kind = conventions.METRICS.get(metric.name)
    if kind is None:
        reading.refuse("of metrics other than those of GenAI calls that are kept", metric.name, count)
        return None
    if metric.WhichOneof("data") not in ("histogram", "exponential_histogram"):
        reading.refuse("of a GenAI metric that is no histogram", metric.name, count)
        return None
    unit = conventions.unit_of(kind, metric.unit)
    if unit is None:
        reading.refuse("in a unit that is not of time", f"{metric.name} in {metric.unit!r}", count)
        return None
    temporality = getattr(metric, str(metric.WhichOneof("data"))).aggregation_temporality
    if temporality not in (AGGREGATION_TEMPORALITY_CUMULATIVE, AGGREGATION_TEMPORALITY_DELTA):
        reading.refuse("without an aggregation temporality", metric.name, count)
        return None
    # What is counted in other units, or by another temporality, is another stream.
    named = [metric.name, metric.unit, str(metric.WhichOneof("data")), str(temporality)]
    digest = _digest(origin.digest, *(text.encode() for text in named))
    return _Series(origin, metric, kind, unit, temporality == AGGREGATION_TEMPORALITY_CUMULATIVE, digest)


def _points_of(metric: Metric) -> Sequence[_Data]:
    data = metric.WhichOneof("data")
    return () if data is None else getattr(metric, data).data_points


def _take(series: _Series, data: _Data, latest_ns: int, reading: Reading) -> None:
    if data.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return  # it says that there is no value
    try:
        reading.points.append(_point(series, data, latest_ns))
    except Unusable as problem:
        reading.refuse(str(problem), series.metric.name)


def _point(series: _Series, data: _Data, latest_ns: int) -> Point:
    attributes = _texts(data.attributes)
    _check_times(data, latest_ns)
    kind = series.kind
    if kind == conventions.TOKENS:
        told = attributes.get(conventions.TOKEN_TYPE, "")
        if told not in conventions.TOKEN_KINDS:
            raise Unusable(f"whose {conventions.TOKEN_TYPE} is neither input nor output")
        kind = conventions.TOKEN_KINDS[told]
    canonical = _canonical(data.attributes)
    akin = _canonical(item for item in data.attributes if item.key != conventions.TOKEN_TYPE)
    return Point(
        stream=_digest(series.digest, canonical),
        kin=_digest(series.origin.digest, bytes([series.cumulative]), akin),
        metric=series.metric.name,
        kind=kind,
        cumulative=series.cumulative,
        start_ns=data.start_time_unix_nano,
        time_ns=data.time_unix_nano,
        subject=_subject(series.origin.attributes, attributes),
        values=_values(data, series.unit, inverse=series.kind == conventions.SPEED),
    )


def _check_times(data: _Data, latest_ns: int) -> None:
    if not EARLIEST_NS <= data.time_unix_nano <= latest_ns:
        raise Unusable("whose time is missing or implausible")
    if data.start_time_unix_nano > data.time_unix_nano:
        raise Unusable("that begin after they end")
    if 0 < data.start_time_unix_nano < EARLIEST_NS:
        raise Unusable("whose start is implausible")


def _subject(resource: _Attributes, own: _Attributes) -> Subject:
    def first(names: Iterable[str]) -> str | None:
        return next((said[name] for name in names for said in (own, resource) if said.get(name)), None)

    operation = own.get(conventions.OPERATION, "")
    if operation in conventions.NO_CALLS:
        raise Unusable("of operations that do not call a model: the calls that they make have points of their own")
    model = first(conventions.MODEL)
    if model is None:
        raise Unusable("without gen_ai.request.model")
    subject = Subject(
        model=model,
        provider=first(conventions.PROVIDER) or "",
        task_type=first(conventions.TASK_TYPE) or conventions.DEFAULT_TASK_TYPE,
        environment=first(conventions.ENVIRONMENT) or conventions.DEFAULT_ENVIRONMENT,
        error_type=first(conventions.ERROR),
        service=first(conventions.SERVICE),
        endpoint=first(conventions.ENDPOINT),
    )
    for text in subject:
        if text is not None and (len(text) > NAME_LIMIT or "\x00" in text):
            raise Unusable(f"with an attribute of more than {NAME_LIMIT} characters, or with NUL in it")
    return subject


def _values(data: _Data, unit: Decimal, *, inverse: bool) -> Values:
    buckets = _explicit(data) if isinstance(data, HistogramDataPoint) else _exponential(data)
    total = data.sum if data.HasField("sum") else None
    if total is not None and not 0 <= total <= _MOST_VALUE:
        raise Unusable("whose sum is negative or no number")
    if data.count > _MOST_COUNT:
        raise Unusable(f"whose count is above {_MOST_COUNT}")
    return Values(
        count=data.count,
        total=None if total is None else Decimal(repr(total)),
        buckets=buckets,
        least=_bound(data, "min"),
        most=_bound(data, "max"),
        unit=unit,
        inverse=inverse,
    )


def _bound(data: _Data, name: str) -> float | None:
    value = float(getattr(data, name)) if data.HasField(name) else math.nan  # type: ignore[arg-type]
    return value if 0 <= value <= _MOST_VALUE else None


def _explicit(data: HistogramDataPoint) -> Buckets:
    bounds, counts = tuple(data.explicit_bounds), tuple(data.bucket_counts)
    if not bounds and not counts:
        counts = (data.count,)  # a histogram may have no buckets
    if len(counts) != len(bounds) + 1 or len(counts) > _MOST_BUCKETS:
        raise Unusable(f"whose buckets do not fit their bounds, or are more than {_MOST_BUCKETS}")
    if not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        raise Unusable("whose bounds do not ascend")
    _check_count(counts, data.count)
    return Explicit(bounds, counts)


def _exponential(data: ExponentialHistogramDataPoint) -> Buckets:
    if any(data.negative.bucket_counts):
        raise Unusable("with negative values")
    counts = tuple(data.positive.bucket_counts)
    if data.scale not in _SCALES or len(counts) > _MOST_BUCKETS or not 0 <= data.zero_threshold <= _MOST_VALUE:
        raise Unusable(f"whose scale is not in -10 to 20, or that have more than {_MOST_BUCKETS} buckets")
    _check_count((data.zero_count, *counts), data.count)
    return Exponential(data.scale, data.zero_count, data.zero_threshold, data.positive.offset, counts)


def _check_count(counts: Iterable[int], count: int) -> None:
    if sum(counts) != count:
        raise Unusable("whose buckets do not add up to their count")


def _texts(attributes: Iterable[KeyValue]) -> _Attributes:
    return {item.key: text for item in attributes if (text := _text(item.value)) is not None}


_TEXT_OF: dict[str, Callable[[AnyValue], str]] = {
    "string_value": lambda value: value.string_value,
    "int_value": lambda value: str(value.int_value),
    "bool_value": lambda value: str(value.bool_value).lower(),
    "double_value": lambda value: repr(value.double_value),
}


def _text(value: AnyValue) -> str | None:
    make = _TEXT_OF.get(value.WhichOneof("value") or "")
    return make(value) if make else None


def _scope(scope: InstrumentationScope) -> bytes:
    named = (scope.name.encode(), scope.version.encode(), _canonical(scope.attributes))
    return _digest(*named)


def _canonical(attributes: Iterable[KeyValue]) -> bytes:
    """The same bytes for the same attributes, in whatever order they come."""
    return b"".join(sorted(_framed(item.SerializeToString(deterministic=True)) for item in attributes))


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(map(_framed, parts)), digest_size=_DIGEST_BYTES).digest()
