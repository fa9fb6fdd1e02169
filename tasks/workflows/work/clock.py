"""What time brings: waits and delays that are over, leases that ended, messages that were lost, runs past their time.

It looks at rows whose ``due_at`` has come. Everything it does is guarded by the rows' states, so that two clocks at
once, or one that was long stopped, do no harm.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import redis

from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable, NotFound
from tasks.runtime import Runtime
from tasks.workflows.attempt import StepError
from tasks.workflows.definition.deciding import map_action
from tasks.workflows.store import items, runs, steps
from tasks.workflows.store.items import ItemEnd
from tasks.workflows.store.steps import LeaseLost
from tasks.workflows.work.canvas import QUEUE
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.endings import fail_in, retry_policy
from tasks.workflows.work.following import Following
from tasks.workflows.work.outcomes import Failed
from tasks.workflows.work.waiting import LOOK_AGAIN_S

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
_PASSING = (DatabaseUnavailable, DatabaseBusy)
_AFTER_FAILURE_S = 60.0
_LIMIT = 500
_RESEND_S = 10.0
_RUN_AGAIN_S = 15.0
_ORPHANS_EVERY_S = 10.0
# With so many messages waiting, what waits longer than usual was most likely not lost.
_BACKLOG = 200
_RESENT_SHARE = 0.1
_PRIORITY_STEPS = (0, 3, 6, 9)
_SEPARATOR = "\x06\x16"


class Clock:
    """Looks at what is due, for one slice of work."""

    def __init__(self, runtime: Runtime, following: Following) -> None:
        self._runtime = runtime
        self._db = runtime.db
        self._contexts = runtime.kept(Contexts)
        self._following = following
        self._orphans_at = float("-inf")

    def tick(self) -> bool:
        """Looks once; whether there may be more that is due already.

        Raises:
            DatabaseUnavailable, DatabaseBusy: another time.
        """
        with self._db.transaction() as tx:
            due_steps = tx.all(steps.QUERIES["due"], {"limit": _LIMIT})
            due_runs = tx.all(runs.QUERIES["due"], {"limit": _LIMIT})
            due_items = tx.all(items.QUERIES["due"], {"limit": _LIMIT})
        self._steps(due_steps)
        self._runs(due_runs)
        self._items(due_items)
        if time.monotonic() - self._orphans_at > _ORPHANS_EVERY_S:
            self._orphans_at = time.monotonic()
            self._orphans()
        return max(len(due_steps), len(due_runs), len(due_items)) >= _LIMIT

    def wait_s(self) -> float | None:
        """Seconds until something is due; None: nothing waits for the clock."""
        with self._db.transaction() as tx:
            row = tx.one(steps.QUERIES["next_due"])
        return None if row is None or row["wait_s"] is None else max(0.0, float(row["wait_s"]))

    def _steps(self, due: Sequence[Row]) -> None:
        ready: list[Row] = []
        for row in due:
            try:
                if self._is_ready(row):
                    ready.append(row)
            except _PASSING:
                raise
            except Exception:
                # One row must not stop the clock for all others.
                log.exception("clock-failed", extra={"run_id": str(row["run_id"]), "step": row["key"]})
                with self._db.transaction() as tx:
                    steps.postpone(tx, [(row["run_id"], row["place"])], _AFTER_FAILURE_S)
        self._send(ready)

    def _is_ready(self, row: Row) -> bool:
        """Does what is due of a step; whether it is to be sent on its way."""
        match row["state"]:
            case "ready":
                return True
            case "retrying":
                return self._change(row, "ready", sources=("retrying",), reason="due") is not None
            case "running":
                return self._lease_over(row)
            case _:
                self._woken(row)
                return False

    def _lease_over(self, row: Row) -> bool:
        """running → ready, or failed after the last attempt: the worker that held it is gone. Whether it is ready."""
        context = self._context(row["run_id"], undoing=row["compensates"] is not None)
        if context is None:
            return False
        place = row["place"]
        last = not row["bundled"] and row["attempt"] >= retry_policy(context.action(place)).max_attempts
        log.warning("step-lease-over", extra={"run_id": str(row["run_id"]), "step": row["key"], "last": last})
        if not last:
            told = self._change(row, "ready", sources=("running",), reason="lease expired", uncounted="bundled")
            return told is not None
        error = StepError(
            f"Attempt {row['attempt']}, the last one, ended with its worker gone.", error_type="WorkerLost"
        )
        try:
            with self._db.transaction() as tx:
                after = fail_in(tx, context, place, row["lease_token"], Failed(error))
        except (LeaseLost, BridgeError):
            return False
        self._following.follow(context, after)
        return False

    def _woken(self, row: Row) -> None:
        context = self._context(row["run_id"])
        if context is None:
            return
        place, waits_for = row["place"], row["waits_for"]
        ended = True
        if waits_for == "items":
            ended = self._following.close(context, place)
        elif waits_for == "run" and row["child_run_id"] is not None:
            ended = self._following.look_at_child(context, place, row["attempt"], row["child_run_id"])
        else:
            self._following.time_is_up(context, place, waits_for)
        if not ended:
            with self._db.transaction() as tx:
                steps.postpone(tx, [(row["run_id"], place)], LOOK_AGAIN_S)

    def _send(self, rows: Iterable[Row]) -> None:
        """Sends messages about what is ready, each step alone, and looks at them again later."""
        by_run: dict[UUID, list[int]] = defaultdict(list)
        for row in rows:
            by_run[row["run_id"]].append(row["place"])
        if not by_run:
            return
        with self._db.transaction() as tx:
            which = [(run_id, place) for run_id, places in by_run.items() for place in places]
            steps.postpone(tx, which, _RESEND_S * random.uniform(0.8, 1.2))  # noqa: S311 - spread
        busy = self._backlog() > _BACKLOG
        for run_id, places in by_run.items():
            if busy and random.random() > _RESENT_SHARE:  # noqa: S311 - a share of them
                continue
            context = self._following.attend(run_id)
            if context is not None:
                self._following.sender.steps(context, sorted(places), singly=True)

    def _runs(self, due: Sequence[Row]) -> None:
        for row in due:
            if row["overdue"] and row["state"] in ("pending", "running", "paused"):
                self._following.call_off(row["id"], "timed_out", "its time is over")
            else:
                self._following.attend(row["id"])
        if due:
            with self._db.transaction() as tx:
                ids = [row["id"] for row in due]
                tx.execute(runs.QUERIES["postpone"], {"ids": ids, "delay_s": _RUN_AGAIN_S})

    def _items(self, due: Sequence[Row]) -> None:
        by_map: dict[tuple[UUID, int], list[Row]] = defaultdict(list)
        for row in due:
            by_map[row["run_id"], row["place"]].append(row)
        for (run_id, place), rows in by_map.items():
            self._items_of(run_id, place, rows)

    def _items_of(self, run_id: UUID, place: int, rows: Sequence[Row]) -> None:
        context = self._context(run_id)
        with self._db.transaction() as tx:
            held = tx.one(items.QUERIES["map_of"], {"run_id": run_id, "place": place})
            where: dict[str, Any] = {"run_ids": [run_id], "places": [place]}
            if context is None or held is None or held["state"] != "waiting":
                tx.execute(items.QUERIES["forget"], where)
                return
            policy = retry_policy(map_action(context.action(place).arguments))
            gone = [
                row
                for row in rows
                if row["state"] == "running" and not row["bundled"] and row["attempt"] >= policy.max_attempts
            ]
            for row in gone:
                self._give_item_up(tx, run_id, place, row)
            again = [row["index"] for row in rows if row not in gone]
            where = {"run_ids": [run_id] * len(again), "places": [place] * len(again), "indexes": again}
            tx.execute(items.QUERIES["release"], {**where, "delay_s": 2 * _RESEND_S})
        if gone:
            self._following.close(context, place)
        if again and held["run_state"] == "running":
            self._following.sender.items(context, place, sorted(again))

    def _give_item_up(self, tx: Any, run_id: UUID, place: int, row: Row) -> None:
        found = tx.one(items.QUERIES["token"], {"run_id": run_id, "place": place, "index": row["index"]})
        if found is not None:
            error = f"Attempt {row['attempt']}, the last one, ended with its worker gone."
            end = ItemEnd(row["index"], "failed", error_code="WorkerLost", error=error)
            items.end(tx, run_id, place, [end], found["lease_token"])

    def _orphans(self) -> None:
        with self._db.transaction() as tx:
            found = [row["id"] for row in tx.all(runs.QUERIES["orphans"], {"limit": 100})]
        for run_id in found:
            self._following.call_off(run_id, "cancelled", "its parent did not go on")

    def _change(
        self, row: Row, state: str, *, sources: Sequence[str], reason: str, uncounted: str = "never"
    ) -> str | None:
        with self._db.transaction() as tx:
            return steps.change(
                tx,
                row["run_id"],
                row["place"],
                state,
                sources=sources,
                delay_s=_RESEND_S,
                reason=reason,
                uncounted=uncounted,
                overdue=True,
            )

    def _context(self, run_id: UUID, *, undoing: bool = False) -> RunContext | None:
        try:
            with self._db.transaction() as tx:
                return self._contexts.of(tx, run_id, undoing=undoing)
        except NotFound:
            return None

    def _backlog(self) -> int:
        """Messages that wait in the queue of workflows, all priorities together; 0 where Redis does not say."""
        names = [QUEUE if step == 0 else f"{QUEUE}{_SEPARATOR}{step}" for step in _PRIORITY_STEPS]
        try:
            client = self._runtime.redis()
            return sum(int(str(client.llen(name))) for name in names)
        except redis.RedisError:
            return 0
