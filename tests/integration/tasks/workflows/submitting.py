"""Begins runs for tests of what begins them: rows alone, which nobody works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Database, Transaction
from tasks.errors import ValidationFailed
from tasks.ids import new_id
from tasks.workflows import definitions
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.submission import Submission, Submitted


class Runs:
    """Stands in for the engine: a run for each idempotency key, of a stored definition. ``refuses`` an input."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.hinted: list[UUID] = []

    def define(self, name: str) -> None:
        """Stores a workflow of one step."""
        definition = parse_definition(
            {"name": name, "steps": [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]}
        )
        definitions.put(self._db, definition)

    def submit(self, submission: Submission, tx: Transaction | None = None) -> Submitted:
        assert tx is not None
        if submission.input.get("refused"):
            raise ValidationFailed("The input does not fit.")
        stored = definitions.get(tx, submission.name or "", submission.version)
        row = tx.one(
            "INSERT INTO runs (id, definition_id, name, definition_version, priority, tags, metadata, input,"
            " correlation_id, submitted_by, idempotency_key, open_leaves, deadline_at)"
            " VALUES (%(id)s, %(definition)s, %(name)s, %(version)s, %(priority)s, %(tags)s, %(metadata)s, %(input)s,"
            " %(correlation)s, %(by)s, %(key)s, 1, now() + interval '1 hour')"
            " ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id",
            {
                "id": new_id(),
                "definition": stored.id,
                "name": stored.name,
                "version": stored.version,
                "priority": submission.priority or 5,
                "tags": list(submission.tags),
                "metadata": orjson.dumps(submission.metadata).decode(),
                "input": orjson.dumps(submission.input).decode(),
                "correlation": submission.correlation_id or str(new_id()),
                "by": submission.submitted_by,
                "key": submission.idempotency_key,
            },
        )
        known = row or tx.one("SELECT id FROM runs WHERE idempotency_key = %(k)s", {"k": submission.idempotency_key})
        assert known is not None
        return Submitted(known["id"], "pending", row is None, stored.name, stored.version)

    def hint(self, run_ids: Sequence[UUID]) -> None:
        self.hinted += run_ids

    def rows(self) -> list[dict[str, Any]]:
        """All runs, in the order in which they were made."""
        with self._db.transaction() as tx:
            return tx.all("SELECT * FROM runs ORDER BY id")
