"""What is shown of runs, from rows that the tests put there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tasks.db.pool import Database
from tasks.errors import NotFound, ValidationFailed
from tasks.workflows.definition.model import Action, StepDefinition, WorkflowDefinition
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.reading import Reading
from tests.integration.tasks.workflows.runs import put_run, tell

ORDER = parse_definition(
    {
        "name": "order",
        "steps": [
            {"key": "pay", "kind": "task", "with": {"task": "shop.pay"}},
            {"key": "sure", "kind": "approve", "needs": ["pay"], "with": {"message": "Sure?"}},
            {
                "key": "ship",
                "kind": "map",
                "needs": ["sure"],
                "with": {"over": [1], "step": {"kind": "task", "with": {"task": "t"}}},
            },
        ],
    }
)
PAID: dict[str, Any] = {"state": "succeeded", "output": {"ok": True}}
ASKED: dict[str, Any] = {"state": "waiting", "waits_for": "decision", "arguments": {"message": "Sure?"}}


@pytest.fixture
def reading(db: Database) -> Reading:
    return Reading(db)


def test_the_status_counts_steps_and_names_what_waits_for_somebody(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, steps={"pay": PAID, "sure": ASKED})
    status = reading.status(run_id)
    assert (status["workflow_id"], status["name"], status["version"], status["state"]) == (
        run_id,
        "order",
        None,
        "running",
    )
    assert status["states"] == {"succeeded": 1, "waiting": 1, "pending": 1}
    assert status["step_count"] == 3
    [waiting] = status["waiting"]
    assert (waiting["key"], waiting["waits_for"], waiting["message"]) == ("sure", "decision", "Sure?")
    assert "input" not in status
    assert "definition_id" not in status


def test_a_run_is_shown_with_its_values_and_journal(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, "succeeded", input={"id": 7}, output=[1, "two"])
    run = reading.run(run_id)
    assert (run["input"], run["output"], run["cut"]) == ({"id": 7}, [1, "two"], [])
    assert [row["event_type"] for row in run["journal"]] == ["workflow-submitted"]


def test_what_is_large_is_cut_unless_all_is_asked_for(db: Database, reading: Reading) -> None:
    large = ["é" * 100] * 1000
    run_id = put_run(
        db, ORDER, steps={"pay": {"state": "succeeded", "output": large, "arguments": {"a": 1}}}, input=large
    )
    run = reading.run(run_id)
    assert run["cut"] == ["input"]
    assert run["input"]["bytes"] > 200_000
    assert reading.run(run_id, whole=True)["input"] == large
    step = reading.step(run_id, "pay")
    assert (step["cut"], step["arguments"]) == (["output"], {"a": 1})
    assert step["output"]["$cut"] is True
    assert reading.step(run_id, "pay", whole=True)["output"] == large
    [listed] = reading.steps(run_id, limit=1).items
    assert listed["cut"] == ["output"]


def test_steps_come_in_pages_after_their_parents(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, steps={"pay": PAID, "sure": ASKED})
    first = reading.steps(run_id, limit=2)
    rest = reading.steps(run_id, limit=2, cursor=first.next_cursor)
    assert [(step["key"], step["needs"]) for step in [*first.items, *rest.items]] == [
        ("pay", []),
        ("sure", ["pay"]),
        ("ship", ["sure"]),
    ]
    assert rest.next_cursor is None
    assert [step["key"] for step in reading.steps(run_id, state="waiting").items] == ["sure"]
    for wrong in ({"state": "odd"}, {"limit": 0}, {"cursor": "x"}):
        with pytest.raises(ValidationFailed):
            reading.steps(run_id, **wrong)  # type: ignore[arg-type]


def test_a_step_is_shown_with_its_attempts(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, steps={"pay": {"state": "succeeded", "attempt": 2}})
    with db.transaction() as tx:
        running = {"state": "running", "attempt": 1}
        tell(
            tx, run_id, "pay", running, {"state": "retrying", "attempt": 1, "error_code": "Timeout", "error": "slow"}
        )
        tell(tx, run_id, "ship", running)
    step = reading.step(run_id, "pay")
    [attempt] = step["attempts"]
    assert (attempt["outcome"], attempt["error_code"], attempt["error"]) == ("retrying", "Timeout", "slow")
    assert [row["version"] for row in step["journal"]] == [2, 3]
    assert step["items"] is None


def test_a_map_says_how_many_of_its_items_are_where(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, steps={"ship": {"state": "waiting", "waits_for": "items"}})
    with db.transaction() as tx:
        tx.execute(
            "INSERT INTO step_items (run_id, place, index, item, state, error, finished_at) SELECT %(id)s, 2, n, '1',"
            " CASE WHEN n < 30 THEN 'failed' ELSE 'ready' END, CASE WHEN n < 30 THEN 'no' END,"
            " CASE WHEN n < 30 THEN now() END FROM generate_series(0, 39) AS n",
            {"id": run_id},
        )
    items = reading.step(run_id, "ship")["items"]
    assert items["states"] == {"failed": 30, "ready": 10}
    assert [item["index"] for item in items["failed"]] == list(range(20))


def test_the_items_of_a_map_come_in_pages(db: Database, reading: Reading) -> None:
    run_id = put_run(db, ORDER, steps={"ship": {"state": "waiting", "waits_for": "items"}})
    assert reading.items(run_id, "ship").items == []
    with db.transaction() as tx:
        tx.execute(
            "INSERT INTO step_items (run_id, place, index, item, state, attempt, output, error, finished_at)"
            " SELECT %(id)s, 2, n, to_jsonb(n * 10), CASE WHEN n IN (0, 3, 6) THEN 'failed' ELSE 'succeeded' END, 1,"
            " CASE WHEN n NOT IN (0, 3, 6) THEN to_jsonb(repeat('x', n * 1000)) END,"
            " CASE WHEN n IN (0, 3, 6) THEN 'no' END, now()"
            " FROM generate_series(0, 6) AS n",
            {"id": run_id},
        )
    first = reading.items(run_id, "ship", limit=4)
    rest = reading.items(run_id, "ship", limit=4, cursor=first.next_cursor)
    found = [*first.items, *rest.items]
    assert [(row["index"], row["item"], row["error"]) for row in found[:2]] == [(0, 0, "no"), (1, 10, None)]
    assert [row["index"] for row in found] == list(range(7))
    assert rest.next_cursor is None
    assert [row["cut"] for row in found] == [[], [], ["output"], [], ["output"], ["output"], []]
    assert [row["index"] for row in reading.items(run_id, "ship", state="failed").items] == [0, 3, 6]
    assert reading.item(run_id, "ship", 5)["output"] == "x" * 5000
    with pytest.raises(ValidationFailed):
        reading.items(run_id, "ship", state="odd")
    with pytest.raises(NotFound, match="no item 7"):
        reading.item(run_id, "ship", 7)


def test_what_is_not_there_is_said(db: Database, reading: Reading) -> None:
    nobody = UUID(int=1)
    for look in (reading.status, reading.run, reading.steps, reading.chart):
        with pytest.raises(NotFound, match="no workflow run"):
            look(nobody)
    with pytest.raises(NotFound, match=r"no step 'shipp'; did you mean 'ship'\?"):
        reading.step(put_run(db, ORDER), "shipp")


def test_runs_are_found_by_name_state_tag_time_and_parent(db: Database, reading: Reading) -> None:
    other = parse_definition({"name": "reorder", "steps": [{"key": "a", "kind": "emit", "with": {"event": "x"}}]})
    done = put_run(db, ORDER, "succeeded", tags=("vip", "eu"))
    under_way = put_run(db, ORDER)
    child = put_run(db, other, "failed", parent_id=under_way)
    now = datetime.now(UTC)

    def found(**filters: Any) -> list[UUID]:
        return [run["workflow_id"] for run in reading.runs(**filters).items]

    assert found() == [child, under_way, done]
    assert found(name="order") == [under_way, done]
    assert found(name="nobody") == []
    assert found(search="ORDER") == [child, under_way, done]
    assert found(search="reo") == [child]
    assert found(search="zzz") == []
    assert found(state="failed") == [child]
    assert found(state=["failed", "succeeded"], search="order") == [child, done]
    assert found(active=True) == [under_way]
    assert found(tag="vip") == [done]
    assert found(parent_id=under_way) == [child]
    assert found(correlation_id="corr", name="order") == [under_way, done]
    assert found(correlation_id="another") == []
    assert found(since=now - timedelta(minutes=5), until=now + timedelta(minutes=5)) == [child, under_way, done]
    assert found(until=now - timedelta(minutes=5)) == []
    assert found(since=now + timedelta(minutes=5)) == []
    first = reading.runs(limit=2)
    assert [run["workflow_id"] for run in reading.runs(limit=2, cursor=first.next_cursor).items] == [done]
    with pytest.raises(ValidationFailed):
        reading.runs(state="odd")


def test_telemetry_counts_what_has_not_ended(db: Database, reading: Reading) -> None:
    put_run(db, ORDER, steps={"pay": {"state": "running", "due_at": "2030-01-01T00:00:00Z"}})
    put_run(db, ORDER, "paused")
    put_run(db, ORDER, "succeeded")
    assert reading.stats() == {"runs": {"running": 1, "paused": 1}, "steps": {"running": 1}}


def test_ten_thousand_steps_can_be_looked_at(db: Database, reading: Reading) -> None:
    keys = [f"page-{number}" for number in range(9_998)]
    steps = (
        StepDefinition("list", Action("task")),
        *(StepDefinition(key, Action("task"), ("list",)) for key in keys),
        StepDefinition("sum", Action("task"), tuple(keys)),
    )
    run_id = put_run(db, WorkflowDefinition("large", steps), steps={"list": {"state": "succeeded"}})
    reading.chart(run_id)
    began = time.monotonic()
    chart = reading.chart(run_id)
    page = reading.steps(run_id, limit=1000)
    last = reading.step(run_id, "sum")
    took_s = time.monotonic() - began
    assert [(node["label"], node["count"]) for node in chart["nodes"]] == [("list", 1), ("page-*", 9998), ("sum", 1)]
    assert (len(page.items), page.items[5]["needs"]) == (1000, ["list"])
    assert len(last["needs"]) == 9_998
    assert took_s < 5
