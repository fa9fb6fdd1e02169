"""Dead letters carry the fields of CONTRACT.md, section 2, and never more than 64 KiB of the original."""

from __future__ import annotations

from datetime import datetime

import orjson

from bridges.kafka.dead_letters import dead_letter


def test_a_dead_letter_tells_what_and_why():
    record = dead_letter("t", "k", b'{"a": 1}', "because", retry_attempts=2)
    body = orjson.loads(record.value)
    assert (record.topic, record.key) == ("t.dlq", b"k")
    assert datetime.fromisoformat(body.pop("failure_timestamp")).tzinfo is not None
    assert body == {
        "original_topic": "t",
        "original_key": "k",
        "original_data": '{"a": 1}',
        "original_size_bytes": 8,
        "truncated": False,
        "failure_reason": "because",
        "retry_attempts": 2,
    }


def test_large_and_broken_data_is_cut_and_still_text():
    body = orjson.loads(dead_letter("t", None, b"\xff" + "ä".encode() * 100_000, "x" * 5000).value)
    assert body["truncated"]
    assert body["original_size_bytes"] == 200_001
    assert len(body["original_data"]) < 65_537
    assert len(body["failure_reason"]) == 1000
    assert body["original_key"] is None
