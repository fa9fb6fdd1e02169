"""Requests of OTLP metrics, as an exporter makes them, for tests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
DURATION = "gen_ai.client.operation.duration"
TOKENS = "gen_ai.client.token.usage"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.request.model": "m-1"}
DELTA, CUMULATIVE = 1, 2
MINUTE_NS = 60 * 10**9
# An hour ago, on a whole minute.
BEGAN_NS = (time.time_ns() // MINUTE_NS - 60) * MINUTE_NS


def attributes(target: Any, values: Mapping[str, Any]) -> None:
    """Adds attributes to what has a field of them."""
    for key, value in values.items():
        item: KeyValue = target.add(key=key)
        if isinstance(value, int):
            item.value.int_value = value
        else:
            item.value.string_value = value


def explicit(values: Iterable[float], bounds: tuple[float, ...] = BOUNDS, **more: Any) -> dict[str, Any]:
    """The fields of a point with explicit buckets that has counted ``values``."""
    told = list(values)
    edges = (*bounds, float("inf"))
    counts = [0] * len(edges)
    for value in told:
        counts[next(place for place, edge in enumerate(edges) if value <= edge)] += 1
    fields = {"count": len(told), "sum": sum(told), "explicit_bounds": bounds, "bucket_counts": counts}
    if told:
        fields |= {"min": min(told), "max": max(told)}
    return {**fields, **more}


def request(
    points: Iterable[Mapping[str, Any]],
    name: str = DURATION,
    *,
    temporality: int = DELTA,
    unit: str = "s",
    data: str = "histogram",
    resource: Mapping[str, Any] | None = None,
) -> ExportMetricsServiceRequest:
    """A request with one metric. A point is of a chat and of the first minute, if it says nothing else."""
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    attributes(of_resource.resource.attributes, {"service.name": "shop"} if resource is None else resource)
    metric = of_resource.scope_metrics.add().metrics.add(name=name, unit=unit)
    held = getattr(metric, data)
    if data in ("histogram", "exponential_histogram", "sum"):
        held.aggregation_temporality = temporality
    for fields in points:
        plain: dict[str, Any] = {"start_time_unix_nano": BEGAN_NS, "time_unix_nano": BEGAN_NS + MINUTE_NS}
        given = {**plain, **fields}
        point = held.data_points.add()
        attributes(point.attributes, given.pop("attributes", CHAT))
        positive = given.pop("positive", None)
        if positive is not None:
            point.positive.offset = positive["offset"]
            point.positive.bucket_counts.extend(positive["counts"])
        for field, value in given.items():
            if isinstance(value, list | tuple):
                getattr(point, field).extend(value)
            else:
                setattr(point, field, value)
    return made


def joined(*requests: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    """All of them in one."""
    made = ExportMetricsServiceRequest()
    for one in requests:
        made.MergeFrom(one)
    return made
