"""Writes a row's envelope as text, where it is surely valid: the way that nearly every row goes.

It passes a part of what ``EnvelopeWriter`` passes, to the same bytes, and refuses nothing: what it is not sure of is
for the writer, which looks at each field and words the errors. A test holds the two against each other.
"""

from __future__ import annotations

from functools import lru_cache

import orjson

from bridges.relay.reader import JournalRow
from tasks.journal.types import is_event_type

_LONGEST_TEXT = 1024
_LENGTH_OF_ID = 36
# As PostgreSQL writes it, with microseconds, for the years 1 to 9999.
_LENGTH_OF_TIME = 27


def envelope_of(row: JournalRow, beginning: str) -> bytes | None:
    """The envelope of a row that PostgreSQL gave, after ``beginning``; None where only the writer can tell."""
    number, event_id, kind, name, version, event_type, payload, correlation_id, causation_id, at, key = row
    if not (
        payload[:1] == "{"
        and 0 < len(name) <= _LONGEST_TEXT
        and len(at) == _LENGTH_OF_TIME
        and len(event_id) == _LENGTH_OF_ID
        and _is_event_type(event_type)
    ):
        return None
    ending = ""
    if correlation_id is not None:
        if not 0 < len(correlation_id) <= _LONGEST_TEXT:
            return None
        ending = f',"correlation_id":{_quoted(correlation_id)}'
    if causation_id is not None:
        if not 0 < len(causation_id) <= _LONGEST_TEXT:
            return None
        ending += f',"causation_id":{_quoted(causation_id)}'
    quoted_name = quoted_key = _quoted(name)
    if key:
        if len(key) > _LONGEST_TEXT:
            return None
        quoted_key = _quoted(key)
    return (
        f'{beginning}"event_id":"{event_id}","event_type":"{event_type}","event_timestamp":"{at}"'
        f',"partition_key":{quoted_key},"metadata":{{"aggregate_type":{_quoted(kind)},"aggregate_id":{quoted_name}'
        f',"aggregate_version":{version},"journal_id":{number}}},"payload":{payload}{ending}}}'
    ).encode()


def _quote(text: str) -> str:
    return orjson.dumps(text).decode()


# The rows of one aggregate, and of one request, mostly come near each other.
_quoted = lru_cache(maxsize=4_096)(_quote)
_is_event_type = lru_cache(maxsize=4_096)(is_event_type)
