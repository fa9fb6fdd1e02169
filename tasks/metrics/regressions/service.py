"""The watch for regressions as callers use it: check now, and list what was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tasks.db.pool import Database
from tasks.errors import FieldError, ValidationFailed
from tasks.metrics.prices.service import PriceService
from tasks.metrics.regressions import store
from tasks.metrics.regressions.detection import METRICS
from tasks.metrics.regressions.history import History
from tasks.metrics.regressions.model import STATES, Opening, decide
from tasks.paging import MAX_LIMIT, Page, decode_moment, id_in, page_by_moment


@dataclass(frozen=True)
class Checked:
    """What one check found: how many models it looked at, and which regressions began and ended."""

    models: int
    opened: tuple[UUID, ...] = ()
    resolved: tuple[UUID, ...] = ()


class RegressionService:
    """Any number of checks may run at once: the table lets each regression be opened and resolved once."""

    def __init__(self, db: Database, prices: PriceService) -> None:
        self._db = db
        self._prices = prices

    def check(self, now: datetime | None = None) -> Checked:
        """Looks at every model that did anything of late, each in a transaction of its own."""
        minute = (now or datetime.now(UTC)).astimezone(UTC).replace(second=0, microsecond=0)
        with self._db.transaction() as tx:
            models = store.models(tx, minute)
        opened: list[UUID] = []
        resolved: list[UUID] = []
        for model in models:
            self._check(model, minute, opened, resolved)
        return Checked(len(models), tuple(opened), tuple(resolved))

    def _check(self, model: str, now: datetime, opened: list[UUID], resolved: list[UUID]) -> None:
        with self._db.transaction() as tx:
            known = store.known(tx, model, now)
            histories = store.histories(tx, self._prices.book(), model, now)
            # A subject of which nothing is left to see may still have a regression to be ended.
            for subject in sorted({*histories, *known}, key=lambda one: (one.task_type, one.environment)):
                history = histories.get(subject, History(now))
                for metric in METRICS:
                    own = [one for one in known.get(subject, ()) if one.metric == metric]
                    decided = decide(history, metric, own)
                    if isinstance(decided, Opening):
                        found = store.open_(tx, subject, decided, now)
                        opened += [] if found is None else [found]
                    elif decided is not None and store.resolve(tx, subject, decided, now):
                        resolved.append(decided.known.id)

    def list(
        self,
        *,
        state: str | None = None,
        model: str | None = None,
        metric: str | None = None,
        task_type: str | None = None,
        environment: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Regressions, the last detected first. Raises ValidationFailed."""
        errors = [
            FieldError.not_one_of(f"/{name}", allowed)
            for name, value, allowed in (("state", state, STATES), ("metric", metric, METRICS))
            if value is not None and value not in allowed
        ]
        if not 1 <= limit <= MAX_LIMIT:
            errors.append(FieldError("/limit", f"must be between 1 and {MAX_LIMIT}"))
        if errors:
            raise ValidationFailed("The filter is not valid; see errors.", errors=errors)
        before_at, before_id = decode_moment(cursor)
        parameters = {
            "state": state,
            "model": model,
            "metric": metric,
            "task_type": task_type,
            "environment": environment,
            "before_at": before_at,
            "before_id": None if before_id is None else id_in(before_id),
            "limit": limit + 1,
        }
        with self._db.transaction() as tx:
            rows = tx.all(store.QUERIES["list"], parameters)
        return page_by_moment(rows, limit, "detected_at", "id")
