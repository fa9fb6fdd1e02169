"""Questions that outlive their caller: rows that a worker carries, alone or several as a comparison.

Whoever submits gets an id once the row is committed. A worker takes a row under a short lease that it renews; when it
dies another goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db import deadline
from tasks.db.pool import Database
from tasks.errors import BridgeError, Conflict, FieldError, IdempotencyMismatch, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.lab import forms, requests
from tasks.lab.asking import AskRequest
from tasks.lab.attempting import Listener
from tasks.lab.errors import Cancelled
from tasks.lab.pulse import Pulse
from tasks.lab.requests import Claimed, NewRequests
from tasks.lab.service import LabService
from tasks.queue import shutdown
from tasks.settings import Settings

log = logging.getLogger(__name__)

MAX_MODELS = 20
_SWEEP_LIMIT = 200
_DATABASE_S = 5.0

# Tells workers to look at a row: the job's name and its argument. May fail, and never decides anything.
Hint = Callable[[str, list[str]], object]


class CarriedQuestions:
    """Carried questions and comparisons, for who submits them and for who carries them."""

    def __init__(self, db: Database, settings: Settings, lab: LabService, hint: Hint) -> None:
        self._db = db
        self._settings = settings
        self._lab = lab
        self._hint = hint
        self._lease_s = settings.lab_request_lease_s
        self._pulse = Pulse(self._lease_s / 3)

    def submit(self, request: AskRequest, timeout_s: float, idempotency_key: str | None = None) -> UUID:
        """Makes a question durable and returns its id. ``timeout_s`` counts from when a worker takes it.

        Raises:
            ValidationFailed: it can't be asked.
            IdempotencyMismatch: the key was used for another question. For the same it gives the same id.
        """
        forms.check(request, timeout_s)
        row = forms.row_of(request)
        new = NewRequests({new_id(): row}, timeout_s, _correlation(), _digest(row, timeout_s), idempotency_key)
        found = self._store(new, next(iter(new.requests)), "known_request")
        self._hint("lab.execute", [str(found)])
        return found

    def compare(
        self, request: AskRequest, models: Sequence[str], timeout_s: float, idempotency_key: str | None = None
    ) -> UUID:
        """Makes a comparison of ``models`` durable and returns its id. It ends ``timeout_s`` from now, whoever has
        not answered by then.

        Raises: as ``submit``.
        """
        forms.check(request, timeout_s)
        if not 2 <= len(models) <= MAX_MODELS or len(set(models)) != len(models):
            detail = f"must be 2 to {MAX_MODELS} different names"
            raise ValidationFailed("These models can't be compared.", errors=[FieldError("/models", detail)])
        rows = {new_id(): forms.row_of(replace(request, model=model, fallback=None)) for model in models}
        digest = _digest({**forms.row_of(request), "models": list(models)}, timeout_s)
        comparison_id = new_id()
        new = NewRequests(rows, timeout_s, _correlation(), digest, idempotency_key, comparison_id, tuple(models))
        found = self._store(new, comparison_id, "known_comparison")
        self._hint("lab.compare", [str(found)])
        return found

    def _store(self, new: NewRequests, own_id: UUID, known: str) -> UUID:
        with self._db.transaction() as tx:
            if requests.insert(tx, new):
                return own_id
            row = tx.one(requests.QUERIES[known], {"idempotency_key": new.idempotency_key})
        if row is None:
            raise Conflict("A request with the same idempotency key is in flight; try again.")
        if bytes(row["body_digest"]) != new.body_digest:
            raise IdempotencyMismatch("The idempotency key was used before, for another question.")
        found: UUID = row["id"]
        return found

    def get(self, request_id: UUID) -> dict[str, Any]:
        """A question, with its answer when there is one. Raises NotFound."""
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            row = tx.one(requests.QUERIES["get"], {"id": request_id})
        if row is None:
            raise NotFound(f"There is no question {request_id}.")
        return row

    def get_comparison(self, comparison_id: UUID) -> dict[str, Any]:
        """A comparison with what is there of each model's answer so far, in the order they were named; ``best`` names
        the model of the highest quality, of equal ones the fastest. Raises NotFound."""
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            row = tx.one(requests.QUERIES["get_comparison"], {"id": comparison_id})
            if row is None:
                raise NotFound(f"There is no comparison {comparison_id}.")
            members = tx.all(requests.QUERIES["members"], {"comparison_id": comparison_id})
        return {**row, "results": members, "best": _best(members)}

    def members_to_ask(self, comparison_id: UUID) -> list[UUID]:
        """The comparison's questions that nobody has taken yet."""
        with self._db.transaction() as tx:
            return [
                row["id"] for row in tx.all(requests.QUERIES["pending_members"], {"comparison_id": comparison_id})
            ]

    def conclude(self, comparison_id: UUID) -> str | None:
        """Ends a comparison, if it is time; see ``requests.conclude``."""
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            return requests.conclude(tx, comparison_id)

    def carry(self, request_id: UUID) -> bool:
        """Takes a question, asks it, and keeps what came; False where it was not to be had.

        Raises:
            DatabaseUnavailable, DatabaseBusy: the row keeps its lease, and is taken again after it.
        """
        token = new_id()
        with self._db.transaction() as tx:
            limit = self._settings.lab_request_attempts
            claimed = requests.claim(tx, request_id, token, self._lease_s, limit)
        if claimed is None:
            return False
        with correlation.bind(claimed.correlation_id), self._pulse.keeps(lambda: self._renew(request_id, token)):
            self._ask(claimed, token)
        return True

    def _ask(self, claimed: Claimed, token: UUID) -> None:
        request = forms.request_of(claimed.request)
        request = replace(request, metadata={**request.metadata, "request_id": str(claimed.id)})
        timeout_s = claimed.timeout_s if claimed.left_s is None else min(claimed.timeout_s, claimed.left_s)
        listener = Listener(cancelled=shutdown.requested)
        try:
            answer = self._lab.ask(request, max(0.01, timeout_s), listener)
        except Cancelled:
            # This worker is shutting down: another goes on, at once.
            with self._db.transaction() as tx:
                kept = requests.give_back(tx, claimed.id, token)
        except BridgeError as problem:
            if problem.code.startswith("DATABASE_"):
                raise
            errors = [{"pointer": one.pointer, "detail": one.detail} for one in problem.errors]
            with self._db.transaction() as tx:
                kept = requests.fail(tx, claimed.id, token, problem.code, problem.detail, errors)
        else:
            with self._db.transaction() as tx:
                kept = requests.succeed(tx, claimed.id, token, forms.shown(answer))
        if not kept:
            log.warning("lab-answer-too-late", extra={"request_id": str(claimed.id)})

    def counts(self) -> dict[str, int]:
        """How many questions wait, and how many are under way."""
        with self._db.transaction() as tx:
            found = {row["state"]: row["count"] for row in tx.all(requests.QUERIES["counts"])}
        return {"pending": 0, "running": 0, **found}

    def sweep(self) -> None:
        """Sends hints again for what waits, ends what lost all its workers, and concludes comparisons that are
        over."""
        limit = self._settings.lab_request_attempts
        with self._db.transaction() as tx:
            requests.fail_lost(tx, limit, _SWEEP_LIMIT)
        with self._db.transaction() as tx:
            grace_s = self._settings.hint_grace_s
            waiting = tx.all(requests.QUERIES["waiting"], {"grace_s": grace_s, "limit": _SWEEP_LIMIT})
            over = tx.all(requests.QUERIES["open_comparisons"], {"limit": _SWEEP_LIMIT})
        for row in over:
            self.conclude(row["id"])
        for row in waiting:
            self._hint("lab.execute", [str(row["id"])])

    def delete_old(self) -> None:
        """Deletes what ended before the retention."""
        days = self._settings.retention_lab_days
        for query in ("delete_old_requests", "delete_old_comparisons"):
            deleted = _SWEEP_LIMIT
            while deleted >= _SWEEP_LIMIT:
                with self._db.transaction() as tx:
                    deleted = tx.execute(requests.QUERIES[query], {"keep_days": days, "limit": _SWEEP_LIMIT})

    def _renew(self, request_id: UUID, token: UUID) -> None:
        with self._db.transaction() as tx:
            requests.renew(tx, request_id, token, self._lease_s)


def _correlation() -> str:
    return correlation.current() or str(new_id())


def _digest(row: Mapping[str, Any], timeout_s: float) -> bytes:
    return hashlib.sha256(orjson.dumps([row, timeout_s], option=orjson.OPT_SORT_KEYS)).digest()


def _best(members: Sequence[Mapping[str, Any]]) -> str | None:
    answered = [member for member in members if member["state"] == "succeeded"]
    if not answered:
        return None
    chosen = min(
        answered, key=lambda one: (-(one["answer"].get("quality_score") or 0.0), one["answer"]["latency_ms"])
    )
    return str(chosen["model"])
