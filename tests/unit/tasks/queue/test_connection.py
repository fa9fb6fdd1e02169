"""How long a worker waits before it tries Redis again."""

from __future__ import annotations

import pytest

from tasks.queue.app import create_celery
from tasks.settings import load_settings


class Enough(Exception):
    """Ends the tries."""


def test_after_a_long_outage_the_next_try_is_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Celery's consumer connects: kombu's own pauses would be 2, 4, 6 … 30 seconds by then."""
    app = create_celery(load_settings({"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": "redis://127.0.0.1:1/0"}))
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _seconds: None)
    pauses: list[float] = []

    def failed(_problem: Exception, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 20:
            raise Enough

    with app.connection_for_read() as connection, pytest.raises(Enough):
        connection.ensure_connection(failed, None, callback=lambda: None)
    assert len(pauses) == 20
    assert min(pauses) > 0
    assert max(pauses) <= 2.0
    app.close()
