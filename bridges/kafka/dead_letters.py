"""Dead letters: what could not go to its topic, with the reason, for ``{topic}.dlq`` (CONTRACT.md, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from bridges.kafka.producer import OutRecord
from bridges.onex.topics import dead_letter_topic

_DATA_LIMIT_BYTES = 65_536
_REASON_LIMIT = 1_000


def dead_letter(
    topic: str,
    key: str | None,
    data: bytes,
    reason: str,
    *,
    retry_attempts: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
) -> OutRecord:
    """The record that tells of ``data`` not having gone to ``topic``. ``data`` is cut to 64 KiB.

    ``original_data`` is the text; ``original_size_bytes`` and ``truncated`` say whether that is all of it.
    """
    body = {
        "original_topic": topic,
        "original_key": key,
        "original_data": data[:_DATA_LIMIT_BYTES].decode("utf-8", "replace"),
        "original_size_bytes": len(data),
        "truncated": len(data) > _DATA_LIMIT_BYTES,
        "failure_reason": reason[:_REASON_LIMIT],
        "failure_timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "retry_attempts": retry_attempts,
    }
    return OutRecord(dead_letter_topic(topic), (key or "").encode(), orjson.dumps(body), list(headers))
