"""OTLP's encodings: what is sent comes out, what is not known is passed over, and no bytes do any harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import MalformedInput, TooLarge
from tasks.metrics.otlp import decoding
from tasks.metrics.otlp.rows import row_of
from tests import otlp
from webapp.otlp import wire

SENT = otlp.joined(
    otlp.request([otlp.explicit([0.5, 0.7]), otlp.explicit([30.0])]),
    otlp.request(
        [{"count": 6, "sum": 9.0, "scale": 3, "zero_count": 1, "positive": {"offset": -2, "counts": [2, 0, 3]}}],
        data="exponential_histogram",
        temporality=otlp.CUMULATIVE,
    ),
)
BINARY = SENT.SerializeToString()
TEXT = json_format.MessageToJson(SENT)
NOW = datetime.now(UTC)


def take(raw: bytes, media_type: str) -> None:
    """All that is done with a request but to store it."""
    try:
        reading = decoding.read(wire.decode(raw, media_type), NOW)
    except (MalformedInput, TooLarge):
        return
    for point in reading.points:
        made = row_of(point, point.start_ns, point.values).contribution
        assert made.histogram.count == made.count == point.values.count


def changed(fields: dict[str, Any]) -> bytes:
    """The JSON text, with fields of its first point changed."""
    sent = json.loads(TEXT)
    sent["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"][0] |= fields
    return json.dumps(sent).encode()


@pytest.mark.parametrize("media_type", wire.MEDIA_TYPES)
def test_what_is_encoded_is_decoded(media_type: str) -> None:
    assert wire.decode(wire.encode(SENT, media_type), media_type) == SENT


def test_numbers_may_be_text_or_numbers_and_enumerations_are_numbers() -> None:
    assert '"timeUnixNano": "' in TEXT
    assert wire.decode(changed({"count": 2, "timeUnixNano": otlp.BEGAN_NS + otlp.MINUTE_NS}), wire.JSON) == SENT
    assert (
        wire.decode(TEXT.replace("AGGREGATION_TEMPORALITY_DELTA", "1").replace('"1"', "1").encode(), wire.JSON)
        == SENT
    )


def test_fields_that_are_not_known_by_that_name_are_passed_over() -> None:
    unknown = {"newField": {"a": [1]}, "start_time_unix_nano": 5, "exemplars": [{"traceId": "zz", "asDouble": 1}]}
    assert wire.decode(changed(unknown), wire.JSON) == SENT


@pytest.mark.parametrize(
    "fields", [{"count": -1}, {"count": 2**64}, {"count": "x"}, {"sum": []}, {"bucketCounts": 3}, {"attributes": [3]}]
)
def test_values_of_another_type_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        wire.decode(changed(fields), wire.JSON)


@given(
    st.lists(st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(BINARY))
)
def test_spoilt_bytes_do_no_harm(changes: list[tuple[int, int]], length: int) -> None:
    raw = bytearray(BINARY)
    for place, value in changes:
        raw[place] = value
    take(bytes(raw), wire.PROTOBUF)
    take(bytes(raw[:length]), wire.PROTOBUF)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "Infinity", "-1", "x", "18446744073709551615"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["key", "value"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip
names = ["count", "sum", "min", "max", "bucketCounts", "explicitBounds", "startTimeUnixNano", "timeUnixNano", "flags"]


@given(st.dictionaries(st.sampled_from([*names, "attributes"]), values, max_size=4))
def test_odd_values_do_no_harm(fields: dict[str, Any]) -> None:
    take(changed(fields), wire.JSON)


@given(values)
def test_odd_documents_do_no_harm(value: Any) -> None:
    take(json.dumps(value).encode(), wire.JSON)
    take(json.dumps({"resourceMetrics": value}).encode(), wire.JSON)
