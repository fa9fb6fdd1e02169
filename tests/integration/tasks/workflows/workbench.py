"""A service and a worker's parts on one database, without a worker: the test says what happens when."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from celery import Celery

from tasks.db.pool import Database
from tasks.errors import BridgeError
from tasks.ids import new_id
from tasks.workflows import kinds
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.service import WorkflowService
from tasks.workflows.states import RUN, STEP
from tasks.workflows.store import steps
from tasks.workflows.store.steps import Done, LeaseLost
from tasks.workflows.submitting import Submission
from tasks.workflows.work.canvas import Sender, Trip
from tasks.workflows.work.carrying import Carrier
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.following import Following
from tasks.workflows.work.writing import Writer
from tests.integration.tasks.workflows import engine_tasks

__all__ = ["Workbench", "engine_tasks", "kinds"]  # what is registered as it is loaded

MOST_APART_S = 0.006


class Workbench:
    """Of one app."""

    def __init__(self, app: Celery) -> None:
        self.runtime = app.bridge
        self.db: Database = app.bridge.db
        self.following = Following(app.bridge, Sender(app), lambda: None)
        self.service = WorkflowService(self.db, app.bridge.settings, self._attend)
        self.writer = Writer(app.bridge)
        self.random = random.Random(4)
        self.races = 0

    def _attend(self, run_ids: Mapping[UUID, int]) -> None:
        for run_id in run_ids:
            self.following.attend(run_id)

    def work(self, run_id: UUID) -> None:
        """Does what is ready, and what follows, until nothing is: what a worker does with the run's messages."""
        while ready := self.following.ready(self.context(run_id)):
            trip = Trip(SimpleNamespace(chain=None, chord=None))
            Carrier(self.runtime, self.following, trip).carry(run_id, ready)

    def submit(self, *definition_steps: dict[str, Any], input: Any = None, **more: Any) -> UUID:
        made = parse_definition({"name": "raced", "steps": list(definition_steps), **more})
        return self.service.submit(Submission(definition=made, input=input or {"customer": "ada"})).run_id

    def context(self, run_id: UUID) -> RunContext:
        with self.db.transaction() as tx:
            return Contexts(None).of(tx, run_id)

    def claim(self, run_id: UUID, *places: int, limited: bool = False) -> UUID:
        """Holds these steps; the token."""
        token = new_id()
        with self.db.transaction() as tx:
            claimed = steps.claim(tx, run_id, places, token, 60.0, limited=limited)
        assert [one.place for one in claimed] == list(places)
        return token

    def complete(self, run_id: UUID, place: int, token: UUID) -> str:
        """As a worker ends a step that succeeded, with what follows."""
        context = self.context(run_id)
        try:
            after = self.writer.complete(context, [Done(place, b"1")], token, new_id())
        except LeaseLost:
            return "lost"
        self.following.follow(context, after, place)
        return "done"

    def race(self, *acts: Callable[[], Any]) -> list[Any]:
        """Does these at once, a few milliseconds apart at most; what each returned, or the error that it was told.

        Now and then one after the other, from either end, so that every outcome is seen.
        """
        self.races += 1
        found: list[Any] = [None] * len(acts)

        def act(number: int, delay_s: float = 0.0) -> None:
            time.sleep(delay_s)
            try:
                found[number] = acts[number]()
            except BridgeError as problem:
                found[number] = problem

        numbers = list(range(len(acts)))
        if self.races % 8 < 2:
            for number in numbers if self.races % 8 else reversed(numbers):
                act(number)
        else:
            delays = [self.random.uniform(0, MOST_APART_S) for _ in acts]
            threads = [threading.Thread(target=act, args=each, daemon=True) for each in enumerate(delays)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert None not in found, "an act did not come to its end"
        return found

    def run(self, run_id: UUID) -> dict[str, Any]:
        return self.rows("SELECT * FROM runs WHERE id = %(id)s", id=run_id)[0]

    def steps(self, run_id: UUID) -> dict[str, str]:
        rows = self.rows("SELECT key, state FROM steps WHERE run_id = %(id)s ORDER BY place", id=run_id)
        return {row["key"]: row["state"] for row in rows}

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with self.db.transaction() as tx:
            return tx.all(sql, parameters)

    def check_journal(self, run_id: UUID) -> None:
        """Versions without a gap or a double, each change allowed by the charts, the last one what the row says."""
        told = self.rows(
            "SELECT aggregate_type AS type, aggregate_id AS id, version, payload FROM journal"
            " WHERE aggregate_id = %(run)s OR aggregate_id LIKE %(run)s || '/%%' ORDER BY aggregate_id, version",
            run=str(run_id),
        )
        states = {f"{run_id}/{key}": state for key, state in self.steps(run_id).items()}
        states[str(run_id)] = self.run(run_id)["state"]
        for aggregate, state in states.items():
            history = [row for row in told if row["id"] == aggregate]
            chart = RUN if aggregate == str(run_id) else STEP
            versions = [row["version"] for row in history]
            assert versions == list(range(versions[0], versions[0] + len(versions))) if versions else True, aggregate
            for row in history:
                payload = row["payload"]
                if "from" in payload:
                    assert chart.allows(payload["from"], payload["state"]), payload
            if history:
                assert history[-1]["payload"]["state"] == state, aggregate
            ends = [row for row in history if row["payload"]["state"] in chart.terminal]
            reopened = sum(row["payload"].get("reason") in ("retry", "retry of the run") for row in history)
            assert len(ends) <= 1 + reopened, history
