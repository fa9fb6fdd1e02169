"""Handling hooks: every end, effects exactly once, dead workers, and lost leases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise
from uuid import UUID

import pytest

from tasks.db.pool import Database, Transaction
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.hooks import demo, registry, store
from tasks.hooks.handling import HookHandler
from tasks.hooks.model import TRANSITIONS, Hook, NewHook
from tasks.hooks.service import HookService
from tasks.ids import new_id
from tasks.settings import Settings

# Importing it registered its handler, as in a worker.
DEMO_HANDLER = demo.fail_as_told
EFFECT = "INSERT INTO effects VALUES (%(id)s)"


def _hook(action: str = "paid", **data: object) -> NewHook:
    return NewHook("shop", action, "demo" if action == "fail" else "order", "1", data=data)


@pytest.fixture(autouse=True)
def _effects(db: Database) -> Iterator[None]:
    """A handler whose effect is a row; the table refuses a second one for the same hook."""
    before = list(registry._handlers)
    with db.transaction() as tx:
        tx.execute("CREATE TABLE effects (id uuid PRIMARY KEY)")

    @registry.handles()
    def effect(tx: Transaction, hook: Hook) -> None:
        tx.execute(EFFECT, {"id": hook.id})

    yield
    registry._handlers[:] = before


def _effects_of(db: Database) -> list[UUID]:
    with db.transaction() as tx:
        return [row["id"] for row in tx.all("SELECT id FROM effects")]


def _make_due(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("UPDATE inbox SET next_attempt_at = now() WHERE state = 'retrying'")


def _expire_leases(db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("UPDATE inbox SET lease_until = now() - interval '1 second' WHERE state = 'processing'")


def _claim(tx: Transaction, token: UUID, limit: int) -> list[Hook]:
    hooks = store.due(tx, limit)
    store.claim(tx, hooks, token, 15)
    return hooks


def _check_journal(hooks: HookService, hook_id: UUID) -> list[str]:
    """The states that the journal tells, after a look at versions and at the chart."""
    journal = hooks.get(hook_id)["journal"]
    assert [row["version"] for row in journal] == list(range(1, len(journal) + 1))
    states = [row["payload"]["state"] for row in journal]
    for before, row in pairwise(journal):
        state = before["payload"]["state"]
        assert row["payload"]["from"] == state
        assert row["payload"]["state"] in TRANSITIONS[state]
    return states


def test_a_due_hook_is_handled_with_its_effect(hooks: HookService, handler: HookHandler, db: Database) -> None:
    hook_id = hooks.accept(_hook()).hook_id
    assert handler.handle_due() == 1
    assert handler.handle_due() == 0
    hook = hooks.get(hook_id)
    assert (hook["state"], hook["attempt"], hook["error"]) == ("handled", 1, None)
    assert [a["outcome"] for a in hook["attempts"]] == ["handled"]
    assert _check_journal(hooks, hook_id) == ["received", "processing", "handled"]
    assert _effects_of(db) == [hook_id]


def test_a_handled_lifecycle_hook_tells_its_familys_event(hooks: HookService, handler: HookHandler) -> None:
    hook_id = hooks.accept(NewHook("svc", "startup", "service", "svc-1")).hook_id
    handler.handle_due()
    last = hooks.get(hook_id)["journal"][-1]
    assert (last["event_type"], last["payload"]["resource_id"]) == ("service-startup", "svc-1")


@pytest.mark.parametrize(("resource", "action"), [("order", "paid"), ("service", "startup")])
def test_what_nobody_handles_is_told_as_what_somebody_handles(
    hooks: HookService, handler: HookHandler, resource: str, action: str
) -> None:
    def told(hook_id: UUID) -> list[tuple[int, str, dict[str, object]]]:
        rows = hooks.get(hook_id)["journal"]
        assert len({row["event_id"] for row in rows}) == len(rows)
        return [(row["version"], row["event_type"], {**row["payload"], "hook_id": None}) for row in rows]

    hook = NewHook("svc", action, resource, "1", data={"load": 0.42, "nested": [{"api_key": "k-1"}]})
    heard = hooks.accept(hook).hook_id
    handler.handle_due()
    registry._handlers.clear()
    other, unheard = hooks.accept(_hook()).hook_id, hooks.accept(hook).hook_id
    assert handler.handle_due() == 2
    assert hooks.get(unheard)["state"] == "handled"
    assert told(unheard) == told(heard)
    assert "k-1" not in str(told(unheard))
    assert _check_journal(hooks, unheard) == _check_journal(hooks, other) == ["received", "processing", "handled"]
    hooks.replay(unheard)
    handler.handle_due()
    assert _check_journal(hooks, unheard)[3:] == ["received", "processing", "handled"]


def test_a_failed_hook_that_nobody_handles_any_more_is_handled(
    hooks: HookService, handler: HookHandler, db: Database
) -> None:
    hook_id = hooks.accept(_hook("fail")).hook_id
    handler.handle_due()
    registry._handlers.clear()
    _make_due(db)
    assert handler.handle_due() == 1
    hook = hooks.get(hook_id)
    assert (hook["state"], hook["attempt"], hook["error"]) == ("handled", 2, None)
    assert [a["outcome"] for a in hook["attempts"]] == ["retrying", "handled"]
    assert _check_journal(hooks, hook_id) == ["received", "processing", "retrying", "processing", "handled"]


def test_bad_hooks_have_an_end_of_their_own_and_good_ones_are_not_held_up(
    hooks: HookService, handler: HookHandler, db: Database
) -> None:
    good = [hooks.accept(_hook()).hook_id for _ in range(3)]
    failing = hooks.accept(_hook("fail", times=1)).hook_id
    refused = hooks.accept(_hook("fail", refuse=True)).hook_id
    assert handler.handle_due() == 5
    assert sorted(_effects_of(db)) == good
    assert hooks.get(failing)["state"] == "retrying"
    dead = hooks.get(refused)
    assert (dead["state"], dead["error_code"], dead["error"]) == ("dead", "Refused", "the hook asked to be refused")
    _make_due(db)
    handler.handle_due()
    assert _check_journal(hooks, failing) == ["received", "processing", "retrying", "processing", "handled"]
    assert [a["error_code"] for a in hooks.get(failing)["attempts"]] == ["DemoFailure", None]
    assert sorted(_effects_of(db)) == sorted([*good, failing])


def test_dead_after_the_last_attempt_then_replayed(
    hooks: HookService, handler: HookHandler, db: Database, settings: Settings
) -> None:
    hook_id = hooks.accept(_hook("fail")).hook_id
    for _ in range(settings.hook_max_attempts):
        _make_due(db)
        assert handler.handle_due() == 1
    hook = hooks.get(hook_id)
    assert (hook["state"], hook["attempt"]) == ("dead", settings.hook_max_attempts)
    assert "fails as the hook asked" in hook["error"]
    assert hooks.replay(hook_id)["state"] == "received"
    assert handler.handle_due() == 1
    assert hooks.get(hook_id)["attempt"] == 1
    _check_journal(hooks, hook_id)


def test_a_dead_workers_hook_is_handled_by_another(hooks: HookService, handler: HookHandler, db: Database) -> None:
    hook_id = hooks.accept(_hook()).hook_id
    with db.transaction() as tx:
        assert _claim(tx, new_id(), 10)
    assert handler.handle_due() == 0
    assert handler.handle_expired() == 0
    _expire_leases(db)
    assert handler.handle_expired() == 1
    assert [a["outcome"] for a in hooks.get(hook_id)["attempts"]] == ["lease_expired", "handled"]
    assert _effects_of(db) == [hook_id]


def test_a_poison_hook_is_buried_and_its_neighbours_lose_nothing(
    hooks: HookService, handler: HookHandler, db: Database, settings: Settings
) -> None:
    poison = hooks.accept(_hook()).hook_id
    for attempt in range(settings.hook_max_attempts):
        with db.transaction() as tx:
            claim = (
                _claim(tx, new_id(), 1)
                if attempt == 0
                else store.claim_expired(tx, new_id(), 15, settings.hook_max_attempts)
            )
            assert [hook.id for hook in claim] == [poison]
        _expire_leases(db)
    neighbour = hooks.accept(_hook()).hook_id
    assert handler.handle_expired() == 0
    with db.transaction() as tx:
        assert store.bury_expired(tx, settings.hook_max_attempts) == 1
    assert hooks.get(poison)["error_code"] == "worker-lost"
    handler.handle_due()
    assert hooks.get(neighbour)["attempt"] == 1
    _check_journal(hooks, poison)


def test_a_worker_that_lost_its_lease_changes_nothing(hooks: HookService, handler: HookHandler, db: Database) -> None:
    hook_id = hooks.accept(_hook()).hook_id
    stale = new_id()
    with db.transaction() as tx:
        claimed = _claim(tx, stale, 10)
    _expire_leases(db)
    assert handler.handle_expired() == 1

    def complete() -> None:
        with db.transaction() as tx:
            tx.execute("INSERT INTO effects VALUES (%(id)s)", {"id": new_id()})
            store.complete(tx, claimed, stale)

    with pytest.raises(store.LeaseLost):
        complete()
    assert _effects_of(db) == [hook_id]
    assert _check_journal(hooks, hook_id)[-1] == "handled"


def test_when_one_of_a_batch_lost_its_lease_the_others_are_handled(
    hooks: HookService, handler: HookHandler, db: Database, settings: Settings
) -> None:
    ids = [hooks.accept(_hook()).hook_id for _ in range(3)]
    token = new_id()
    with db.transaction() as tx:
        claimed = _claim(tx, token, 10)
        tx.execute("UPDATE inbox SET lease_token = %(t)s WHERE id = %(id)s", {"t": new_id(), "id": ids[1]})
    handler._run(claimed, token)
    assert sorted(_effects_of(db)) == [ids[0], ids[2]]
    assert hooks.get(ids[1])["state"] == "processing"


def test_leases_are_renewed_while_a_long_batch_runs(db: Database, hooks: HookService, settings: Settings) -> None:
    slow = HookHandler(db, dataclasses.replace(settings, hook_lease_s=1.5))
    before = []

    @registry.handles(resource="order")
    def look(tx: Transaction, hook: Hook) -> None:
        tx.execute("SELECT pg_sleep(0.4)")
        with db.transaction() as other:
            row = other.one("SELECT count(*) AS count FROM inbox WHERE state = 'processing' AND lease_until > now()")
            before.append(row["count"] if row else 0)

    for _ in range(5):
        hooks.accept(_hook())
    slow.handle_due()
    assert before == [5] * 5


def test_a_handlers_broken_sql_is_its_own_failure(hooks: HookService, handler: HookHandler) -> None:
    @registry.handles(resource="broken")
    def broken(tx: Transaction, hook: Hook) -> None:
        tx.execute("SELECT nothing FROM nowhere")

    bad = hooks.accept(NewHook("s", "a", "broken", "1")).hook_id
    good = hooks.accept(_hook()).hook_id
    handler.handle_due()
    assert hooks.get(bad)["error_code"] == "UndefinedTable"
    assert hooks.get(good)["state"] == "handled"


@pytest.mark.parametrize("problem", [DatabaseBusy("slow"), DatabaseUnavailable("away")])
def test_a_handlers_other_database_is_its_own_failure(
    hooks: HookService, handler: HookHandler, problem: Exception
) -> None:
    @registry.handles(resource="elsewhere")
    def elsewhere(_tx: Transaction, _hook: Hook) -> None:
        raise problem

    good = [hooks.accept(_hook()).hook_id]
    bad = hooks.accept(NewHook("s", "a", "elsewhere", "1")).hook_id
    good.append(hooks.accept(_hook()).hook_id)
    handler.handle_due()
    assert [hooks.get(one)["state"] for one in good] == ["handled", "handled"]
    failed = hooks.get(bad)
    assert (failed["state"], failed["attempt"]) == ("retrying", 1)


def test_when_the_connection_dies_no_hook_is_to_blame(hooks: HookService, handler: HookHandler, db: Database) -> None:
    @registry.handles(resource="cut")
    def cut(tx: Transaction, _hook: Hook) -> None:
        mine = tx.one("SELECT pg_backend_pid() AS pid")
        with db.transaction() as other:
            other.execute("SELECT pg_terminate_backend(%(pid)s, 5000)", mine)
        raise DatabaseUnavailable("away")

    ids = [hooks.accept(_hook()).hook_id, hooks.accept(NewHook("s", "a", "cut", "1")).hook_id]
    with pytest.raises(DatabaseUnavailable):
        handler.handle_due()
    assert [hooks.get(one)["state"] for one in ids] == ["processing", "processing"]


def test_the_sweeper_finds_what_waits_without_a_message(hooks: HookService, db: Database) -> None:
    def waiting(grace_s: float) -> dict[str, object]:
        with db.transaction() as tx:
            return tx.one(store.QUERIES["waiting"], {"grace_s": grace_s}) or {}

    assert waiting(0) == {"due": False, "expired": False}
    hooks.accept(_hook())
    assert waiting(60) == {"due": False, "expired": False}
    assert waiting(0) == {"due": True, "expired": False}
    with db.transaction() as tx:
        _claim(tx, new_id(), 10)
    _expire_leases(db)
    assert waiting(0) == {"due": False, "expired": True}


def test_stats_count_what_is_unfinished_and_dead(hooks: HookService, handler: HookHandler) -> None:
    hooks.accept(_hook("fail", refuse=True))
    hooks.accept(_hook("fail"))
    handler.handle_due()
    hooks.accept(_hook())
    stats = hooks.stats()
    assert stats["states"] == {"received": 1, "processing": 0, "retrying": 1, "dead": 1}
    assert stats["oldest_received_s"] >= 0


def test_analysts_see_what_became_of_each_hook(hooks: HookService, handler: HookHandler, db: Database) -> None:
    good, refused = hooks.accept(_hook(price=7)).hook_id, hooks.accept(_hook("fail", refuse=True)).hook_id
    handler.handle_due()
    waiting = hooks.accept(_hook()).hook_id
    with db.transaction() as tx:
        events = {row["id"]: row for row in tx.all("SELECT * FROM hook_events")}
        metrics = {row["event_id"]: row for row in tx.all("SELECT * FROM event_metrics")}
    assert {hook_id: row["status"] for hook_id, row in events.items()} == {
        good: "handled", refused: "dead", waiting: "received"
    }  # fmt: skip
    assert (events[good]["payload"], events[good]["retry_count"]) == ({"price": 7}, 0)
    assert events[refused]["error_message"] == "the hook asked to be refused"
    assert {hook_id: row["success"] for hook_id, row in metrics.items()} == {good: True, refused: False}
    assert 0 < metrics[good]["processing_time_ms"] < 60_000
