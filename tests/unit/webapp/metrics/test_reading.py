"""The compiled decoder and the schema pass the same executions; aliases and limits of batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from tasks.errors import MalformedInput, ValidationFailed
from tasks.metrics.model import MAX_BATCH, MESSAGE_LIMIT, NAME_LIMIT, Execution
from webapp.metrics.reading import Batch, read_batch, read_item
from webapp.metrics.schemas import ExecutionSchema

SCHEMA = ExecutionSchema()
LATEST = datetime(2026, 6, 1, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "execution_id": "e-1",
    "model": "m",
    "task_type": "testing",
    "started_at": "2026-03-01T12:30:15.25Z",
    "latency_ms": 12.5,
    "input_tokens": 3,
    "output_tokens": 4,
    "success": True,
}

texts = st.sampled_from(
    ["", "x", "é", "large", "custom", "x" * NAME_LIMIT, "x" * (NAME_LIMIT + 1), "1", "true", "1.5"]
)
long_texts = st.sampled_from(["x" * MESSAGE_LIMIT, "x" * (MESSAGE_LIMIT + 1)])
times = st.sampled_from(
    ["2026-03-01T12:30:15Z", "2026-03-01T12:30:15+02:00", "2026-03-01t12:30:15z", "2026-03-01 12:30:15Z",
     "2026-03-01T12:30:15", "2026-03-01", "2026-02-30T00:00:00Z", "2026-03-01T12:30:15.123456789Z", "x",
     "2026-03-01T24:00:00Z", "0001-01-01T00:00:00+14:00", "2026-03-01T12:30Z", "20260301T123015Z", 1772368215]
)  # fmt: skip
numbers = st.one_of(
    st.integers(-2, 6), st.floats(-1, 6), st.sampled_from([1.0, 1e9, 1e9 + 1, 10**12, 10**12 + 1, 2**70, 1e300, -0.0])
)
values = st.none() | st.booleans() | numbers | texts | long_texts | times | st.lists(texts, max_size=1)
objects = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3) | texts, max_size=2)
names = st.sampled_from([*SCHEMA.fields, "unknown"])


def loaded(item: Any) -> Execution | None:
    """What the schema makes of an item; None where it refuses."""
    try:
        return Execution(**SCHEMA.load(item))
    except ValidationError:
        return None


def converted(item: Any) -> Execution | None:
    """What the decoder makes of it, by way of its JSON text."""
    try:
        return msgspec.json.decode(msgspec.json.encode(item), type=Execution)
    except msgspec.DecodeError:
        return None


@settings(max_examples=600)
@given(st.dictionaries(names, values | objects, max_size=3), st.sets(names, max_size=1))
def test_the_decoder_and_the_schema_agree(fields: dict[str, Any], left_out: set[str]) -> None:
    item = {name: value for name, value in {**PLAIN, **fields}.items() if name not in left_out}
    assert converted(item) == loaded(item)
    try:
        direct = msgspec.convert(item, Execution)
    except msgspec.ValidationError:
        direct = None
    assert direct == loaded(item)


def test_a_plain_batch_and_one_that_needs_a_closer_look_are_read_alike() -> None:
    full = {
        **PLAIN,
        "metadata": {"a": 1},
        "model_tier": "tiny",
        "error_type": None,
        "started_at": "2026-03-01T00:00:00Z",
    }
    plain = read_batch(orjson.dumps({"executions": [full]}), 64)
    nested = read_batch(orjson.dumps({"executions": [full, {**full, "metadata": {"a": [1]}}]}), 64)
    assert plain.valid == nested.valid[:1]
    assert nested.valid[1][1].metadata == {"a": [1]}
    assert plain.refused == nested.refused == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("model", 7), ("latency_ms", -1), ("latency_ms", "12"), ("model_tier", "giant"), ("quality_score", 1.01),
     ("input_tokens", 1.5), ("success", 1), ("started_at", "yesterday"), ("started_at", "1999-12-31T23:59:59Z"),
     ("started_at", "2999-01-01T00:00:00Z"), ("unknown", 1), ("model", "a\x00"), ("metadata", [1]),
     ("user_satisfaction", 0), ("cost_usd", -0.1), ("metadata", {"deep": [[[[1]]]]}), ("metadata", {"n": 2**70})],
)  # fmt: skip
def test_a_bad_item_fails_alone_with_a_pointer(field: str, value: Any) -> None:
    raw = msgspec.json.encode({"executions": [PLAIN, {**PLAIN, field: value}, {**PLAIN, "execution_id": "e-2"}]})
    batch = read_batch(raw, 4)
    assert [index for index, _ in batch.valid] == [0, 2]
    [(index, problem)] = batch.refused
    assert index == 1
    assert problem.errors[0].pointer.startswith(f"/{field}")


def test_all_mistakes_of_an_item_are_told() -> None:
    batch = read_batch(b'{"executions": [{"model": 1}, 7]}', 64)
    pointers = {error.pointer for error in batch.refused[0][1].errors}
    assert pointers >= {"/execution_id", "/model", "/task_type", "/started_at", "/latency_ms", "/success"}
    assert batch.refused[1][1].errors[0].pointer == ""


def test_opentelemetrys_names_are_read() -> None:
    item = {
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.temperature": 0.5,
        "deployment.environment.name": "production",
        "server.address": "api.openai.com",
        "started_at": "2026-03-01T12:30:15Z",
        "latency_ms": 900,
        "metadata": {"team": "search"},
    }
    execution = read_item(item, 64, LATEST)
    assert (execution.execution_id, execution.model, execution.provider) == ("chatcmpl-1", "gpt-4o", "openai")
    assert (execution.input_tokens, execution.output_tokens, execution.task_type) == (10, 20, "chat")
    assert (execution.environment, execution.endpoint, execution.success) == ("production", "api.openai.com", True)
    assert execution.metadata == {"gen_ai.request.temperature": 0.5, "team": "search"}
    failed = read_item({**item, "error.type": "timeout"}, 64, LATEST)
    assert (failed.success, failed.error_type) == (False, "timeout")
    with pytest.raises(ValidationFailed) as refused:
        read_item({**item, "model": "other"}, 64, LATEST)
    assert refused.value.errors[0].pointer == "/model"


def test_what_is_no_batch_is_refused() -> None:
    for raw, pointer in [
        (b"[]", "/executions"),
        (b"{}", "/executions"),
        (b'{"executions": []}', "/executions"),
        (b'{"executions": {}}', "/executions"),
        (b'{"executions": [1], "more": 1}', "/more"),
        (b'{"executions": [' + b",".join([b"1"] * (MAX_BATCH + 1)) + b"]}", "/executions"),
    ]:
        with pytest.raises(ValidationFailed) as refused:
            read_batch(raw, 64)
        assert refused.value.errors[0].pointer == pointer
    for raw in (b"", b"{", b'{"executions": ["\\ud800"]}', b"\xff"):
        with pytest.raises(MalformedInput):
            read_batch(raw, 64)


def test_depth_is_bounded_however_it_is_sent() -> None:
    bottomless = b'{"executions": [{"metadata": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}]}"
    batch = read_batch(bottomless, 64)
    assert "nested deeper" in batch.refused[0][1].errors[0].detail
    assert read_batch(orjson.dumps({"executions": [PLAIN] * 3}), 2) == Batch(
        [(n, read_item(PLAIN, 64, LATEST)) for n in range(3)], []
    )
