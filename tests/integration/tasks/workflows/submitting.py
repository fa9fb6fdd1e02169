"""Begins runs for tests of what begins them: nobody works on them, and the hints are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tasks.db.pool import Database
from tasks.settings import Settings
from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.service import WorkflowService


class Runs(WorkflowService):
    """The service, with its hints kept in ``hinted``."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.hinted: list[UUID] = []
        super().__init__(db, settings, self._keep)

    def _keep(self, run_ids: Mapping[UUID, int]) -> None:
        self.hinted += run_ids

    def define(self, name: str, schema: dict[str, Any] | None = None) -> None:
        """Stores a workflow of one step; ``schema`` is its input's."""
        steps = [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]
        more = {} if schema is None else {"input_schema": schema}
        definitions.put(self._db, parse_definition({"name": name, "steps": steps, **more}))

    def rows(self) -> list[dict[str, Any]]:
        """All runs, in the order in which they were made."""
        with self._db.transaction() as tx:
            return tx.all("SELECT * FROM runs ORDER BY id")
