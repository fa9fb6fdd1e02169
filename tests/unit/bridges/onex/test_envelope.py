"""OnexEnvelopeV1 against CONTRACT.md, section 2: strict both ways, every reason at once."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.onex.envelope import EnvelopeWriter, JsonText, OnexEnvelopeV1
from tasks.errors import MalformedInput, ValidationFailed

REQUIRED: dict[str, Any] = {
    "envelope_version": "1.0",
    "event_id": "01a20976-3cfc-79d2-ad81-0be7830da040",
    "event_type": "hook-received",
    "event_version": "1.0.0",
    "event_timestamp": "2026-11-23T17:59:15.415123Z",
    "source_node_id": "omninode-bridge",
    "payload": {"a": 1},
}
OPTIONAL: dict[str, Any] = {
    "source_service": "omninode-bridge",
    "source_version": "0.1.0",
    "source_instance": "host-1",
    "correlation_id": "c-1",
    "causation_id": "x-1",
    "environment": "dev",
    "region": "eu-1",
    "partition_key": "a1",
    "metadata": {"n": 1},
}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def pointers(caught: pytest.ExceptionInfo[ValidationFailed]) -> set[str]:
    return {problem.pointer for problem in caught.value.errors}


def read(fields: dict[str, Any]) -> OnexEnvelopeV1:
    return OnexEnvelopeV1.from_json(orjson.dumps(fields))


def test_the_required_fields_suffice():
    envelope = read(REQUIRED)
    assert envelope.payload == {"a": 1}
    assert envelope.region is None
    assert orjson.loads(envelope.to_json()) == REQUIRED


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_goes_out_comes_in_the_same(payload: dict[str, Any]):
    envelope = OnexEnvelopeV1(**{**REQUIRED, **OPTIONAL, "payload": payload})
    assert read(orjson.loads(envelope.to_json())) == envelope


@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_field_is_required(name: str):
    with pytest.raises(ValidationFailed) as caught:
        read({key: value for key, value in REQUIRED.items() if key != name})
    assert pointers(caught) == {f"/{name}"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("envelope_version", "2.0"),
        ("envelope_version", 1.0),
        ("event_id", "not-a-uuid"),
        ("event_id", 7),
        ("event_type", "Hook Received"),
        ("event_version", "v1"),
        ("event_version", ""),
        ("event_timestamp", "2026-11-23"),
        ("event_timestamp", "2026-11-23T17:59:15"),
        ("event_timestamp", "2026-13-23T17:59:15Z"),
        ("event_timestamp", 1795455073),
        ("source_node_id", ""),
        ("source_node_id", "x" * 1025),
        ("source_service", 5),
        ("correlation_id", None),
        ("correlation_id", ""),
        ("environment", "qa"),
        ("partition_key", ""),
        ("metadata", []),
        ("payload", [1]),
        ("payload", "text"),
        ("payload", None),
    ],
)
def test_wrong_values_are_refused(name: str, value: Any):
    with pytest.raises(ValidationFailed) as caught:
        read({**REQUIRED, **OPTIONAL, name: value})
    assert pointers(caught) == {f"/{name}"}


def test_extra_fields_are_refused_and_all_reasons_come_at_once():
    with pytest.raises(ValidationFailed) as caught:
        read({**REQUIRED, "extra": 1, "a/b": 2, "event_id": "x", "payload": 3})
    assert pointers(caught) == {"/extra", "/a~1b", "/event_id", "/payload"}
    assert "/extra is not a field" in caught.value.detail


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff", b'{"a": NaN}'])
def test_what_is_no_json_object_is_malformed(data: bytes):
    with pytest.raises(MalformedInput):
        OnexEnvelopeV1.from_json(data)


def test_an_invalid_envelope_does_not_go_out():
    envelope = OnexEnvelopeV1(**{**REQUIRED, "event_id": "x", "event_type": "X"})
    assert {problem.pointer for problem in envelope.problems()} == {"/event_id", "/event_type"}
    with pytest.raises(ValidationFailed):
        envelope.to_json()
    with pytest.raises(ValidationFailed, match="is not JSON"):
        OnexEnvelopeV1(**{**REQUIRED, "payload": {"a": object()}}).to_json()


def test_the_key_falls_back_as_the_contract_says():
    envelope = OnexEnvelopeV1(**{**REQUIRED, **OPTIONAL})
    assert envelope.key == "a1"
    assert OnexEnvelopeV1(**REQUIRED, correlation_id="c-1").key == "c-1"
    assert OnexEnvelopeV1(**REQUIRED).key == "omninode-bridge"
    assert OnexEnvelopeV1(**{**REQUIRED, "source_node_id": ""}).key == REQUIRED["event_id"]


def test_a_payload_given_as_text_keeps_its_numbers_exact():
    text = '{"n": 123456789012345678901234567890.10}'
    data = OnexEnvelopeV1(**{**REQUIRED, "payload": JsonText(text)}).to_json()
    assert text.encode() in data
    assert OnexEnvelopeV1.from_json(data).event_id == REQUIRED["event_id"]
    with pytest.raises(ValidationFailed):
        OnexEnvelopeV1(**{**REQUIRED, "payload": JsonText("[]")}).to_json()


SHARED = {name: REQUIRED[name] for name in ("envelope_version", "event_version", "source_node_id")}
OWN = {name: REQUIRED[name] for name in ("event_id", "event_type", "event_timestamp", "payload")}


def test_a_writer_writes_what_an_envelope_would():
    writer = EnvelopeWriter({**SHARED, "environment": "dev", "region": None})
    data = writer.write({**OWN, "payload": JsonText('{"a": 1}'), "correlation_id": "c"})
    assert OnexEnvelopeV1.from_json(data) == OnexEnvelopeV1(**REQUIRED, environment="dev", correlation_id="c")


def test_a_writer_refuses_wrong_shared_fields_at_once():
    with pytest.raises(ValidationFailed):
        EnvelopeWriter({**SHARED, "environment": "qa"})
    with pytest.raises(ValidationFailed):
        EnvelopeWriter({**SHARED, "extra": "x"})


def test_a_writer_tells_every_reason():
    writer = EnvelopeWriter(SHARED)
    with pytest.raises(ValidationFailed) as caught:
        writer.write({"event_type": "X", "payload": JsonText("1"), "event_timestamp": "now", "extra": 1})
    assert pointers(caught) == {"/event_id", "/event_type", "/payload", "/event_timestamp", "/extra"}
    with pytest.raises(ValidationFailed, match="given twice"):
        writer.write({**OWN, "source_node_id": "another"})
