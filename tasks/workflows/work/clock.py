"""What time brings: waits and delays that are over, leases that ended, messages that were lost, runs past their time.

It looks at rows whose ``due_at`` has come. Everything it does is guarded by the rows' states, so that two clocks at
once, or one that was long stopped, do no harm. A row that it fails at stops no other: it is set aside for a while.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import redis

from tasks.errors import NotFound
from tasks.runtime import Runtime
from tasks.workflows.attempt import StepError
from tasks.workflows.definition.deciding import map_action
from tasks.workflows.store import items, runs, steps
from tasks.workflows.store.items import ItemEnd
from tasks.workflows.store.steps import LeaseLost
from tasks.workflows.work.aside import AFTER_LOCK_S, Aside, Which
from tasks.workflows.work.contexts import Contexts, RunContext
from tasks.workflows.work.endings import fail_in, retry_policy
from tasks.workflows.work.following import Following
from tasks.workflows.work.outcomes import Failed
from tasks.workflows.work.waiting import LOOK_AGAIN_S

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
# What is set aside may stay due: it is not looked for without a pause.
_PAUSE_S = 0.2
_LIMIT = 500
_RESEND_S = 10.0
_RUN_AGAIN_S = 15.0
_ORPHANS_EVERY_S = 10.0
# With so many messages waiting in its queue, what waits longer than usual was most likely not lost.
_BACKLOG = 200
_RESENT_SHARE = 0.1
_LEAST_SHARE = 0.01
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
        self._aside = Aside(runtime.db)
        self._passed_over = False

    def tick(self) -> bool:
        """Looks once; whether there may be more that is due already.

        Raises:
            DatabaseUnavailable, DatabaseBusy: another time.
        """
        with self._db.transaction() as tx:
            due_steps = tx.all(steps.QUERIES["due"], {"limit": _LIMIT})
            due_runs = tx.all(runs.QUERIES["due"], {"limit": _LIMIT})
            due_items = tx.all(items.QUERIES["due"], {"limit": _LIMIT})
        self._passed_over = False
        due_steps = self._wanted(due_steps, Which.step)
        due_runs = self._wanted(due_runs, _run)
        due_items = self._wanted(due_items, Which.item)
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
        if row is None or row["wait_s"] is None:
            return None
        return max(_PAUSE_S if self._passed_over else 0.0, float(row["wait_s"]))

    def _wanted(self, rows: list[dict[str, Any]], which: Callable[[Row], Which]) -> list[dict[str, Any]]:
        wanted = [row for row in rows if not self._aside.holds(which(row))]
        self._passed_over |= len(wanted) < len(rows)
        return wanted

    def _steps(self, due: Sequence[Row]) -> None:
        ready: list[Row] = []
        for row in due:
            with self._aside.guard(Which.step(row), run_id=row["run_id"], step=row["key"]):
                if self._is_ready(row):
                    ready.append(row)
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
                after = fail_in(tx, context, place, row["lease_token"], Failed(error), overdue=True)
        except LeaseLost:
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
            ended = self._following.time_is_up(context, place, waits_for)
        if not ended:
            self._aside.put([Which.step(row)], LOOK_AGAIN_S if waits_for in ("items", "run") else AFTER_LOCK_S)

    def _send(self, rows: Sequence[Row]) -> None:
        """Sends messages about what is ready, each step alone, and looks at them again later."""
        by_run: dict[UUID, list[Row]] = defaultdict(list)
        for row in rows:
            by_run[row["run_id"]].append(row)
        if not by_run:
            return
        self._put_off(rows)
        shares = {queue: self._share(queue) for queue in {row["queue"] for row in rows}}
        for run_id, every in by_run.items():
            chance = random.random()  # noqa: S311 - a share of them
            own = [row for row in every if chance < shares[row["queue"]]]
            if not own:
                continue
            with self._aside.guard(*map(Which.step, own), run_id=run_id):
                context = self._following.attend(run_id)
                if context is not None:
                    self._following.sender.steps(context, sorted(row["place"] for row in own), singly=True)

    def _put_off(self, rows: Sequence[Row]) -> None:
        """The clock looks at these steps again later; all in one statement, unless one of them is refused."""
        to_blame = map(Which.step, rows) if len(rows) == 1 else ()
        with self._aside.guard(*to_blame, steps=len(rows)):
            with self._db.transaction() as tx:
                delay_s = _RESEND_S * random.uniform(0.8, 1.2)  # noqa: S311 - spread
                steps.postpone(tx, [(row["run_id"], row["place"]) for row in rows], delay_s)
            return
        for row in rows if len(rows) > 1 else ():
            self._put_off([row])

    def _runs(self, due: Sequence[Row]) -> None:
        for row in due:
            with self._aside.guard(_run(row), run_id=row["id"]):
                if row["overdue"] and row["state"] in ("pending", "running", "paused"):
                    self._following.call_off(row["id"], "timed_out", "its time is over")
                else:
                    self._following.attend(row["id"])
                with self._db.transaction() as tx:
                    tx.execute(runs.QUERIES["postpone"], {"ids": [row["id"]], "delay_s": _RUN_AGAIN_S})

    def _items(self, due: Sequence[Row]) -> None:
        by_map: dict[tuple[UUID, int], list[Row]] = defaultdict(list)
        for row in due:
            by_map[row["run_id"], row["place"]].append(row)
        for (run_id, place), rows in by_map.items():
            with self._aside.guard(*map(Which.item, rows), run_id=run_id, place=place):
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
        chance = random.random()  # noqa: S311 - a share of them
        if again and held["run_state"] == "running" and chance < self._share(context.item_queue(place)):
            self._following.sender.items(context, place, sorted(again))

    def _give_item_up(self, tx: Any, run_id: UUID, place: int, row: Row) -> None:
        found = tx.one(items.QUERIES["token"], {"run_id": run_id, "place": place, "index": row["index"]})
        if found is not None:
            error = f"Attempt {row['attempt']}, the last one, ended with its worker gone."
            end = ItemEnd(row["index"], "failed", error_code="WorkerLost", error=error)
            items.end(tx, run_id, place, [end], found["lease_token"])

    def _orphans(self) -> None:
        with self._db.transaction() as tx:
            found = tx.all(runs.QUERIES["orphans"], {"limit": 100})
        for row in self._wanted(found, _run):
            with self._aside.guard(_run(row), run_id=row["id"]):
                self._following.call_off(row["id"], "cancelled", "its parent did not go on")

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

    def _share(self, queue: str) -> float:
        """Which share of what waits for a message of this queue longer than usual is sent again. The more there are,
        the less: what is slow would else be sent over and over while it waits."""
        backlog = self._backlog(queue)
        if backlog <= _BACKLOG:
            return 1.0
        return max(_LEAST_SHARE, min(_RESENT_SHARE, (_BACKLOG / backlog) ** 2))

    def _backlog(self, queue: str) -> int:
        """Messages that wait in a queue, all priorities together; 0 where Redis does not say."""
        names = [queue if step == 0 else f"{queue}{_SEPARATOR}{step}" for step in _PRIORITY_STEPS]
        try:
            client = self._runtime.redis()
            return sum(int(str(client.llen(name))) for name in names)
        except redis.RedisError:
            return 0


def _run(row: Row) -> Which:
    return Which(row["id"])
