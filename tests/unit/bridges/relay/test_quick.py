"""Envelopes written as text: the bytes that the writer makes, or none at all."""

from __future__ import annotations

from typing import Any

import pytest

from bridges.onex.envelope import EnvelopeWriter
from bridges.relay.quick import envelope_of
from bridges.relay.records import _fields_of
from tasks.errors import ValidationFailed
from tests.unit.bridges.relay.test_records import ROW

WRITER = EnvelopeWriter(
    {
        "envelope_version": "1.0",
        "event_version": "1.0.0",
        "source_node_id": 'a "node" {0}',
        "source_service": "omninode-bridge",
        "environment": "dev",
    }
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"correlation_id": None},
        {"causation_id": None},
        {"correlation_id": None, "causation_id": None},
        {"aggregate_id": 'quote " backslash \\ brace {} percent % ü 🙂 \u2028 tab \t'},
        {"correlation_id": "\x7f\x1f", "causation_id": 'a"b'},
        {"aggregate_type": 'ty"pe'},
        {"payload": '{"ü": "\\u0041 %s {0}", "n": 12345678901234567890.10}'},
        {"payload": "{}"},
        {"partition_key": ""},
        {"partition_key": 'customer "7"'},
        {"partition_key": "x" * 1024},
        {"aggregate_id": "x" * 1024},
        {"id": 2**63 - 1, "version": 2**31 - 1},
    ],
)
def test_it_writes_what_the_writer_writes(change: dict[str, Any]) -> None:
    row = ROW._replace(**change)
    quick = envelope_of(row, WRITER.beginning)
    assert quick is not None
    assert quick == WRITER.write(_fields_of(row))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": "[]"},
        {"payload": ""},
        {"aggregate_id": ""},
        {"aggregate_id": "x" * 1025},
        {"correlation_id": ""},
        {"causation_id": "x" * 1025},
        {"partition_key": "x" * 1025},
        {"event_type": "a--b"},
        {"event_id": "no-uuid"},
        {"recorded_at": "12026-11-23T17:59:15.415123Z"},
    ],
)
def test_what_the_writer_refuses_is_left_to_it(change: dict[str, Any]) -> None:
    row = ROW._replace(**change)
    assert envelope_of(row, WRITER.beginning) is None
    with pytest.raises(ValidationFailed):
        WRITER.write(_fields_of(row))
