"""``omninode schedules`` and ``omninode triggers``, from making to removing."""

from __future__ import annotations

import orjson
import pytest

from tasks.db.pool import Database
from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tests.integration.webapp.cli.conftest import Run


@pytest.fixture(autouse=True)
def nap(db: Database) -> None:
    steps = [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]
    definitions.put(db, parse_definition({"name": "nap", "steps": steps}))


def test_schedules(run: Run) -> None:
    made = run("schedules add nightly -w nap --timezone Europe/Berlin --catch-up one --cron", "30 2 * * *")
    assert made.stdout.startswith("nightly  first at 20")
    assert run("schedules add nightly -w nap --every 5").exit_code == 1
    wrong = run("schedules add other -w none --timezone x --cron", "* * *")
    assert "/cron: must have five fields" in wrong.stderr
    assert "/timezone" in wrong.stderr
    assert run("schedules add other -w nap --every 5 -i", "[1]").exit_code == 2
    assert "30 2 * * *" in run("schedules list --state active").stdout
    shown = run("schedules show nightly").stdout
    assert "Europe/Berlin" in shown
    assert shown.count("T02:30:00+0") == 5
    assert run("schedules pause nightly").stdout == "nightly  paused\n"
    triggered = orjson.loads(run("schedules trigger nightly --json").stdout)
    assert run("schedules resume nightly").stdout == "nightly  resumed\n"
    recent = orjson.loads(run("schedules show nightly --json").stdout)["recent"]
    assert [tick["run_id"] for tick in recent] == [triggered["workflow_id"]]
    assert run("schedules remove nightly").stdout == "nightly  removed\n"
    assert run("schedules show nightly").exit_code == 1


def test_triggers(run: Run) -> None:
    made = run("triggers add big -w nap --type invoice.* --source shop --filter", "hook.data.total > 100")
    assert made.stdout == "big  active\n"
    assert "/event_types" in run("triggers add all -w nap").stderr
    assert "hook.data.total > 100" in run("triggers list").stdout
    assert run("triggers pause big").stdout == "big  paused\n"
    assert "paused" in run("triggers show big").stdout
    assert run("triggers resume big").stdout == "big  resumed\n"
    assert run("triggers remove big").stdout == "big  removed\n"
    assert "no triggers" in run("triggers list").stdout
