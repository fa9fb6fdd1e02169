"""Carries the correlation id of the work at hand through one thread or task.

HTTP, Celery headers, journal rows, Kafka headers and log lines all read it from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tasks.ids import new_id

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
