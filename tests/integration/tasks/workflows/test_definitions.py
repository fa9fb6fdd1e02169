"""Stored definitions: immutable versions, one row for each inline content, edges written once."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from tasks.db.pool import Database
from tasks.errors import Conflict, NotFound, ValidationFailed
from tasks.workflows import definitions
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import content_hash, parse_definition, to_snapshot
from tasks.workflows.stored import Kept

SHIP = parse_definition(
    {
        "name": "ship",
        "description": "Ships an order",
        "tags": ["shop"],
        "steps": [
            {"key": "told", "kind": "emit", "needs": ["pack"], "with": {"event": "shipped"}},
            {"key": "pick", "kind": "task", "with": {"task": "shop.pick"}},
            {"key": "pack", "kind": "task", "needs": ["pick"], "with": {"task": "shop.pack"}},
        ],
    }
)


def named(name: str, text: str = "") -> WorkflowDefinition:
    return replace(SHIP, name=name, description=text)


def rows(db: Database, sql: str, **params: Any) -> list[dict[str, Any]]:
    with db.transaction() as tx:
        return tx.all(sql, params)


def edges(db: Database, definition_id: UUID) -> list[tuple[int, int]]:
    found = rows(db, "SELECT parent, child FROM edges WHERE definition_id = %(id)s ORDER BY 1, 2", id=definition_id)
    return [(row["parent"], row["child"]) for row in found]


def test_a_version_is_kept_with_its_places_and_edges(db: Database) -> None:
    stored, new = definitions.put(db, SHIP, created_by="ada")
    assert (new, stored.name, stored.version, stored.created_by) == (True, "ship", "1", "ada")
    assert [step.key for step in stored.places.steps] == ["pick", "pack", "told"]
    assert edges(db, stored.id) == [(0, 1), (1, 2)]
    again = definitions.get(db, "ship")
    assert again == replace(stored, created_at=again.created_at)
    assert again.definition == replace(SHIP, version="1")
    assert definitions.by_id(db, stored.id) is again
    [row] = rows(db, "SELECT event_type, payload FROM journal WHERE aggregate_type = 'definition'")
    assert row["event_type"] == "configuration-changed"
    assert row["payload"]["version"] == "1"


def test_without_a_version_the_next_number_is_given_where_the_content_is_new(db: Database) -> None:
    assert definitions.put(db, named("a"))[0].version == "1"
    first, new = definitions.put(db, named("a"))
    assert (first.version, new) == ("1", False)
    assert definitions.put(db, named("a", "more"))[0].version == "2"
    assert definitions.put(db, named("a", "spring"), version="2026.1")[0].version == "2026.1"
    assert definitions.put(db, named("a", "spring"))[0].version == "2026.1"
    assert definitions.put(db, named("a"))[0].version == "3", "the newest has another content"
    assert definitions.get(db, "a").version == "3"
    assert definitions.get(db, "a", "1").id == first.id
    assert [row["version"] for row in definitions.versions(db, "a").items] == ["3", "2026.1", "2", "1"]


def test_many_steps_are_read_as_they_were_stored_and_never_all_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 5000
    steps: list[dict[str, Any]] = [
        {"key": f"s{n}", "kind": "task", "needs": [f"s{n + 7}"] if n + 7 < count else [], "with": {"task": "t"}}
        for n in range(count)
    ]
    steps[3] |= {"outputs": {"three": "${{ output }}"}, "with": {"task": "t", "args": {"x": 1.5, "ü": [None, True]}}}
    large = parse_definition({"name": "large", "metadata": {"a": 1}, "steps": steps})
    stored, _ = definitions.put(db, large)
    monkeypatch.setattr(definitions, "_kept", Kept())
    tracemalloc.start()
    try:
        again = definitions.get(db, "large")
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again == replace(stored, created_at=again.created_at)
    assert again.definition == replace(large, version="1")
    assert again.content_hash == content_hash(again.definition) == content_hash(large)
    assert again.places.keys[0] == f"s{count - 7}"
    text_bytes = len(to_snapshot(large))
    assert kept < 3 * text_bytes
    assert most < 6 * text_bytes, "as objects they would take 9 times their text and more"
    assert again.size_bytes > kept


def test_a_version_never_changes(db: Database) -> None:
    stored, _ = definitions.put(db, named("a"), version="v1")
    assert definitions.put(db, replace(named("a"), version="v1")) == (definitions.by_id(db, stored.id), False)
    with pytest.raises(Conflict, match="another content"):
        definitions.put(db, named("a", "other"), version="v1")
    with pytest.raises(ValidationFailed, match="another version"):
        definitions.put(db, replace(named("a"), version="v1"), version="v2")
    assert len(edges(db, stored.id)) == 2


def test_inline_definitions_are_one_row_for_each_content(db: Database) -> None:
    named_one, _ = definitions.put(db, SHIP)
    first = definitions.inline(db, replace(SHIP, version="7"), created_by="ada")
    again = definitions.inline(db, SHIP, created_by="bob")
    other = definitions.inline(db, named("ship", "other"))
    assert first.id == again.id
    assert len({named_one.id, first.id, other.id}) == 3
    assert (first.version, first.definition) == (None, SHIP)
    assert edges(db, first.id) == [(0, 1), (1, 2)]
    assert [row["version"] for row in definitions.versions(db, "ship").items] == ["1"]


def test_many_who_store_at_once_agree(db: Database) -> None:
    barrier = Barrier(6)

    def submit(number: int) -> tuple[UUID, str | None, bool]:
        barrier.wait(10)
        stored, new = definitions.put(db, named("race", f"text {number % 2}"))
        return definitions.inline(db, named("race")).id, stored.version, new

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(submit, range(6)))
    assert len({inline_id for inline_id, _, _ in outcomes}) == 1
    made = [version for _, version, new in outcomes if new]
    assert len(made) == len(set(made)) == len(definitions.versions(db, "race").items)
    assert len(edges(db, outcomes[0][0])) == 2


def test_an_inline_definition_can_not_go_before_the_run_that_came_with_it_is_there(db: Database) -> None:
    stored = definitions.inline(db, SHIP)
    with db.transaction() as tx:
        assert definitions.inline(tx, SHIP).id == stored.id
        with db.transaction() as other:
            free = other.all("SELECT id FROM definitions FOR UPDATE SKIP LOCKED")
        assert free == []


def test_what_is_not_there_is_told_with_what_is(db: Database) -> None:
    definitions.put(db, named("billing"))
    with pytest.raises(NotFound, match=r"no workflow 'biling'; did you mean 'billing'\?$"):
        definitions.get(db, "biling")
    with pytest.raises(NotFound, match=r"no workflow 'zebra'\.$"):
        definitions.versions(db, "zebra")
    with pytest.raises(NotFound, match="no version '9'; the newest is '1'"):
        definitions.get(db, "billing", "9")
    with pytest.raises(NotFound):
        definitions.by_id(db, UUID(int=1))


def test_pages_go_through_all_names(db: Database) -> None:
    for name in ("alpha", "beta", "gamma", "Alphabet"):
        definitions.put(db, named(name))
        definitions.put(db, named(name, "second"))
    definitions.inline(db, named("zeta"))
    assert definitions.names(db) == {"alpha", "beta", "gamma", "Alphabet"}
    seen, cursor = [], None
    while True:
        page = definitions.page(db, limit=3, cursor=cursor)
        seen += [(row["name"], row["version"], row["step_count"]) for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == [(name, "2", 3) for name in sorted(("alpha", "beta", "gamma", "Alphabet"))]
    assert {row["name"] for row in definitions.page(db, search="ALPHA").items} == {"alpha", "Alphabet"}
    assert definitions.page(db, search="%").items == []
    first = definitions.versions(db, "beta", limit=1)
    assert [row["version"] for row in definitions.versions(db, "beta", cursor=first.next_cursor).items] == ["1"]
    with pytest.raises(ValidationFailed):
        definitions.page(db, cursor="nonsense")
    with pytest.raises(ValidationFailed):
        definitions.versions(db, "beta", cursor=definitions.page(db, limit=1).next_cursor)
