"""Accepting hooks: durable, idempotent, one commit for many."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from tasks.db.pool import Database
from tasks.errors import BridgeError, Conflict, DatabaseBusy, IdempotencyMismatch, NotFound, ValidationFailed
from tasks.hooks import store
from tasks.hooks.handling import HookHandler
from tasks.hooks.model import Accepted, NewHook
from tasks.hooks.service import HookService
from tasks.settings import Settings
from tests.integration.conftest import wait_until

HOOK = NewHook("shop", "paid", "order", "42", data={"total": 3, "password": "hush"})


def _count(db: Database) -> int:
    with db.transaction() as tx:
        row = tx.one("SELECT count(*) AS count FROM inbox")
        assert row is not None
        return int(row["count"])


def test_an_accepted_hook_is_a_row_with_its_journal_and_a_hint(
    hooks: HookService, hints: list[list[UUID]], db: Database
) -> None:
    answer = hooks.accept(dataclasses.replace(HOOK, correlation_id="corr-1"))
    assert answer.duplicate is False
    hook = hooks.get(answer.hook_id)
    assert (hook["state"], hook["family"], hook["event_type"]) == ("received", "hook", "order.paid")
    assert hook["body"]["data"] == {"total": 3, "password": "hush"}
    [row] = hook["journal"]
    assert (row["event_type"], row["version"], row["correlation_id"]) == ("hook-received", 1, "corr-1")
    assert row["payload"]["data"] == {"total": 3, "password": "[redacted]"}
    assert hints == [[answer.hook_id]]
    assert _count(db) == 1


def test_without_a_delivery_id_each_post_is_its_own(hooks: HookService, db: Database) -> None:
    assert hooks.accept(HOOK).hook_id != hooks.accept(HOOK).hook_id
    assert _count(db) == 2


def test_a_repeat_gets_the_first_answer_and_another_body_is_refused(hooks: HookService, db: Database) -> None:
    keyed = dataclasses.replace(HOOK, delivery_id="k-1")
    first = hooks.accept(keyed)
    again = hooks.accept(keyed)
    assert (again.hook_id, again.duplicate, again.correlation_id) == (first.hook_id, True, first.correlation_id)
    with pytest.raises(IdempotencyMismatch):
        hooks.accept(dataclasses.replace(keyed, resource_id="43"))
    assert hooks.accept(dataclasses.replace(keyed, source="other")).duplicate is False
    assert _count(db) == 2


def test_a_batch_has_an_answer_for_each(hooks: HookService, hints: list[list[UUID]]) -> None:
    keyed = dataclasses.replace(HOOK, delivery_id="k")
    answers = hooks.accept_many([keyed, HOOK, keyed, dataclasses.replace(keyed, action="other")])
    first, plain, repeat, mismatch = answers
    assert isinstance(first, Accepted)
    assert isinstance(plain, Accepted)
    assert repeat == dataclasses.replace(first, duplicate=True)
    assert isinstance(mismatch, IdempotencyMismatch)
    assert hints == [[first.hook_id, plain.hook_id]]
    assert hooks.accept_many([]) == []


def test_many_at_once_with_common_ids_store_each_once(hooks: HookService, db: Database) -> None:
    batch = [dataclasses.replace(HOOK, delivery_id=f"k-{n}") for n in range(40)]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(hooks.accept_many, [batch, batch[::-1]] * 6))
    assert _count(db) == 40
    fresh = [
        answer for result in results for answer in result if isinstance(answer, Accepted) and not answer.duplicate
    ]
    assert len(fresh) == 40
    assert not [answer for result in results for answer in result if not isinstance(answer, Accepted)]


def test_after_the_window_the_same_id_is_a_new_delivery(hooks: HookService, db: Database, settings: Settings) -> None:
    keyed = dataclasses.replace(HOOK, delivery_id="k")
    first = hooks.accept(keyed)
    with db.transaction() as tx:
        tx.execute(
            "UPDATE inbox SET received_at = now() - %(s)s * interval '1 second'",
            {"s": settings.idempotency_window_s + 60},
        )
    second = hooks.accept(dataclasses.replace(keyed, resource_id="other"))
    assert second.duplicate is False
    assert second.hook_id != first.hook_id
    assert hooks.accept(dataclasses.replace(keyed, resource_id="other")).hook_id == second.hook_id


def test_lists_are_newest_first_in_pages(hooks: HookService) -> None:
    ids = [hooks.accept(dataclasses.replace(HOOK, source=f"s{n % 2}")).hook_id for n in range(7)]
    page = hooks.list(limit=3)
    seen = [row["id"] for row in page.items]
    while page.next_cursor:
        page = hooks.list(limit=3, cursor=page.next_cursor)
        seen += [row["id"] for row in page.items]
    assert seen == ids[::-1]
    assert [row["id"] for row in hooks.list(source="s1").items] == ids[1::2][::-1]
    assert hooks.list(state="dead").items == []
    moment = hooks.get(ids[3])["received_at"]
    assert [row["id"] for row in hooks.list(since=moment).items] == ids[3:][::-1]
    assert [row["id"] for row in hooks.list(until=moment).items] == ids[:3][::-1]
    for wrong in ({"state": "lost"}, {"limit": 0}, {"limit": 1001}, {"cursor": "zzz"}):
        with pytest.raises(ValidationFailed):
            hooks.list(**wrong)  # type: ignore[arg-type]


def test_what_is_not_there_is_not_found_and_unfinished_is_not_replayed(hooks: HookService) -> None:
    with pytest.raises(NotFound):
        hooks.get(uuid4())
    with pytest.raises(NotFound):
        hooks.replay(uuid4())
    with pytest.raises(Conflict):
        hooks.replay(hooks.accept(HOOK).hook_id)


def test_a_handled_hook_is_kept_while_its_delivery_id_counts(
    hooks: HookService, handler: HookHandler, db: Database
) -> None:
    keyed = hooks.accept(dataclasses.replace(HOOK, delivery_id="k")).hook_id
    hooks.accept(HOOK)
    assert handler.handle_due() == 2
    with db.transaction() as tx:
        tx.execute("UPDATE inbox SET finished_at = now() - interval '2 days'")
        assert tx.execute(store.QUERIES["delete_old"], {"keep_days": 1, "limit": 10}) == 1
    assert hooks.accept(dataclasses.replace(HOOK, delivery_id="k")).hook_id == keyed
    with db.transaction() as tx:
        assert tx.execute(store.QUERIES["release_old_delivery_ids"], {"window_s": 0, "limit": 10}) == 1
        assert tx.execute(store.QUERIES["delete_old"], {"keep_days": 1, "limit": 10}) == 1


def test_one_whose_delivery_id_another_transaction_holds_takes_nobody_with_it(
    hooks: HookService, db: Database
) -> None:
    hook = NewHook("shop", "paid", "order", "1")
    held = hooks.accept(dataclasses.replace(hook, delivery_id="known")).hook_id
    inside, let = threading.Event(), threading.Event()

    def post(key: str) -> Accepted | BridgeError:
        try:
            return hooks.accept(dataclasses.replace(hook, delivery_id=key))
        except BridgeError as problem:
            return problem

    def lead(ids: list[UUID]) -> bool:
        inside.set()
        return let.wait(10)

    # A first one that is slow after its commit, so that the others gather behind it.
    hooks._acceptor._hint = lead
    with db.transaction() as tx, ThreadPoolExecutor(6) as pool:
        tx.execute("UPDATE inbox SET delivery_id = 'held' WHERE id = %(id)s", {"id": held})
        first = pool.submit(post, "first")
        assert inside.wait(10)
        others = [pool.submit(post, key) for key in ("a", "held", "b", "c")]
        wait_until(lambda: len(hooks._acceptor._grouped._waiting) == 4)
        let.set()
        answers = [other.result(20) for other in [first, *others]]
    assert isinstance(answers.pop(2), DatabaseBusy)
    assert all(isinstance(answer, Accepted) for answer in answers)


def test_of_a_batch_only_those_are_refused_whose_delivery_id_another_transaction_holds(
    hooks: HookService, db: Database
) -> None:
    def keyed(n: int) -> NewHook:
        return dataclasses.replace(HOOK, delivery_id=f"k{n}")

    held = [hooks.accept(dataclasses.replace(keyed(n), source="before")).hook_id for n in range(2)]
    with db.transaction() as tx:
        for hook_id, key in zip(held, ("k3", "k700"), strict=True):
            change = "UPDATE inbox SET source = %(source)s, delivery_id = %(key)s WHERE id = %(id)s"
            tx.execute(change, {"id": hook_id, "key": key, "source": HOOK.source})
        answers = hooks.accept_many([keyed(n) for n in range(1000)])
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, BridgeError)]
    assert refused == [3, 700]
    assert all(isinstance(answers[n], DatabaseBusy) for n in refused)
    assert _count(db) == 1000
    assert all(
        isinstance(answer, Accepted)
        for answer in hooks.accept_many([keyed(n) for n in range(1000) if n not in refused])
    )


def test_of_a_batch_that_another_transaction_holds_as_a_whole_all_are_refused(
    hooks: HookService, db: Database
) -> None:
    batch = [dataclasses.replace(HOOK, delivery_id=f"k{n}") for n in range(200)]
    hooks.accept_many([dataclasses.replace(hook, source="before") for hook in batch])
    with db.transaction() as tx:
        tx.execute("UPDATE inbox SET source = %(source)s", {"source": HOOK.source})
        assert all(isinstance(answer, DatabaseBusy) for answer in hooks.accept_many(batch))
    assert _count(db) == 200


def test_of_a_batch_only_the_row_fails_that_cannot_be_stored(hooks: HookService, db: Database) -> None:
    with db.transaction() as tx:
        tx.execute("ALTER TABLE inbox ADD CONSTRAINT no_13 CHECK (resource_id <> '13') NOT VALID")
    try:
        answers = hooks.accept_many([dataclasses.replace(HOOK, resource_id=str(n)) for n in range(40)])
    finally:
        with db.transaction() as tx:
            tx.execute("ALTER TABLE inbox DROP CONSTRAINT no_13")
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Accepted)] == [13]
    assert _count(db) == 39
