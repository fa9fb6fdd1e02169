"""Carries the correlation id of the work at hand through one thread or task.

HTTP, Celery headers, journal rows, Kafka headers and log lines all read it from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tasks.ids import new_id

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_VALID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_current: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def is_valid(value: str | None) -> bool:
    """Whether ``value`` may serve as a correlation id: 1 to 128 of ``A-Z a-z 0-9 . _ : / -``."""
    return value is not None and _VALID.fullmatch(value) is not None


def accept(value: str | None) -> str:
    """``value`` where it is a valid correlation id, else a fresh one: a bad value is never passed on."""
    return value if value is not None and is_valid(value) else str(new_id())


def current() -> str | None:
    """The correlation id that is bound here, if any."""
    return _current.get()


def set_current(value: str | None) -> None:
    """Binds ``value`` until something else is bound: for frameworks that begin and end work in two calls."""
    _current.set(value)


@contextmanager
def bind(value: str | None) -> Iterator[None]:
    """Binds ``value`` for the block and restores what was bound before."""
    token = _current.set(value)
    try:
        yield
    finally:
        _current.reset(token)


def traceparent(correlation_id: str, event_id: str) -> str | None:
    """The trace context (W3C Trace Context, section 3.2) of an event whose correlation id is a trace id or a whole
    ``traceparent``; else None.

    The parent id is the last half of the event's id: the span of this event, the same however often it is sent.
    """
    if len(correlation_id) == 32 and _TRACE_ID.fullmatch(correlation_id):
        trace_id, flags = correlation_id, "01"
    elif match := _TRACEPARENT.fullmatch(correlation_id):
        trace_id, flags = match[1], match[2]
    else:
        return None
    span_id = event_id.replace("-", "")[16:].lower()
    return f"00-{trace_id}-{span_id}-{flags}" if span_id.strip("0") else None
