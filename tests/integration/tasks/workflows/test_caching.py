"""The cache of outputs: found until it expires, and no completion waits for another because of it."""

from __future__ import annotations

import dataclasses

from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.workflows.caching import cache_key, delete_expired, find, storing
from tasks.workflows.definition.model import Action, Expectation

ACTION = Action("http", {"url": "https://h/${{ input.id }}"})


def test_an_output_is_found_until_it_expires(db: Database) -> None:
    run = new_id()
    key = cache_key("order", "fetch", ACTION, "7")
    with db.transaction() as tx:
        assert find(tx, key) is None
        storing(key, {"a": [1, None]}, 60, run)(tx)
        storing("null", None, 60, run)(tx)
        storing("old", 1, 0, run)(tx)
    with db.transaction() as tx:
        found = find(tx, key)
        assert found is not None
        assert (found.output, found.run_id) == ({"a": [1, None]}, run)
        assert find(tx, "old") is None
        null = find(tx, "null")
        assert null is not None
        assert null.output is None


def test_the_newer_output_is_kept_and_the_expired_ones_go(db: Database) -> None:
    run, later = new_id(), new_id()
    with db.transaction() as tx:
        storing("key", 1, 60, run)(tx)
    with db.transaction() as tx:
        storing("key", 2, 60, later)(tx)
        for number in range(5):
            storing(f"old-{number}", 1, 0, run)(tx)
    with db.transaction() as tx:
        assert [delete_expired(tx, 3), delete_expired(tx, 3), delete_expired(tx, 3)] == [3, 2, 0]
        found = find(tx, "key")
        assert found is not None
        assert (found.output, found.run_id) == (2, later)


def test_two_completions_at_once_do_not_wait_for_each_other(db: Database) -> None:
    run = new_id()
    with db.transaction() as one, db.transaction(statement_timeout_ms=1500) as other:
        storing("a", "one", 60, run)(one)
        storing("b", "other", 60, run)(other)
        # Crosswise, as two workers that complete the same steps in different orders: neither waits, both go on.
        storing("b", "one", 60, run)(one)
        storing("a", "other", 60, run)(other)
    with db.transaction() as tx:
        kept = [find(tx, key) for key in ("a", "b")]
        assert [None if one is None else one.output for one in kept] == ["one", "other"]


def test_a_changed_step_has_another_key() -> None:
    key = cache_key("order", "fetch", ACTION, "7")
    assert key == cache_key("order", "fetch", dataclasses.replace(ACTION), "7")
    assert len(key) == 64
    changed = [
        cache_key("orders", "fetch", ACTION, "7"),
        cache_key("order", "fetch2", ACTION, "7"),
        cache_key("order", "fetch", ACTION, 7),
        cache_key("order", "fetch", Action("http", {"url": "https://other"}), "7"),
        cache_key("order", "fetch", dataclasses.replace(ACTION, expect=Expectation(required=("id",))), "7"),
    ]
    assert len({key, *changed}) == 6
