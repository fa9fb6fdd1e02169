"""``omninode workflow list|status|show|watch``, on rows that the tests put there."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from tasks.db.pool import Database
from tasks.workflows.definition.parse import parse_definition
from tests.integration.conftest import wait_until
from tests.integration.tasks.workflows.runs import put_run, tell
from tests.integration.webapp.cli.conftest import Run

ORDER = parse_definition(
    {
        "name": "order",
        "steps": [
            {"key": "pay", "kind": "wait", "with": {"seconds": 1}},
            {"key": "sure", "kind": "approve", "needs": ["pay"], "with": {"message": "Sure?"}},
            {"key": "ship", "kind": "emit", "needs": ["sure"], "with": {"event": "x"}},
        ],
    }
)
PAID: dict[str, Any] = {"state": "succeeded", "output": {"ok": True}}
ASKED: dict[str, Any] = {"state": "waiting", "waits_for": "decision", "arguments": {"message": "Sure?"}}


def test_runs_are_listed(run: Run, db: Database) -> None:
    first = put_run(db, ORDER, "succeeded", tags=("vip",))
    second = put_run(db, ORDER)
    assert str(first) in run("workflow list").stdout
    items = orjson.loads(run("workflow list --json --active --search ord").stdout)["items"]
    assert [item["workflow_id"] for item in items] == [str(second)]
    assert run("workflow list --tag nobody").stdout == "no runs\n"
    assert run("workflow list --state odd").exit_code == 2


@pytest.mark.parametrize("listing", ["workflow list", "hooks list"])
def test_no_time_is_too_early_or_too_late(run: Run, listing: str) -> None:
    for since, until in (
        ("0001-01-01", "9999-12-31T23:59:59-10:00"),
        ("0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59"),
        ("99999d", "0s"),
    ):
        result = run(f"{listing} --since {since} --until {until}")
        assert (result.exit_code, result.stderr) == (0, ""), result.output


def test_a_run_is_shown_as_a_tree_with_its_journal(run: Run, db: Database) -> None:
    run_id = put_run(db, ORDER, steps={"pay": PAID, "sure": ASKED}, input={"id": 7})
    shown = run(f"workflow show {run_id}").stdout
    assert "✓ pay  succeeded" in shown
    assert "… sure  waiting" in shown
    assert "workflow-submitted" in shown
    assert '{"id":7}' in shown
    status = run(f"workflow status {run_id}").stdout
    assert "sure waits for a decision: Sure?" in status
    assert orjson.loads(run(f"workflow status --json {run_id}").stdout)["step_count"] == 3
    assert run(f"workflow show {run_id} --mermaid").stdout.startswith("flowchart TD")
    assert "ship" in run(f"workflow show {run_id} --steps").stdout
    assert "no workflow run" in run(f"workflow show {uuid4()}").stderr


def test_a_step_is_shown_with_its_attempts(run: Run, db: Database) -> None:
    run_id = put_run(db, ORDER, steps={"pay": PAID})
    with db.transaction() as tx:
        tell(tx, run_id, "pay", {"state": "running", "attempt": 1}, {"state": "failed", "attempt": 1, "error": "no"})
    shown = run(f"workflow show {run_id} --step pay").stdout
    assert "workflow-step-changed" in shown
    assert "failed" in shown
    assert orjson.loads(run(f"workflow show --json {run_id} --step pay").stdout)["attempts"][0]["error"] == "no"


def test_the_items_of_a_map_are_shown(run: Run, db: Database) -> None:
    inner = {"kind": "task", "with": {"task": "t"}}
    steps = [{"key": "ship", "kind": "map", "with": {"over": [1], "step": inner}}]
    mapped = parse_definition({"name": "mapped", "steps": steps})
    waits = {"state": "waiting", "waits_for": "items", "items_open": 2}
    run_id = put_run(db, mapped, steps={"ship": waits})
    with db.transaction() as tx:
        tx.execute("UPDATE steps SET items_open = 2 WHERE run_id = %(id)s", {"id": run_id})
        tx.execute(
            "INSERT INTO step_items (run_id, place, index, item, state, attempt, error, finished_at) VALUES"
            " (%(id)s, 0, 0, '41', 'failed', 2, 'no ship', now()), (%(id)s, 0, 1, '42', 'ready', 0, NULL, NULL)",
            {"id": run_id},
        )
    assert "for 2 more items" in run(f"workflow show {run_id}").stdout
    failed = run(f"workflow show {run_id} --step ship --items --state failed").stdout
    assert "no ship" in failed
    assert "42" not in failed
    items = orjson.loads(run(f"workflow show --json {run_id} --step ship --items").stdout)["items"]
    assert [item["item"] for item in items] == [41, 42]
    assert "no attempt failed" in run(f"workflow show {run_id} --step ship --item 1").stdout
    assert run(f"workflow show {run_id} --items").exit_code == 2


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("timed_out", 124)])
def test_watching_ends_with_the_run_and_says_how(run_any: Run, db: Database, state: str, code: int) -> None:
    run_id = put_run(db, ORDER, state, steps={"pay": PAID}, output={"total": 3})
    result = run_any(f"workflow watch {run_id}")
    assert result.exit_code == code
    assert f"order  {state}" in result.stdout
    assert '{"total":3}' in result.stdout
    assert orjson.loads(run_any(f"workflow watch --json {run_id}").stdout)["state"] == state


def test_watching_waits_for_what_changes(run_any: Run, db: Database) -> None:
    run_id = put_run(db, ORDER, steps={"pay": {"state": "running"}})
    found: list[Any] = []
    watching = threading.Thread(target=lambda: found.append(run_any(f"workflow watch {run_id}")))
    watching.start()
    _change(db, run_id)
    watching.join(30)
    [result] = found
    assert result.exit_code == 0
    assert "order  succeeded" in result.stdout.splitlines()[-1]


def _change(db: Database, run_id: UUID) -> None:
    def looked_at() -> bool:
        with db.transaction() as tx:
            row = tx.one("SELECT count(*) AS count FROM pg_stat_activity WHERE application_name = 'omninode-cli'")
            return bool(row and row["count"])

    wait_until(looked_at, what="somebody to watch")
    with db.transaction() as tx:
        tx.execute("UPDATE runs SET state = 'succeeded', finished_at = now() WHERE id = %(id)s", {"id": run_id})


def test_the_time_to_watch_is_kept(run_any: Run, db: Database) -> None:
    run_id = put_run(db, ORDER)
    result = run_any(f"workflow watch {run_id} -t 0.3")
    assert result.exit_code == 124
    assert "the run goes on" in result.stderr
    assert orjson.loads(run_any(f"workflow watch --json {run_id} -t 0.3").stdout)["timed_out"] is True
