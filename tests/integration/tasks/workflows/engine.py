"""A worker of workflows on the session's servers, for tests of the engine: submit, wait, look."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import psutil

from tasks.db.pool import Database
from tasks.queue.app import create_celery
from tasks.settings import Settings
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.hints import hint_runs
from tasks.workflows.service import WorkflowService
from tasks.workflows.states import RUN
from tasks.workflows.submitting import Submission

EFFECTS = "CREATE TABLE IF NOT EXISTS effects (key text NOT NULL)"


class Engine:
    """Submits runs to the workers of ``settings``, and says what became of them.

    ``pids``: the workers, where a test looks at their processes.
    """

    pids: tuple[int, ...] = ()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_celery(settings, role="test")
        self.db = Database(settings, "test")
        self.service = WorkflowService(self.db, settings, hint_runs(self.app))
        with self.db.transaction() as tx:
            tx.execute(EFFECTS)

    def submit(self, definition: dict[str, Any], input: Any = None, **more: Any) -> UUID:
        """Submits a definition, whose name may be left out."""
        made = parse_definition({"name": "test", **definition})
        return self.service.submit(Submission(definition=made, input=input, submitted_by="test", **more)).run_id

    def state(self, run_id: UUID) -> str:
        """The run's state now."""
        return str(self.rows("SELECT state FROM runs WHERE id = %(id)s", id=run_id)[0]["state"])

    def wait(self, run_id: UUID, *states: str, seconds: float = 30.0) -> dict[str, Any]:
        """The run, when it is in one of these states (by default any in which nothing happens by itself)."""
        wanted = states or tuple(RUN.terminal)
        deadline = time.monotonic() + seconds
        while True:
            row = self.rows("SELECT * FROM runs WHERE id = %(id)s", id=run_id)[0]
            if row["state"] in wanted:
                return row
            if time.monotonic() > deadline:
                raise AssertionError(f"the run is {row['state']}, not {wanted}: {self.steps(run_id)}")
            time.sleep(0.02)

    def wait_step(self, run_id: UUID, key: str, *states: str, seconds: float = 30.0) -> dict[str, Any]:
        """A step's row, when it is in one of these states."""
        deadline = time.monotonic() + seconds
        while True:
            row = self.rows("SELECT * FROM steps WHERE run_id = %(id)s AND key = %(key)s", id=run_id, key=key)[0]
            if row["state"] in states:
                return row
            if time.monotonic() > deadline:
                raise AssertionError(f"the step is {row['state']}, not {states}")
            time.sleep(0.02)

    def wait_running(self, run_id: UUID, wanted: int, seconds: float = 30.0) -> None:
        """Until so many steps and items of maps of the run are being done."""
        sql = """
            SELECT (SELECT count(*) FROM steps WHERE run_id = %(id)s AND state = 'running')
                 + (SELECT count(*) FROM step_items WHERE run_id = %(id)s AND state = 'running') AS count
        """
        deadline = time.monotonic() + seconds
        while (count := self.rows(sql, id=run_id)[0]["count"]) != wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{count} are running, not {wanted}")
            time.sleep(0.02)

    def run(self, definition: dict[str, Any], input: Any = None, **more: Any) -> dict[str, Any]:
        """Submits, and waits for the end."""
        return self.wait(self.submit(definition, input, **more))

    def steps(self, run_id: UUID) -> dict[str, str]:
        """The state of each step by key."""
        rows = self.rows("SELECT key, state FROM steps WHERE run_id = %(id)s ORDER BY place", id=run_id)
        return {row["key"]: row["state"] for row in rows}

    def effects(self, run_id: UUID) -> dict[str, int]:
        """How often each step of the run has had its effect."""
        rows = self.rows(
            "SELECT key, count(*) AS count FROM effects WHERE key LIKE %(run)s || '/%%' GROUP BY key", run=str(run_id)
        )
        return {row["key"].partition("/")[2]: row["count"] for row in rows}

    def processes(self) -> set[int]:
        """Those that the workers have begun, and that have not ended."""
        found = {each for pid in self.pids for each in psutil.Process(pid).children(recursive=True)}
        return {each.pid for each in found if each.status() != psutil.STATUS_ZOMBIE}

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.db.transaction() as tx:
            return tx.all(sql, parameters)

    def close(self) -> None:
        """Closes the connections."""
        self.db.close()
        self.app.bridge.close()
