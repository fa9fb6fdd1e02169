"""Points of GenAI metrics are read with what they mean; what is wrong with one is told, and refuses no other."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tasks.errors import TooLarge
from tasks.metrics.otlp import decoding
from tasks.metrics.otlp.model import MAX_POINTS, Explicit, Exponential, Point, Reading
from tests import otlp

NOW = datetime.now(UTC)


def read(*points: dict[str, Any], **more: Any) -> Reading:
    return decoding.read(otlp.request(points, **more), NOW)


def one(*points: dict[str, Any], **more: Any) -> Point:
    reading = read(*points, **more)
    assert reading.explained() == ""
    [point] = reading.points
    return point


def attributes(**changed: Any) -> dict[str, Any]:
    """Those of a chat, with names in which ``__`` stands for a dot; None leaves one out."""
    told = otlp.CHAT | {name.replace("__", "."): value for name, value in changed.items()}
    return {name: value for name, value in told.items() if value is not None}


def test_a_duration_is_read_in_milliseconds() -> None:
    point = one(otlp.explicit([0.5, 2.0]))
    assert (point.kind, point.cumulative, point.values.count) == ("latency_ms", False, 2)
    assert (point.values.total, point.values.unit) == (Decimal("2.5"), 1000)
    assert (point.values.least, point.values.most) == (0.5, 2.0)
    assert isinstance(point.values.buckets, Explicit)
    assert (point.start_ns, point.time_ns) == (otlp.BEGAN_NS, otlp.BEGAN_NS + otlp.MINUTE_NS)
    assert one(otlp.explicit([0.5]), unit="ms").values.unit == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gen_ai.client.operation.duration", "latency_ms"),
        ("gen_ai.server.request.duration", "latency_ms"),
        ("gen_ai.client.operation.time_to_first_chunk", "first_token_latency_ms"),
        ("gen_ai.server.time_to_first_token", "first_token_latency_ms"),
        ("gen_ai.server.time_per_output_token", "tokens_per_second"),
    ],
)
def test_each_metric_is_of_a_kind(name: str, kind: str) -> None:
    assert one(otlp.explicit([0.5]), name=name).kind == kind


def test_tokens_are_of_two_kinds_and_find_each_other() -> None:
    points = [
        otlp.explicit([5], attributes=attributes(gen_ai__token__type=kind))
        for kind in ("input", "output", "completion")
    ]
    found = read(*points, name=otlp.TOKENS, unit="{token}").points
    assert [point.kind for point in found] == ["input_tokens", "output_tokens", "output_tokens"]
    assert len({point.stream for point in found}) == 3
    assert len({point.kin for point in found}) == 1
    newer = "gen_ai.client.inference.operation.{}_tokens"
    each = [one(otlp.explicit([5]), name=newer.format(kind), unit="{token}") for kind in ("input", "output")]
    assert [(point.kind, point.values.unit) for point in each] == [("input_tokens", 1), ("output_tokens", 1)]
    assert len({point.stream for point in each}) == 2
    assert len({point.kin for point in (*found, *each)}) == 1


def test_whose_calls_they_are() -> None:
    resource = {"service.name": "shop", "deployment.environment.name": "production", "omninode.task_type": "testing"}
    subject = one(
        otlp.explicit([1], attributes=attributes(error__type=500, server__address="x")), resource=resource
    ).subject
    assert subject._asdict() == {
        "model": "m-1",
        "provider": "acme",
        "task_type": "testing",
        "environment": "production",
        "error_type": "500",
        "service": "shop",
        "endpoint": "x",
    }
    older = attributes(gen_ai__request__model=None, gen_ai__response__model="m-2", gen_ai__provider__name=None,
                       gen_ai__system="old")  # fmt: skip
    found = one(otlp.explicit([1], attributes=older), resource={"deployment.environment": "test"}).subject
    assert (found.model, found.provider, found.task_type, found.environment) == ("m-2", "old", "chat", "test")
    assert (found.error_type, found.service) == (None, None)


def test_a_stream_is_known_by_all_that_names_it_in_whatever_order() -> None:
    def stream(told: dict[str, Any], **more: Any) -> bytes:
        return one(otlp.explicit([1], attributes=told), **more).stream

    base = stream(attributes(a=1, b="2"))
    assert base == stream(dict(reversed(attributes(a=1, b="2").items())))
    others = [
        stream(attributes(a="1", b="2")),
        stream(attributes(a=1)),
        stream(attributes(a=1, b="2"), resource={"service.name": "shop", "service.instance.id": "2"}),
        stream(attributes(a=1, b="2"), temporality=otlp.CUMULATIVE),
        stream(attributes(a=1, b="2"), unit="ms"),
        stream(attributes(a=1, b="2"), name="gen_ai.server.request.duration"),
    ]
    assert len({base, *others}) == 7


def test_an_exponential_histogram() -> None:
    point = one(
        {"count": 6, "sum": 9.0, "scale": 3, "zero_count": 1, "zero_threshold": 0.001,
         "positive": {"offset": -2, "counts": [2, 0, 3]}, "min": 0.0, "max": 2.0},
        data="exponential_histogram", temporality=otlp.CUMULATIVE,
    )  # fmt: skip
    assert point.cumulative
    assert point.values.buckets == Exponential(3, 1, 0.001, -2, (2, 0, 3))


def test_a_histogram_may_have_no_buckets_and_no_sum() -> None:
    values = one({"count": 4}).values
    assert (values.total, values.buckets) == (None, Explicit((), (4,)))


@pytest.mark.parametrize(
    ("point", "more", "reason"),
    [
        (otlp.explicit([1]), {"name": "process.cpu.time"}, "other than those of GenAI calls"),
        ({"as_int": 3}, {"data": "gauge"}, "no histogram"),
        ({"as_int": 3}, {"data": "sum", "name": otlp.TOKENS}, "no histogram"),
        (otlp.explicit([1]), {"unit": "m"}, "not of time"),
        (otlp.explicit([1]), {"temporality": 0}, "aggregation temporality"),
        (otlp.explicit([1], attributes=attributes(gen_ai__request__model=None)), {}, "without gen_ai.request.model"),
        (otlp.explicit([1], attributes=attributes(gen_ai__request__model="")), {}, "without gen_ai.request.model"),
        (otlp.explicit([1], attributes=attributes(gen_ai__operation__name="execute_tool")), {}, "not call a model"),
        (otlp.explicit([1], attributes=attributes(gen_ai__request__model="m" * 201)), {}, "more than 200"),
        (otlp.explicit([1], attributes=attributes(gen_ai__request__model="m\x00")), {}, "NUL"),
        (otlp.explicit([1]), {"name": otlp.TOKENS}, "neither input nor output"),
        (otlp.explicit([1], count=2), {}, "do not add up"),
        ({"count": 10**9 + 1}, {}, "count is above"),
        (otlp.explicit([1], bucket_counts=[1]), {}, "do not fit"),
        (otlp.explicit([1], bounds=(1.0, 1.0)), {}, "do not ascend"),
        (otlp.explicit([1], sum=-1.0), {}, "sum is negative"),
        (otlp.explicit([1], sum=float("nan")), {}, "sum is negative or no number"),
        (otlp.explicit([1], time_unix_nano=0), {}, "implausible"),
        (otlp.explicit([1], time_unix_nano=2**63), {}, "implausible"),
        (otlp.explicit([1], start_time_unix_nano=1), {}, "implausible"),
        (otlp.explicit([1], time_unix_nano=otlp.BEGAN_NS - 1), {}, "begin after they end"),
    ],
)
def test_what_is_refused_and_why(point: dict[str, Any], more: dict[str, Any], reason: str) -> None:
    reading = read(point, **more)
    assert (reading.points, reading.refusals) == ([], 1)
    assert reason in reading.explained()


def test_negative_values_and_odd_scales_are_refused() -> None:
    for fields in ({"scale": 21}, {"scale": 0, "zero_threshold": float("nan")}, {"scale": -11}):
        assert read({"count": 0, **fields}, data="exponential_histogram").refusals == 1
    request = otlp.request([{"count": 1, "scale": 0}], data="exponential_histogram")
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].exponential_histogram.data_points[0]
    point.negative.bucket_counts.append(1)
    assert "negative values" in decoding.read(request, NOW).explained()


def test_one_refused_does_not_refuse_another() -> None:
    reading = read(otlp.explicit([1]), otlp.explicit([1], count=2), otlp.explicit([2]))
    assert (len(reading.points), reading.refusals) == (2, 1)
    assert (
        reading.explained()
        == "1 point whose buckets do not add up to their count (gen_ai.client.operation.duration)."
    )


def test_a_point_without_a_value_is_no_mistake() -> None:
    assert read({"flags": 1, "count": 0}) == Reading()


def test_ignored_metrics_are_passed_over() -> None:
    request = otlp.joined(
        otlp.request([otlp.explicit([1])]), otlp.request([otlp.explicit([1])], "process.cpu.utilization")
    )
    reading = decoding.read(request, NOW, ("process.*",))
    assert (len(reading.points), reading.refusals) == (1, 0)


def test_examples_are_few() -> None:
    request = otlp.joined(*(otlp.request([otlp.explicit([1])], f"other.{n}") for n in range(9)))
    text = decoding.read(request, NOW).explained()
    assert text.startswith("9 points of metrics other than")
    assert "other.4, …" in text
    assert "other.5" not in text


def test_too_many_points_are_refused_as_a_whole() -> None:
    request = otlp.request([otlp.explicit([1])])
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    metric.histogram.data_points.extend([metric.histogram.data_points[0]] * MAX_POINTS)
    with pytest.raises(TooLarge):
        decoding.read(request, NOW)
