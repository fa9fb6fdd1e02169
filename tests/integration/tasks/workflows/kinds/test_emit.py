"""Emitted events are journal rows of the completing transaction, each with a history of its own."""

from __future__ import annotations

import contextlib

from tasks.db.pool import Database
from tasks.journal.store import of_aggregate
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.workflows.kinds import emit
from tests.integration.tasks.workflows.kinds.conftest import attempt_on


def test_an_event_is_written_just_if_the_step_completes(settings: Settings, db: Database) -> None:
    runtime = Runtime(settings, "test")
    attempt = attempt_on(runtime, index=3)
    output = emit.run(attempt, {"event": "order-done", "data": {"id": 7, "password": "hush"}, "key": "customer-7"})
    [effect] = attempt.effects
    with contextlib.suppress(ZeroDivisionError), db.transaction() as tx:
        effect(tx)
        raise ZeroDivisionError
    with db.transaction() as tx:
        assert of_aggregate(tx, emit.AGGREGATE, attempt.idempotency_key) == []
        effect(tx)
    with db.transaction() as tx:
        [row] = of_aggregate(tx, "emitted", f"{attempt.run_id}/call/3")
        [raw] = tx.all("SELECT partition_key FROM journal WHERE event_id = %(id)s", {"id": row["event_id"]})
    assert str(row["event_id"]) == output["event_id"]
    assert (row["event_type"], row["version"]) == ("order-done", 1)
    assert row["payload"] == {"id": 7, "password": "[redacted]"}
    assert row["correlation_id"] == "c-1"
    assert raw["partition_key"] == "customer-7"
    runtime.close()


def test_without_a_key_it_is_the_runs(settings: Settings, db: Database) -> None:
    runtime = Runtime(settings, "test")
    attempt = attempt_on(runtime)
    emit.run(attempt, {"event": "order-done"})
    with db.transaction() as tx:
        attempt.effects[0](tx)
        [row] = tx.all("SELECT partition_key, payload FROM journal WHERE event_type = 'order-done'")
    assert row == {"partition_key": str(attempt.run_id), "payload": {}}
    runtime.close()
